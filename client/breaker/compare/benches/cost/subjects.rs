//! The breakers that are measured, each set so that nothing but the line's feature is on.

use std::{future::ready, hint::black_box, sync::Arc, time::Duration};

use breakwater_breaker::{Breaker, BreakerLayer, OpenTime, Percent, Policy, Rates, Settings, SlowCalls, State, Window};
use failsafe::{CircuitBreaker as _, backoff, failure_policy};
use futures::executor::block_on;
use recloser::Recloser;
use tokio::runtime::Builder;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_resilience_circuitbreaker::{CircuitBreakerConfigBuilder, CircuitBreakerLayer, DefaultClassifier};

use crate::{Line, Subject};

const HOUR: Duration = Duration::from_secs(3600);

/// A call that does nothing, and cannot be optimised away.
fn nothing() -> Result<u64, &'static str> {
    black_box(Ok(1))
}

fn error() -> Result<u64, &'static str> {
    black_box(Err("no"))
}

pub fn lines() -> Vec<Line> {
    let consecutive = Settings::default().with_open_time(OpenTime::fixed(HOUR));
    let rates = Rates { window: Window::calls(100), ..Rates::default() };
    let slow_calls = Some(SlowCalls { longer_than: HOUR, rate: Percent::new(100).unwrap() });
    let of = |rates| consecutive.with_policy(Policy::Rates(rates));
    let resilience = || CircuitBreakerLayer::builder().wait_duration_in_open(HOUR);
    vec![
        Line {
            name: "closed, failures in a row",
            subjects: vec![
                ("breakwater", breakwater(consecutive, false)),
                ("failsafe", failsafe(false)),
                ("tower-resilience", tower_resilience(resilience().consecutive_failures(3), false)),
            ],
        },
        Line {
            name: "closed, failure rate of 100 calls",
            subjects: vec![
                ("breakwater", breakwater(of(rates), false)),
                ("recloser", recloser(false)),
                ("tower-resilience", tower_resilience(resilience().sliding_window_size(100), false)),
            ],
        },
        Line {
            name: "closed, failure and slow-call rate of 100 calls",
            subjects: vec![
                ("breakwater", breakwater(of(Rates { slow_calls, ..rates }), false)),
                (
                    "tower-resilience",
                    tower_resilience(resilience().sliding_window_size(100).slow_call_duration_threshold(HOUR), false),
                ),
            ],
        },
        Line {
            name: "open, refused",
            subjects: vec![
                ("breakwater", breakwater(consecutive, true)),
                ("failsafe", failsafe(true)),
                ("recloser", recloser(true)),
                ("tower-resilience", tower_resilience(resilience().consecutive_failures(3), true)),
            ],
        },
        Line {
            name: "closed, failures in a row, as a tower service",
            subjects: vec![
                ("breakwater", layer(consecutive)),
                ("tower-resilience", tower_resilience(resilience().consecutive_failures(3), false)),
            ],
        },
    ]
}

/// Hands that make calls of one kind.
fn hands<F: FnMut() + Send + 'static>(hand: impl Fn() -> F + 'static) -> Subject {
    Box::new(move || {
        let mut call = hand();
        Box::new(move |calls| (0..calls).for_each(|_| call()))
    })
}

fn breakwater(settings: Settings, open: bool) -> Subject {
    let breaker = Arc::new(Breaker::new("backend", settings));
    if open {
        (0..3).for_each(|_| _ = breaker.call(error));
        assert_eq!(breaker.state(), State::Open);
    }
    hands(move || {
        let breaker = Arc::clone(&breaker);
        move || _ = black_box(breaker.call(nothing))
    })
}

fn failsafe(open: bool) -> Subject {
    let policy = failure_policy::consecutive_failures(3, backoff::constant(HOUR));
    let breaker = failsafe::Config::new().failure_policy(policy).build();
    if open {
        (0..3).for_each(|_| _ = breaker.call(error));
        assert!(!breaker.is_call_permitted());
    }
    hands(move || {
        let breaker = breaker.clone();
        move || _ = black_box(breaker.call(nothing))
    })
}

fn recloser(open: bool) -> Subject {
    let breaker = Arc::new(Recloser::custom().error_rate(0.5).closed_len(100).open_wait(HOUR).build());
    if open {
        (0..200).for_each(|_| _ = breaker.call(error));
        assert!(matches!(breaker.call(nothing), Err(recloser::Error::Rejected)));
    }
    hands(move || {
        let breaker = Arc::clone(&breaker);
        move || _ = black_box(breaker.call(nothing))
    })
}

/// A tower service that does what it is asked to.
fn service() -> impl Service<bool, Response = u64, Error = &'static str, Future: Send> + Clone + Send {
    service_fn(|good: bool| ready(if good { nothing() } else { error() }))
}

fn call<S: Service<bool>>(service: &mut S, good: bool) -> Result<S::Response, S::Error> {
    block_on(async { service.ready().await?.call(good).await })
}

fn layer(settings: Settings) -> Subject {
    let service = BreakerLayer::new(Arc::new(Breaker::new("backend", settings))).layer(service());
    hands(move || {
        let mut service = service.clone();
        move || _ = black_box(call(&mut service, true))
    })
}

fn tower_resilience(settings: CircuitBreakerConfigBuilder<DefaultClassifier>, open: bool) -> Subject {
    // Where threads meet at its lock while it is open, it waits for a timer of the runtime, a thread of which runs it.
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().expect("a runtime");
    let runtime = Arc::new(runtime);
    let context = runtime.enter();
    let mut service = settings.build().expect("the settings are good").layer(service());
    if open {
        (0..3).for_each(|_| _ = call(&mut service, false));
        assert!(call(&mut service, true).is_err());
    }
    drop(context);
    Box::new(move || {
        let (mut service, runtime) = (service.clone(), Arc::clone(&runtime));
        Box::new(move |calls| {
            let _context = runtime.enter();
            (0..calls).for_each(|_| _ = black_box(call(&mut service, true)));
        })
    })
}
