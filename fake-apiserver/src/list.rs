//! Collections, in pages: all pages of one list show the same moment.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use crate::{
    failure::Failure,
    server::{Answer, Call, State},
    store::Key,
};

pub fn list(state: &State, call: &Call<'_>) -> Answer {
    let (kind, route) = (call.kind(), call.route);
    let token = Token::parse(route.parameter("continue"))?;
    let revision = token.as_ref().map(|token| token.revision).or(call.as_of).unwrap_or(state.store.revision());
    if revision < state.store.compacted() {
        let message = "The provided continue parameter is too old to display a consistent list result.";
        return Err(Failure::new(410, "Expired", message));
    }
    let past: BTreeMap<Key, Arc<Value>>;
    let all: Vec<_> = if revision == state.store.revision() {
        state.store.list(route.kind, &route.namespace).collect()
    } else {
        past = state.store.at(revision);
        let wanted = |key: &Key| key.0 == route.kind && (route.namespace.is_empty() || key.1 == route.namespace);
        past.iter().filter(|(key, _)| wanted(key)).collect()
    };
    let after = |key: &Key| token.as_ref().is_none_or(|token| (&key.1, &key.2) > (&token.namespace, &token.name));
    let mut found: Vec<_> =
        all.into_iter().filter(|(key, object)| after(key) && route.selector.matches(object)).collect();
    let limit = match route.parameter("limit") {
        "" => 0,
        text => text.parse().map_err(|_| Failure::bad(format!("limit: {text:?} is no number")))?,
    };
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    if limit > 0 && found.len() > limit {
        if route.selector.is_empty() {
            metadata["remainingItemCount"] = json!(found.len() - limit);
        }
        found.truncate(limit);
        if let Some((key, _)) = found.last() {
            let token = Token { revision, namespace: key.1.clone(), name: key.2.clone() };
            metadata["continue"] = json!(token.to_string());
        }
    }
    let items: Vec<_> = found.into_iter().map(|(_, object)| Value::clone(object)).collect();
    let list = json!({"kind": format!("{}List", kind.kind), "apiVersion": kind.api_version(), "metadata": metadata, "items": items});
    Ok((200, list))
}

/// Where the next page begins.
struct Token {
    revision: u64,
    namespace: String,
    name: String,
}

impl Token {
    fn parse(text: &str) -> Result<Option<Self>, Failure> {
        if text.is_empty() {
            return Ok(None);
        }
        let read = || {
            let mut parts = text.splitn(3, '/');
            let revision = parts.next()?.parse().ok()?;
            Some(Self { revision, namespace: parts.next()?.into(), name: parts.next()?.into() })
        };
        read().map(Some).ok_or_else(|| Failure::bad("invalid continue token"))
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.revision, self.namespace, self.name)
    }
}
