//! The client's command line.

use std::process::ExitCode;

use breakwater_client::{
    check, log,
    service::run,
    settings::{Settings, Task},
    trace::Traces,
};
use breakwater_service::{files, signal::termination};
use reqwest::Url;
use tokio::net::TcpListener;
use uuid::Uuid;

#[tokio::main]
async fn main() -> ExitCode {
    let settings = match Task::read(std::env::args_os()).unwrap_or_else(|error| error.exit()) {
        Task::Check { urls } => return check_all(urls).await,
        Task::Serve(settings) => *settings,
    };
    let epoch = new_epoch();
    let traces = settings.process.traces_endpoint.as_ref().map(|endpoint| Traces::start(endpoint, epoch)).transpose();
    let started = traces.and_then(|traces| log::start(settings.process.log_format, traces.as_ref()).map(|()| traces));
    let traces = match started {
        Ok(traces) => traces,
        Err(said) => {
            eprintln!("error: {said}");
            return ExitCode::from(2);
        }
    };
    let code = match serve(settings, epoch).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(said) => {
            tracing::error!("{said}");
            ExitCode::FAILURE
        }
    };
    if let Some(traces) = traces {
        // It cannot fail: the last spans are sent, or it is said that they are not.
        let _ = tokio::task::spawn_blocking(|| traces.end()).await;
    }
    code
}

#[allow(clippy::disallowed_methods, reason = "the edge: here the process gets its identity")]
fn new_epoch() -> Uuid {
    Uuid::new_v4()
}

async fn check_all(urls: Vec<Url>) -> ExitCode {
    let mut outcome = ExitCode::SUCCESS;
    for url in urls {
        match check::check(url.clone()).await {
            Ok(()) => println!("{url}: ok"),
            Err(said) => {
                eprintln!("{url}: {said}");
                outcome = ExitCode::FAILURE;
            }
        }
    }
    outcome
}

async fn serve(settings: Settings, epoch: Uuid) -> Result<(), String> {
    let shutdown = termination().map_err(|error| format!("cannot listen for signals: {error}"))?;
    // Whoever polls it has a connection, and none of them may be lacking for a call.
    if let Err(error) = files::raise_limit() {
        tracing::warn!(%error, "the number of open files cannot be raised: many visitors may leave none for a call");
    }
    let listen = settings.process.listen;
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| format!("cannot listen on {listen}: {error}; choose another by --listen"))?;
    let address = listener.local_addr().map_err(|error| format!("cannot tell the address: {error}"))?;
    tracing::info!(%address, %epoch, version = env!("CARGO_PKG_VERSION"), "listening");
    for target in &settings.targets {
        tracing::info!(breaker = target.name, url = %target.url, "a target");
    }
    run(settings, epoch, listener, shutdown).await.map_err(|error| format!("the service failed: {error}"))
}
