//! What can be known of a manifest without a server.

use std::fmt;

use breakwater_crds::ChaosExperiment;
use kube::core::cel::{CompiledSchema, Validator, compile_schema};
use serde_json::{Value, json};

use crate::structure;

/// Why a manifest is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It does not fit the schema: a field that is unknown or missing, of another type, out of its bounds.
    Schema(String),
    /// It fits the schema, and cannot be read as an experiment.
    Type(String),
    /// It breaks a rule.
    Rule(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Schema(why) | Self::Type(why) | Self::Rule(why)) = self;
        f.write_str(why)
    }
}

/// Checks manifests as the API server does: by the schema, then by the rules, as kube's `validate_cel` evaluates them; and by the
/// types that the operator reads experiments with.
pub struct Checker {
    schema: Value,
    rules: CompiledSchema,
}

impl Default for Checker {
    fn default() -> Self {
        Self::new()
    }
}

impl Checker {
    /// A checker of experiments.
    pub fn new() -> Self {
        let spec = crate::schema("spec");
        let schema = json!({"type": "object", "required": ["spec"], "properties": {"spec": spec}});
        // `ChaosExperiment::validate_cel` does the same, but compiles every rule anew for each manifest.
        let rules = compile_schema(&schema);
        Self { schema, rules }
    }

    /// The experiment that the manifest is.
    ///
    /// # Errors
    /// In words, where it is none.
    pub fn check(&self, manifest: &Value) -> Result<ChaosExperiment, Refusal> {
        let mut manifest = manifest.clone();
        let whole = structure::with_defaults(&self.schema, &json!({"spec": manifest["spec"]}));
        let found = structure::misfits(&self.schema, &whole, "");
        if !found.is_empty() {
            return Err(Refusal::Schema(found.join("; ")));
        }
        manifest["spec"] = whole["spec"].clone();
        let experiment: ChaosExperiment =
            serde_json::from_value(manifest).map_err(|error| Refusal::Type(error.to_string()))?;
        // kube applies rules to nulls, which the API server does not.
        match Validator::new().validate_compiled(&self.rules, &structure::without_nulls(&whole), None) {
            Ok(()) => Ok(experiment),
            Err(broken) => Err(Refusal::Rule(broken.to_string())),
        }
    }
}
