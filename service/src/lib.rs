//! What the client and the backend have in common as programs: durations on the command line, log lines, and their end
//! by a signal.

pub mod duration;
pub mod log;
pub mod signal;
