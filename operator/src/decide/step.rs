//! One look at a run that is under way.

use std::time::Duration;

use breakwater_crds::{
    ChaosExperiment, ChaosExperimentSpec, ChaosExperimentStatus, KillRecord, Outcome, Phase, Reason, Run, Verdict,
};
use jiff::Timestamp;

use super::{
    BASELINE_LIMIT, BLOCKED_AGAIN, Calendar, Decision, LOOK_AGAIN, Notice, Victim, WAVE_SPACING, baseline, choose,
    conditions, disturb, effect, elapsed, history, is_recurring,
    judge::{self, Ending, Standing},
    outcome, plus, record, rounds, running, start, uid,
};
use crate::{
    sabotage::{self, Defect},
    world::{Rival, Target, World},
};

/// What comes next for a run that is under way.
pub fn decide(
    experiment: &ChaosExperiment,
    mut status: ChaosExperimentStatus,
    world: &World,
    now: Timestamp,
) -> Decision {
    status.observed_generation = experiment.metadata.generation;
    let run = status.run.take().unwrap_or_default();
    let mut step =
        Step { experiment, spec: &experiment.spec, world, now, status, decision: Decision::default(), ending: None };
    step.pass_starts();
    let run = step.advance(run);
    step.finish(run)
}

/// One decision on its way.
struct Step<'a> {
    experiment: &'a ChaosExperiment,
    spec: &'a ChaosExperimentSpec,
    world: &'a World,
    now: Timestamp,
    status: ChaosExperimentStatus,
    decision: Decision,
    ending: Option<Ending>,
}

