//! The kinds of objects that the server knows.

use std::borrow::Cow;

use kube::{Resource, core::NamespaceResourceScope};

/// A kind of objects, and how the API server treats it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its API group; empty for the core group.
    pub group: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Its name in paths.
    pub plural: &'static str,
    /// Its name in objects.
    pub kind: &'static str,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// What it is made from.
    pub origin: Origin,
}

/// Where a kind comes from: the API server's own kinds and custom ones differ in small things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built in. Its status is a subresource.
    BuiltIn,
    /// Built in, without a status.
    Plain,
    /// Pods: built in, deleted gracefully, evicted.
    Pod,
    /// By a CustomResourceDefinition with the status subresource.
    Custom,
}

impl Kind {
    /// A custom kind with the status subresource, as its Rust type names it.
    pub fn custom<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>() -> Self {
        // A derived kind has its names in the program; only one made up at run time is kept for good.
        let name = |of: Cow<'static, str>| match of {
            Cow::Borrowed(name) => name,
            Cow::Owned(name) => name.leak(),
        };
        Self {
            group: name(K::group(&())),
            version: name(K::version(&())),
            plural: name(K::plural(&())),
            kind: name(K::kind(&())),
            namespaced: true,
            origin: Origin::Custom,
        }
    }

    /// `pods`, `chaosexperiments.chaos.breakwater.dev`: as errors name it.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.into() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.into() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Whether its status is written by requests of its own.
    pub fn has_status(&self) -> bool {
        self.origin != Origin::Plain
    }
}

const fn kind(group: &'static str, plural: &'static str, kind: &'static str, namespaced: bool, origin: Origin) -> Kind {
    Kind { group, version: "v1", plural, kind, namespaced, origin }
}

/// The built-in kinds that there are.
pub const BUILT_IN: &[Kind] = &[
    kind("", "namespaces", "Namespace", false, Origin::BuiltIn),
    kind("", "pods", "Pod", true, Origin::Pod),
    kind("", "configmaps", "ConfigMap", true, Origin::Plain),
    kind("apps", "deployments", "Deployment", true, Origin::BuiltIn),
    kind("apps", "statefulsets", "StatefulSet", true, Origin::BuiltIn),
    kind("apps", "daemonsets", "DaemonSet", true, Origin::BuiltIn),
    kind("apps", "replicasets", "ReplicaSet", true, Origin::BuiltIn),
    kind("policy", "poddisruptionbudgets", "PodDisruptionBudget", true, Origin::BuiltIn),
    kind("events.k8s.io", "events", "Event", true, Origin::Plain),
    kind("coordination.k8s.io", "leases", "Lease", true, Origin::Plain),
];
