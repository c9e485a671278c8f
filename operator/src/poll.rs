//! Asks one client replica for its breaker, again and again.
#![allow(clippy::disallowed_methods, reason = "the edge: here it is measured how long an answer takes")]

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use breakwater_breaker::{
    Cause,
    wire::{Cursor, SCHEMA, StatusReport, Transition},
};
use jiff::Timestamp;
use reqwest::Url;
use tokio::{
    sync::Semaphore,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    decide::{MAX_NUMBER, readable},
    fetch::Fetch,
    metrics::Metrics,
    world::{Report, Seen},
};

/// A replica has so long to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// An error is told with so many bytes.
const ERROR_BYTES: usize = 200;
/// So many transitions that are not recorded yet are kept of an answer; once they are, the next ones are asked for.
const UNREAD: usize = 128;
/// What a client says of a transition in its own words is kept with so many bytes; the record has no more.
const CAUSE_BYTES: usize = 128;
/// RFC 3339 has no year above 9999: from 1970, with some to spare.
const MAX_YEARS: i64 = 8000;
const SECONDS_A_YEAR: i64 = 31_556_952;

/// Where a replica answers, and whose breaker is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its pod's address and port.
    pub address: SocketAddr,
    /// The path of its status endpoint.
    pub path: String,
    /// Uid of its pod: another pod's answer at a reused address is not taken.
    pub pod_uid: String,
    /// The name of the breaker.
    pub breaker: String,
    /// How often it is asked.
    pub interval: Duration,
}

/// What a replica last said, and how far the operator has recorded it.
#[derive(Clone, Debug)]
pub struct Heard {
    /// When it last answered, or when the operator began to ask.
    pub at: Timestamp,
    /// Its last answer.
    pub report: Option<Report>,
    /// Why the newest attempt failed, if it did.
    pub error: Option<String>,
    /// The cursor in the experiment's status, from which it is asked.
    pub recorded: Option<Cursor>,
    /// Where its own record ended when it first answered; asked from as long as nothing is recorded.
    next: Option<Cursor>,
}

/// The shared place where a poller leaves what it hears.
#[derive(Debug)]
pub struct Mailbox(Mutex<Heard>);

impl Mailbox {
    fn new(now: Timestamp) -> Self {
        Self(Mutex::new(Heard { at: now, report: None, error: None, recorded: None, next: None }))
    }

    /// A copy of what was heard.
    pub fn read(&self) -> Heard {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells the poller what is recorded.
    pub fn recorded(&self, cursor: Cursor) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).recorded = Some(cursor);
    }

    fn cursor(&self) -> Option<Cursor> {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.recorded.or(heard.next)
    }

    /// Takes an answer in; says whether it has something new for the operator.
    fn put(&self, at: Timestamp, answer: Result<(Report, Cursor), String>) -> bool {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok((mut report, next)) => {
                keep_unread(&mut report, heard.recorded.or(heard.next));
                let first = heard.report.is_none() || heard.error.is_some();
                let unrecorded = heard
                    .recorded
                    .as_ref()
                    .is_some_and(|cursor| cursor.epoch != report.epoch || cursor.seq < report.last_seq);
                let changed = heard.report.as_ref().is_none_or(|old| old.state != report.state);
                (heard.at, heard.report, heard.error) = (at, Some(report), None);
                // Until something is recorded, always from the first answer: so no later one takes the place of what is unread.
                heard.next.get_or_insert(next);
                first || unrecorded || changed
            }
            Err(error) => {
                let news = heard.error.is_none();
                heard.error = Some(readable(&error, ERROR_BYTES));
                news
            }
        }
    }
}

/// Of the transitions after the cursor the oldest are kept: once they are recorded, the rest is asked for from where they end, and none
/// is lost. A client that passes over the cursor, or that makes up transitions by the thousand, takes no more memory than others.
fn keep_unread(report: &mut Report, cursor: Option<Cursor>) {
    if let Some(cursor) = cursor.filter(|cursor| cursor.epoch == report.epoch) {
        report.transitions.retain(|seen| seen.transition.seq > cursor.seq);
    }
    report.transitions.truncate(UNREAD);
    report.transitions.shrink_to_fit();
}

/// What a question takes.
#[derive(Clone)]
pub struct Asking {
    /// How the question is sent.
    pub fetch: Arc<dyn Fetch>,
    /// Those of the [namespace](crate::places::Places).
    pub places: Arc<Semaphore>,
    /// What answers get their times from.
    pub clock: Clock,
    /// Where failures count.
    pub metrics: Arc<Metrics>,
}

