//! The heart: from what is asked, what is recorded and what is seen to what is recorded next and what is to be done.
//!
//! [`decide`] is pure and total: no clock, no chance, no I/O, and an answer to every input. A run goes through these phases,
//! each in a function of its own below:
//!
//! ```text
//! (none) ─► Baseline ─► Killing ─► Recovering ─► Completed
//!    │          │  └──────► Observing ──────────────▲
//!    └─► Suspended      (nothing to kill, or breakers that must stay closed)
//! ```

mod baseline;
mod choose;
mod conditions;
mod effect;
mod judge;
mod record;

use std::time::Duration;

use breakwater_crds::{
    ChaosExperiment, ChaosExperimentSpec, ChaosExperimentStatus, KillRecord, Outcome, Phase, Reason, Run, Verdict,
};
use jiff::Timestamp;
use uuid::Uuid;

pub use effect::{Effect, Notice, Victim};
pub use record::{Attempt, outcomes, readable};

use crate::world::{Target, World};
use judge::Ending;

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

/// What is to be written, then done, and when to look again.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The status to write; effects are for after the write.
    pub status: ChaosExperimentStatus,
    /// What to do outside, in order.
    pub effects: Vec<Effect>,
    /// When to look again; never for an idle experiment.
    pub requeue: Option<Duration>,
}

/// Whether the experiment has its verdict. It keeps it for ever.
pub fn is_complete(experiment: &ChaosExperiment) -> bool {
    experiment.status.as_ref().and_then(|status| status.phase) == Some(Phase::Completed)
}

/// Whether the experiment has anything to do with the world: only then is there a point in looking at it.
pub fn is_active(experiment: &ChaosExperiment) -> bool {
    let running = experiment.status.as_ref().is_some_and(|status| status.run.is_some());
    experiment.metadata.deletion_timestamp.is_none()
        && !is_complete(experiment)
        && (running || !experiment.spec.suspend)
}

/// What comes next for an experiment, `now`, in this `world`.
pub fn decide(experiment: &ChaosExperiment, world: &World, now: Timestamp) -> Decision {
    let mut status = experiment.status.clone().unwrap_or_default();
    if is_complete(experiment) || experiment.metadata.deletion_timestamp.is_some() {
        return Decision { status, effects: vec![], requeue: None };
    }
    status.observed_generation = experiment.metadata.generation;
    let mut step = Step { experiment, spec: &experiment.spec, world, now, effects: vec![], phase: None, ending: None };
    let run = match status.run.take() {
        None if experiment.spec.suspend => {
            status.phase = Some(Phase::Suspended);
            step.say(&mut status, Reason::Suspended, "spec.suspend is true: the experiment has not begun".into());
            conditions::update(&mut status, now);
            return Decision { status, effects: vec![], requeue: None };
        }
        None => step.new_run(),
        Some(run) => run,
    };
    let run = step.advance(&mut status, run);
    step.finish(status, run)
}

/// One decision on its way.
struct Step<'a> {
    experiment: &'a ChaosExperiment,
    spec: &'a ChaosExperimentSpec,
    world: &'a World,
    now: Timestamp,
    effects: Vec<Effect>,
    phase: Option<Phase>,
    ending: Option<Ending>,
}

