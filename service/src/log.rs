//! Log lines on standard output.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer, filter::LevelFilter, layer::SubscriberExt, registry::LookupSpan, util::SubscriberInitExt,
};

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// Starts the log, with the lines that `RUST_LOG` chooses: info by default.
///
/// # Errors
/// What [`filter`] says.
pub fn start(format: LogFormat) -> Result<(), String> {
    tracing_subscriber::registry().with(filter()?).with(lines(format)).init();
    Ok(())
}

/// What `RUST_LOG` chooses: info by default.
///
/// # Errors
/// A sentence, if it is no filter.
pub fn filter() -> Result<EnvFilter, String> {
    EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .from_env()
        .map_err(|error| format!("RUST_LOG: {error}; write a level, like info or debug"))
}

/// The layer that writes the lines; it chooses none.
pub fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = tracing_subscriber::fmt::layer().with_ansi(std::io::stdout().is_terminal());
    match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    }
}
