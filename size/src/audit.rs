//! What the operator asked of the API server, from that server's own log.

use std::collections::BTreeMap;

use serde_json::Value;

/// A request that was answered.
#[derive(Clone, Debug)]
pub struct Request {
    /// `get`, `list`, `watch`, ...
    pub verb: String,
    /// Such as `pods` or `chaosexperiments/status`.
    pub resource: String,
    /// The object's name; empty for a collection.
    pub name: String,
    /// Path and query.
    pub uri: String,
    /// The answer's code.
    pub code: u64,
}

/// All requests of a log; a watch counts when it begins.
pub fn requests(log: &str) -> Vec<Request> {
    log.lines().filter_map(|line| request(&serde_json::from_str(line).ok()?)).collect()
}

fn request(line: &Value) -> Option<Request> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let verb = text(&line["verb"]);
    let wanted = if verb == "watch" { "ResponseStarted" } else { "ResponseComplete" };
    if line["stage"] != wanted {
        return None;
    }
    let object = &line["objectRef"];
    let part = text(&object["subresource"]);
    let resource = text(&object["resource"]);
    let resource = if part.is_empty() { resource } else { format!("{resource}/{part}") };
    let code = line["responseStatus"]["code"].as_u64().unwrap_or_default();
    Some(Request { verb, resource, name: text(&object["name"]), uri: text(&line["requestURI"]), code })
}

/// How many of each, such as `list pods`.
pub fn count(requests: &[Request]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for request in requests {
        *counts.entry(format!("{} {}", request.verb, request.resource)).or_default() += 1;
    }
    counts
}
