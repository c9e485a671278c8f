//! Starts the operator and ends it in order.

use std::{error::Error, process::ExitCode, sync::Arc};

use breakwater_operator::{
    admin,
    clock::Clock,
    config::Config,
    fetch::Http,
    metrics::Metrics,
    operator::{self, Identity, Outside},
    requests,
    serve::{self, Limits},
};
use breakwater_service::{log, signal::termination};
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
    let mut kubernetes =
        kube::Config::infer().await.map_err(|error| format!("no cluster: {error}; run in a pod, or set KUBECONFIG"))?;
    let metrics = Arc::new(Metrics::default());
    let places = requests::places();
    let client = requests::client(kubernetes.clone(), metrics.clone(), places.clone())?;
    // Effects are not tried again by the client: what became of one whose answer is lost is looked into.
    kubernetes.default_retry = false;
    let effects = requests::client(kubernetes, metrics.clone(), places)?;
    let (ready, readiness) = watch::channel(false);
    let identity = Identity {
        scope: config.scope(),
        own_pod: config.own_pod(),
        halt_configmap: config.halt_configmap.clone(),
        ask_for_requester: config.ask_for_requester,
    };
    // Kubernetes tells every pod where its API server is.
    let api_server = std::env::var("KUBERNETES_SERVICE_HOST").ok().and_then(|host| host.parse().ok());
    let fetch = Arc::new(Http::new()?.sparing(api_server));
    let outside = Outside { reads: client, effects, fetch, clock: Clock::system(), metrics: metrics.clone() };

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
