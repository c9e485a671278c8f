//! Who asked for an experiment, and whether they still may do themselves what it does.
//!
//! Admission is a moment: rights are withdrawn later. So the API server writes down whose an experiment's spec is (the chart's
//! policy `requester`, which nobody can write around), and before each kill it is asked whether that user still has the right.

use breakwater_crds::{ChaosExperiment, Kill, Method, WorkloadKind};
use k8s_openapi::api::authorization::v1::{LocalSubjectAccessReview, ResourceAttributes, SubjectAccessReviewSpec};
use kube::{Api, Client, ResourceExt, api::PostParams};

use crate::error::{Error, in_time};

/// The annotation that names the user who wrote the spec as it is ...
pub const USER: &str = "chaos.breakwater.dev/requested-by";
/// ... and the one that lists this user's groups, one a line.
pub const GROUPS: &str = "chaos.breakwater.dev/requested-by-groups";

/// Why the experiment may not kill this way any more, if that is so.
///
/// # Errors
/// Where the API server does not answer.
pub async fn refusal(client: &Client, experiment: &ChaosExperiment, kill: &Kill) -> Result<Option<String>, Error> {
    let annotation = |key| experiment.annotations().get(key).filter(|value| !value.is_empty());
    let Some(user) = annotation(USER) else {
        return Ok(Some("it is not written down who asked for the experiment, as it is older than the policy that does so; change something in its spec, or delete it and apply it again".into()));
    };
    let namespace = experiment.namespace().unwrap_or_default();
    let attributes = needed(experiment, kill, &namespace);
    let what = format!(
        "{} {}{}",
        attributes.verb.as_deref().unwrap_or_default(),
        attributes.resource.as_deref().unwrap_or_default(),
        attributes.subresource.as_deref().map(|part| format!("/{part}")).unwrap_or_default()
    );
    let mut review = LocalSubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.clone()),
            groups: annotation(GROUPS).map(|groups| groups.lines().map(str::to_owned).collect()),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        },
        ..LocalSubjectAccessReview::default()
    };
    review.metadata.namespace = Some(namespace.clone());
    let reviews: Api<LocalSubjectAccessReview> = Api::namespaced(client.clone(), &namespace);
    let answer = in_time(reviews.create(&PostParams::default(), &review)).await?;
    let allowed = answer.status.is_some_and(|status| status.allowed && status.denied != Some(true));
    Ok((!allowed).then(|| format!("{user}, who asked for the experiment, may not {what} in {namespace} any more")))
}

/// The right to do by hand what the experiment does.
fn needed(experiment: &ChaosExperiment, kill: &Kill, namespace: &str) -> ResourceAttributes {
    let workload = experiment.spec.target.workload.as_ref();
    let (group, verb, resource, subresource, name) = match kill.method {
        Method::Delete => ("", "delete", "pods", None, None),
        Method::Evict => ("", "create", "pods", Some("eviction"), None),
        Method::RolloutRestart => {
            let resource = match workload.map(|workload| workload.kind) {
                Some(WorkloadKind::StatefulSet) => "statefulsets",
                Some(WorkloadKind::DaemonSet) => "daemonsets",
                Some(WorkloadKind::Deployment | WorkloadKind::ReplicaSet) | None => "deployments",
            };
            ("apps", "patch", resource, None, workload.map(|workload| workload.name.clone()))
        }
    };
    ResourceAttributes {
        group: Some(group.into()),
        namespace: Some(namespace.into()),
        verb: Some(verb.into()),
        resource: Some(resource.into()),
        subresource: subresource.map(str::to_owned),
        name,
        ..ResourceAttributes::default()
    }
}
