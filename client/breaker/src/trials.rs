//! The trial calls of a half-open breaker: how many may go, and when their outcome is certain.

use std::{num::NonZeroU16, time::Duration};

use crate::{
    clock::{Moment, nanos},
    settings::{Policy, Settings},
    window::Call,
};

/// Trials of one half-open stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trials {
    /// May still be let through.
    permits: u16,
    in_flight: u16,
    failed: u16,
    slow: u16,
    /// When those in flight have taken too long.
    overdue_at: Option<u64>,
}

/// What the trials so far mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Those still to come decide.
    Undecided,
    /// Whatever those still to come do, the breaker may close.
    Closes,
    /// Whatever those still to come do, too many failed.
    Failed,
    /// Whatever those still to come do, too many were slow.
    Slow,
}

impl Trials {
    pub(crate) fn new(calls: NonZeroU16) -> Self {
        Self { permits: calls.get(), in_flight: 0, failed: 0, slow: 0, overdue_at: None }
    }

    /// Lets a trial through, if there is a permit left; those in flight may take `wait` from the first of them.
    pub(crate) fn acquire(&mut self, wait: Option<Duration>, at: &Moment<'_>) -> bool {
        if self.permits == 0 {
            return false;
        }
        if self.in_flight == 0 {
            self.overdue_at = wait.map(|wait| at.mono_nanos().saturating_add(nanos(wait)));
        }
        self.permits -= 1;
        self.in_flight += 1;
        true
    }

    /// A trial ended without a result: another one may go.
    pub(crate) fn give_back(&mut self) {
        if self.in_flight > 0 {
            self.permits += 1;
            self.landed();
        }
    }

    /// A trial ended with a result.
    pub(crate) fn finished(mut self, call: Call, settings: &Settings) -> (Self, Fate) {
        self.landed();
        self.failed = self.failed.saturating_add(call.failed.into());
        self.slow = self.slow.saturating_add(call.slow.into());
        let calls = settings.half_open.calls.get();
        let (failed_limit, slow_limit) = match settings.policy {
            Policy::ConsecutiveFailures(_) => (1, None),
            Policy::Rates(rates) => (rates.failure_rate.of(calls), rates.slow_calls.map(|slow| slow.rate.of(calls))),
        };
        let to_come = self.permits + self.in_flight;
        let failed = |more| self.failed.saturating_add(more) >= failed_limit;
        let slow = |more| slow_limit.is_some_and(|limit| self.slow.saturating_add(more) >= limit);
        let fate = match () {
            () if failed(0) => Fate::Failed,
            () if slow(0) => Fate::Slow,
            () if failed(to_come) || slow(to_come) => Fate::Undecided,
            () => Fate::Closes,
        };
        (self, fate)
    }

    /// When the trials in flight have taken too long.
    pub(crate) fn overdue_at(&self) -> Option<u64> {
        self.overdue_at
    }

    fn landed(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if self.in_flight == 0 {
            self.overdue_at = None;
        }
    }
}
