//! What the operator, the client and the backend have in common as programs: durations and shares as people write them, log
//! lines, open files, and their end by a signal.

pub mod duration;
pub mod files;
pub mod log;
pub mod share;
pub mod signal;