/// A task that asks one replica; it ends when this is dropped.
#[derive(Debug)]
pub struct Poller {
    /// What it hears.
    pub mailbox: Arc<Mailbox>,
    _stop: tokio_util::sync::DropGuard,
}

impl Poller {
    /// Starts to ask, `now`, whenever there is a place for a question; `news` is called when there is something that the operator
    /// should look at.
    pub fn start(asking: Asking, endpoint: Endpoint, now: Timestamp, news: impl Fn() + Send + 'static) -> Self {
        let (mailbox, stop) = (Arc::new(Mailbox::new(now)), CancellationToken::new());
        let task = ask_again_and_again(asking, endpoint, mailbox.clone(), news);
        let stopped = stop.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(task).await });
        Self { mailbox, _stop: stop.drop_guard() }
    }
}

async fn ask_again_and_again(asking: Asking, endpoint: Endpoint, mailbox: Arc<Mailbox>, news: impl Fn()) {
    let Asking { fetch, places, clock, metrics } = asking;
    let mut tick = interval(endpoint.interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        // Up to where its answer is understood: what is kept of it then is small.
        let Ok(_place) = places.acquire().await else { return };
        let (asked_at, watch) = (clock.now(), Instant::now());
        let answer = ask(&*fetch, &endpoint, mailbox.cursor()).await;
        let middle = asked_at.checked_add(watch.elapsed() / 2).unwrap_or(asked_at);
        if let Err(error) = &answer {
            metrics.poll_failures.inc();
            tracing::debug!(address = %endpoint.address, error, "a client replica did not answer");
        }
        let answer = answer.and_then(|report| understand(report, &endpoint, middle));
        // What it says is what it was when it was asked.
        if mailbox.put(asked_at, answer) {
            news();
        }
    }
}

/// One question.
async fn ask(fetch: &dyn Fetch, endpoint: &Endpoint, since: Option<Cursor>) -> Result<StatusReport, String> {
    let url = format!("http://{}{}", endpoint.address, endpoint.path);
    let mut url = Url::parse(&url).map_err(|error| format!("{}: {error}", endpoint.path))?;
    // A cursor is that of one breaker; a client that has several is to tell of this one.
    url.query_pairs_mut().append_pair("breaker", &endpoint.breaker);
    if let Some(cursor) = since {
        url.query_pairs_mut().append_pair("since", &cursor.to_string());
    }
    let body =
        timeout(ANSWER_LIMIT, fetch.fetch(url)).await.map_err(|_| format!("no answer within {ANSWER_LIMIT:?}"))??;
    serde_json::from_slice(&body).map_err(|error| format!("its answer is no breaker status: {error}"))
}

/// The part of an answer that the operator needs, with times by its own clock: a transition happened so long before `middle`, the middle of
/// the question, as the client's monotonic clock says. With it comes the cursor to ask from next time.
///
/// # Errors
/// A sentence for people where the answer has no such breaker, is another pod's, or has numbers that no status can hold.
pub fn understand(report: StatusReport, endpoint: &Endpoint, middle: Timestamp) -> Result<(Report, Cursor), String> {
    let breaker = &endpoint.breaker;
    if report.schema != SCHEMA {
        return Err(format!("it speaks the schema {}, not {SCHEMA}", report.schema));
    }
    if report.instance.pod_uid.as_ref().is_some_and(|uid| *uid != endpoint.pod_uid) {
        return Err("another pod answers at its address".into());
    }
    let Some(found) = report.breakers.iter().find(|one| one.name == *breaker) else {
        let names: Vec<_> = report.breakers.iter().map(|one| one.name.as_str()).take(8).collect();
        return Err(format!("it has no breaker named {breaker}; it has {}", names.join(", ")));
    };
    let mut transitions: Vec<_> = found
        .transitions
        .items
        .iter()
        .map(|transition| {
            let age = Duration::from_nanos(report.now.mono_nanos.saturating_sub(transition.mono_nanos));
            Seen { transition: in_few_words(transition), aligned_at: middle.checked_sub(age).unwrap_or(Timestamp::MIN) }
        })
        .collect();
    transitions.sort_by_key(|seen| seen.transition.seq);
    let calls = found.calls.permitted.saturating_add(found.calls.not_permitted);
    let errors = found.calls.failure.saturating_add(found.calls.not_permitted);
    let last_seq = found.transitions.last_seq;
    let numbers =
        transitions.iter().map(|seen| seen.transition.seq).chain([calls, errors, last_seq, found.consecutive_failures]);
    let years = transitions.iter().map(|seen| seen.transition.at.as_second() / SECONDS_A_YEAR);
    if numbers.max() > Some(MAX_NUMBER)
        || transitions.iter().any(|seen| seen.transition.at < Timestamp::UNIX_EPOCH)
        || years.max() > Some(MAX_YEARS)
    {
        return Err("its numbers or times are out of range".into());
    }
    let next = Cursor { epoch: report.instance.epoch, seq: last_seq };
    Ok((
        Report {
            epoch: report.instance.epoch,
            state: found.state,
            failures: found.consecutive_failures,
            last_seq,
            calls,
            errors,
            transitions,
        },
        next,
    ))
}