impl Step<'_> {
    fn say(&mut self, phase: Phase, reason: Reason, message: impl Into<String>) {
        super::say(&mut self.status, phase, reason, message);
    }

    /// Starts of the schedule that fall into the run are skipped.
    fn pass_starts(&mut self) {
        let Some(next) = self.status.next_schedule_time.filter(|next| *next <= self.now) else { return };
        if sabotage::has(Defect::CatchUpBurst) {
            return;
        }
        let Some(Ok(Some(calendar))) = self.spec.schedule.as_ref().map(Calendar::of) else { return };
        let missed = calendar.due(next, self.now, jiff::SignedDuration::ZERO);
        let count = missed.missed + u64::from(missed.start.is_some());
        self.status.missed_runs = plus(self.status.missed_runs, count);
        self.status.next_schedule_time = calendar.after(self.now);
        if count > 0 {
            self.decision.notices.push(Notice::missed(count));
        }
    }

    fn advance(&mut self, mut run: Run) -> Run {
        if run.ticket.is_none() {
            run.ticket = Some(ticket(self.experiment));
        }
        if self.world.unseen.is_some() {
            return self.blind(run);
        }
        if let Some(why) = &self.world.invalid {
            self.ending = Some(Ending::new(Verdict::Inconclusive, Reason::InvalidSpec, why.as_str()));
            return run;
        }
        self.decision.notices.extend(record::clients(self.spec, &mut run, self.world, self.now));
        record::targets(&mut run, self.world, self.now);
        disturb::note(self.spec, &mut run, self.world, self.now);
        if let Some(ending) = judge::interruption(self.experiment, self.world, &run, self.now) {
            self.ending = Some(ending);
            return run;
        }
        match run.round_at {
            None => self.before(&mut run),
            Some(_) => self.kill(&mut run),
        }
        if run.round_at.is_some() {
            let standing = judge::judge(self.spec, &run, self.world, self.now);
            match standing.map(|ending| disturb::temper(ending, &run)) {
                Standing::Ended(ending) if ending.verdict == Verdict::Passed && rounds::another(self.spec, &run) => {
                    rounds::next(self.spec, &mut run, self.world, self.now);
                    self.pause(&run);
                }
                Standing::Ended(ending) => self.ending = Some(ending),
                Standing::Open(phase, reason, message) => self.say(phase, reason, message),
            }
        }
        run
    }

    /// Nothing can be seen, so nothing is recorded, killed or judged; but the clock runs.
    fn blind(&mut self, mut run: Run) -> Run {
        if self.status.reason == Some(Reason::AnotherExperiment) {
            // How long others went first is not held against it.
            run.waited_until = Some(self.now);
        }
        let why = self.world.unseen.as_deref().unwrap_or_default();
        let message = format!("the pods cannot be listed: {why}");
        let phase = self.status.phase.filter(|_| run.round_at.is_some()).unwrap_or(Phase::Baseline);
        self.ending = judge::interruption(self.experiment, self.world, &run, self.now);
        if run.round_at.is_none() && self.ending.is_none() && self.waited(&run) >= self.patience() {
            self.ending = Some(Ending::new(Verdict::Inconclusive, Reason::PodsNotListed, message.as_str()));
        }
        self.say(phase, Reason::PodsNotListed, message);
        run
    }

    /// How long a baseline is waited for.
    fn patience(&self) -> Duration {
        BASELINE_LIMIT.min(self.spec.timeout.as_std())
    }

    fn waited(&self, run: &Run) -> Duration {
        elapsed(run.waited_until.unwrap_or(run.started_at), self.now)
    }

    /// Before a round: the pause, then others that go first, then the baseline.
    fn before(&mut self, run: &mut Run) {
        if run.waited_until.is_some_and(|end| self.now < end) && run.round > 1 {
            return self.pause(run);
        }
        // A ticket counts once it is written down, so that whoever comes later sees it.
        let written = self.experiment.status.as_ref().and_then(running);
        if written.is_some_and(|run| run.ticket.is_none()) {
            self.decision.requeue = Some(Duration::ZERO);
            return;
        }
        if let Some(rival) = first_of(self.world, run, self.experiment) {
            let message =
                format!("waiting for experiment {}, which kills some of the same pods and began first", rival.name);
            return self.say(Phase::Waiting, Reason::AnotherExperiment, message);
        }
        if self.status.reason == Some(Reason::AnotherExperiment) {
            run.waited_until = Some(self.now);
        }
        self.baseline(run);
    }

    fn pause(&mut self, run: &Run) {
        let of = self.spec.schedule.as_ref().map_or(1, |schedule| schedule.rounds);
        let until = run.waited_until.unwrap_or(self.now);
        let message = format!("round {} of {of} passed; the next one begins at {until:.0}", run.round - 1);
        self.say(Phase::Waiting, Reason::BetweenRounds, message);
    }

    /// No kill before every observed breaker is closed and enough targets are ready.
    fn baseline(&mut self, run: &mut Run) {
        match baseline::check(self.spec, self.world, run, self.now) {
            Err(missing) => {
                let limit = self.patience();
                // A new operator has heard nobody yet, however long the run has waited.
                if self.waited(run) >= limit && !baseline::is_asking(self.world, self.now) {
                    let message = format!("no baseline after {limit:?}: {}", missing.message);
                    self.ending = Some(Ending::new(Verdict::Inconclusive, missing.reason, message));
                } else {
                    self.say(Phase::Baseline, missing.reason, format!("waiting for a baseline: {}", missing.message));
                }
                conditions::missing(&mut self.status, &missing, self.now);
            }
            Ok(clients) => {
                rounds::begin(run, clients, self.world, self.now);
                conditions::found(&mut self.status, self.world, run.clients.len(), self.now);
                self.first_set(run);
            }
        }
    }

    fn first_set(&mut self, run: &mut Run) {
        let Some(kill) = &self.spec.kill else { return };
        run.hold_until = Some(kill.hold_for.unwrap_or_default().after(self.now));
        run.first_slot = plus(run.slot, 1);
        if self.spec.restarts_workload() {
            let workload = self.world.workload.iter().map(|workload| workload.target.clone()).collect();
            return self.plan(run, workload);
        }
        let choice = choose::first(&self.spec.target, run.seed, run.first_slot, &self.world.targets);
        run.blast_radius = choice.radius(&self.spec.target);
        run.spared = choice.spared;
        self.plan(run, choice.victims);
    }

    /// Finishes what is written down, and keeps the outage up while the hold lasts.
    fn kill(&mut self, run: &mut Run) {
        let Some(hold_until) = run.hold_until else { return };
        if sabotage::has(Defect::ChooseAgain) && run.kills.iter().any(|kill| kill.outcome == Outcome::Planned) {
            run.kills.retain(|kill| kill.outcome != Outcome::Planned);
            run.seed = run.id;
            return self.first_set(run);
        }
        outcome::expire(self.spec, run, self.world, self.is_killing(), self.now);
        let restarts = self.spec.restarts_workload();
        let lives = |uid: &str| self.world.targets.iter().any(|pod| pod.alive && pod.uid == uid);
        outcome::refuse(run, self.most(run), |kill| restarts || lives(&kill.uid), self.now);
        self.decision.kills.extend(effect::victims(run, self.now));
        if run.kills.iter().any(|kill| kill.outcome == Outcome::Planned) {
            return;
        }
        let spaced = run.kills.last().is_none_or(|kill| elapsed(kill.planned_at, self.now) >= WAVE_SPACING);
        // Nothing is killed that nobody watches: a new operator hears every replica first.
        let heard = |replica| record::view_of(replica, self.world).is_some_and(|view| view.report.is_some());
        // Where none of the first set could be killed, there is no outage to hold: the run is over.
        let begun = run.first_kill_at.is_some();
        if self.now < hold_until && begun && spaced && !self.spec.dry_run && run.clients.iter().all(heard) {
            let choice = choose::replacements(&self.spec.target, run, self.now, &self.world.targets);
            run.spared.extend(choice.spared);
            self.plan(run, choice.victims);
        }
    }

    /// Whether kills could be sent up to this look.
    fn is_killing(&self) -> bool {
        self.experiment.status.as_ref().is_some_and(|status| status.phase == Some(Phase::Killing))
    }

    /// How many kills may be under way by the spec, whatever the status says.
    fn most(&self, run: &Run) -> usize {
        if self.spec.restarts_workload() {
            return 1;
        }
        choose::most(&self.spec.target, run, self.now, &self.world.targets)
    }

    /// Writes a set of kills down. It is done only once it is written.
    fn plan(&mut self, run: &mut Run, chosen: Vec<Target>) {
        if chosen.is_empty() {
            return;
        }
        run.slot = plus(run.slot, 1);
        for victim in chosen {
            let kill = KillRecord {
                round: run.round,
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
            self.decision.kills.push(Victim::new(run, &kill));
            run.kills.push(kill);
        }
        outcome::trim_kills(run, self.now);
    }

    fn finish(mut self, mut run: Run) -> Decision {
        let finished = self.ending.is_some() && !is_recurring(self.experiment);
        if let Some(ending) = self.ending.take() {
            run.completed_at = Some(self.now);
            outcome::abandon(self.spec, &mut run, self.world, self.is_killing(), self.now);
            record::calls(&mut run, self.world);
            self.decision.kills.clear();
            self.decision.notices.push(Notice::completed(&ending));
            self.status.phase = Some(if finished { Phase::Completed } else { Phase::Waiting });
            history::close(&mut self.status, run, &ending, self.spec, self.now);
            // A schedule goes on at once: the next look is the first one between two runs.
            let expiry = start::expiry(self.spec, self.now).map(|expiry| start::wake(expiry, self.now));
            self.decision.requeue = if finished { expiry } else { Some(Duration::ZERO) };
        } else {
            self.decision.requeue.get_or_insert(next_look(self.spec, &run, self.now));
            self.status.summary = Some(record::summary(&run));
            self.status.run = Some(run);
        }
        conditions::update(&mut self.status, finished, self.now);
        self.decision.status = self.status;
        self.decision
    }
}

