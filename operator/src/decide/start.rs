//! Between runs: whether one begins, when the next one does, and what has ended for good.

use breakwater_crds::{
    ChaosExperiment, ChaosExperimentSpec, ChaosExperimentStatus, Phase, Reason, Run, Schedule, Verdict,
};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{
    Calendar, Decision, LONGEST_WAIT, LOOK_AGAIN, Notice, conditions, elapsed, history, is_aborted, is_finished,
    is_recurring, judge::Ending, plus, running, say, uid,
};
use crate::{
    sabotage::{self, Defect},
    world::World,
};

const A_DAY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// Whether the experiment has anything to do with the world: only then is there a point in looking at it.
pub fn is_active(experiment: &ChaosExperiment, now: Timestamp) -> bool {
    if experiment.metadata.deletion_timestamp.is_some() {
        return false;
    }
    let status = experiment.status.as_ref();
    if status.is_some_and(|status| running(status).is_some()) {
        return true;
    }
    if is_finished(experiment) || experiment.spec.suspend || (is_recurring(experiment) && is_aborted(experiment)) {
        return false;
    }
    let Some(schedule) = &experiment.spec.schedule else { return true };
    let next = status.filter(|status| status.observed_generation == experiment.metadata.generation);
    let next = next.and_then(|status| status.next_schedule_time);
    match (&schedule.cron, schedule.at) {
        (Some(_), _) => next.is_some_and(|next| next <= now),
        (None, Some(at)) => at <= now,
        (None, None) => true,
    }
}

/// What comes next for an experiment without a run under way.
pub fn decide(
    experiment: &ChaosExperiment,
    mut status: ChaosExperimentStatus,
    world: &World,
    now: Timestamp,
) -> Decision {
    let changed = status.observed_generation != experiment.metadata.generation;
    status.observed_generation = experiment.metadata.generation;
    if is_finished(experiment) {
        return finished(experiment, status, changed, now);
    }
    if experiment.spec.suspend {
        return wait(status, Phase::Suspended, Reason::Suspended, "spec.suspend is true: no run begins", None, now);
    }
    if world.unseen.is_some() {
        // Whether all is halted is not known.
        let status = experiment.status.clone().unwrap_or_default();
        return Decision { status, requeue: Some(LOOK_AGAIN), ..Decision::default() };
    }
    let schedule = experiment.spec.schedule.clone().unwrap_or_default();
    match Calendar::of(&schedule) {
        Err(why) => wait(status, Phase::Waiting, Reason::InvalidSpec, &why, None, now),
        Ok(Some(calendar)) => recurring(experiment, status, &schedule, &calendar, changed, world, now),
        Ok(None) => once(experiment, status, &schedule, world, now),
    }
}

fn recurring(
    experiment: &ChaosExperiment,
    mut status: ChaosExperimentStatus,
    schedule: &Schedule,
    calendar: &Calendar,
    changed: bool,
    world: &World,
    now: Timestamp,
) -> Decision {
    if is_aborted(experiment) {
        let message = format!("no run begins while the annotation {} is there", breakwater_crds::ABORT);
        return wait(status, Phase::Waiting, Reason::AbortRequested, &message, None, now);
    }
    // A schedule that is new, or was held back, begins with its next start: it never fires on apply.
    let Some(next) = status.next_schedule_time.filter(|_| !changed) else {
        return scheduled(status, calendar, now);
    };
    if let Some(why) = world.halted.as_ref().filter(|_| next <= now) {
        return halted(status, Some(next), why, now);
    }
    let due = calendar.due(next, now, signed(schedule));
    status.missed_runs = plus(status.missed_runs, due.missed);
    let bursts = sabotage::has(Defect::CatchUpBurst);
    let mut decision = match due.start.filter(|start| bursts || !is_used(&status, *start)) {
        None => scheduled(status, calendar, now),
        Some(start) => {
            status.next_schedule_time = calendar.after(if bursts { next } else { now });
            begin(experiment, status, Some(start), now)
        }
    };
    if due.missed > 0 {
        decision.notices.push(Notice::missed(due.missed));
    }
    decision
}

/// Whether a run was begun for this start: where clocks differ by years, what is due may have been before.
fn is_used(status: &ChaosExperimentStatus, start: Timestamp) -> bool {
    let last = status.run.as_ref().and_then(|run| run.scheduled_at);
    status.history.iter().filter_map(|run| run.scheduled_at).chain(last).any(|used| used == start)
}

/// The newest start that a run was begun for, if by this clock it is still to come, within a day: the clock was put back, and what it shows
/// once more was used. One that is further away was used by a clock that was wrong.
fn used_ahead(status: &ChaosExperimentStatus, now: Timestamp) -> Option<Timestamp> {
    let last = status.run.as_ref().and_then(|run| run.scheduled_at);
    let used = status.history.iter().filter_map(|run| run.scheduled_at).chain(last).max();
    used.filter(|used| *used > now && elapsed(now, *used) <= A_DAY)
}

fn scheduled(status: ChaosExperimentStatus, calendar: &Calendar, now: Timestamp) -> Decision {
    match calendar.after(used_ahead(&status, now).unwrap_or(now)) {
        Some(next) => {
            // What the last run said stays in sight until the next one begins.
            let last = status.history.last().map(|run| (run.reason, run.message.clone()));
            let last =
                last.or_else(|| Some((status.reason?, status.message.clone()?)).filter(|_| has_just_ended(&status)));
            let which = if status.runs == 0 { "first" } else { "next" };
            let (reason, message) =
                last.unwrap_or((Reason::Scheduled, format!("waiting for the schedule's {which} start")));
            wait(status, Phase::Waiting, reason, &message, Some(next), now)
        }
        None => {
            let message = "spec.schedule has no start in years to come: cron names a date that never comes, or excluded leaves none";
            wait(status, Phase::Waiting, Reason::NeverDue, message, None, now)
        }
    }
}

