//! What came of a number of runs: who was killed, how late, and what it took.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use breakwater_crds::{ChaosExperiment, NOT_IN_TIME, Outcome};
use jiff::Timestamp;
use kube::ResourceExt;

use crate::{
    ControlPlane, Operator, Taken, Town,
    audit::{self, Request},
    ensure_passed,
};

/// Where the figures begin: what was asked and taken before.
#[derive(Clone, Debug, Default)]
pub struct Mark {
    bytes: usize,
    cpu: Duration,
}

/// The figures of a number of runs.
#[derive(Clone, Debug)]
pub struct Figures {
    /// How many ran.
    pub runs: usize,
    /// From a scheduled start to the first kill.
    pub start: Percentiles,
    /// From a replacement's readiness to its kill.
    pub replacement: Percentiles,
    /// Pods killed.
    pub kills: usize,
    /// Kills that were not sent, as their hold was over.
    pub given_up: usize,
    /// Runs that passed.
    pub passed: usize,
    /// What the operator asked.
    pub requests: Vec<Request>,
    /// What it took.
    pub taken: Taken,
}

/// How late something was.
#[derive(Clone, Copy, Debug, Default)]
pub struct Percentiles {
    /// The half was earlier.
    pub p50: Duration,
    /// Of a hundred one was later.
    pub p99: Duration,
    /// None was later.
    pub max: Duration,
}

impl Mark {
    /// Now.
    ///
    /// # Errors
    /// Where the operator or the log is gone.
    pub fn set(plane: &ControlPlane, operator: &Operator) -> Result<Self> {
        Ok(Self { bytes: plane.audit_log()?.len(), cpu: operator.taken()?.cpu })
    }

    /// What the operator asked since.
    ///
    /// # Errors
    /// Where the log is gone.
    pub fn requests(&self, plane: &ControlPlane) -> Result<Vec<Request>> {
        let log = plane.audit_log()?;
        Ok(audit::requests(log.get(self.bytes..).unwrap_or_default()))
    }
}

impl Percentiles {
    /// Of these.
    pub fn of(mut all: Vec<Duration>) -> Self {
        all.sort();
        let at = |share: usize| all.get((all.len() * share / 100).min(all.len().saturating_sub(1))).copied();
        Self {
            p50: at(50).unwrap_or_default(),
            p99: at(99).unwrap_or_default(),
            max: all.last().copied().unwrap_or_default(),
        }
    }
}

impl Figures {
    /// Of these runs, which are complete.
    ///
    /// # Errors
    /// Where a pod was killed that no run has in its record, or one that it has lives.
    pub fn of(
        all: &[ChaosExperiment],
        town: &Town,
        plane: &ControlPlane,
        operator: &Operator,
        from: &Mark,
    ) -> Result<Self> {
        let targets = town.targets();
        let (mut start, mut replacement, mut kills, mut given_up) = (vec![], vec![], 0, 0);
        let mut gone = 0;
        for one in all {
            let number: usize = one.name_any().trim_start_matches("run-").parse()?;
            let run = one.run().context("it has run")?;
            for kill in &run.kills {
                let pod =
                    targets.get(&kill.uid).with_context(|| format!("{} killed a pod of nobody", one.name_any()))?;
                ensure!(pod.experiment == number, "{} killed a pod of run {}", one.name_any(), pod.experiment);
                if kill.outcome == Outcome::Failed && kill.message.as_deref() == Some(NOT_IN_TIME) {
                    given_up += 1;
                    continue;
                }
                ensure!(kill.outcome == Outcome::Deleted, "{}: {:?} {:?}", one.name_any(), kill.outcome, kill.message);
                ensure!(pod.gone_at.is_some(), "{} says that it killed {}, which lives", one.name_any(), kill.pod);
                kills += 1;
                let Some(sent) = kill.sent_at else { continue };
                match kill.slot {
                    1 => start.push(between(run.scheduled_at.unwrap_or(run.started_at), sent)),
                    _ => replacement.push(between(pod.ready_at, sent)),
                }
            }
            gone += targets.values().filter(|pod| pod.experiment == number && pod.gone_at.is_some()).count();
        }
        ensure!(gone == kills, "{gone} pods of targets are gone, and {kills} kills are recorded");
        let requests = from.requests(plane)?;
        let deleted = requests.iter().filter(|one| one.verb == "delete" && one.resource == "pods" && one.code == 200);
        let strangers: Vec<_> = deleted.clone().filter(|one| !one.name.starts_with("target-")).collect();
        ensure!(strangers.is_empty(), "others were killed: {strangers:?}");
        ensure!(deleted.count() == kills, "the API server deleted another number of pods than {kills}");
        let taken = operator.taken()?;
        let taken = Taken { cpu: taken.cpu.saturating_sub(from.cpu), ..taken };
        let (start, replacement) = (Percentiles::of(start), Percentiles::of(replacement));
        let passed = all.iter().filter(|one| ensure_passed(one).is_ok()).count();
        Ok(Self { runs: all.len(), start, replacement, kills, given_up, passed, requests, taken })
    }

    /// Requests that are no watches, a run.
    pub fn requests_a_run(&self) -> f64 {
        self.requests.iter().filter(|one| one.verb != "watch").count() as f64 / self.runs.max(1) as f64
    }
}

/// From one moment to another; zero where that comes before.
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}
