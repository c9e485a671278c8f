//! Starts the operator and ends it in order.

use std::{error::Error, io::IsTerminal, process::ExitCode, sync::Arc};

use breakwater_operator::{
    admin,
    apply::Hands,
    config::{Config, LogFormat},
    controller::{self, Context},
    halt::Halt,
    metrics::Metrics,
    observe::Observer,
    requests,
};
use clap::Parser;
use futures::channel::mpsc;
use kube::runtime::events::{Recorder, Reporter};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let config = Config::parse();
    log(config.log_format);
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
    let client = requests::client(kubernetes.clone(), metrics.clone())?;
    // Effects are not tried again by the client: what became of one whose answer is lost is looked into.
    kubernetes.default_retry = false;
    let effects = requests::client(kubernetes, metrics.clone())?;
    let reporter = Reporter { controller: "breakwater".into(), instance: config.pod_name.clone() };
    let halt = match &config.pod_namespace {
        Some(namespace) => Halt::new(effects.clone(), namespace, &config.halt_configmap),
        None => Halt::none(),
    };
    let hands = Hands::new(effects.clone(), Recorder::new(effects.clone(), reporter), halt.clone());
    let (bell, bells) = mpsc::unbounded();
    let observer = Observer::new(client.clone(), metrics.clone(), config.own_pod(), halt, bell)?;
    let (ready, readiness) = watch::channel(false);
    let listed = ready.clone();
    let (store, stream) = controller::watch(client, config.namespace.as_deref(), move || {
        listed.send_replace(true);
    });
    let context = Arc::new(Context { client: effects, observer, hands, metrics: metrics.clone() });

    let stop = CancellationToken::new();
    tokio::spawn(on_signal(stop.clone())?);
    let app = admin::app(metrics, readiness);
    let served =
        tokio::spawn(axum::serve(listener, app).with_graceful_shutdown(stop.clone().cancelled_owned()).into_future());
    tracing::info!(listen = %config.listen, namespace = config.namespace.as_deref().unwrap_or("all"), version = env!("CARGO_PKG_VERSION"), "operator started");

    let unready = stop.clone();
    tokio::spawn(async move {
        unready.cancelled().await;
        ready.send_replace(false);
    });
    controller::run(context, (store, stream), bells, stop.cancelled_owned()).await;
    served.await??;
    tracing::info!("operator ended");
    Ok(())
}

fn on_signal(stop: CancellationToken) -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("ending: looks that have begun are finished");
        stop.cancel();
    })
}

fn log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(std::io::stdout().is_terminal());
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}