/// Where no history is kept, the status itself still says how the last run ended, up to when something else is said.
fn has_just_ended(status: &ChaosExperimentStatus) -> bool {
    use Reason::{AbortRequested, Halted, InvalidSpec, NeverDue, Scheduled, Suspended};
    let says_why_it_waits =
        |reason| matches!(reason, AbortRequested | Halted | InvalidSpec | NeverDue | Scheduled | Suspended);
    status.run.is_some() && !status.reason.is_some_and(says_why_it_waits)
}

fn once(
    experiment: &ChaosExperiment,
    mut status: ChaosExperimentStatus,
    schedule: &Schedule,
    world: &World,
    now: Timestamp,
) -> Decision {
    if let Some(at) = schedule.at {
        if now < at {
            return wait(status, Phase::Waiting, Reason::Scheduled, "waiting for spec.schedule.at", Some(at), now);
        }
        if elapsed(at, now) > schedule.starting_deadline.as_std() {
            status.missed_runs = plus(status.missed_runs, 1);
            let message = format!("spec.schedule.at ({at}) was missed by more than startingDeadline; nothing was done");
            let mut run = new_run(experiment, &mut status, Some(at), now);
            run.completed_at = Some(now);
            let ending = Ending::new(Verdict::Inconclusive, Reason::StartMissed, message);
            return end(experiment, status, run, &ending, now);
        }
    }
    match &world.halted {
        Some(why) => halted(status, schedule.at, why, now),
        None => begin(experiment, status, schedule.at, now),
    }
}

/// A run that ends as it begins.
fn end(
    experiment: &ChaosExperiment,
    mut status: ChaosExperimentStatus,
    run: Run,
    ending: &Ending,
    now: Timestamp,
) -> Decision {
    status.next_schedule_time = None;
    status.phase = Some(Phase::Completed);
    history::close(&mut status, run, ending, &experiment.spec, now);
    conditions::update(&mut status, true, now);
    let requeue = expiry(&experiment.spec, now).map(|expiry| wake(expiry, now));
    Decision { status, notices: vec![Notice::completed(ending)], requeue, ..Decision::default() }
}

/// Writes a run down, and no more: whom it must wait for is asked once it can be seen by all.
fn begin(
    experiment: &ChaosExperiment,
    mut status: ChaosExperimentStatus,
    scheduled_at: Option<Timestamp>,
    now: Timestamp,
) -> Decision {
    if !is_recurring(experiment) {
        status.next_schedule_time = None;
    }
    status.run = Some(new_run(experiment, &mut status, scheduled_at, now));
    (status.verdict, status.summary) = (None, None);
    say(&mut status, Phase::Baseline, Reason::Starting, "the run is written down; the baseline is looked at next");
    conditions::begin(&mut status, now);
    conditions::update(&mut status, false, now);
    Decision { status, requeue: Some(std::time::Duration::ZERO), ..Decision::default() }
}

fn new_run(
    experiment: &ChaosExperiment,
    status: &mut ChaosExperimentStatus,
    scheduled_at: Option<Timestamp>,
    now: Timestamp,
) -> Run {
    status.runs = plus(status.runs, 1);
    let (number, uid) = (status.runs, uid(experiment));
    let of = |what: &str| Uuid::new_v5(&uid, format!("{what}/{number}").as_bytes());
    Run { id: of("run"), seed: of("seed"), number, scheduled_at, started_at: now, round: 1, ..Run::default() }
}

fn halted(status: ChaosExperimentStatus, next: Option<Timestamp>, why: &str, now: Timestamp) -> Decision {
    let message = format!("no run begins: {why}");
    let mut decision = wait(status, Phase::Waiting, Reason::Halted, &message, next, now);
    decision.requeue = Some(LOOK_AGAIN);
    decision
}

fn finished(
    experiment: &ChaosExperiment,
    mut status: ChaosExperimentStatus,
    changed: bool,
    now: Timestamp,
) -> Decision {
    if changed {
        status.phase = Some(Phase::Completed);
        history::trim(&mut status, &experiment.spec);
        conditions::update(&mut status, true, now);
    }
    let ended = status.run.as_ref().and_then(|run| run.completed_at);
    let expiry = ended.and_then(|ended| expiry(&experiment.spec, ended));
    Decision {
        status,
        delete: expiry.is_some_and(|expiry| expiry <= now),
        requeue: expiry.map(|expiry| wake(expiry, now)),
        ..Decision::default()
    }
}

fn wait(
    mut status: ChaosExperimentStatus,
    phase: Phase,
    reason: Reason,
    message: &str,
    next: Option<Timestamp>,
    now: Timestamp,
) -> Decision {
    status.next_schedule_time = next;
    say(&mut status, phase, reason, message);
    conditions::update(&mut status, false, now);
    Decision { status, requeue: next.map(|next| wake(next, now)), ..Decision::default() }
}

/// When an experiment that ended for good is deleted, if ever.
pub(super) fn expiry(spec: &ChaosExperimentSpec, ended: Timestamp) -> Option<Timestamp> {
    spec.ttl_after_finished.map(|ttl| ttl.after(ended))
}

/// Nobody else says when it is time: the operator's own writes are no reason to look again.
pub(super) fn wake(at: Timestamp, now: Timestamp) -> std::time::Duration {
    elapsed(now, at).clamp(std::time::Duration::from_millis(1), LONGEST_WAIT)
}

fn signed(schedule: &Schedule) -> SignedDuration {
    SignedDuration::try_from(schedule.starting_deadline.as_std()).unwrap_or(SignedDuration::MAX)
}
