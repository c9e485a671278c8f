//! Starts the operator and ends it in order.

use std::{error::Error, process::ExitCode, sync::Arc};

use breakwater_operator::{
    admin,
    config::Config,
    metrics::Metrics,
    operator::{self, Identity, Outside},
    serve::{self, Limits},
};
use breakwater_service::{files, log, signal::termination};
use clap::Parser;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> ExitCode {
    let config = Config::parse();
    if let Err(said) = log::start(config.log_format) {
        eprintln!("error: {said}");
        return ExitCode::from(2);
    }
    // Each client replica that is watched has a connection of its own.
    if let Err(error) = files::raise_limit() {
        tracing::warn!(%error, "the number of open files cannot be raised: a thousand client replicas may be too many");
    }
    match serve(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(config: Config) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", config.listen))?;
    let kubernetes =
        kube::Config::infer().await.map_err(|error| format!("no cluster: {error}; run in a pod, or set KUBECONFIG"))?;
    let metrics = Arc::new(Metrics::default());
    let outside = Outside::new(kubernetes, metrics.clone(), |name| std::env::var(name).ok())?;
    let (ready, readiness) = watch::channel(false);
    let identity = Identity {
        scope: config.scope(),
        own_pod: config.own_pod(),
        halt_configmap: config.halt_configmap.clone(),
        ask_for_requester: config.ask_for_requester,
    };

    let stop = CancellationToken::new();
    tokio::spawn(on_signal(termination()?, stop.clone()));
    let app = admin::app(metrics, readiness);
    let served = tokio::spawn(serve::serve(listener, app, Limits::default(), stop.clone()));
    tracing::info!(listen = %config.listen, namespaces = ?config.namespaces, label = config.require_label, version = env!("CARGO_PKG_VERSION"), "operator started");

    let (unready, ended) = (stop.clone(), ready.clone());
    tokio::spawn(async move {
        unready.cancelled().await;
        ended.send_replace(false);
    });
    operator::run(outside, identity, ready, stop.cancelled_owned()).await;
    served.await?;
    tracing::info!("operator ended");
    Ok(())
}

async fn on_signal(termination: impl Future<Output = ()>, stop: CancellationToken) {
    termination.await;
    tracing::info!("ending: looks that have begun are finished");
    stop.cancel();
}
