//! The backend's command line.

use std::{net::SocketAddr, process::ExitCode, str::FromStr, sync::Arc, time::Duration};

use breakwater_backend::{
    app::{Backend, app},
    faults::{Faults, Latency, Share},
    serve::{Drained, serve},
};
use breakwater_service::{
    duration, files,
    log::{self, LogFormat},
    signal::termination,
};
use clap::Parser;
use tokio::net::TcpListener;

/// Answers GET /data with {"message":"Backend Running"}: the service that a client calls and an experiment kills.
#[derive(Debug, Parser)]
#[command(name = "breakwater-backend", version)]
struct Settings {
    /// Address and port of /data, /faults, /healthz, /readyz and /metrics
    #[arg(long, env = "BACKEND_LISTEN", default_value = "0.0.0.0:5000")]
    listen: SocketAddr,

    /// How long calls in flight may take to finish after SIGTERM, like 500ms or 10s
    #[arg(long, env = "BACKEND_DRAIN_TIMEOUT", default_value = "10s", value_parser = duration::parse)]
    drain_timeout: Duration,

    /// Share of the calls of /data that fail by 503, like 10% or 0.1
    #[arg(long, env = "BACKEND_FAIL_RATE", default_value = "0%", value_parser = Share::from_str)]
    fail_rate: Share,

    /// How much later calls of /data are answered, like 200ms or 200ms±50ms
    #[arg(long, env = "BACKEND_LATENCY", value_parser = Latency::from_str)]
    latency: Option<Latency>,

    /// How long from its start all calls of /data fail by 503, like 15s
    #[arg(long, env = "BACKEND_FAIL_FOR", value_parser = duration::parse)]
    fail_for: Option<Duration>,

    /// Lets others than this machine use PUT /faults, which changes the three above
    #[arg(long, env = "BACKEND_ALLOW_REMOTE_FAULTS")]
    allow_remote_faults: bool,

    /// How log lines are written; RUST_LOG sets which ones (default: info)
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[tokio::main]
async fn main() -> ExitCode {
    let settings = Settings::parse();
    if let Err(said) = log::start(settings.log_format) {
        eprintln!("error: {said}");
        return ExitCode::from(2);
    }
    match run(settings).await {
        Ok(code) => code,
        Err(said) => {
            tracing::error!("{said}");
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: Settings) -> Result<ExitCode, String> {
    let shutdown = termination().map_err(|error| format!("cannot listen for signals: {error}"))?;
    if let Err(error) = files::raise_limit() {
        tracing::warn!(%error, "the number of open files cannot be raised: a thousand connections may be too many");
    }
    let listener = TcpListener::bind(settings.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}; choose another by --listen", settings.listen))?;
    let address = listener.local_addr().map_err(|error| format!("cannot tell the address: {error}"))?;
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "listening");

    let Settings { fail_rate, latency, fail_for, allow_remote_faults, .. } = settings;
    let faults = Faults { fail_rate, latency, fail_for };
    if faults != Faults::default() {
        tracing::warn!(?faults, "calls are disturbed on purpose");
    }
    let backend = Arc::new(Backend::new(faults, allow_remote_faults));
    let served = serve(listener, app(Arc::clone(&backend)), backend, shutdown, settings.drain_timeout).await;
    match served.map_err(|error| format!("the listener failed: {error}"))? {
        Drained::All => {
            tracing::info!("every call in flight was answered");
            Ok(ExitCode::SUCCESS)
        }
        Drained::Cut => {
            tracing::warn!("calls in flight were cut: they took longer than --drain-timeout");
            Ok(ExitCode::FAILURE)
        }
    }
}
