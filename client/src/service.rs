//! The service: ticks, the half-open timer and the HTTP server, from the start to an end that loses no transition.

use std::{future::Future, io, pin::pin, sync::Arc, time::Duration};

use breakwater_breaker::{Breaker, wire::Instance};
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
    time::{timeout, timeout_at},
};
use uuid::Uuid;

use crate::{
    app::app, attempt::Attempts, caller::Caller, clock::Clock, http::Backend, log, metrics::Metrics,
    settings::Settings, status::Status,
};

/// How long the end waits until a poll has seen the last transition, and then for answers in flight.
const LINGER: Duration = Duration::from_secs(2);

/// Runs the client on `listener` until `shutdown` is ready.
///
/// Then it calls no more, answers waiting polls at once, waits up to two seconds until a poll has seen the last
/// transition (if anybody ever polled), and returns.
///
/// # Errors
/// If the listener fails or the HTTP client cannot be set up.
pub async fn run(
    settings: &Settings,
    epoch: Uuid,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let clock = Clock::start();
    let started = clock.now();
    let backend = Backend::new(settings.backend_url.clone(), settings.attempt_timeout).map_err(io::Error::other)?;

    let metrics = Arc::new(Metrics::default());
    let (newest_sender, newest) = watch::channel(0);
    let counted = Arc::clone(&metrics);
    let breaker =
        Breaker::new(&settings.breaker_name, epoch, settings.breaker(), started).with_listener(move |transition| {
            counted.transition(transition);
            newest_sender.send_modify(|newest| *newest = (*newest).max(transition.seq));
        });
    let breaker = Arc::new(breaker);
    let start = breaker.report(None, started).map_err(io::Error::other)?.transitions.items;
    start.iter().for_each(|transition| log::transition(&breaker, Some(transition)));

    let instance = Instance { epoch, pod_uid: settings.pod_uid.clone(), started_at: started.wall };
    let status = Arc::new(Status::new(instance, clock, Arc::clone(&breaker), newest.clone()));
    let registry = metrics.registry(Arc::clone(&breaker));
    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, app(Arc::clone(&status), registry)).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let mut server = pin!(server.into_future());

    let call = || backend.get();
    let attempts = Attempts { call, breaker: Arc::clone(&breaker), timeout: settings.attempt_timeout, clock, metrics };
    let caller = Caller { attempts, plan: settings.plan(), random: fastrand::f64 };
    tokio::select! {
        ended = &mut server => return ended,
        () = caller.run() => {}
        () = half_open_in_time(&breaker, clock, newest) => {}
        () = shutdown => {}
    }

    tracing::info!("shutting down: no more calls; the last transition is told to who polls");
    status.release();
    tokio::select! {
        ended = &mut server => return ended,
        _ = timeout(LINGER, status.all_seen()) => {}
    }
    drop(stop);
    timeout(LINGER, server).await.unwrap_or(Ok(()))
}

/// Makes the breaker half-open when its open time is over, without any call.
async fn half_open_in_time(breaker: &Breaker, clock: Clock, mut newest: watch::Receiver<u64>) {
    loop {
        newest.mark_unchanged();
        if let Some(due) = breaker.half_open_at() {
            // Woken early by another transition, it looks again.
            let _ = timeout_at(clock.instant(due), newest.changed()).await;
            log::transition(breaker, breaker.tick(clock.now()).as_ref());
        } else if newest.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use breakwater_breaker::{Settings, State};

    #[tokio::test(start_paused = true)]
    async fn open_turns_half_open_at_its_time_with_no_call() {
        let clock = Clock::start();
        let (sender, newest) = watch::channel(0);
        let breaker = Breaker::new("backend", Uuid::nil(), Settings::default(), clock.now())
            .with_listener(move |transition| sender.send_modify(|newest| *newest = transition.seq));
        let mut told = newest.clone();
        let outage = async {
            // The timer waits already when the breaker opens, and again when it re-opens.
            for opened in [2, 4] {
                let opened_at = clock.now();
                while breaker.state() != State::Open {
                    breaker.try_acquire(opened_at).unwrap().failure("timeout", opened_at);
                }
                told.wait_for(|seq| *seq == opened + 1).await.unwrap();
                assert_eq!(breaker.state(), State::HalfOpen);
                let waited = clock.now().mono() - opened_at.mono();
                assert!((10_000..=10_002).contains(&waited.as_millis()), "{waited:?}");
            }
        };
        tokio::select! {
            biased;
            () = half_open_in_time(&breaker, clock, newest) => panic!("the timer runs as long as the breaker"),
            ended = timeout(Duration::from_secs(60), outage) => ended.expect("half-open in time"),
        }
        let calls = breaker.machine().calls();
        assert_eq!((calls.permitted, calls.not_permitted), (4, 0), "no call but those that failed");
    }
}
