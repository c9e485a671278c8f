//! The schema of a label selector, with bounds.

use schemars::{Schema, SchemaGenerator, json_schema};

/// The name of a label, and a value that is not empty.
macro_rules! name {
    () => {
        "[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
    };
}

macro_rules! value {
    () => {
        concat!("(", name!(), ")?")
    };
}

macro_rules! key {
    () => {
        concat!("([a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*/)?", name!())
    };
}

macro_rules! syntax {
    () => {
        "write letters, digits, '-', '_' and '.', at most 63, with a letter or a digit at both ends, and a key with or without a prefix, such as app or example.com/app"
    };
}

/// CEL rule of the selectors of an experiment.
pub(crate) const RULE: &str = "(has(self.matchLabels) && self.matchLabels.size() > 0) || (has(self.matchExpressions) && self.matchExpressions.size() > 0)";

/// What the API server says to a selector that breaks [`RULE`].
pub(crate) const MESSAGE: &str = "must name at least one label, such as matchLabels: {app: backend}; an empty selector would mean every pod of the namespace";

/// CEL rule of what a selector's expressions must say.
pub(crate) const VALUES_RULE: &str = "!has(self.matchExpressions) || self.matchExpressions.all(e, e.operator in ['In', 'NotIn'] ? has(e.values) && e.values.size() > 0 : !has(e.values) || e.values.size() == 0)";

/// What the API server says to a selector that breaks [`VALUES_RULE`].
pub(crate) const VALUES_MESSAGE: &str =
    "matchExpressions with the operator In or NotIn need values; with Exists or DoesNotExist they must have none";

/// CEL rule of a selector's labels: what the API server takes as a label's key and value. Without it a typing error would be told
/// only once the pods cannot be listed.
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>
pub(crate) const LABELS_RULE: &str = concat!(
    "!has(self.matchLabels) || self.matchLabels.all(k, k.matches('^",
    key!(),
    "$') && self.matchLabels[k].matches('^",
    value!(),
    "$'))",
);

/// The same of a selector's expressions.
pub(crate) const EXPRESSIONS_RULE: &str = concat!(
    "!has(self.matchExpressions) || self.matchExpressions.all(e, e.key.matches('^",
    key!(),
    "$') && (!has(e.values) || e.values.all(v, v.matches('^",
    value!(),
    "$'))))",
);

/// What the API server says to a selector that breaks [`LABELS_RULE`].
pub(crate) const LABELS_MESSAGE: &str = concat!("matchLabels has a key or a value that no label can have; ", syntax!());

/// What it says to one that breaks [`EXPRESSIONS_RULE`].
pub(crate) const EXPRESSIONS_MESSAGE: &str =
    concat!("matchExpressions have a key or a value that no label can have; ", syntax!());

/// Kubernetes' own schema of a `LabelSelector`, with bounds: without them the API server takes the rules on it for too
/// costly. 63 is the length of a label's value, 317 of its key (a prefix of 253, a slash, a name of 63).
pub(crate) fn bounded(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "matchLabels": {
                "description": "Labels that a pod must have, each with this value.",
                "type": "object",
                "maxProperties": 16,
                "additionalProperties": {"type": "string", "maxLength": 63}
            },
            "matchExpressions": {
                "description": "Further requirements; a pod must meet all of them.",
                "type": "array",
                "maxItems": 16,
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": {"description": "The label's key.", "type": "string", "minLength": 1, "maxLength": 317},
                        "operator": {"description": "In, NotIn, Exists or DoesNotExist.", "type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"]},
                        "values": {
                            "description": "Values for In and NotIn; none for the others.",
                            "type": "array",
                            "maxItems": 64,
                            "items": {"type": "string", "maxLength": 63}
                        }
                    }
                }
            }
        },
        "x-kubernetes-map-type": "atomic"
    })
}
