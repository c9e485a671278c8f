//! The operator's hands on an API server in process: what they send, what they refuse, and what they say of it.

mod attribution;
mod bench;
mod refusals;
mod requester;
mod sent;
