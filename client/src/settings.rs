//! The command line, with environment fall-backs, and what it must not say.

use std::{
    ffi::OsString,
    net::SocketAddr,
    num::{NonZeroU32, NonZeroU64},
    time::Duration,
};

use breakwater_breaker::Unit;
use breakwater_service::{duration, log::LogFormat};
use clap::{Args, CommandFactory, Parser, Subcommand, error::ErrorKind};
use reqwest::Url;

use crate::caller::Plan;

/// Calls a backend through a circuit breaker, and tells each of the breaker's transitions at GET /status.
///
/// Durations are written like 500ms, 3s or 1m30s.
#[derive(Clone, Debug, Parser)]
#[command(name = "breakwater-client", version, args_conflicts_with_subcommands = true)]
pub struct CommandLine {
    /// How the service is set.
    #[command(flatten)]
    pub settings: Settings,
    /// Something else than the service.
    #[command(subcommand)]
    pub task: Option<Task>,
}

/// What the program does besides its service.
#[derive(Clone, Debug, Subcommand)]
pub enum Task {
    /// Asks each URL once, by GET, and fails unless all answer with success: for probes and `helm test`
    Check {
        /// What is asked
        #[arg(required = true, value_parser = http_url)]
        urls: Vec<Url>,
    },
}

/// How the service is set.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// What is called, by GET
    #[arg(long, env = "CLIENT_BACKEND_URL", default_value = "http://backend:5000/data", value_parser = http_url)]
    pub backend_url: Url,

    /// Address and port of /status, /metrics, /healthz and /readyz
    #[arg(long, env = "CLIENT_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// Name of the breaker in /status, in metrics and in the log
    #[arg(long, env = "CLIENT_BREAKER_NAME", default_value = "backend")]
    pub breaker_name: String,

    /// Time from one call to the next; calls that were missed are skipped
    #[arg(long, env = "CLIENT_INTERVAL", default_value = "3s", value_parser = above_zero)]
    pub interval: Duration,

    /// How long a call may take, its retries included [default: the interval]
    #[arg(long, env = "CLIENT_DEADLINE", value_parser = above_zero)]
    pub deadline: Option<Duration>,

    /// How long one attempt may take
    #[arg(long, env = "CLIENT_ATTEMPT_TIMEOUT", default_value = "2s", value_parser = above_zero)]
    pub attempt_timeout: Duration,

    /// Attempts of one call at most, fewer than the failure threshold; 1 means no retry
    #[arg(long, env = "CLIENT_ATTEMPTS", default_value = "2")]
    pub attempts: NonZeroU32,

    /// Longest delay before the first retry; it doubles with each further one, and is drawn from 0 up to it
    #[arg(long, env = "CLIENT_RETRY_BASE", default_value = "100ms", value_parser = duration::parse)]
    pub retry_base: Duration,

    /// Longest delay before any retry
    #[arg(long, env = "CLIENT_RETRY_CAP", default_value = "500ms", value_parser = duration::parse)]
    pub retry_cap: Duration,

    /// This many failed attempts in a row open the breaker
    #[arg(long, env = "CLIENT_FAILURE_THRESHOLD", default_value = "3")]
    pub failure_threshold: NonZeroU64,

    /// How long the breaker stays open before a trial call
    #[arg(long, env = "CLIENT_OPEN_FOR", default_value = "10s", value_parser = above_zero)]
    pub open_for: Duration,

    /// Uid of the pod that this runs in, as /status tells it
    #[arg(long, env = "CLIENT_POD_UID")]
    pub pod_uid: Option<String>,

    /// How log lines are written; RUST_LOG sets which ones (default: info)
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

impl CommandLine {
    /// Reads a command line, the program's name first.
    ///
    /// # Errors
    /// What clap says of it; its exit code is 2.
    pub fn read(args: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Self, clap::Error> {
        let read = Self::try_parse_from(args)?;
        match read.settings.contradiction() {
            None => Ok(read),
            Some(said) => Err(Self::command().error(ErrorKind::ValueValidation, said)),
        }
    }
}

impl Settings {
    /// What each setting allows by itself, but not together with another.
    fn contradiction(&self) -> Option<String> {
        let Self { attempts, failure_threshold, attempt_timeout, retry_base, retry_cap, .. } = self;
        let deadline = self.plan().deadline;
        if u64::from(attempts.get()) >= failure_threshold.get() {
            Some(format!(
                "--attempts {attempts} must be fewer than --failure-threshold {failure_threshold}: one call alone \
                 must not open the breaker; write --attempts 1 or a threshold of {} or more",
                attempts.saturating_add(1).max(NonZeroU32::new(2).expect("2 is not 0"))
            ))
        } else if *attempt_timeout > deadline {
            Some(format!(
                "--attempt-timeout {attempt_timeout:?} must not exceed the deadline of a call, {deadline:?} (--deadline, \
                 by default --interval): an attempt that is cut by it never counts"
            ))
        } else if retry_base > retry_cap {
            Some(format!("--retry-base {retry_base:?} must not exceed --retry-cap {retry_cap:?}"))
        } else {
            None
        }
    }

