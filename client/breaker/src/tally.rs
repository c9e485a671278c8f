//! Calls counted, each thread in a lane of its own: threads that count at the same time do not slow each other down,
//! and a thread that has its lane to itself needs no locked instruction.

use crate::{
    lane,
    sync::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
    wire::CallCounts,
};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    Permitted,
    NotPermitted,
    Success,
    Failure,
    Ignored,
    Slow,
}

const KINDS: usize = 6;

/// One thread's counters, on a cache line of their own.
#[derive(Debug)]
#[repr(align(64))]
struct Lane([AtomicU64; KINDS]);

/// The lanes; the last one is shared by the threads that have none of their own.
#[derive(Debug)]
pub(crate) struct Tally(Box<[Lane]>);

impl Tally {
    pub(crate) fn new() -> Self {
        Self((0..=lane::OWNED).map(|_| Lane(std::array::from_fn(|_| AtomicU64::new(0)))).collect())
    }

    #[inline]
    pub(crate) fn count(&self, counted: Counted) {
        let lane = lane::mine();
        let counter = &self.0[lane].0[counted as usize];
        // Release: who reads this count sees those that led to it, too; a success is never seen without its permit.
        if lane < lane::OWNED {
            counter.store(counter.load(Relaxed).wrapping_add(1), Release);
        } else {
            counter.fetch_add(1, Release);
        }
    }

    /// The sums. Calls that go on meanwhile may be in them or not, but none is seen to end that was not let through.
    pub(crate) fn sums(&self) -> CallCounts {
        let sum = |counted: Counted| {
            self.0.iter().fold(0u64, |sum, lane| sum.wrapping_add(lane.0[counted as usize].load(Acquire)))
        };
        let slow = sum(Counted::Slow);
        let [success, failure, ignored] = [Counted::Success, Counted::Failure, Counted::Ignored].map(sum);
        let [permitted, not_permitted] = [Counted::Permitted, Counted::NotPermitted].map(sum);
        CallCounts { permitted, not_permitted, success, failure, ignored, slow }
    }
}
