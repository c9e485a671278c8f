//! How far a reader has read the records of several breakers: one number each, in the order in which they are told.

use std::{fmt, str::FromStr};

use breakwater_breaker::Cursor;
use uuid::Uuid;

/// Written `EPOCH:SEQ`, as a [`Cursor`] is; with several breakers `EPOCH:SEQ.SEQ.SEQ`.
///
/// ```
/// use breakwater_client::status::Position;
///
/// let position: Position = "6f0f3bd8-2f0c-4d5e-9a51-0e6d1a8c9b11:42.1".parse().unwrap();
/// assert_eq!(position.seqs, [42, 1]);
/// assert_eq!(position.to_string(), "6f0f3bd8-2f0c-4d5e-9a51-0e6d1a8c9b11:42.1");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The process.
    pub epoch: Uuid,
    /// Of each breaker, the last sequence number that was seen; 0 before the first.
    pub seqs: Vec<u64>,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.epoch)?;
        for (at, seq) in self.seqs.iter().enumerate() {
            write!(f, "{}{seq}", if at == 0 { "" } else { "." })?;
        }
        Ok(())
    }
}

impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (epoch, seqs) = text.split_once(':').unwrap_or((text, ""));
        let cursor = |seq| format!("{epoch}:{seq}").parse::<Cursor>();
        let cursors: Result<Vec<_>, _> = seqs.split('.').map(cursor).collect();
        match cursors.as_deref() {
            Ok([first, ..]) => {
                Ok(Self { epoch: first.epoch, seqs: cursors.iter().flatten().map(|one| one.seq).collect() })
            }
            // The cursor's own words: what was given, and what one looks like.
            _ => Err(text.parse::<Cursor>().map_or_else(|error| error.to_string(), |_| "write EPOCH:SEQ".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_position_is_refused_with_what_one_looks_like() {
        let epoch = Uuid::from_u128(7);
        for text in [
            "",
            "42",
            ":",
            ":42",
            &format!("{epoch}"),
            &format!("{epoch}:"),
            &format!("{epoch}:1."),
            &format!("{epoch}:1,2"),
        ] {
            let said = text.parse::<Position>().expect_err(text);
            assert!(said.contains("write EPOCH:SEQ"), "{text}: {said}");
        }
        assert_eq!(format!("{epoch}:0").parse(), Ok(Position { epoch, seqs: vec![0] }));
    }
}
