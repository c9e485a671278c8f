//! Numbers and moments at their ends: where a sum overflows, and where the API server takes no more.

use fastrand::Rng;
use jiff::Timestamp;
use serde_json::{Value, json};

/// Moments that a client can tell and no API server takes: the first that can be read is one.
pub const ANCIENT: [&str; 2] = ["-009999-01-02T01:59:59Z", "-000001-12-31T00:00:00Z"];

/// Others, up to the last one that can be read.
const MOMENTS: [&str; 6] = [
    "1969-12-31T23:59:59.999999999Z",
    "1970-01-01T00:00:00Z",
    "2026-12-01T09:00:00.123456789Z",
    "9900-01-01T00:00:00Z",
    "9999-12-30T21:59:59Z",
    LAST,
];
/// The last moment that can be read.
pub const LAST: &str = "9999-12-30T22:00:00.999999999Z";

/// A number near an end, and not above `most`.
pub fn number(most: u64, random: &mut Rng) -> u64 {
    let ends = [0, 1 << 31, 1 << 32, 1 << 53, 1 << 63, u64::MAX];
    let (end, off): (u64, _) = (ends[random.usize(0..ends.len())].min(most), random.u64(0..4));
    if random.bool() { end.saturating_add(off).min(most) } else { end.saturating_sub(off) }
}

/// Changes one of the document's numbers, to `most` or less, or one of its moments, perhaps to one of `more`. Says which.
pub fn push(document: &mut Value, most: u64, more: &[&str], random: &mut Rng) -> String {
    let Some((place, _)) = random.choice(ended(document)) else { return String::new() };
    if let Some(value) = document.pointer_mut(&place) {
        let moment = random.choice([&MOMENTS, more].concat());
        *value = if value.is_number() { json!(number(most, random)) } else { json!(moment) };
        return format!("{place} = {value}");
    }
    place
}

/// Where the document's numbers and moments are, and which are numbers.
pub fn ended(document: &Value) -> Vec<(String, bool)> {
    let mut all = vec![];
    places(document, "", &mut all);
    let kind = |place: String| {
        let value = document.pointer(&place)?;
        (value.is_number() || is_moment(value)).then(|| (place, value.is_number()))
    };
    all.into_iter().filter_map(kind).collect()
}

/// Where all values of the document are.
pub fn places(value: &Value, at: &str, into: &mut Vec<String>) {
    into.push(at.into());
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, inner)| places(inner, &format!("{at}/{name}"), into));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(number, inner)| places(inner, &format!("{at}/{number}"), into));
        }
        _ => {}
    }
}

fn is_moment(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.parse::<Timestamp>().is_ok())
}
