//! What was seen goes into the record: transitions once and in order, all of it bounded.

use breakwater_breaker::{Cause, State};
use breakwater_crds::{
    ChaosExperimentSpec, Duration, Gap, GapReason, MAX_GAPS, MAX_SEQUENCE, MAX_TRANSITIONS, Parts, Replica, Run,
    Summary, TransitionRecord,
};
use jiff::Timestamp;

use super::{SILENCE_LIMIT, effect::Notice, elapsed, is_held, plus};
use crate::world::{ReplicaView, Report, Seen, World};

/// Bytes that are kept of a transition's cause.
const MAX_CAUSE: usize = 128;

/// How far a transition's time may be off: half of the longest round trip of a poll.
const ALIGNMENT: std::time::Duration = std::time::Duration::from_secs(1);

/// When the target was without a ready pod, and when it had one again.
pub fn targets(run: &mut Run, world: &World, now: Timestamp) {
    if run.first_kill_at.is_none() {
        return;
    }
    let ready = world.targets.iter().any(|pod| pod.ready && pod.alive);
    if !ready && run.targets_lost_at.is_none() {
        run.targets_lost_at = Some(now);
    }
    let held = is_held(run, now);
    if ready && !held && run.targets_ready_at.is_none() && run.targets_lost_at.is_some() {
        run.targets_ready_at = Some(now);
    }
    if ready && held && run.targets_lost_at.is_some() {
        run.served_in_hold_at.get_or_insert(now);
    }
    let fails = |replica: &Replica| report_of(replica, world).is_some_and(|report| report.failures > 0);
    if run.first_failure_at.is_none() && run.clients.iter().any(fails) {
        run.first_failure_at = Some(now);
    }
}

/// Takes what the replicas told into the record; says what people should hear of.
pub fn clients(spec: &ChaosExperimentSpec, run: &mut Run, world: &World, now: Timestamp) -> Vec<Notice> {
    let planned = run.kills.iter().find(|kill| kill.round == run.round).map(|kill| kill.planned_at);
    let first_kill = run.first_kill_at.or(planned);
    let moments = Moments { first_kill, hold_end: run.hold_until.max(first_kill) };
    let mut notices = Vec::new();
    for replica in &mut run.clients {
        match view_of(replica, world) {
            None => lose(replica, GapReason::ReplicaGone, None, now),
            Some(view) => hear(replica, view, spec.observe.interval.as_std(), &moments, now, &mut notices),
        }
    }
    notices
}

/// The calls that the replicas have made so far; kept for the record when a round ends.
pub fn calls(run: &mut Run, world: &World) {
    for replica in &mut run.clients {
        if let Some(report) = report_of(replica, world) {
            replica.calls = report.calls;
            replica.errors = report.errors;
        }
    }
}

/// What the replica's process last said, if it is still the process that is recorded.
pub fn report_of<'a>(replica: &Replica, world: &'a World) -> Option<&'a Report> {
    view_of(replica, world)?.report.as_ref().filter(|report| report.epoch == replica.epoch)
}

/// One pod may be a replica of two clients, for two breakers in it.
pub fn view_of<'a>(replica: &Replica, world: &'a World) -> Option<&'a ReplicaView> {
    let client = world.clients.iter().find(|client| client.name == replica.client)?;
    client.replicas.iter().find(|view| view.uid == replica.uid)
}

/// The run in figures: those of its rounds together, of times the worst.
pub fn summary(run: &Run) -> Summary {
    let now = of_round(run);
    let all = || run.rounds.iter().map(|round| &round.summary).chain([&now]);
    Summary {
        kills: run.killed,
        time_to_open: all().filter_map(|one| one.time_to_open).max(),
        time_to_close: all().filter_map(|one| one.time_to_close).max(),
        outage: all().filter_map(|one| one.outage).max(),
        parts: now.parts.or_else(|| run.rounds.last().and_then(|round| round.summary.parts)),
        ..now
    }
}

