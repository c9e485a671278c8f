//! The service: the targets and the HTTP server, from the start to an end that loses no transition.

use std::{future::Future, io, pin::pin, sync::Arc, time::Duration};

use breakwater_breaker::wire::Instance;
use futures::future::join_all;
use tokio::{net::TcpListener, sync::oneshot, time::timeout};
use uuid::Uuid;

use crate::{app::app, clock::Clock, metrics::Metrics, settings::Settings, status::Status, target::Target};

/// How long the end waits until a poll has seen the last transition, and then for answers in flight.
const LINGER: Duration = Duration::from_secs(2);

/// Runs the client on `listener` until `shutdown` is ready.
///
/// Then it calls no more, answers waiting polls at once, waits up to two seconds until polls have seen the last
/// transition of each breaker (if anybody ever polled it), and returns.
///
/// # Errors
/// If the listener fails or the HTTP client cannot be set up.
pub async fn run(
    settings: Settings,
    epoch: Uuid,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let clock = Clock::start();
    let metrics = Metrics::default();
    let instance = Instance { epoch, pod_uid: settings.process.pod_uid, started_at: clock.now().wall };
    let targets = settings.targets.into_iter().map(|target| {
        let metrics = metrics.target(&target.name);
        Target::new(target, epoch, clock, metrics)
    });
    let targets = targets.collect::<io::Result<Vec<_>>>()?;

    let followed = || targets.iter().map(|target| target.followed.clone());
    let status = Arc::new(Status::new(instance, clock, followed().collect()));
    let registry = metrics.registry(followed().map(|followed| followed.breaker).collect());
    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, app(Arc::clone(&status), registry)).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let mut server = pin!(server.into_future());

    tokio::select! {
        ended = &mut server => return ended,
        _ = join_all(targets.iter().map(Target::run)) => {}
        () = shutdown => {}
    }

    tracing::info!("shutting down: no more calls; the last transitions are told to who polls");
    status.release();
    tokio::select! {
        ended = &mut server => return ended,
        _ = timeout(LINGER, status.all_seen()) => {}
    }
    drop(stop);
    timeout(LINGER, server).await.unwrap_or(Ok(()))
}
