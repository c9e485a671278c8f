//! Reads that many looks want at the same moment, done once for all of them.
//!
//! It is no cache: whoever asks gets what was read by a request that was sent after they asked. Who comes while a request is under
//! way waits for the next one, and all who wait share that.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

/// Shared reads, by what is read. What nobody waits for any more is forgotten.
#[derive(Debug)]
pub struct Together<T> {
    slots: Mutex<HashMap<String, Weak<Slot<T>>>>,
}

#[derive(Debug)]
struct Slot<T> {
    /// Counts up whenever somebody asks and whenever a request is sent, so that it says what came first.
    moments: AtomicU64,
    /// The newest answer, and when its request was sent.
    newest: tokio::sync::Mutex<Option<(u64, T)>>,
}

impl<T> Default for Together<T> {
    fn default() -> Self {
        Self { slots: Mutex::default() }
    }
}

impl<T: Clone> Together<T> {
    /// The answer of `read`, or of somebody else's that began after this call.
    ///
    /// # Errors
    /// Where `read` has one. Others who wait then read by themselves.
    pub async fn read<E>(&self, what: &str, read: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let slot = self.slot(what);
        let asked = slot.moments.fetch_add(1, Ordering::SeqCst);
        let mut newest = slot.newest.lock().await;
        if let Some((sent, answer)) = &*newest
            && *sent > asked
        {
            return Ok(answer.clone());
        }
        let sent = slot.moments.fetch_add(1, Ordering::SeqCst);
        let answer = read.await?;
        *newest = Some((sent, answer.clone()));
        Ok(answer)
    }

    fn slot(&self, what: &str) -> Arc<Slot<T>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(what).and_then(Weak::upgrade) {
            return slot;
        }
        slots.retain(|_, slot| slot.strong_count() > 0);
        let slot = Arc::new(Slot { moments: AtomicU64::new(0), newest: tokio::sync::Mutex::new(None) });
        slots.insert(what.into(), Arc::downgrade(&slot));
        slot
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::{FutureExt, future::join_all};
    use tokio::sync::Semaphore;

    use super::*;

    /// Gives the numbers 1, 2, 3 ..., each when it is let through.
    struct Server {
        sent: AtomicU64,
        gate: Semaphore,
    }

    impl Server {
        async fn read(&self) -> Result<u64, Infallible> {
            let number = self.sent.fetch_add(1, Ordering::SeqCst) + 1;
            self.gate.acquire().await.unwrap().forget();
            Ok(number)
        }
    }

    #[tokio::test]
    async fn who_comes_late_gets_a_read_that_began_later_and_shares_it() {
        let server = Server { sent: AtomicU64::new(0), gate: Semaphore::new(0) };
        let together = Together::default();
        let mut first = Box::pin(together.read("a", server.read()));
        assert!(first.as_mut().now_or_never().is_none(), "it is under way");
        let mut late: Vec<_> = (0..3).map(|_| Box::pin(together.read("a", server.read()))).collect();
        assert!(join_all(late.iter_mut()).now_or_never().is_none(), "they wait");
        server.gate.add_permits(9);
        assert_eq!((first.await, join_all(late).await), (Ok(1), vec![Ok(2); 3]));
        assert_eq!(together.read("a", server.read()).await, Ok(3), "an answer of before is not given again");
        assert_eq!(together.read("b", server.read()).await, Ok(4), "another thing is read by itself");
        assert_eq!(together.slots.lock().unwrap().len(), 1, "what nobody waits for is forgotten");
    }

    #[tokio::test]
    async fn an_error_is_nobody_elses_and_who_gives_up_holds_up_nobody() {
        let together = Together::default();
        let mut stuck = Box::pin(together.read("a", std::future::pending::<Result<u64, &str>>()));
        assert!(stuck.as_mut().now_or_never().is_none());
        let mut failing = Box::pin(together.read("a", async { Err("no") }));
        let mut waiting = Box::pin(together.read("a", async { Ok::<_, &str>(7) }));
        assert!(failing.as_mut().now_or_never().is_none() && waiting.as_mut().now_or_never().is_none());
        drop(stuck);
        assert_eq!((failing.await, waiting.await), (Err("no"), Ok(7)));
    }
}
