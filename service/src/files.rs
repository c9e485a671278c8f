//! How many files and connections a process may have.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Lets this process have as many as the system allows, and says how many that are. Where nobody raises it, a process begins with 1,024.
///
/// # Errors
/// Where the system refuses.
pub fn raise_limit() -> io::Result<u64> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    Ok(most)
}
