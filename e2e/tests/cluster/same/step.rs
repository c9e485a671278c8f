//! One request of a random sequence.

use fastrand::Rng;

use super::{KINDS, NAMES};

/// A request, without what only one server knows: uids and versions.
#[derive(Clone, Debug)]
pub struct Step {
    /// What is asked for.
    pub verb: &'static str,
    /// Of which kind.
    pub kind: usize,
    /// Of which of its objects.
    pub name: usize,
    /// Which of the versions seen is meant, from the newest.
    pub version: usize,
    /// What distinguishes requests of one verb.
    pub flavour: u8,
}

impl Step {
    /// Any of them.
    pub fn random(random: &mut Rng) -> Self {
        let verbs = [
            "create", "create", "get", "list", "page", "page", "page", "label", "json", "replace", "replace", "status",
            "status", "delete", "delete", "delete", "evict", "finalize", "fields", "fields", "restart",
        ];
        Self {
            verb: random.choice(verbs).unwrap_or("get"),
            kind: random.usize(0..KINDS.len()),
            name: random.usize(0..NAMES),
            version: if random.u8(0..3) == 0 { random.usize(0..4) } else { 0 },
            flavour: random.u8(..),
        }
    }
}