/// The round in figures, but for its kills.
pub fn of_round(run: &Run) -> Summary {
    let from_closed = |state: &State| match state {
        State::Closed => 0,
        State::HalfOpen => 1,
        State::Open => 2,
        State::Disabled => 3,
        State::ForcedOpen => 4,
    };
    Summary {
        kills: 0,
        breaker: run.clients.iter().map(|replica| replica.breaker).max_by_key(from_closed),
        time_to_open: run.clients.iter().filter_map(|replica| replica.time_to_open).max(),
        time_to_close: run.clients.iter().filter_map(|replica| replica.time_to_close).max(),
        outage: run.targets_lost_at.zip(run.targets_ready_at).map(|(lost, ready)| Duration::between(lost, ready)),
        errors: run.clients.iter().map(errors).fold(0, plus),
        disturbances: u32::try_from(run.disturbances.len()).unwrap_or(u32::MAX),
        parts: run.first_kill_at.map(|kill| parts(run, kill)),
    }
}

/// Attempts of a replica that failed or were refused since the run's first baseline.
pub fn errors(replica: &Replica) -> u64 {
    replica.errors.saturating_sub(replica.errors_at_baseline)
}

fn parts(run: &Run, kill: Timestamp) -> Parts {
    let after = |moment: Option<Timestamp>| moment.map(|moment| Duration::between(kill, moment));
    // The newest transition to a state, of the replica that came to it last.
    let last = |to: State| {
        let newest =
            |replica: &Replica| replica.transitions.iter().rev().find(|one| one.to == to).map(|one| one.aligned_at);
        run.clients.iter().filter_map(newest).filter(|at| *at > kill).max()
    };
    Parts {
        targets_lost: after(run.targets_lost_at),
        first_failure: after(run.first_failure_at),
        opened: run.clients.iter().filter_map(|replica| replica.time_to_open).max(),
        targets_ready: after(run.targets_ready_at),
        half_open: after(last(State::HalfOpen)),
        closed: after(last(State::Closed)),
    }
}

struct Moments {
    first_kill: Option<Timestamp>,
    hold_end: Option<Timestamp>,
}

fn hear(
    replica: &mut Replica,
    view: &ReplicaView,
    interval: std::time::Duration,
    moments: &Moments,
    now: Timestamp,
    notices: &mut Vec<Notice>,
) {
    if let Some(report) = &view.report {
        if report.epoch != replica.epoch {
            lose(replica, GapReason::InstanceRestart, None, now);
            replica.epoch = report.epoch;
            replica.seq = 0;
        }
        for seen in &report.transitions {
            take(replica, seen, moments, now, notices);
        }
    }
    if elapsed(view.heard_at, now) > SILENCE_LIMIT + interval {
        lose(replica, GapReason::NoAnswer, None, now);
    }
}

/// One transition: those that are recorded already are passed over, and a hole in the numbers is a gap.
fn take(replica: &mut Replica, seen: &Seen, moments: &Moments, now: Timestamp, notices: &mut Vec<Notice>) {
    let transition = &seen.transition;
    if transition.seq <= replica.seq {
        return;
    }
    let missing = transition.seq - replica.seq - 1;
    if missing > 0 {
        lose(replica, GapReason::RingOverrun, Some(missing), now);
    }
    replica.seq = transition.seq;
    replica.breaker = transition.to;
    replica.forced |= matches!(transition.cause, Cause::Forced { .. });
    replica.transitions.push(TransitionRecord {
        seq: transition.seq,
        from: transition.from,
        to: transition.to,
        at: transition.at,
        aligned_at: seen.aligned_at,
        observed_at: now,
        cause: readable(&transition.cause.to_string(), MAX_CAUSE),
    });
    let dropped = drop_oldest(&mut replica.transitions, MAX_TRANSITIONS);
    replica.transitions_dropped = plus(replica.transitions_dropped, dropped);
    let opens_first = transition.to == State::Open && !replica.sequence.contains(&State::Open);
    follow(replica, transition.to);
    match transition.to {
        State::Open if opens_first => {
            // Earlier than the first kill by more than the clocks' alignment can be off, it opened for another reason.
            let cause = moments.first_kill.filter(|kill| elapsed(seen.aligned_at, *kill) <= ALIGNMENT);
            replica.time_to_open = cause.map(|kill| Duration::between(kill, seen.aligned_at));
            let when = replica.time_to_open.map_or(String::new(), |after| format!(" {after} after the first kill"));
            notices.push(notice("BreakerOpened", true, format!("breaker of {} opened{when}", replica.pod)));
        }
        State::Closed if replica.sequence.len() > 1 => {
            replica.time_to_close = moments.hold_end.map(|end| Duration::between(end, seen.aligned_at));
            let after = replica.time_to_close.unwrap_or_default();
            let note = format!("breaker of {} closed {after} after the end of the outage asked for", replica.pod);
            Notice::tell(notices, notice("BreakerClosed", false, note));
        }
        _ => {}
    }
}

