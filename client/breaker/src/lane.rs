//! A small number for each thread, which no other thread has as long as it lives.

/// So many threads have a number of their own at a time.
#[cfg(not(all(test, breaker_loom)))]
pub(crate) const OWNED: usize = 64;

/// Loom's threads share one lane: its models are about the lock and the gate.
#[cfg(all(test, breaker_loom))]
pub(crate) const OWNED: usize = 0;

#[cfg(all(test, breaker_loom))]
pub(crate) fn mine() -> usize {
    OWNED
}

#[cfg(not(all(test, breaker_loom)))]
pub(crate) use threads::mine;

#[cfg(not(all(test, breaker_loom)))]
mod threads {
    use std::{
        cell::Cell,
        sync::{Mutex, PoisonError},
    };

    use super::OWNED;

    /// The numbers that are free: bit by bit.
    static FREE: Mutex<u64> = Mutex::new(u64::MAX);

    const UNKNOWN: usize = usize::MAX;

    thread_local! {
        static MINE: Cell<usize> = const { Cell::new(UNKNOWN) };
        static LEASE: Lease = Lease::take();
    }

    /// This thread's number; [`OWNED`] if there was none left, or if the thread is about to end.
    #[inline]
    pub(crate) fn mine() -> usize {
        match MINE.get() {
            UNKNOWN => take(),
            mine => mine,
        }
    }

    #[cold]
    fn take() -> usize {
        let mine = LEASE.try_with(|lease| lease.0).unwrap_or(OWNED);
        MINE.set(mine);
        mine
    }

    /// A number until the thread ends.
    struct Lease(usize);

    impl Lease {
        fn take() -> Self {
            let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
            let lowest = free.trailing_zeros() as usize;
            if lowest < OWNED {
                *free &= !(1 << lowest);
            }
            Self(lowest.min(OWNED))
        }
    }

    impl Drop for Lease {
        fn drop(&mut self) {
            // What still runs in this thread shares; the next one that takes the number sees all that was counted.
            MINE.set(OWNED);
            if self.0 < OWNED {
                *FREE.lock().unwrap_or_else(PoisonError::into_inner) |= 1 << self.0;
            }
        }
    }
}
