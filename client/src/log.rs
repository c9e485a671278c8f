//! Log lines: the words that people look for, and each transition as one line of JSON.

use std::time::Duration;

use breakwater_breaker::{NotPermitted, State, Transition};
use breakwater_service::log::{LogFormat, filter, lines};
use serde::Serialize;
use tracing::{info, warn};
use tracing_subscriber::{
    Layer,
    filter::{FilterExt, filter_fn},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};
use uuid::Uuid;

use crate::{
    fallback::Given,
    http::{Answer, Failure},
    trace::{self, Traces},
};

/// The target of the lines that tell a transition.
const TRANSITION: &str = "transition";

/// Starts the log on standard output, with the lines that `RUST_LOG` chooses: info by default; and the `traces`, which
/// it does not choose among.
///
/// # Errors
/// A sentence if `RUST_LOG` is no filter.
pub fn start(format: LogFormat, traces: Option<&Traces>) -> Result<(), String> {
    // The message of a transition is its whole line.
    let transitions =
        tracing_subscriber::fmt::layer().with_ansi(false).without_time().with_level(false).with_target(false);
    let others = filter_fn(|event| event.target() != TRANSITION && event.target() != trace::SPAN);
    tracing_subscriber::registry()
        .with(traces.map(Traces::layer))
        .with(lines(format).with_filter(filter()?.and(others)))
        .with(transitions.with_filter(filter()?.and(filter_fn(|event| event.target() == TRANSITION))))
        .init();
    Ok(())
}

/// The line of a transition: the wire's own, with what makes its key.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TransitionLine<'a> {
    level: &'static str,
    target: &'static str,
    epoch: Uuid,
    breaker: &'a str,
    #[serde(flatten)]
    transition: &'a Transition,
}

/// A transition of a breaker.
pub fn transition(epoch: Uuid, breaker: &str, transition: &Transition) {
    if transition.to == State::Open {
        info!(breaker, "Circuit Breaker OPEN");
    }
    let line = TransitionLine { level: "INFO", target: TRANSITION, epoch, breaker, transition };
    match serde_json::to_string(&line) {
        Ok(line) => info!(target: TRANSITION, "{line}"),
        Err(error) => warn!(%error, seq = transition.seq, "a transition cannot be written as JSON"),
    }
}

/// The backend answered.
pub fn answered(breaker: &str, Answer { status, body }: &Answer) {
    if status.is_success() {
        info!(breaker, "Success: {body}");
    } else {
        warn!(breaker, "Backend answered {status}: {body}");
    }
}

/// An attempt failed, and counted.
pub fn failed(breaker: &str, failure: &Failure, count: u64) {
    info!(breaker, error = %failure, "Backend failed | Fail count = {count}");
}

/// The breaker let no call through.
pub fn skipped(breaker: &str, refused: &NotPermitted) {
    info!(breaker, why = %refused, "Circuit open... skipping call");
}

/// A trial call starts.
pub fn trial(breaker: &str) {
    info!(breaker, "Retrying backend...");
}

/// The deadline of a tick cut its call.
pub fn cut(breaker: &str, deadline: Duration) {
    warn!(breaker, ?deadline, "Call cut by its deadline, counted as neither success nor failure");
}

/// A call that was refused got an answer in its stead.
pub fn fallback(breaker: &str, given: &Given) {
    match given {
        Given::LastGood { body, age } => info!(breaker, ?age, "Fallback: the last good answer: {body}"),
        Given::Default { body } => info!(breaker, "Fallback: the stated answer: {body}"),
    }
}