fn in_few_words(transition: &Transition) -> Transition {
    let mut transition = transition.clone();
    let words = match &mut transition.cause {
        Cause::ConsecutiveFailures { last_error, .. } | Cause::TrialFailed { last_error } => Some(last_error),
        Cause::FailureRate { last_error, .. } => last_error.as_mut(),
        Cause::Forced { reason } => Some(reason),
        Cause::Other { kind } => Some(kind),
        Cause::Started
        | Cause::SlowCallRate { .. }
        | Cause::OpenTimeElapsed
        | Cause::TrialSucceeded
        | Cause::TrialSlow
        | Cause::TrialOverdue => None,
    };
    if let Some(words) = words {
        *words = readable(words, CAUSE_BYTES);
    }
    transition
}

#[cfg(test)]
mod tests {
    use breakwater_breaker::State;
    use uuid::Uuid;

    use super::*;

    const EPOCH: Uuid = Uuid::from_u128(1);

    /// A client that tells all its transitions, whatever it is asked.
    fn deaf(epoch: Uuid, last_seq: u64) -> (Report, Cursor) {
        let seen = |seq| {
            let at = Timestamp::UNIX_EPOCH;
            let (from, to, cause) = (Some(State::HalfOpen), State::Closed, Cause::TrialSucceeded);
            Seen { transition: Transition { seq, from, to, at, mono_nanos: seq, cause }, aligned_at: at }
        };
        let transitions = (1..=last_seq).map(seen).collect();
        let report = Report { epoch, state: State::Closed, failures: 0, last_seq, calls: 0, errors: 0, transitions };
        (report, Cursor { epoch, seq: last_seq })
    }

    fn unread(mailbox: &Mailbox) -> Vec<u64> {
        let report = mailbox.read().report.expect("it was heard");
        report.transitions.iter().map(|seen| seen.transition.seq).collect()
    }

    #[test]
    fn of_very_many_transitions_all_are_read_and_few_are_kept_at_a_time() {
        let mailbox = Mailbox::new(Timestamp::UNIX_EPOCH);
        let last = 3 * UNREAD as u64 + 7;
        let mut cursor = Cursor { epoch: EPOCH, seq: 1 };
        let mut read = vec![];
        while cursor.seq < last {
            mailbox.recorded(cursor);
            assert!(mailbox.put(Timestamp::UNIX_EPOCH, Ok(deaf(EPOCH, last))), "there is more: {cursor}");
            let some = unread(&mailbox);
            assert!((1..=UNREAD).contains(&some.len()), "{} are kept", some.len());
            cursor.seq = some[some.len() - 1];
            read.extend(some);
        }
        assert_eq!(read, (2..=last).collect::<Vec<_>>());
        mailbox.recorded(cursor);
        assert!(!mailbox.put(Timestamp::UNIX_EPOCH, Ok(deaf(EPOCH, last))), "all is recorded");
        assert_eq!(unread(&mailbox), Vec::<u64>::new());
        // Of another process nothing is recorded yet.
        assert!(mailbox.put(Timestamp::UNIX_EPOCH, Ok(deaf(Uuid::from_u128(2), 3))));
        assert_eq!(unread(&mailbox), [1, 2, 3]);
    }

    #[test]
    fn of_what_is_said_of_a_transition_the_beginning_is_kept() {
        let long = "é".repeat(1 << 16);
        let short = "é".repeat(CAUSE_BYTES / 2);
        let unit = breakwater_breaker::Unit::Attempt;
        let causes = |words: &String| {
            [
                Cause::ConsecutiveFailures { count: 3, unit, last_error: words.clone() },
                Cause::FailureRate { calls: 9, failures: 9, unit, last_error: Some(words.clone()) },
                Cause::TrialFailed { last_error: words.clone() },
                Cause::Forced { reason: words.clone() },
                Cause::Other { kind: words.clone() },
            ]
        };
        let (mut report, _) = deaf(EPOCH, 1);
        let mut transition = report.transitions.remove(0).transition;
        for (said, kept) in causes(&long).into_iter().zip(causes(&short)) {
            transition.cause = said;
            assert_eq!(in_few_words(&transition).cause, kept);
        }
    }
}