/// The run whose turn it is before ours, if there is one. Runs without a ticket have not told theirs yet and are waited for.
fn first_of<'a>(world: &'a World, run: &Run, experiment: &ChaosExperiment) -> Option<&'a Rival> {
    let key = |ticket: Option<u64>, uid: &str| (ticket.unwrap_or(0), uid.to_string());
    let own = key(run.ticket, &uid(experiment).to_string());
    world.rivals.iter().find(|rival| key(rival.ticket, &rival.uid) < own)
}

/// The version under which the run is first read back, in the order of the API server's store: whoever is written later has a
/// higher one.
fn ticket(experiment: &ChaosExperiment) -> u64 {
    let version = experiment.metadata.resource_version.as_deref();
    version.and_then(|version| version.parse().ok()).unwrap_or(u64::MAX >> 1)
}

/// The next moment at which something is due by the clock alone.
fn next_look(spec: &ChaosExperimentSpec, run: &Run, now: Timestamp) -> Duration {
    let due = |moment: Timestamp| elapsed(now, moment).max(Duration::from_millis(1));
    let mut next = LOOK_AGAIN;
    if let Some(baseline) = run.baseline_at {
        next = next.min(due(spec.timeout.after(baseline)));
    }
    if let Some(pause) = run.waited_until.filter(|end| *end > now) {
        next = next.min(due(pause));
    }
    if run.kills.iter().any(|kill| kill.outcome == Outcome::Blocked && effect::is_pending(run, kill, now)) {
        next = next.min(BLOCKED_AGAIN);
    }
    if let Some(hold_until) = run.hold_until.filter(|end| *end > now) {
        next = next.min(due(hold_until));
        if let Some(last) = run.kills.last() {
            let rest = WAVE_SPACING.saturating_sub(elapsed(last.planned_at, now));
            next = if rest.is_zero() { next } else { next.min(rest) };
        }
    }
    next
}
