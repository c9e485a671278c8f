//! The state in one atomic word, so that most calls need no lock.
//!
//! It is written with the lock held only, after each step of the machine, and read by anyone. A word holds the number
//! of the generation, so it never comes back after another one: who finds the word that was read before finds that
//! nothing has happened in between.

use crate::{
    clock::nanos,
    machine::{Generation, Machine},
    sync::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
    wire::State,
};

const CLOSED: u64 = 0;
const DISABLED: u64 = 1;
const OPEN: u64 = 2;
const FORCED_OPEN: u64 = 3;
const HALF_OPEN: u64 = 4;
const STATE: u64 = 0b111;
const SETTLED: u64 = 0b1000;
const GENERATION: u32 = 4;

/// State and generation, and whether a success would change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word(u64);

impl Word {
    fn of(machine: &Machine) -> Self {
        let state = match machine.state() {
            State::Closed => CLOSED,
            State::Disabled => DISABLED,
            State::Open => OPEN,
            State::ForcedOpen => FORCED_OPEN,
            State::HalfOpen => HALF_OPEN,
        };
        let settled = if machine.is_settled() { SETTLED } else { 0 };
        Self(machine.generation().0 << GENERATION | settled | state)
    }

    pub(crate) fn state(self) -> State {
        match self.0 & STATE {
            CLOSED => State::Closed,
            DISABLED => State::Disabled,
            OPEN => State::Open,
            FORCED_OPEN => State::ForcedOpen,
            _ => State::HalfOpen,
        }
    }

    pub(crate) fn generation(self) -> Generation {
        Generation(self.0 >> GENERATION)
    }

    /// Every call is let through.
    #[inline]
    pub(crate) fn admits(self) -> bool {
        self.0 & STATE <= DISABLED
    }

    /// A success of this generation changes nothing.
    #[inline]
    pub(crate) fn is_settled(self) -> bool {
        self.0 & SETTLED != 0
    }
}

/// What is shown of a breaker without its lock; on a cache line of its own.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Gate {
    word: AtomicU64,
    open_until: AtomicU64,
}

impl Gate {
    pub(crate) fn new(machine: &Machine) -> Self {
        Self { word: AtomicU64::new(Word::of(machine).0), open_until: AtomicU64::new(0) }
    }

    /// The word as of now.
    #[inline]
    pub(crate) fn word(&self) -> Word {
        Word(self.word.load(Acquire))
    }

    /// With the lock held: shows what the machine has become.
    pub(crate) fn show(&self, machine: &Machine) -> Word {
        let word = Word::of(machine);
        if self.word.load(Relaxed) != word.0 {
            if let Some(until) = machine.half_open_at() {
                // After the word of the opening before, and before that of this one: see `open_until`.
                self.open_until.store(nanos(until), Release);
            }
            self.word.store(word.0, Release);
        }
        word
    }

    /// Until when the breaker is open, if it still is as `word` says.
    #[inline]
    pub(crate) fn open_until(&self, word: Word) -> Option<u64> {
        let until = self.open_until.load(Acquire);
        // A time that belongs to a later opening was stored after the end of this one was shown.
        (self.word.load(Relaxed) == word.0).then_some(until)
    }
}
