//! The schema of a label selector, with bounds.

use schemars::{Schema, SchemaGenerator, json_schema};

/// CEL rule of the selectors of an experiment.
pub(crate) const RULE: &str = "(has(self.matchLabels) && self.matchLabels.size() > 0) || (has(self.matchExpressions) && self.matchExpressions.size() > 0)";

/// What the API server says to a selector that breaks [`RULE`].
pub(crate) const MESSAGE: &str = "must name at least one label, such as matchLabels: {app: backend}; an empty selector would mean every pod of the namespace";

/// CEL rule of what a selector's expressions must say.
pub(crate) const VALUES_RULE: &str = "!has(self.matchExpressions) || self.matchExpressions.all(e, e.operator in ['In', 'NotIn'] ? has(e.values) && e.values.size() > 0 : !has(e.values) || e.values.size() == 0)";

/// What the API server says to a selector that breaks [`VALUES_RULE`].
pub(crate) const VALUES_MESSAGE: &str =
    "matchExpressions with the operator In or NotIn need values; with Exists or DoesNotExist they must have none";

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