impl Step<'_> {
    fn uid(&self) -> Uuid {
        let uid = self.experiment.metadata.uid.as_deref().unwrap_or_default();
        Uuid::parse_str(uid).unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, uid.as_bytes()))
    }

    fn new_run(&self) -> Run {
        Run {
            id: Uuid::new_v5(&self.uid(), b"run/1"),
            started_at: self.now,
            baseline_at: None,
            hold_until: None,
            targets_lost_at: None,
            targets_ready_at: None,
            completed_at: None,
            slot: 0,
            spared: vec![],
            kills: vec![],
            kills_dropped: 0,
            killed: 0,
            first_kill_at: None,
            clients: vec![],
        }
    }

    fn say(&self, status: &mut ChaosExperimentStatus, reason: Reason, message: String) {
        status.reason = Some(reason);
        status.message = Some(message);
    }

    fn advance(&mut self, status: &mut ChaosExperimentStatus, mut run: Run) -> Run {
        if let Some(why) = &self.world.unseen {
            return self.blind(status, run, why);
        }
        if let Some(why) = &self.world.invalid {
            self.ending = Some(Ending::new(Verdict::Inconclusive, Reason::InvalidSpec, why.as_str()));
            return run;
        }
        self.effects.extend(record::clients(self.spec, &mut run, self.world, self.now));
        record::targets(&mut run, self.world, self.now);
        if let Some(ending) = judge::interruption(self.spec, &run, self.now) {
            self.ending = Some(ending);
            return run;
        }
        match run.baseline_at {
            None => self.baseline(status, &mut run),
            Some(_) => self.kill(&mut run),
        }
        if let Some(baseline_at) = run.baseline_at {
            match judge::judge(self.spec, &run, self.world, baseline_at, self.now) {
                judge::Standing::Ended(ending) => self.ending = Some(ending),
                judge::Standing::Open(phase, reason, message) => {
                    self.phase = Some(phase);
                    self.say(status, reason, message);
                }
            }
        }
        run
    }

    /// Nothing can be seen, so nothing is recorded, killed or judged; but the clock runs.
    fn blind(&mut self, status: &mut ChaosExperimentStatus, run: Run, why: &str) -> Run {
        let message = format!("the pods cannot be listed: {why}");
        self.phase = Some(status.phase.filter(|_| run.baseline_at.is_some()).unwrap_or(Phase::Baseline));
        self.ending = judge::interruption(self.spec, &run, self.now);
        if run.baseline_at.is_none() && elapsed(run.started_at, self.now) >= self.patience() {
            self.ending = Some(Ending::new(Verdict::Inconclusive, Reason::PodsNotListed, message.as_str()));
        }
        self.say(status, Reason::PodsNotListed, message);
        run
    }

    /// How long a baseline is waited for.
    fn patience(&self) -> Duration {
        BASELINE_LIMIT.min(self.spec.timeout.as_std())
    }

    /// No kill before every observed breaker is closed and a target is ready.
    fn baseline(&mut self, status: &mut ChaosExperimentStatus, run: &mut Run) {
        self.phase = Some(Phase::Baseline);
        match baseline::check(self.spec, self.world, self.now) {
            Err(missing) => {
                let limit = self.patience();
                if elapsed(run.started_at, self.now) >= limit {
                    let message = format!("no baseline after {limit:?}: {}", missing.message);
                    self.ending = Some(Ending::new(Verdict::Inconclusive, missing.reason, message));
                } else {
                    self.say(status, missing.reason, format!("waiting for a baseline: {}", missing.message));
                }
                conditions::missing(status, &missing, self.now);
            }
            Ok(clients) => {
                run.baseline_at = Some(self.now);
                run.clients = clients;
                conditions::found(status, self.world, run.clients.len(), self.now);
                if let Some(kill) = &self.spec.kill {
                    let hold = kill.hold_for.unwrap_or_default();
                    run.hold_until = Some(hold.after(self.now));
                    let choice = choose::first(&self.spec.target.pods, self.uid(), &self.world.targets);
                    run.spared = choice.spared;
                    self.plan(run, choice.victims);
                }
            }
        }
    }

    /// Finishes what is written down, and keeps the outage up while the hold lasts.
    fn kill(&mut self, run: &mut Run) {
        let Some(hold_until) = run.hold_until else { return };
        record::expire(run, self.world, self.now);
        if run.kills.iter().any(|kill| kill.outcome == Outcome::Planned) {
            self.effects.extend(victims(run));
            return;
        }
        let spaced = run.kills.last().is_none_or(|kill| elapsed(kill.planned_at, self.now) >= WAVE_SPACING);
        // Nothing is killed that nobody watches: a new operator hears every replica first.
        let heard = |replica| record::view_of(replica, self.world).is_some_and(|view| view.report.is_some());
        if self.now < hold_until && spaced && run.clients.iter().all(heard) {
            let choice = choose::replacements(
                &self.spec.target.pods,
                self.uid(),
                run.slot.saturating_add(1),
                &run.spared,
                &self.world.targets,
            );
            run.spared.extend(choice.spared);
            self.plan(run, choice.victims);
        }
    }

    /// Writes a set of kills down. It is done only once it is written.
    fn plan(&mut self, run: &mut Run, chosen: Vec<Target>) {
        if chosen.is_empty() {
            return;
        }
        run.slot = run.slot.saturating_add(1);
        for victim in chosen {
            let kill = KillRecord {
                slot: run.slot,
                pod: victim.name,
                uid: victim.uid,
                resource_version: victim.resource_version,
                node: victim.node,
                planned_at: self.now,
                sent_at: None,
                outcome: Outcome::Planned,
                message: None,
            };
            run.kills.push(kill);
        }
        record::trim_kills(run);
        self.effects.extend(victims(run));
    }

    fn finish(mut self, mut status: ChaosExperimentStatus, mut run: Run) -> Decision {
        let mut requeue = Some(self.next_look(&run));
        if let Some(ending) = self.ending.take() {
            run.completed_at = Some(self.now);
            record::abandon(&mut run, self.world);
            record::calls(&mut run, self.world);
            self.phase = Some(Phase::Completed);
            status.verdict = Some(ending.verdict);
            self.effects.retain(|effect| !matches!(effect, Effect::Kill(_)));
            self.effects.push(Effect::Publish(Notice::completed(&ending)));
            self.say(&mut status, ending.reason, ending.message);
            requeue = None;
        }
        status.phase = self.phase;
        status.summary = Some(record::summary(&run));
        status.run = Some(run);
        conditions::update(&mut status, self.now);
        Decision { status, effects: self.effects, requeue }
    }

    /// The next moment at which something is due by the clock alone.
    fn next_look(&self, run: &Run) -> Duration {
        let due = |moment: Timestamp| elapsed(self.now, moment).max(Duration::from_millis(1));
        let mut next = LOOK_AGAIN.min(due(self.spec.timeout.after(run.baseline_at.unwrap_or(run.started_at))));
        if let Some(hold_until) = run.hold_until.filter(|end| *end > self.now) {
            next = next.min(due(hold_until));
            if let Some(last) = run.kills.last() {
                let rest = WAVE_SPACING.saturating_sub(elapsed(last.planned_at, self.now));
                next = if rest.is_zero() { next } else { next.min(rest) };
            }
        }
        next
    }
}

/// The kills that are written down and have no outcome yet.
fn victims(run: &Run) -> impl Iterator<Item = Effect> {
    let planned = run.kills.iter().filter(|kill| kill.outcome == Outcome::Planned);
    planned.map(|kill| Effect::Kill(Victim::new(run, kill)))
}

/// From one moment to a later one; nothing if it is earlier, as after a clock that jumped back.
fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}
