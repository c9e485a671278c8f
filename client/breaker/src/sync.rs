//! The parts of the standard library that `loom` replaces to try every order of what threads do.

#[cfg(all(test, breaker_loom))]
pub(crate) use loom::sync::{Mutex, MutexGuard, atomic::AtomicU64};
#[cfg(not(all(test, breaker_loom)))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic::AtomicU64};

pub(crate) use std::sync::{PoisonError, atomic::Ordering};