/// The way through the states, with flaps counted and folded.
fn follow(replica: &mut Replica, to: State) {
    let way = &mut replica.sequence;
    if to == State::Open && way.last() == Some(&State::HalfOpen) {
        replica.flaps = replica.flaps.saturating_add(1);
        way.pop();
        return;
    }
    if way.len() < MAX_SEQUENCE && way.last() != Some(&to) {
        way.push(to);
    }
}

fn lose(replica: &mut Replica, reason: GapReason, missing: Option<u64>, now: Timestamp) {
    let lasting = matches!(reason, GapReason::ReplicaGone | GapReason::NoAnswer);
    if lasting && replica.gaps.last().is_some_and(|gap| gap.reason == reason) {
        return;
    }
    replica.gaps.push(Gap { reason, observed_at: now, missing });
    let dropped = drop_oldest(&mut replica.gaps, MAX_GAPS);
    replica.gaps_dropped = plus(replica.gaps_dropped, dropped);
}

fn drop_oldest<T>(list: &mut Vec<T>, keep: usize) -> u64 {
    let surplus = list.len().saturating_sub(keep);
    list.drain(..surplus);
    surplus as u64
}

fn notice(reason: &'static str, warning: bool, note: String) -> Notice {
    Notice { warning, reason, action: "Observe", note }
}

/// What others say is shown to people: without control characters, and in so many bytes at most.
pub fn readable(text: &str, longest: usize) -> String {
    let mut clean: String = text.chars().filter(|letter| !letter.is_control()).collect();
    let end = (0..=longest.min(clean.len())).rev().find(|at| clean.is_char_boundary(*at));
    clean.truncate(end.unwrap_or(0));
    clean
}

#[cfg(test)]
mod tests {
    use breakwater_crds::Outcome;

    use super::*;
    use crate::decide::{Attempt, MAX_NUMBER, outcomes};

    /// What clients say, and what a forged status says, is at most this.
    #[test]
    fn figures_stand_still_at_the_largest_number() {
        let replica = serde_json::json!({"client": "client", "pod": "a", "uid": "a", "epoch": uuid::Uuid::nil(),
            "seq": 1, "breaker": "HalfOpen", "sequence": ["HalfOpen"], "flaps": u32::MAX, "errors": MAX_NUMBER});
        let mut replica: Replica = serde_json::from_value(replica).unwrap();
        follow(&mut replica, State::Open);
        assert_eq!((replica.flaps, replica.sequence.len()), (u32::MAX, 0));
        let kill = serde_json::json!({"slot": 1, "pod": "a", "uid": "a", "plannedAt": Timestamp::UNIX_EPOCH, "outcome": "Planned"});
        let kills = vec![serde_json::from_value(kill).unwrap()];
        let mut run = Run { clients: vec![replica; 3], kills, killed: MAX_NUMBER, ..Run::default() };
        outcomes(
            &mut run,
            &[Attempt { slot: 1, uid: "a".into(), sent_at: None, outcome: Outcome::Deleted, message: None }],
        );
        let figures = summary(&run);
        assert_eq!((figures.kills, figures.errors), (MAX_NUMBER, MAX_NUMBER));
    }
}
