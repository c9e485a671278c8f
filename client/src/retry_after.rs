//! When a backend asks to be called again: the `Retry-After` of its answer.

use std::time::Duration;

use jiff::{Timestamp, fmt::rfc2822};
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

/// How long after this answer the backend wants to be left alone, if it says so.
///
/// It may be said in seconds or as a date ([RFC 9110, 10.2.3](https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3)).
/// A date is compared to the answer's own, so that it does not matter what our clock says.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let said = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let after = said(RETRY_AFTER)?;
    if !after.is_empty() && after.bytes().all(|letter| letter.is_ascii_digit()) {
        return Some(after.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let date = |text: &str| rfc2822::parse(text).map(|date| date.timestamp()).ok();
    let (until, now): (Timestamp, Timestamp) = (date(after)?, date(said(DATE)?)?);
    Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read_and_nonsense_is_none() {
        let now = Some("Fri, 31 Dec 1999 23:59:50 GMT");
        for (after, date, expected) in [
            (Some("0"), None, Some(Duration::ZERO)),
            (Some(" 120 "), now, Some(Duration::from_secs(120))),
            (Some("99999999999999999999999"), None, Some(Duration::MAX)),
            (Some("Fri, 31 Dec 1999 23:59:59 GMT"), now, Some(Duration::from_secs(9))),
            (Some("Fri, 31 Dec 1999 23:59:40 GMT"), now, Some(Duration::ZERO)),
            (Some("Fri, 31 Dec 1999 23:59:59 GMT"), None, None),
            (Some("Fri, 31 Dec 1999 23:59:59 GMT"), Some("now"), None),
            (Some("soon"), now, None),
            (Some("-1"), now, None),
            (Some("1.5"), now, None),
            (Some(""), now, None),
            (None, now, None),
        ] {
            let said =
                [(RETRY_AFTER, after), (DATE, date)].into_iter().filter_map(|(name, value)| Some((name, value?)));
            let headers = said.map(|(name, value)| (name, value.parse().unwrap())).collect();
            assert_eq!(retry_after(&headers), expected, "{after:?} at {date:?}");
        }
    }
}
