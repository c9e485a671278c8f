//! Whose turn it is, where more experiments want a look than are looked at side by side: the one that asked first, but those that hold
//! an outage go before, by the beginning of their runs.
//!
//! The controller's own limit lets any of those through that wait, so that one waits for minutes where there is always another. In
//! the order in which they ask alone, all would wait alike: replacements would live for want of a look, outages come out too short for
//! their breakers, and many runs prove nothing. So the outages that have begun are held, and others begin late, which spoils no run.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::oneshot;

/// Every so many turns one is for those that hold no outage.
const FOR_OTHERS: u64 = 8;

/// Where those stand that hold none.
const OTHERS: Timestamp = Timestamp::MAX;

/// The turns of one operator.
#[derive(Clone)]
pub struct Turns(Arc<Mutex<State>>);

struct State {
    free: usize,
    asked: u64,
    given: u64,
    closed: bool,
    /// By the beginning of the runs that hold an outage, others behind them; then in the order in which they asked.
    waiting: BTreeMap<(Timestamp, u64), oneshot::Sender<Turn>>,
}

/// Lasts until it is dropped; then it is the next one's.
pub struct Turn(Turns);

impl Turns {
    /// So many at a time.
    pub fn new(at_once: usize) -> Self {
        Self(Arc::new(Mutex::new(State { free: at_once, asked: 0, given: 0, closed: false, waiting: BTreeMap::new() })))
    }

    /// Waits for a turn. `holding` says when the run began that holds an outage. There are no turns any more once they are
    /// [closed](Self::close).
    pub async fn take(&self, holding: Option<Timestamp>) -> Option<Turn> {
        let (give, turn) = oneshot::channel();
        {
            let mut state = self.state();
            if state.closed {
                return None;
            }
            state.asked += 1;
            let rank = (holding.unwrap_or(OTHERS), state.asked);
            state.waiting.insert(rank, give);
        }
        self.give();
        turn.await.ok()
    }

    /// Who waits goes away with nothing: the operator shuts down.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.waiting.clear();
    }

    fn give(&self) {
        let Some(next) = self.state().next() else { return };
        // Who does not wait any more leaves it to the next one, as it is dropped.
        drop(next.send(Turn(self.clone())));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Who has the turn that is free.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let left = self.free.checked_sub(1)?;
        let is_for_others = (self.given + 1).is_multiple_of(FOR_OTHERS);
        let other = self.waiting.range((OTHERS, 0)..).next().filter(|_| is_for_others);
        let rank = *other.or_else(|| self.waiting.first_key_value())?.0;
        (self.free, self.given) = (left, self.given + 1);
        self.waiting.remove(&rank)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.state().free += 1;
        self.0.give();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::{FutureExt, future::join_all};

    use super::*;

    fn second(number: i64) -> Option<Timestamp> {
        Timestamp::from_second(number).ok()
    }

    #[tokio::test(start_paused = true)]
    async fn who_holds_an_outage_is_first_and_others_come_as_they_asked() {
        let turns = Turns::new(1);
        let (had, seen) = (turns.take(None).await, Mutex::new(vec![]));
        let asks =
            [None, second(9), second(7), None, second(9)].into_iter().enumerate().map(async |(number, holding)| {
                let _turn = turns.take(holding).await;
                seen.lock().unwrap().push(number);
                tokio::task::yield_now().await;
            });
        let mut all = std::pin::pin!(join_all(asks));
        assert!(all.as_mut().now_or_never().is_none() && seen.lock().unwrap().is_empty(), "nobody has a turn yet");
        drop(had);
        tokio::time::timeout(Duration::from_secs(1), all).await.expect("all have their turn");
        assert_eq!(*seen.lock().unwrap(), [2, 1, 4, 0, 3]);
    }

    #[tokio::test]
    async fn who_holds_no_outage_does_not_wait_for_ever() {
        let turns = Turns::new(1);
        let mut turn = turns.take(None).await;
        let mut other = Box::pin(turns.take(None));
        assert!(other.as_mut().now_or_never().is_none());
        let mut held = 0;
        let other = loop {
            let mut holds = Box::pin(turns.take(second(1)));
            assert!(holds.as_mut().now_or_never().is_none());
            drop(turn);
            if let Some(other) = other.as_mut().now_or_never() {
                break other;
            }
            (turn, held) = (holds.await, held + 1);
        };
        assert!(other.is_some() && (1..8).contains(&held), "after {held} others");
    }

    #[tokio::test]
    async fn so_many_have_a_turn_at_a_time_and_those_who_gave_up_have_none() {
        let turns = Turns::new(2);
        let (one, _two) = (turns.take(None).await, turns.take(None).await);
        let (mut left, mut waits) = (Box::pin(turns.take(second(1))), Box::pin(turns.take(second(2))));
        assert!(left.as_mut().now_or_never().is_none() && waits.as_mut().now_or_never().is_none());
        drop(left);
        drop(one);
        assert!(waits.now_or_never().flatten().is_some(), "its turn is not lost with who left");
    }

    #[tokio::test]
    async fn nobody_waits_once_they_are_closed() {
        let turns = Turns::new(1);
        let had = turns.take(None).await;
        let mut waits = Box::pin(turns.take(None));
        assert!(waits.as_mut().now_or_never().is_none());
        turns.close();
        let gone = |turn: Option<Option<Turn>>| turn.is_some_and(|turn| turn.is_none());
        assert!(gone(waits.now_or_never()) && gone(turns.take(None).now_or_never()));
        drop(had);
        assert!(gone(turns.take(None).now_or_never()));
    }
}
