//! A circuit breaker as a pure state machine that numbers its transitions, and the wire types of its status.
//!
//! The crate reads no clock and starts no task: the embedding program passes [`Now`] in, and calls
//! [`Breaker::tick`] when [`Breaker::half_open_at`] is due, so that an open breaker goes half-open by itself
//! and not only when somebody calls.
//!
//! ```
//! use std::time::Duration;
//! use breakwater_breaker::{Breaker, Now, Settings, State};
//! use jiff::Timestamp;
//!
//! let at = |seconds| Now::new(Timestamp::UNIX_EPOCH, Duration::from_secs(seconds));
//! let breaker = Breaker::new("backend", uuid::Uuid::nil(), Settings::default(), at(0));
//!
//! for second in 1..=3 {
//!     breaker.try_acquire(at(second)).unwrap().failure("timeout", at(second));
//! }
//! assert_eq!(breaker.state(), State::Open);
//! assert!(breaker.try_acquire(at(4)).is_err());
//!
//! assert_eq!(breaker.half_open_at(), Some(Duration::from_secs(13)));
//! breaker.tick(at(13));
//! breaker.try_acquire(at(13)).unwrap().success(at(14));
//! assert_eq!(breaker.state(), State::Closed);
//! ```

mod breaker;
pub mod machine;
mod record;
pub mod wire;

pub use breaker::{Breaker, Failed, NotPermitted, Ticket};
pub use machine::Settings;
pub use record::CursorAhead;
pub use wire::{Cause, Cursor, Now, State, Transition, Unit};
