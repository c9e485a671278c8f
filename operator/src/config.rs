//! The operator's command line.

use std::net::SocketAddr;

use breakwater_service::log::LogFormat;
use clap::Parser;

use crate::{
    observe::OwnPod,
    scope::{NEVER, Scope},
};

/// Runs ChaosExperiments: kills the pods they name, watches the circuit breakers of their clients, and gives a verdict.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Config {
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, env = "OPERATOR_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// The namespaces whose experiments are run, with commas between them; without it, those of every one that takes part.
    #[arg(long, env = "OPERATOR_NAMESPACES", value_parser = namespace, value_delimiter = ',')]
    pub namespaces: Vec<String>,
    /// Whether a namespace takes part only with the label chaos.breakwater.dev/experiments=allowed.
    #[arg(long, env = "OPERATOR_REQUIRE_LABEL", default_value_t = true, action = clap::ArgAction::Set)]
    pub require_label: bool,
    /// Whether it is asked before each kill if who asked for the experiment still may. Needs the chart's policy `requester`.
    #[arg(long, env = "OPERATOR_ASK_FOR_REQUESTER", default_value_t = false, action = clap::ArgAction::Set)]
    pub ask_for_requester: bool,
    /// Name of a ConfigMap in the operator's own namespace that stops every kill while its key `halt` is `true`.
    #[arg(long, env = "OPERATOR_HALT_CONFIGMAP", default_value = "breakwater-halt")]
    pub halt_configmap: String,
    /// How log lines look; their level is set by RUST_LOG, such as RUST_LOG=breakwater_operator=debug.
    #[arg(long, env = "LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Namespace of the operator's own pod, which is never killed.
    #[arg(long, env = "POD_NAMESPACE", requires = "pod_name")]
    pub pod_namespace: Option<String>,
    /// Name of the operator's own pod.
    #[arg(long, env = "POD_NAME", requires = "pod_namespace")]
    pub pod_name: Option<String>,
}

impl Config {
    /// The pod that the operator runs in, if it runs in one.
    pub fn own_pod(&self) -> Option<OwnPod> {
        let (namespace, name) = self.pod_namespace.clone().zip(self.pod_name.clone())?;
        Some(OwnPod { namespace, name })
    }

    /// Where experiments run.
    pub fn scope(&self) -> Scope {
        Scope { named: self.namespaces.clone(), label_required: self.require_label, own: self.pod_namespace.clone() }
    }
}

fn namespace(text: &str) -> Result<String, String> {
    let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    if text.is_empty() || text.len() > 63 || !text.chars().all(fits) {
        return Err("a namespace is 1 to 63 lower-case letters, digits and hyphens, such as `shop`".into());
    }
    if NEVER.contains(&text) {
        return Err(format!("no experiment runs in {text}, whoever names it"));
    }
    Ok(text.into())
}
