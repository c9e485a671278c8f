//! The states.

use std::fmt;

use serde::{Deserialize, Serialize};

/// State of a circuit breaker: Closed lets calls through, Open refuses them, HalfOpen lets a few trial calls decide;
/// ForcedOpen refuses and Disabled lets through whatever happens, until somebody says otherwise.
// The variants have no doc comments: with them the schema is a `oneOf`, which Kubernetes' structural schemas refuse.
#[allow(missing_docs, reason = "said in the type's sentence")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub enum State {
    Closed,
    Open,
    HalfOpen,
    ForcedOpen,
    Disabled,
}

impl State {
    /// Every state: those of an outage in their order, then those that only a person brings about.
    ///
    /// ```
    /// use breakwater_breaker::State;
    ///
    /// assert_eq!(State::ALL.map(State::as_str), ["Closed", "Open", "HalfOpen", "ForcedOpen", "Disabled"]);
    /// ```
    pub const ALL: [Self; 5] = [Self::Closed, Self::Open, Self::HalfOpen, Self::ForcedOpen, Self::Disabled];

    /// Its name, as on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "Closed",
            Self::Open => "Open",
            Self::HalfOpen => "HalfOpen",
            Self::ForcedOpen => "ForcedOpen",
            Self::Disabled => "Disabled",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
