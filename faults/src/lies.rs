//! Clients that lie: a true report, changed.

use serde_json::{Value, json};

/// What is wrong with a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// At every other question the newest transition is not there any more.
    NumbersGoBack,
    /// Each transition is told twice.
    NumbersRepeat,
    /// Numbers leap, further at each question.
    NumbersLeap,
    /// All of it happens in the year 9999.
    Future,
    /// Times run backwards, and before 1970.
    Past,
    /// The states are those of another breaker.
    OtherStates,
}

/// All of them.
pub const LIES: [Lie; 6] =
    [Lie::NumbersGoBack, Lie::NumbersRepeat, Lie::NumbersLeap, Lie::Future, Lie::Past, Lie::OtherStates];

impl Lie {
    /// The report as it is told when it is asked for the `count`th time.
    pub fn tell(self, report: Vec<u8>, count: u64) -> Vec<u8> {
        let Ok(mut document) = serde_json::from_slice::<Value>(&report) else { return report };
        let breaker = &mut document["breakers"][0];
        let transitions = &mut breaker["transitions"];
        let last = transitions["lastSeq"].as_u64().unwrap_or(1);
        let items = transitions["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let changed = |field: &str, value: Value| -> Vec<Value> {
            let change = |mut item: Value| {
                item[field] = value.clone();
                item
            };
            items.iter().cloned().map(change).collect()
        };
        let (items, last) = match self {
            Self::NumbersGoBack if count % 2 == 1 => {
                let fewer = items[..items.len().saturating_sub(1)].to_vec();
                (fewer, last.saturating_sub(1).max(1))
            }
            Self::NumbersGoBack => (items, last),
            Self::NumbersRepeat => (items.iter().chain(&items).cloned().collect(), last),
            Self::NumbersLeap => {
                let leap = |number: u64| number.saturating_add(count * 1000);
                let leapt = |mut item: Value| {
                    item["seq"] = json!(leap(item["seq"].as_u64().unwrap_or(0)));
                    item
                };
                (items.into_iter().map(leapt).collect(), leap(last))
            }
            Self::Future => (changed("at", json!("9999-12-30T22:00:00Z")), last),
            Self::Past => (changed("at", json!("1969-12-31T23:59:59Z")), last),
            Self::OtherStates => (changed("to", json!("HalfOpen")), last),
        };
        transitions["items"] = json!(items);
        transitions["lastSeq"] = json!(last);
        match self {
            Self::Future => document["now"]["wall"] = json!("9999-12-30T22:00:00Z"),
            Self::Past => document["now"]["monoNanos"] = json!(0),
            Self::OtherStates => breaker["state"] = json!("HalfOpen"),
            _ => {}
        }
        document.to_string().into_bytes()
    }
}
