//! How far a reader has read.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de, ser};
use uuid::Uuid;

/// How far a reader has read: the last sequence number it saw, and of which process. Written `EPOCH:SEQ`.
///
/// ```
/// use breakwater_breaker::wire::Cursor;
///
/// let cursor: Cursor = "6f0f3bd8-2f0c-4d5e-9a51-0e6d1a8c9b11:42".parse().unwrap();
/// assert_eq!(cursor.seq, 42);
/// assert_eq!(cursor.to_string(), "6f0f3bd8-2f0c-4d5e-9a51-0e6d1a8c9b11:42");
/// assert!("42".parse::<Cursor>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// [`Instance::epoch`](super::Instance::epoch) of the process.
    pub epoch: Uuid,
    /// The last sequence number that was seen; 0 before the first.
    pub seq: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.seq)
    }
}

/// Not a [`Cursor`]; its text says what one looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidCursor {
    given: String,
}

impl fmt::Display for InvalidCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let example = "6f0f3bd8-2f0c-4d5e-9a51-0e6d1a8c9b11:42";
        write!(f, "`{}` is no cursor: write EPOCH:SEQ, as `transitions.next` says it, like {example}", self.given)
    }
}

impl std::error::Error for InvalidCursor {}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let parse = || {
            let (epoch, seq) = text.split_once(':')?;
            Some(Self { epoch: epoch.parse().ok()?, seq: seq.parse().ok()? })
        };
        parse().ok_or_else(|| InvalidCursor { given: text.chars().take(80).collect() })
    }
}

impl Serialize for Cursor {
    fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
