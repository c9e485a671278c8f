//! The newest calls and how they went: the last so many, or those of the last stretch of time.

use std::time::Duration;

use crate::{
    clock::{Moment, nanos},
    settings::Window,
    wire::WindowCounts,
};

/// A window of time is kept in so many slices.
const SLICES: usize = 10;

/// All of its memory is taken when it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct History {
    kept: Kept,
    sums: WindowCounts,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kept {
    Calls { ring: Box<[Call]>, next: usize },
    Time { slices: Box<[WindowCounts; SLICES]>, slice_nanos: u64, newest: u64 },
}

/// How a call went, in a byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) failed: bool,
    pub(crate) slow: bool,
}

impl History {
    pub(crate) fn new(window: Window) -> Self {
        let kept = match window {
            Window::Calls(size) => Kept::Calls { ring: vec![Call::default(); size.get().into()].into(), next: 0 },
            Window::Time(length) => {
                Kept::Time { slices: Default::default(), slice_nanos: nanos(length / SLICES as u32).max(1), newest: 0 }
            }
        };
        Self { kept, sums: WindowCounts::default() }
    }

    /// It reaches back over calls, not over time.
    pub(crate) fn is_of_calls(&self) -> bool {
        matches!(self.kept, Kept::Calls { .. })
    }

    /// How many calls are in it; of a window of time, at the last look.
    pub(crate) fn len(&self) -> u64 {
        self.sums.calls
    }

    /// Forgets all calls.
    pub(crate) fn clear(&mut self) {
        self.sums = WindowCounts::default();
        match &mut self.kept {
            Kept::Calls { next, .. } => *next = 0,
            Kept::Time { slices, .. } => **slices = Default::default(),
        }
    }

    /// Adds a call, and gives the counts with it.
    pub(crate) fn push(&mut self, call: Call, at: &Moment<'_>) -> WindowCounts {
        self.forget(at);
        match &mut self.kept {
            Kept::Calls { ring, next } => {
                let place = &mut ring[*next];
                let oldest = std::mem::replace(place, call);
                // Before the ring is full for the first time, its places hold nothing.
                if self.sums.calls == ring.len() as u64 {
                    subtract(&mut self.sums, one(oldest));
                }
                *next = if *next + 1 == ring.len() { 0 } else { *next + 1 };
            }
            Kept::Time { slices, newest, .. } => add(&mut slices[(*newest % SLICES as u64) as usize], one(call)),
        }
        add(&mut self.sums, one(call));
        self.sums
    }

    /// Adds so many calls that neither failed nor were slow, to a window of calls that is judged already.
    pub(crate) fn push_good(&mut self, calls: u64, at: &Moment<'_>) {
        let size = match &self.kept {
            Kept::Calls { ring, .. } => ring.len() as u64,
            Kept::Time { .. } => calls,
        };
        (0..calls.min(size)).for_each(|_| _ = self.push(Call::default(), at));
    }

    /// The counts as they are now.
    pub(crate) fn counts(&mut self, at: &Moment<'_>) -> WindowCounts {
        self.forget(at);
        self.sums
    }

    /// Drops the slices that are too old. A clock that goes back drops nothing.
    fn forget(&mut self, at: &Moment<'_>) {
        let Kept::Time { slices, slice_nanos, newest } = &mut self.kept else { return };
        let current = at.mono_nanos() / *slice_nanos;
        let passed = current.saturating_sub(*newest);
        for slice in (*newest..*newest + passed.min(SLICES as u64)).map(|before| (before + 1) % SLICES as u64) {
            subtract(&mut self.sums, std::mem::take(&mut slices[slice as usize]));
        }
        *newest = current.max(*newest);
    }
}

fn one(call: Call) -> WindowCounts {
    WindowCounts { calls: 1, failures: call.failed.into(), slow: call.slow.into() }
}

fn add(sums: &mut WindowCounts, counts: WindowCounts) {
    sums.calls += counts.calls;
    sums.failures += counts.failures;
    sums.slow += counts.slow;
}

fn subtract(sums: &mut WindowCounts, counts: WindowCounts) {
    sums.calls -= counts.calls;
    sums.failures -= counts.failures;
    sums.slow -= counts.slow;
}

/// A call that took `took` nanoseconds is slow.
pub(crate) fn is_slow(took: u64, longer_than: Duration) -> bool {
    took > nanos(longer_than)
}
