//! The CustomResourceDefinition, as an object and as text.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSONSchemaProps};
use kube::CustomResourceExt;

use crate::ChaosExperiment;

/// The CustomResourceDefinition of `ChaosExperiment`.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = ChaosExperiment::crd();
    for version in &mut crd.spec.versions {
        if let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            tidy(schema);
        }
    }
    crd
}

/// What stands in `crds/chaosexperiments.yaml` and in the chart.
pub fn crd_yaml() -> String {
    let body = serde_saphyr::to_string(&crd()).expect("a CustomResourceDefinition is plain data");
    format!("# Generated from crds/src by `cargo crdgen`; do not edit.\n{body}")
}

/// Takes out what makes the API server speak badly: the formats of unsigned integers, of which it warns at each apply (their
/// lower bound says the same), the line breaks of the source's comments, at which `kubectl explain` would break its own lines,
/// and alternatives that it would only call "not one and only one schema".
fn tidy(schema: &mut JSONSchemaProps) {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaPropsOrArray::{Schema, Schemas};
    if schema.format.as_deref().is_some_and(|format| format.starts_with("uint")) {
        schema.format = None;
    }
    // Where a rule says the same in words: rules are not even checked where a oneOf fails.
    if schema.x_kubernetes_validations.is_some() {
        schema.one_of = None;
    }
    schema.description = schema.description.take().map(|text| text.replace('\n', " "));
    schema.properties.iter_mut().flat_map(|properties| properties.values_mut()).for_each(tidy);
    match &mut schema.items {
        Some(Schema(item)) => tidy(item),
        Some(Schemas(items)) => items.iter_mut().for_each(tidy),
        None => {}
    }
}
