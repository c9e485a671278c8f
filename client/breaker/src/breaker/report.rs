//! What a breaker says of itself.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::Breaker;
use crate::{
    machine::Moment,
    record::CursorAhead,
    settings::Settings,
    wire::{BreakerReport, CallCounts, Cursor, Now, State},
};

/// What it is asked.
impl Breaker {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The epoch of its cursors.
    pub fn epoch(&self) -> Uuid {
        self.epoch
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Its state. It takes no lock.
    pub fn state(&self) -> State {
        self.gate.word().state()
    }

    /// Its calls so far. It takes no lock; calls that go on meanwhile are in it or not.
    pub fn calls(&self) -> CallCounts {
        self.tally.sums()
    }

    /// Failures in a row since the last success.
    pub fn consecutive_failures(&self) -> u64 {
        self.lock().machine.consecutive_failures()
    }

    /// When an open breaker goes half-open, by its monotonic clock.
    pub fn half_open_at(&self) -> Option<Duration> {
        self.lock().machine.half_open_at()
    }

    /// When time alone changes its state, by its monotonic clock: [`tick`](Self::tick) it then.
    pub fn tick_at(&self) -> Option<Duration> {
        self.lock().machine.tick_at()
    }

    /// The breaker as it is, with the transitions after `since` (all that are kept, if absent). `now` is the moment
    /// that the report says it is of.
    ///
    /// # Errors
    /// [`CursorAhead`] if `since` is of this process, but newer than its newest transition.
    ///
    /// ```
    /// use breakwater_breaker::{Breaker, Clock, ManualClock};
    ///
    /// let clock = ManualClock::default();
    /// let breaker = Breaker::builder("backend").clock(clock.clone()).build();
    /// let first = breaker.report(None, clock.now()).unwrap().transitions;
    /// assert_eq!(first.items.len(), 1);
    /// let second = breaker.report(Some(first.next), clock.now()).unwrap().transitions;
    /// assert_eq!(second.items.len(), 0);
    /// ```
    pub fn report(&self, since: Option<Cursor>, now: Now) -> Result<BreakerReport, CursorAhead> {
        let mut shared = self.lock();
        let transitions = shared.record.after(since)?;
        self.take_in(&mut shared.machine, &Moment::of(&now));
        let window = shared.machine.window(&Moment::of(&now));
        self.let_in(&shared.machine);
        let machine = &shared.machine;
        Ok(BreakerReport {
            name: self.name.clone(),
            state: machine.state(),
            consecutive_failures: machine.consecutive_failures(),
            half_open_at: machine.half_open_at().map(|until| wall_at(until, now)),
            first_failure_at: machine.first_failure().map(|first| first.wall),
            first_failure_mono_nanos: machine.first_failure().map(|first| first.mono_nanos),
            calls: self.calls(),
            window,
            transitions,
        })
    }
}

/// What the wall clock will say when the monotonic one says `mono`, if nobody sets it.
fn wall_at(mono: Duration, now: Now) -> Timestamp {
    let ahead = SignedDuration::try_from(mono).unwrap_or(SignedDuration::MAX)
        - SignedDuration::try_from(now.mono()).unwrap_or(SignedDuration::MAX);
    now.wall.checked_add(ahead).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_due_time_beyond_all_calendars_is_said_as_the_last_moment() {
        let now = Now::new(Timestamp::UNIX_EPOCH, Duration::ZERO);
        assert_eq!(wall_at(Duration::MAX, now), Timestamp::MAX);
        assert_eq!(wall_at(Duration::from_secs(2), now), Timestamp::from_second(2).unwrap());
    }
}
