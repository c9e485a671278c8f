//! A circuit breaker as a pure state machine that numbers its transitions, and the wire types of its status.
//!
//! A [`Breaker`] opens after failures in a row, or when too large a part of the newest calls failed or was slow
//! ([`Settings`]). Most of its calls take no lock, and none that it lets through while closed takes memory.
//! What it decides is in [`machine`], which reads no clock; [`Clock`] is where the handle takes the time from.
//!
//! ```
//! use std::time::Duration;
//! use breakwater_breaker::{Breaker, ManualClock, Settings, State};
//!
//! let clock = ManualClock::default();
//! let breaker = Breaker::builder("backend").settings(Settings::default()).clock(clock.clone()).build();
//!
//! for _ in 0..3 {
//!     breaker.try_acquire().unwrap().failure("timeout");
//! }
//! assert_eq!(breaker.state(), State::Open);
//! assert_eq!(breaker.try_acquire().unwrap_err().trial_in(), Some(Duration::from_secs(10)));
//!
//! clock.advance(Duration::from_secs(10));
//! assert_eq!(breaker.tick().unwrap().to, State::HalfOpen);
//! breaker.try_acquire().unwrap().success();
//! assert_eq!(breaker.state(), State::Closed);
//! ```
//!
//! An open breaker turns half-open for the next call after its time. A program that wants it to happen by itself, and
//! the transition to be on record then, calls [`Breaker::tick`] at [`Breaker::tick_at`].

mod breaker;
mod builder;
mod call;
mod classify;
mod clock;
mod door;
mod gate;
mod lane;
#[cfg(feature = "tower")]
mod layer;
#[cfg(all(test, breaker_loom))]
mod loom;
pub mod machine;
mod open_time;
mod permit;
mod record;
mod settings;
mod sync;
mod system;
mod tally;
mod trials;
mod window;
pub mod wire;

pub use breaker::Breaker;
pub use builder::Builder;
pub use call::Error;
pub use classify::{Classify, ErrorsFail, Outcome};
pub use clock::{Clock, ManualClock};
#[cfg(feature = "tower")]
pub use layer::{BreakerFuture, BreakerLayer, BreakerService};
pub use open_time::OpenTime;
pub use permit::{Failed, NotPermitted, OwnedPermit, Permit};
pub use record::CursorAhead;
pub use settings::{HalfOpen, Percent, Policy, Rates, Settings, SlowCalls, Window};
pub use system::SystemClock;
pub use wire::{Cause, Cursor, Now, State, Transition, Unit};

/// Its examples are tested, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
