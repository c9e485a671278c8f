//! The operator-wide halt: a ConfigMap that stops every kill, of every experiment, at once.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};

use crate::{
    error::{Error, in_time},
    together::Together,
};

/// The key that is looked for.
const KEY: &str = "halt";

/// Where the halt is asked for. It is read afresh before each kill, so that it works from the moment on that it is written.
#[derive(Clone)]
pub struct Halt(Option<Arc<Place>>);

struct Place {
    config_maps: Api<ConfigMap>,
    namespace: String,
    name: String,
    reads: Together<Option<String>>,
}

impl Halt {
    /// The ConfigMap of this name in the operator's own namespace.
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        let config_maps = Api::namespaced(client, namespace);
        let reads = Together::default();
        Self(Some(Arc::new(Place { config_maps, namespace: namespace.into(), name: name.into(), reads })))
    }

    /// An operator outside of a cluster has no namespace, and so no halt.
    pub fn none() -> Self {
        Self(None)
    }

    /// Why nothing may be killed now; `None` if it may.
    ///
    /// # Errors
    /// Where the API server does not say. Nothing should be killed then.
    pub async fn why(&self) -> Result<Option<String>, Error> {
        let Some(place) = &self.0 else { return Ok(None) };
        let read = async {
            let found = in_time(place.config_maps.get_opt(&place.name)).await?;
            Ok::<_, Error>(found.and_then(|map| map.data).and_then(|data| data.get(KEY).cloned()))
        };
        let value = place.reads.read(&place.name, read).await?;
        Ok(value
            .filter(|value| value.trim() == "true")
            .map(|_| format!("ConfigMap {} in namespace {} says {KEY}: \"true\"", place.name, place.namespace)))
    }
}
