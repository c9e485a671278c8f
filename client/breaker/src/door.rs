//! Successes that go into a window of calls without the lock.
//!
//! As long as a success can change no more than the window, successes of one generation are all alike: it is enough to
//! count them, and to add them to the window before anything else happens to it. Whoever holds the lock shuts the door
//! and takes the count; who finds the door shut, or open for another generation, takes the lock.

use crate::{
    machine::{Generation, Machine},
    sync::{
        AtomicU64,
        Ordering::{AcqRel, Relaxed, Release},
    },
};

const SHUT: u64 = u64::MAX;
/// So many bits count; those above are the generation's. What does not fit takes the lock.
const COUNT: u32 = 24;
const MOST: u64 = (1 << COUNT) - 1;

/// On a cache line of its own: it is written by each success.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Door(AtomicU64);

impl Door {
    pub(crate) fn shut() -> Self {
        Self(AtomicU64::new(SHUT))
    }

    /// Counts a success, if the door is open for its generation.
    #[inline]
    pub(crate) fn enter(&self, generation: Generation) -> bool {
        let mut seen = self.0.load(Relaxed);
        while seen >> COUNT == generation.0 && seen & MOST != MOST {
            match self.0.compare_exchange_weak(seen, seen + 1, Release, Relaxed) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// With the lock held: shuts the door, and gives the successes that went through.
    pub(crate) fn close(&self) -> u64 {
        match self.0.swap(SHUT, AcqRel) {
            SHUT => 0,
            open => open & MOST,
        }
    }

    /// With the lock held, before it is released: opens the door, if all that a success can change is the window.
    pub(crate) fn open(&self, machine: &Machine) {
        if machine.is_settled() {
            self.0.store(machine.generation().0 << COUNT, Release);
        }
    }
}

#[cfg(all(test, not(breaker_loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_takes_the_lock() {
        let generation = Generation(7);
        let door = Door(AtomicU64::new((7 << COUNT) + MOST - 1));
        assert!(!door.enter(Generation(6)));
        assert!(door.enter(generation));
        assert!(!door.enter(generation));
        assert_eq!(door.close(), MOST);
        assert!(!door.enter(generation), "it is shut");
        assert_eq!(door.close(), 0);
    }
}