    /// The breaker's settings.
    pub fn breaker(&self) -> breakwater_breaker::Settings {
        breakwater_breaker::Settings {
            failure_threshold: self.failure_threshold,
            open_for: self.open_for,
            unit: Unit::Attempt,
            ..Default::default()
        }
    }

    /// How ticks call.
    pub fn plan(&self) -> Plan {
        Plan {
            interval: self.interval,
            deadline: self.deadline.unwrap_or(self.interval),
            attempts: self.attempts.get(),
            retry_base: self.retry_base,
            retry_cap: self.retry_cap,
        }
    }
}

fn above_zero(text: &str) -> Result<Duration, String> {
    let duration = duration::parse(text)?;
    if duration.is_zero() { Err("write a duration above zero, like 500ms or 3s".to_owned()) } else { Ok(duration) }
}

fn http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}; write it like http://backend:5000/data"))?;
    if url.scheme() == "http" {
        Ok(url)
    } else {
        Err(format!("{}: is not spoken here; write it like http://backend:5000/data", url.scheme()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &str) -> Result<Settings, clap::Error> {
        let words = std::iter::once("breakwater-client").chain(args.split_whitespace());
        CommandLine::read(words).map(|read| read.settings)
    }

    #[test]
    fn the_readme_lists_every_flag_with_its_environment_and_default() {
        let readme = include_str!("../README.md");
        let command = CommandLine::command();
        for argument in command.get_arguments() {
            let Some(flag) = argument.get_long().filter(|flag| !matches!(*flag, "help" | "version")) else { continue };
            let environment = argument.get_env().unwrap().to_str().unwrap();
            let row = readme.lines().find(|line| line.starts_with(&format!("| `--{flag}` | `{environment}` |")));
            let row = row.unwrap_or_else(|| panic!("no row for --{flag}, {environment}"));
            for default in argument.get_default_values() {
                assert!(row.contains(&format!("| `{}` |", default.to_str().unwrap())), "{row}");
            }
        }
    }

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let settings = read("").unwrap();
        let plan = settings.plan();
        assert_eq!(settings.backend_url.as_str(), "http://backend:5000/data");
        assert_eq!(settings.listen.to_string(), "0.0.0.0:8080");
        assert_eq!((plan.interval.as_secs(), plan.deadline.as_secs(), plan.attempts), (3, 3, 2));
        assert_eq!(settings.attempt_timeout.as_secs(), 2);
        assert_eq!((plan.retry_base.as_millis(), plan.retry_cap.as_millis()), (100, 500));
        assert_eq!((settings.breaker().failure_threshold.get(), settings.breaker().open_for.as_secs()), (3, 10));
    }

    #[test]
    fn what_contradicts_is_refused_with_what_to_write_instead() {
        for (args, said) in [
            ("--attempts 3", "fewer than --failure-threshold 3"),
            ("--failure-threshold 1 --attempts 1", "a threshold of 2 or more"),
            ("--interval 1s", "must not exceed the deadline"),
            ("--deadline 1s", "must not exceed the deadline"),
            ("--retry-base 1s", "must not exceed --retry-cap"),
            ("--interval 0s", "above zero"),
            ("--interval 3", "with its unit"),
            ("--open-for=-3s", "with its unit"),
            ("--attempts 0", "--attempts"),
            ("--backend-url https://backend/", "https: is not spoken here"),
            ("--backend-url backend:5000/data", "write it like http://backend:5000/data"),
        ] {
            let error = read(args).expect_err(args);
            assert_eq!(error.exit_code(), 2, "{args}");
            assert!(error.to_string().contains(said), "{args}: {error}");
        }
        for args in ["--attempts 1 --failure-threshold 2", "--interval 2s", "--interval 1s --deadline 2s"] {
            assert!(read(args).is_ok(), "{args}");
        }
    }
}
