//! Which changes are worth trying on a field.

use serde_json::{Value, json};

use crate::{Change, texts::TEXTS};

/// Bytes of a text that nobody meant to write.
const HUGE: usize = 100_000;
/// Items of a list that nobody meant to write.
const MANY: usize = 1_000;

/// Everything that is tried on a field with this schema.
pub fn changes(schema: &Value) -> Vec<Change> {
    let mut all = vec![Change::Remove];
    let wrong = [
        Value::Null,
        json!(true),
        json!(false),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(""),
        json!("text"),
        json!([]),
        json!({}),
        json!([[]]),
        json!([null]),
        json!({"a": 1}),
        json!({"": null}),
    ];
    all.extend(wrong.map(Change::Set));
    all.extend(schema["enum"].as_array().into_iter().flatten().flat_map(|one| {
        let lower = one.as_str().map(|text| json!(text.to_lowercase()));
        [one.clone()].into_iter().chain(lower).map(Change::Set)
    }));
    let either = schema["x-kubernetes-int-or-string"] == json!(true);
    match schema["type"].as_str() {
        Some("integer" | "number") => all.extend(numbers(schema)),
        Some("string") => all.extend(texts(schema)),
        Some("array") => all.extend(lists(schema)),
        Some("object") => all.extend(objects(schema)),
        _ if either => {
            all.extend(numbers(schema));
            all.extend(texts(schema));
            all.extend([1, 65_535, 65_536].map(|port| Change::Set(json!(port))));
        }
        _ => {}
    }
    all
}

fn numbers(schema: &Value) -> impl Iterator<Item = Change> {
    let bound = |name: &str| schema[name].as_f64().map(|bound| bound as i64);
    let bounds = [bound("minimum"), bound("maximum")].into_iter().flatten();
    let around = bounds.flat_map(|bound| [bound - 1, bound, bound + 1]).map(|number| json!(number));
    let ends =
        [json!(i64::MIN), json!(i64::MAX), json!(u64::MAX), json!(i32::MAX), json!(u32::MAX), json!(1_u64 << 32)];
    let odd =
        [json!(1.0), json!(2.0), json!(-0.0), json!(1e300), json!(0.1), json!("5"), json!("0x10"), json!("1_000")];
    around.chain(ends).chain(odd).map(Change::Set)
}

fn texts(schema: &Value) -> impl Iterator<Item = Change> {
    let bound = |name: &str| schema[name].as_u64().map(|bound| bound as usize);
    let bounds = [bound("minLength"), bound("maxLength")].into_iter().flatten();
    let lengths = bounds.chain([63, 253]).flat_map(|bound| [bound.saturating_sub(1), bound, bound + 1]);
    // A letter may have several bytes, or two code units.
    let long = lengths.flat_map(|length| ["a", "é", "😀", "/"].map(|letter| letter.repeat(length)));
    let huge = [HUGE, 1 << 20].map(|length| "x".repeat(length));
    TEXTS.iter().map(ToString::to_string).chain(long).chain(huge).map(|text| Change::Set(json!(text)))
}

fn lists(schema: &Value) -> impl Iterator<Item = Change> {
    let bound = |name: &str| schema[name].as_u64().map(|bound| bound as usize);
    let bounds = [bound("minItems"), bound("maxItems")].into_iter().flatten();
    bounds.flat_map(|bound| [bound.saturating_sub(1), bound, bound + 1]).chain([1, 2, 3, MANY]).map(Change::Repeat)
}

fn objects(schema: &Value) -> Vec<Change> {
    let mut all = vec![
        Change::Add("unknownField".into(), json!("value")),
        Change::Add(String::new(), json!({})),
        Change::Add("Ключ".into(), json!(1)),
        Change::Add("a\u{0}b".into(), json!([])),
        Change::Add("__proto__".into(), json!({})),
    ];
    for name in schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name) {
        let mut capital = name.clone();
        capital[..1].make_ascii_uppercase();
        all.extend([name.to_lowercase(), capital].map(|name| Change::Add(name, json!("value"))));
    }
    if schema["additionalProperties"].is_object() {
        let keys = [
            "a",
            "a b",
            "-a",
            "a-",
            "a_b.c",
            "A/b",
            "example.com/a",
            "example.com/",
            "/a",
            "a/b/c",
            "é",
            "a=b",
            "a,b",
            "!a",
            "ex_ample/a",
        ];
        let long = [63, 64, 1000].map(|length| "k".repeat(length));
        let prefixed = [253, 254].map(|length| format!("{}/a", "p".repeat(length)));
        let keys = keys.map(String::from).into_iter().chain(long).chain(prefixed);
        all.extend(keys.map(|key| Change::Add(key, json!("value"))));
        all.extend([15, 16, 17, MANY].map(Change::AddMany));
    }
    all
}
