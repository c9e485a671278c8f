//! A circuit breaker as a pure state machine that numbers its transitions, and the wire types of its status.
//!
//! The crate reads no clock and starts no task: the embedding program passes [`Now`] in.

pub mod wire;

pub use wire::{Cause, Now, State, Transition, Unit};
