//! What the client tells of its breakers: `GET /status`, at once or at the first news, and `GET /status/stream`.

mod position;
mod routes;
mod stream;

use std::time::Duration;

use breakwater_breaker::{
    Cursor, CursorAhead,
    wire::{Instance, SCHEMA, StatusReport},
};
use futures::future::{join_all, select_all};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{clock::Clock, target::Followed};

pub use position::Position;
pub use routes::get;
pub use stream::stream;

/// A `wait` that is longer is cut to this: proxies and readers give up on connections that are silent for a minute.
pub const MAX_WAIT: Duration = Duration::from_secs(30);

/// What `/status` tells of.
#[derive(Debug)]
pub struct Status {
    instance: Instance,
    clock: Clock,
    breakers: Vec<Told>,
    release: CancellationToken,
}

/// A breaker that is told of.
#[derive(Debug)]
struct Told {
    followed: Followed,
    /// Number of the newest transition that an answer held; 0 before the first answer.
    seen: watch::Sender<u64>,
}

/// Some of the breakers, by their places: all of them, or the one that was asked for.
type Chosen = Vec<usize>;

/// Why a question cannot be answered; the text says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Refusal {
    NoSuchBreaker(String),
    Wrong(String),
}

impl Status {
    /// Tells of these breakers.
    pub fn new(instance: Instance, clock: Clock, followed: Vec<Followed>) -> Self {
        let breakers = followed.into_iter().map(|followed| Told { followed, seen: watch::Sender::new(0) }).collect();
        Self { instance, clock, breakers, release: CancellationToken::new() }
    }

    /// The breaker of that name, or all.
    fn choose(&self, name: Option<&str>) -> Result<Chosen, Refusal> {
        let names = || self.breakers.iter().map(|told| told.followed.breaker.name());
        let Some(name) = name else { return Ok((0..self.breakers.len()).collect()) };
        match names().position(|one| one == name) {
            Some(at) => Ok(vec![at]),
            None => {
                let names: Vec<_> = names().collect();
                Err(Refusal::NoSuchBreaker(format!("breaker: there is no {name:?}; write one of {}", names.join(", "))))
            }
        }
    }

    /// The report after `since`; at the first transition after it, or when `wait` is over.
    async fn report(&self, chosen: &Chosen, since: Option<&Position>, wait: Duration) -> Result<StatusReport, Refusal> {
        let first = self.copy(chosen, since)?;
        let unchanged = first.breakers.iter().all(|breaker| breaker.transitions.items.is_empty());
        let report = match since {
            Some(since) if unchanged && !wait.is_zero() => {
                let _ = timeout(wait.min(MAX_WAIT), self.news(chosen, since)).await;
                self.copy(chosen, Some(since))?
            }
            _ => first,
        };
        for (at, breaker) in chosen.iter().zip(&report.breakers) {
            self.breakers[*at].seen.send_modify(|seen| *seen = (*seen).max(breaker.transitions.last_seq));
        }
        Ok(report)
    }

    /// Waits for a transition after `since`, or until nothing is to be waited for.
    async fn news(&self, chosen: &Chosen, since: &Position) {
        let mut newest: Vec<_> = chosen.iter().map(|at| self.breakers[*at].followed.newest.clone()).collect();
        let news =
            newest.iter_mut().zip(&since.seqs).map(|(newest, seen)| Box::pin(newest.wait_for(|newest| newest > seen)));
        tokio::select! {
            _ = select_all(news) => {}
            () = self.release.cancelled() => {}
        }
    }

    /// Each breaker is copied at one moment; `now` is one that none of the copies is older than.
    fn copy(&self, chosen: &Chosen, since: Option<&Position>) -> Result<StatusReport, Refusal> {
        let now = self.clock.now();
        if let Some(since) =
            since.filter(|since| since.epoch == self.instance.epoch && since.seqs.len() != chosen.len())
        {
            return Err(Refusal::Wrong(format!(
                "since: {since} has numbers for {} breakers, and there are {}; add &breaker=NAME, or write EPOCH:SEQ.SEQ, \
                 as the answer's ETag has it",
                since.seqs.len(),
                chosen.len()
            )));
        }
        let reports = chosen.iter().enumerate().map(|(nth, at)| {
            let since =
                since.map(|since| Cursor { epoch: since.epoch, seq: since.seqs.get(nth).copied().unwrap_or_default() });
            self.breakers[*at].followed.breaker.report(since, now)
        });
        let breakers =
            reports.collect::<Result<_, CursorAhead>>().map_err(|ahead| Refusal::Wrong(format!("since: {ahead}")))?;
        Ok(StatusReport { schema: SCHEMA.to_owned(), instance: self.instance.clone(), now, breakers })
    }

    /// Has every poll answer at once and every stream end, from now on.
    pub fn release(&self) {
        self.release.cancel();
    }

    /// Waits until answers held the newest transition of each breaker; one that nobody ever asked for is not waited for.
    pub async fn all_seen(&self) {
        join_all(self.breakers.iter().map(|told| async {
            let newest = *told.followed.newest.borrow();
            let mut seen = told.seen.subscribe();
            // The sender lives as long as `self`: this cannot fail.
            let _ = seen.wait_for(|seen| *seen == 0 || *seen >= newest).await;
        }))
        .await;
    }
}

/// Where the reader of this report is.
fn position(report: &StatusReport) -> Position {
    let seqs = report.breakers.iter().map(|breaker| breaker.transitions.last_seq).collect();
    Position { epoch: report.instance.epoch, seqs }
}
