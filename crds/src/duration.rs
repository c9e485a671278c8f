//! Durations as Kubernetes' users write them.

use std::{borrow::Cow, fmt, str::FromStr, time};

use jiff::{
    SignedDuration,
    fmt::friendly::{Designator, FractionalUnit, Spacing, SpanParser, SpanPrinter},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// CEL rule of every duration in the spec: what Gateway API's GEP-2257 allows of Go's durations, units in order, or a fraction of
/// seconds at the end, as [`Duration`] prints it: what is taken can be read, and what is read can be written back.
pub(crate) const RULE: &str = "self.matches('^([0-9]{1,5}h)?([0-9]{1,5}m)?(([0-9]{1,5}s)?([0-9]{1,5}ms)?|[0-9]{1,5}[.][0-9]{1,3}s)$') && self != ''";

/// What the API server says to a duration that breaks [`RULE`].
pub(crate) const MESSAGE: &str =
    "must be a duration of hours, minutes, seconds and milliseconds in this order, such as 500ms, 15s or 1m30s";

/// A length of time, never negative, written like Go's durations: `500ms`, `15s`, `1m30s`.
///
/// `kube::core::Duration` is not used as it panics on a number that is too large.
///
/// ```
/// use breakwater_crds::Duration;
///
/// let hold: Duration = "1m30s".parse().unwrap();
/// assert_eq!(hold.as_std().as_secs(), 90);
/// assert_eq!(Duration::from_millis(9_214).to_string(), "9.214s");
/// assert!("-1s".parse::<Duration>().is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(time::Duration);

/// A text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseDurationError(String);

impl fmt::Display for ParseDurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a duration such as 500ms, 15s or 1m30s", self.0)
    }
}

impl std::error::Error for ParseDurationError {}

impl Duration {
    /// So many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(time::Duration::from_secs(seconds))
    }

    /// So many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(time::Duration::from_millis(millis))
    }

    /// From one moment to a later one, in whole milliseconds; nothing if it is earlier.
    pub fn between(from: jiff::Timestamp, to: jiff::Timestamp) -> Self {
        Self::from_millis(u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0))
    }

    /// As the standard library's type.
    pub const fn as_std(self) -> time::Duration {
        self.0
    }

    /// That moment plus this duration; the end of time where it would lie beyond.
    pub fn after(self, moment: jiff::Timestamp) -> jiff::Timestamp {
        moment.checked_add(self.0).unwrap_or(jiff::Timestamp::MAX)
    }
}

impl FromStr for Duration {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        static PARSER: SpanParser = SpanParser::new();
        PARSER
            .parse_duration(text)
            .ok()
            .and_then(|duration| time::Duration::try_from(duration).ok())
            .map(Self)
            .ok_or_else(|| ParseDurationError(text.chars().take(64).collect()))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PRINTER: SpanPrinter = SpanPrinter::new().designator(Designator::Compact).spacing(Spacing::None);
        // As Go does: a fraction of seconds, but whole milliseconds below one second.
        let fraction = (self.0.as_secs() > 0).then_some(FractionalUnit::Second);
        let duration = SignedDuration::try_from(self.0).unwrap_or(SignedDuration::MAX);
        f.pad(&PRINTER.fractional(fraction).duration_to_string(&duration))
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // The bound lets the API server estimate what the rules on it cost.
        json_schema!({"type": "string", "maxLength": 32})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_writes() {
        for (text, millis) in
            [("0s", 0), ("500ms", 500), ("15s", 15_000), ("1m30s", 90_000), ("1h0m1s", 3_601_000), ("1.5s", 1_500)]
        {
            assert_eq!(text.parse::<Duration>().unwrap(), Duration::from_millis(millis), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest_without_a_panic() {
        for text in ["", "15", "s", "-1s", "1s ago", "99999999999999999999999h", "1e30h", "1 fortnight", "∞"] {
            let error = text.parse::<Duration>().unwrap_err().to_string();
            assert!(error.contains("15s"), "{text}: {error}");
        }
    }

    #[test]
    fn reads_back_what_it_prints() {
        for millis in [0, 1, 500, 999, 1_000, 9_214, 60_000, 90_500, 3_600_000, 86_400_001] {
            let duration = Duration::from_millis(millis);
            assert_eq!(duration.to_string().parse::<Duration>().unwrap(), duration, "{duration}");
        }
        assert_eq!(Duration::from_millis(90_500).to_string(), "1m30.5s");
        assert_eq!(Duration::from_millis(500).to_string(), "500ms");
    }
}
