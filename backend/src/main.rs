//! The backend's command line.

use std::{net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use breakwater_backend::{
    app::{Backend, app},
    serve::{Drained, serve},
};
use breakwater_service::{
    duration,
    log::{self, LogFormat},
    signal::termination,
};
use clap::Parser;
use tokio::net::TcpListener;

/// Answers GET /data with {"message":"Backend Running"}: the service that a client calls and an experiment kills.
#[derive(Debug, Parser)]
#[command(name = "breakwater-backend", version)]
struct Settings {
    /// Address and port of /data, /healthz, /readyz and /metrics
    #[arg(long, env = "BACKEND_LISTEN", default_value = "0.0.0.0:5000")]
    listen: SocketAddr,

    /// How long calls in flight may take to finish after SIGTERM, like 500ms or 10s
    #[arg(long, env = "BACKEND_DRAIN_TIMEOUT", default_value = "10s", value_parser = duration::parse)]
    drain_timeout: Duration,

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
    let listener = TcpListener::bind(settings.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}; choose another by --listen", settings.listen))?;
    let address = listener.local_addr().map_err(|error| format!("cannot tell the address: {error}"))?;
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "listening");

    let backend = Arc::new(Backend::default());
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
