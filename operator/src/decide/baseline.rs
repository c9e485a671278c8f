//! The steady state that a run begins from: targets ready, every replica heard, every breaker closed and not about to open.

use std::time::Duration;

use breakwater_breaker::State;
use breakwater_crds::{ChaosExperimentSpec, Client, MAX_KILLS, MAX_REPLICAS, MAX_SPARED, Pods, Reason, Replica, Run};
use jiff::Timestamp;
use uuid::Uuid;

use super::{choose, elapsed, record, rounds};
use crate::world::{ReplicaView, Report, World};

/// An answer older than this does not count for the baseline.
const FRESH: Duration = Duration::from_secs(5);

/// What the baseline lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub reason: Reason,
    pub message: String,
}

impl Missing {
    fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// The replicas to watch, with their cursors, or what is missing.
pub fn check(spec: &ChaosExperimentSpec, world: &World, run: &Run, now: Timestamp) -> Result<Vec<Replica>, Missing> {
    targets(spec, world)?;
    if run.round > 1 {
        return again(spec, world, run, now);
    }
    let count: usize = world.clients.iter().map(|client| client.replicas.len()).sum();
    if count > MAX_REPLICAS {
        let message = format!("{count} client replicas; {MAX_REPLICAS} can be watched: narrow the clients' selectors");
        return Err(Missing::new(Reason::TooManyClients, message));
    }
    let mut replicas = Vec::new();
    for client in &spec.observe.clients {
        let view = world.clients.iter().find(|view| view.name == client.name);
        let Some(view) = view.filter(|view| !view.replicas.is_empty()) else {
            let message = format!("no ready pod of this namespace matches the selector of client {}", client.name);
            return Err(Missing::new(Reason::NoClients, message));
        };
        let closed = |replica| closed(client, replica, spec.observe.interval.as_std(), now);
        replicas.extend(view.replicas.iter().map(closed).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(replicas)
}

/// Whether a replica was just asked for the first time, so that nothing is known of it yet.
pub fn is_asking(world: &World, now: Timestamp) -> bool {
    let unheard =
        |view: &ReplicaView| view.report.is_none() && view.error.is_none() && elapsed(view.heard_at, now) < FRESH;
    world.clients.iter().flat_map(|client| &client.replicas).any(unheard)
}

/// The same replicas once more, before another round.
fn again(spec: &ChaosExperimentSpec, world: &World, run: &Run, now: Timestamp) -> Result<Vec<Replica>, Missing> {
    let interval = spec.observe.interval.as_std();
    let replicas = run.clients.iter().map(|replica| {
        let client = spec.observe.clients.iter().find(|client| client.name == replica.client);
        let Some((client, view)) = client.zip(record::view_of(replica, world)) else {
            return Err(Missing::new(Reason::NoClients, format!("client pod {} is gone", replica.pod)));
        };
        let seen = closed(client, view, interval, now)?;
        Ok(rounds::fresh(replica, seen.calls))
    });
    replicas.collect()
}

fn targets(spec: &ChaosExperimentSpec, world: &World) -> Result<(), Missing> {
    let target = &spec.target;
    if spec.restarts_workload() {
        let of = target.workload.as_ref().map(|workload| format!("{:?} {}", workload.kind, workload.name));
        let of = of.unwrap_or_default();
        match &world.workload {
            None => return Err(Missing::new(Reason::NoTargets, format!("there is no {of} in this namespace"))),
            Some(workload) if !workload.settled => {
                return Err(Missing::new(Reason::TargetsNotReady, format!("{of} is being rolled out already")));
            }
            Some(_) => {}
        }
    }
    let alive = world.targets.iter().filter(|pod| pod.may_be_killed()).count();
    let ready = world.targets.iter().filter(|pod| pod.may_be_killed() && pod.ready).count();
    if alive == 0 {
        let owned = if target.workload.is_some() { " and belongs to spec.target.workload" } else { "" };
        let message = format!("no pod of this namespace matches spec.target.selector{owned}");
        return Err(Missing::new(Reason::NoTargets, message));
    }
    let all = matches!(target.pods, Pods::All(_));
    let fixed = if let Pods::Fixed(count) = target.pods { count as usize } else { 1 };
    let victims = if all { alive } else { choose::at_most(&target.pods, ready).max(fixed) };
    // A workload that is restarted is one object, however many pods it has.
    let kills_pods = spec.kill.is_some() && !spec.restarts_workload();
    if kills_pods && (victims > MAX_KILLS || alive.saturating_sub(victims) > MAX_SPARED) {
        let message = format!(
            "spec.target.selector matches {alive} pods; one experiment can kill {MAX_KILLS} and leave {MAX_SPARED}: narrow the selector, or say pods: {{fixed: N}}"
        );
        return Err(Missing::new(Reason::TooManyTargets, message));
    }
    if choose::count(&target.pods, Uuid::nil(), 0, ready) == 0 {
        let message = format!("{ready} target pods ready; the percentage of spec.target.pods comes to none of them");
        return Err(Missing::new(Reason::TargetsNotReady, message));
    }
    let wanted = fixed.max(target.min_available as usize + 1);
    if choose::ready(&world.targets) < wanted || ready == 0 {
        let message = format!("{ready} of {alive} target pods ready, {wanted} needed");
        return Err(Missing::new(Reason::TargetsNotReady, message));
    }
    Ok(())
}

fn closed(client: &Client, view: &ReplicaView, interval: Duration, now: Timestamp) -> Result<Replica, Missing> {
    let report = match &view.report {
        Some(report) if view.error.is_none() && elapsed(view.heard_at, now) <= FRESH + interval => report,
        _ => {
            let why = view.error.as_deref().unwrap_or("not heard yet");
            return Err(Missing::new(
                Reason::NoClients,
                format!("client pod {} does not tell its breaker: {why}", view.pod),
            ));
        }
    };
    if report.state != State::Closed {
        let message = format!("breaker {} of {} is {}, not Closed", client.breaker, view.pod, report.state);
        return Err(Missing::new(Reason::BaselineNotClosed, message));
    }
    if report.failures > 0 {
        let message = format!(
            "breaker {} of {} is Closed, but its last attempts failed ({})",
            client.breaker, view.pod, report.failures
        );
        return Err(Missing::new(Reason::BaselineNotClosed, message));
    }
    Ok(replica(client, view, report))
}

fn replica(client: &Client, view: &ReplicaView, report: &Report) -> Replica {
    Replica {
        client: client.name.clone(),
        pod: view.pod.clone(),
        uid: view.uid.clone(),
        epoch: report.epoch,
        seq: report.last_seq,
        breaker: State::Closed,
        sequence: vec![State::Closed],
        flaps: 0,
        forced: false,
        time_to_open: None,
        time_to_close: None,
        calls_at_baseline: report.calls,
        calls: report.calls,
        errors_at_baseline: report.errors,
        errors: report.errors,
        transitions: vec![],
        transitions_dropped: 0,
        gaps: vec![],
        gaps_dropped: 0,
    }
}
