//! Durations, as people write them.

use std::time::Duration;

use jiff::fmt::friendly::SpanParser;

/// Reads a duration as Go writes it, not negative: `500ms`, `10s`, `1m30s`.
///
/// # Errors
/// A sentence that says what to write instead.
///
/// ```
/// use breakwater_service::duration;
///
/// assert_eq!(duration::parse("1m30s").unwrap().as_secs(), 90);
/// assert!(duration::parse("10").is_err());
/// ```
pub fn parse(text: &str) -> Result<Duration, String> {
    SpanParser::new()
        .parse_unsigned_duration(text)
        .map_err(|_| "write a duration with its unit, like 500ms, 10s or 1m30s".to_owned())
}
