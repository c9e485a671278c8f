//! What the program is told: by its command line, by the environment, and by a file of settings, in this order of weight.

mod breaker;
mod file;
mod target;

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, str::FromStr};

use breakwater_service::log::LogFormat;
use clap::{
    ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind,
    parser::ValueSource,
};
use reqwest::Url;

pub use breaker::{BreakerSettings, PolicyKind};
pub use file::{Entry, File, Refusal};
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

fn refused(refusal: Refusal) -> clap::Error {
    clap::Error::raw(ErrorKind::ValueValidation, format!("{refusal}\n"))
}

/// Where settings come from.
struct Sources<'a> {
    /// The command line and the environment.
    matches: &'a ArgMatches,
    file: Option<&'a File>,
}

impl Sources<'_> {
    fn settings(&self) -> Result<Settings, clap::Error> {
        let (of_process, of_target) =
            (Process::augment_args(Command::new("")), TargetSettings::augment_args(Command::new("")));
        if let Some(file) = self.file {
            let at_top = TargetSettings::augment_args(of_process.clone());
            let in_target = of_target.clone().arg(clap::Arg::new("url").long("url").value_parser(http_url));
            file.check(&file.top, &at_top).map_err(refused)?;
            for table in &file.targets {
                target_name(&table.name).map_err(|said| refused(file.refuse(&table.place, &said)))?;
                file.check(&table.entries, &in_target).map_err(refused)?;
            }
        }
        let top = self.file.map_or(&[][..], |file| &file.top);
        let words = self.words(&of_process, &[top]);
        let process = Process::from_arg_matches(&of_process.try_get_matches_from(words)?)?;

        let mut targets = Vec::new();
        for (NamedUrl { name, url }, table) in self.names(&process, top)? {
            let tables = [table, top];
            let matches = of_target.clone().try_get_matches_from(self.words(&of_target, &tables))?;
            let settings = TargetSettings::from_arg_matches(&matches)?;
            if let Some(found) = settings.contradiction() {
                return Err(self.contradiction(&found, &name, &tables));
            }
            targets.push(Target { name, url, settings });
        }
        Ok(Settings { process, targets })
    }

    /// The targets, and what the file says of each.
    fn names(&self, process: &Process, top: &[Entry]) -> Result<Vec<(NamedUrl, &[Entry])>, clap::Error> {
        let mut named: Vec<(NamedUrl, &[Entry])> = Vec::new();
        for table in self.file.map_or(&[][..], |file| &file.targets) {
            let given = process.target.iter().find(|given| given.name == table.name).map(|given| given.url.clone());
            let written =
                || table.entries.iter().find(|entry| entry.key == "url").and_then(|entry| http_url(&entry.value).ok());
            let Some(url) = given.or_else(written) else {
                let file = self.file.expect("a table stands in a file");
                return Err(refused(
                    file.refuse(&table.place, "write its url too, like url = \"http://backend:5000/data\""),
                ));
            };
            named.push((NamedUrl { name: table.name.clone(), url }, &table.entries));
        }
        for given in &process.target {
            if !named.iter().any(|(one, _)| one.name == given.name) {
                named.push((given.clone(), &[]));
            }
        }
        let twice = process
            .target
            .iter()
            .enumerate()
            .find(|(at, one)| process.target[..*at].iter().any(|other| other.name == one.name));
        if let Some((_, NamedUrl { name, .. })) = twice {
            let said = format!("--target {name} is there twice: each target has a name of its own");
            return Err(Words::command().error(ErrorKind::ValueValidation, said));
        }
        if named.is_empty() {
            let only = NamedUrl { name: process.breaker_name.clone(), url: process.backend_url.clone() };
            return Ok(vec![(only, &[])]);
        }
        for between in ["backend-url", "breaker-name"] {
            if self.is_given(between) || top.iter().any(|entry| entry.key == between) {
                let said = format!("--{between} is for one target only: leave it out, as there are targets with names");
                return Err(self.contradiction(&Contradiction { between: vec![between], said }, "", &[top]));
            }
        }
        Ok(named)
    }

    /// The command line or the environment has it.
    fn is_given(&self, flag: &str) -> bool {
        let source = self.matches.value_source(&flag.replace('-', "_"));
        matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
    }

    /// A command line for `command`: each flag as the source of the greatest weight has it, of the `tables` the first.
    fn words(&self, command: &Command, tables: &[&[Entry]]) -> Vec<OsString> {
        let mut words = vec![OsString::new()];
        for (id, flag) in command.get_arguments().filter_map(|arg| Some((arg.get_id().as_str(), arg.get_long()?))) {
            let mut push = |value: OsString| {
                let mut word = OsString::from(format!("--{flag}="));
                word.push(value);
                words.push(word);
            };
            if self.is_given(flag) {
                self.matches.get_raw(id).into_iter().flatten().for_each(|value| push(value.to_owned()));
            } else if let Some(entry) = tables.iter().find_map(|table| table.iter().find(|entry| entry.key == flag)) {
                push(OsString::from(&entry.value));
            }
        }
        words
    }

    /// Says it at the line that is in the way, or of the command line if none is.
    fn contradiction(&self, found: &Contradiction, target: &str, tables: &[&[Entry]]) -> clap::Error {
        let Contradiction { between, said } = found;
        let of_file = between.iter().filter(|flag| !self.is_given(flag));
        let line = of_file
            .flat_map(|flag| tables.iter().find_map(|table| table.iter().find(|entry| entry.key == **flag)))
            .next();
        match (self.file, line) {
            (Some(file), Some(entry)) => refused(file.refuse(&entry.place, &format!("{said} (target {target})"))),
            _ => Words::command().error(ErrorKind::ValueValidation, said),
        }
    }
}

#[cfg(test)]
mod tests;
