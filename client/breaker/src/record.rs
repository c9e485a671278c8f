//! The bounded record of transitions, and how a reader goes on from where it was.

use std::{collections::VecDeque, fmt, num::NonZeroUsize};

use uuid::Uuid;

use crate::wire::{Cause, Cursor, Gap, Now, State, Transition, Transitions};

/// The newest transitions of one process, never empty: the first is its start.
#[derive(Debug)]
pub(crate) struct Record {
    epoch: Uuid,
    capacity: NonZeroUsize,
    kept: VecDeque<Transition>,
}

impl Record {
    /// A record that begins with number 1: the start, closed.
    pub(crate) fn new(epoch: Uuid, capacity: NonZeroUsize, now: Now) -> Self {
        let start = Transition {
            seq: 1,
            from: None,
            to: State::Closed,
            at: now.wall,
            mono_nanos: now.mono_nanos,
            cause: Cause::Started,
        };
        Self { epoch, capacity, kept: VecDeque::from([start]) }
    }

    /// Appends the next transition, and drops the oldest one if the record is full.
    pub(crate) fn push(&mut self, to: State, cause: Cause, now: Now) -> Transition {
        let last = self.last();
        let transition = Transition {
            seq: last.seq + 1,
            from: Some(last.to),
            to,
            at: now.wall,
            // Callers read the clock before they take the lock, and may take it in another order.
            mono_nanos: now.mono_nanos.max(last.mono_nanos),
            cause,
        };
        if self.kept.len() == self.capacity.get() {
            self.kept.pop_front();
        }
        self.kept.push_back(transition.clone());
        transition
    }

    fn last(&self) -> &Transition {
        self.kept.back().expect("a record begins with its start, and drops only what a newer one replaces")
    }

    /// The transitions kept, oldest first.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Transition> {
        self.kept.iter()
    }

    /// The transitions after `since`; all that are kept if it is absent or of another epoch.
    pub(crate) fn after(&self, since: Option<Cursor>) -> Result<Transitions, CursorAhead> {
        let last_seq = self.last().seq;
        let first_seq = last_seq + 1 - self.kept.len() as u64;
        // A reader without a cursor begins here, and has missed nothing.
        let (seen, epoch_changed) = match since {
            None => (first_seq - 1, false),
            Some(cursor) if cursor.epoch != self.epoch => (0, true),
            Some(cursor) if cursor.seq > last_seq => return Err(CursorAhead { given: cursor, last_seq }),
            Some(cursor) => (cursor.seq, false),
        };
        let gap = (seen + 1 < first_seq).then(|| Gap { from: seen + 1, to: first_seq - 1 });
        Ok(Transitions {
            first_seq,
            last_seq,
            capacity: self.capacity.get() as u64,
            dropped: first_seq - 1,
            gap,
            epoch_changed,
            next: Cursor { epoch: self.epoch, seq: last_seq },
            items: self.kept.iter().filter(|transition| transition.seq > seen).cloned().collect(),
        })
    }
}

/// A cursor of this process that is newer than its newest transition: no answer of it can have said so.
///
/// ```
/// use breakwater_breaker::{Breaker, Clock, Cursor, CursorAhead, SystemClock};
///
/// let breaker = Breaker::builder("backend").build();
/// let ahead = Cursor { epoch: breaker.epoch(), seq: 7 };
/// let now = SystemClock::start().now();
/// assert_eq!(breaker.report(Some(ahead), now), Err(CursorAhead { given: ahead, last_seq: 1 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorAhead {
    /// The cursor.
    pub given: Cursor,
    /// The newest transition.
    pub last_seq: u64,
}

impl fmt::Display for CursorAhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { given, last_seq } = self;
        write!(
            f,
            "cursor {given} is ahead of the newest transition, {last_seq}: pass `transitions.next` as it was said"
        )
    }
}

impl std::error::Error for CursorAhead {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;

    const EPOCH: Uuid = Uuid::from_u128(1);

    fn at(nanos: u64) -> Now {
        Now::new(Timestamp::UNIX_EPOCH, Duration::from_nanos(nanos))
    }

    /// A record of `capacity` that has seen transitions 1 to `last`.
    fn record(capacity: usize, last: u64) -> Record {
        let mut record = Record::new(EPOCH, NonZeroUsize::new(capacity).unwrap(), at(0));
        for nanos in 1..last {
            record.push(State::Open, Cause::OpenTimeElapsed, at(nanos));
        }
        record
    }

    #[test]
    fn a_cursor_gets_what_is_after_it_and_hears_of_what_is_lost() {
        let here = |seq| Some(Cursor { epoch: EPOCH, seq });
        let other = |seq| Some(Cursor { epoch: Uuid::from_u128(2), seq });
        let gap = |from, to| Some(Gap { from, to });
        // capacity 4
        for (last, since, items, expected_gap, epoch_changed) in [
            (3, None, 1..4, None, false),
            (3, here(0), 1..4, None, false),
            (3, here(2), 3..4, None, false),
            (3, here(3), 4..4, None, false),
            (3, other(9), 1..4, None, true),
            (10, None, 7..11, None, false),
            (10, here(9), 10..11, None, false),
            (10, here(6), 7..11, None, false),
            (10, here(5), 7..11, gap(6, 6), false),
            (10, here(0), 7..11, gap(1, 6), false),
            (10, other(9), 7..11, gap(1, 6), true),
        ] {
            let said = record(4, last).after(since).unwrap();
            let case = format!("last {last}, since {since:?}");
            assert_eq!(said.items.iter().map(|item| item.seq).collect::<Vec<_>>(), items.collect::<Vec<_>>(), "{case}");
            assert_eq!((said.gap, said.epoch_changed), (expected_gap, epoch_changed), "{case}");
            assert_eq!(said.next, Cursor { epoch: EPOCH, seq: last }, "{case}");
            assert_eq!((said.first_seq, said.last_seq), (last.saturating_sub(3).max(1), last), "{case}");
            assert_eq!((said.dropped, said.capacity), (last.saturating_sub(4), 4), "{case}");
        }
    }

    #[test]
    fn a_cursor_from_the_future_is_refused() {
        let ahead = Cursor { epoch: EPOCH, seq: 4 };
        assert_eq!(record(4, 3).after(Some(ahead)), Err(CursorAhead { given: ahead, last_seq: 3 }));
    }

    #[test]
    fn monotonic_times_do_not_go_back_along_the_numbers() {
        let mut record = record(4, 1);
        record.push(State::Open, Cause::OpenTimeElapsed, at(50));
        assert_eq!(record.push(State::HalfOpen, Cause::OpenTimeElapsed, at(40)).mono_nanos, 50);
    }
}
