//! The heart: from what is asked, what is recorded and what is seen to what is recorded next and what is to be done.
//!
//! [`decide`] is pure and total: no clock, no chance, no I/O, and an answer to every input. Between runs it decides whether one
//! begins (`start`); a run that is under way goes through these phases (`step`), once for each round:
//!
//! ```text
//! Waiting ─► Baseline ─► Killing ─► Recovering ─► Completed, or Waiting for the next round or the schedule's next start
//!    │          │  └──────► Observing ─────────────▲
//!    └─► Suspended      (nothing to kill, or breakers that must stay closed)
//! ```

mod baseline;
mod calendar;
mod choose;
mod conditions;
mod disturb;
mod effect;
mod history;
mod judge;
mod outcome;
mod record;
mod rounds;
mod start;
mod step;

use std::time::Duration;

use breakwater_crds::{ABORT, ChaosExperiment, ChaosExperimentStatus, Phase, Reason, Run};
use jiff::Timestamp;
use uuid::Uuid;

pub use calendar::{Calendar, Due, MISSED_AT_MOST};
pub use effect::{Notice, Victim};
pub use outcome::{Attempt, outcomes};
pub use record::{clients, readable};
pub use start::is_active;

use crate::world::World;

/// How long the operator waits for a baseline; the experiment's timeout if that is shorter.
pub const BASELINE_LIMIT: Duration = Duration::from_secs(60);
/// How long a replica may be silent before the run ends.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(10);
/// Between two sets of kills of one hold. With the time that a look and a delete take, a replacement is killed within 250 ms
/// of being seen, and the API server is not asked for more than seven sets a second.
pub const WAVE_SPACING: Duration = Duration::from_millis(150);
/// How long a kill that is written down may be tried without an answer, where no hold says it.
pub const KILL_LIMIT: Duration = Duration::from_secs(10);
/// An active run is looked at again after this time even if nothing happens.
pub const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// A kill that a budget forbids is tried again after this time.
pub const BLOCKED_AGAIN: Duration = Duration::from_secs(1);
/// A pod whose kill was refused is chosen again after this time, and each time it is refused again after twice the time, up to 32 times this.
pub const REFUSED_AGAIN: Duration = Duration::from_secs(1);
/// An experiment that waits for its time is thought of again after this time at the latest, without a request.
pub const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// The largest number that the API server takes as an integer, and so the largest that a status may have.
pub const MAX_NUMBER: u64 = i64::MAX as u64;

/// What is to be written, then done, and when to look again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// The status to write; all else is for after the write.
    pub status: ChaosExperimentStatus,
    /// Whom to kill, by the protocol of `apply`.
    pub kills: Vec<Victim>,
    /// What to publish as Kubernetes Events.
    pub notices: Vec<Notice>,
    /// The experiment has outlived its ttlAfterFinished: delete it.
    pub delete: bool,
    /// When to look again; never for an experiment that nothing is due for.
    pub requeue: Option<Duration>,
}

/// What comes next for an experiment, `now`, in this `world`.
pub fn decide(experiment: &ChaosExperiment, world: &World, now: Timestamp) -> Decision {
    let status = experiment.status.clone().unwrap_or_default();
    if experiment.metadata.deletion_timestamp.is_some() {
        return Decision { status, ..Decision::default() };
    }
    match running(&status) {
        Some(_) => step::decide(experiment, status, world, now),
        None => start::decide(experiment, status, world, now),
    }
}

/// Whether the experiment has its verdict, for ever: it runs once, and has run.
pub fn is_finished(experiment: &ChaosExperiment) -> bool {
    let has_run = experiment.run();
    has_run.is_some_and(|run| run.completed_at.is_some()) && !is_recurring(experiment)
}

/// Whether somebody asks for the run to end, by annotation.
pub fn is_aborted(experiment: &ChaosExperiment) -> bool {
    experiment.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(ABORT))
}

fn is_recurring(experiment: &ChaosExperiment) -> bool {
    experiment.spec.schedule.as_ref().is_some_and(|schedule| schedule.cron.is_some())
}

/// The run that is under way.
pub fn running(status: &ChaosExperimentStatus) -> Option<&Run> {
    status.run.as_ref().filter(|run| run.completed_at.is_none())
}

/// The run that holds an outage: what replaces a killed pod is killed as soon as it serves.
pub fn holding(experiment: &ChaosExperiment, now: Timestamp) -> Option<&Run> {
    experiment.status.as_ref().and_then(running).filter(|run| is_held(run, now))
}

fn is_held(run: &Run, now: Timestamp) -> bool {
    run.hold_until.is_some_and(|end| now < end)
}

/// Where the experiment stands and why, for people and for the conditions.
fn say(status: &mut ChaosExperimentStatus, phase: Phase, reason: Reason, message: impl Into<String>) {
    status.phase = Some(phase);
    status.reason = Some(reason);
    status.message = Some(message.into());
}

fn uid(experiment: &ChaosExperiment) -> Uuid {
    let uid = experiment.metadata.uid.as_deref().unwrap_or_default();
    Uuid::parse_str(uid).unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, uid.as_bytes()))
}

/// Counters stand still at [`MAX_NUMBER`]: with a larger number no status would ever be written again.
fn plus(count: u64, more: u64) -> u64 {
    count.saturating_add(more).min(MAX_NUMBER)
}

/// From one moment to a later one; nothing if it is earlier, as after a clock that jumped back.
fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}
