//! What the program is told: by its command line, by the environment, and by a file of settings, in this order of weight.

mod breaker;
mod file;
mod sources;
mod target;

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, str::FromStr};

use breakwater_service::log::LogFormat;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use reqwest::Url;

pub use breaker::{BreakerSettings, PolicyKind};
pub use file::{Entry, File, Refusal};
use sources::{Sources, refused};
pub use target::{Contradiction, FallbackKind, Target, TargetSettings, http_url, target_name};

/// What the program is to do.
#[derive(Clone, Debug)]
pub enum Task {
    /// Run the service.
    Serve(Box<Settings>),
    /// Ask each URL once.
    Check {
        /// What is asked.
        urls: Vec<Url>,
    },
}

/// How the service is set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The process as a whole.
    pub process: Process,
    /// What it calls; at least one, each of another name.
    pub targets: Vec<Target>,
}

/// Calls services through circuit breakers, one each, and tells each of the breakers' transitions at GET /status.
///
/// Durations are written like 500ms, 3s or 1m30s. Every flag can also be set by its environment variable or in the file
/// of --config; flags have more weight than the environment, and this more than the file.
#[derive(Clone, Debug, Parser)]
#[command(name = "breakwater-client", version, args_conflicts_with_subcommands = true)]
struct Words {
    /// TOML file of settings: keys are the flags' names, for every target at its top, for one in [target.NAME] with its url
    #[arg(long, env = "CLIENT_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    process: Process,

    #[command(flatten)]
    each: TargetSettings,

    #[command(subcommand)]
    other: Option<Other>,
}

/// What the program does besides its service.
#[derive(Clone, Debug, Subcommand)]
enum Other {
    /// Asks each URL once, by GET, and fails unless all answer with success: for probes and `helm test`
    Check {
        /// What is asked
        #[arg(required = true, value_parser = http_url)]
        urls: Vec<Url>,
    },
}

/// How the process as a whole is set. Each of these is a flag, and but for `target` a key at the file's top.
#[derive(Args, Clone, Debug)]
pub struct Process {
    /// What is called, if there is one target only
    #[arg(long, env = "CLIENT_BACKEND_URL", default_value = "http://backend:5000/data", value_parser = http_url)]
    pub backend_url: Url,

    /// Name of that target's breaker in /status, in metrics and in the log
    #[arg(long, env = "CLIENT_BREAKER_NAME", default_value = "backend", value_parser = target_name)]
    pub breaker_name: String,

    /// A target and its breaker's name, instead of --backend-url; more than once for more of them
    #[arg(long, env = "CLIENT_TARGETS", value_name = "NAME=URL", value_delimiter = ',')]
    pub target: Vec<NamedUrl>,

    /// Address and port of the page, /status, /metrics, /healthz and /readyz
    #[arg(long, env = "CLIENT_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// Uid of the pod that this runs in, as /status tells it
    #[arg(long, env = "CLIENT_POD_UID")]
    pub pod_uid: Option<String>,

    /// Where traces are sent, as OTLP over plain HTTP, like http://collector:4318/v1/traces [default: none are made]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", value_parser = http_url)]
    pub traces_endpoint: Option<Url>,

    /// How log lines are written; RUST_LOG sets which ones (default: info)
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// `NAME=URL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedUrl {
    /// What it is called here.
    pub name: String,
    /// Where it is.
    pub url: Url,
}

impl FromStr for NamedUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, url) = text.split_once('=').ok_or("write NAME=URL, like backend=http://backend:5000/data")?;
        Ok(Self { name: target_name(name)?, url: http_url(url)? })
    }
}

impl Task {
    /// Reads a command line, the program's name first, with the environment and the file that they name.
    ///
    /// # Errors
    /// A sentence that says which word or line is wrong, and what to write instead; its exit code is 2.
    pub fn read(args: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Self, clap::Error> {
        let matches = Words::command().try_get_matches_from(args)?;
        let words = Words::from_arg_matches(&matches)?;
        if let Some(Other::Check { urls }) = words.other {
            return Ok(Self::Check { urls });
        }
        let file = words.config.as_deref().map(File::read).transpose().map_err(refused)?;
        Sources { matches: &matches, file: file.as_ref() }.settings().map(|settings| Self::Serve(Box::new(settings)))
    }
}

#[cfg(test)]
mod tests;
