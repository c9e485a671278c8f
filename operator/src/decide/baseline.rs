//! The steady state that a run begins from: targets ready, every replica heard, every breaker closed and not about to open.

use std::time::Duration;

use breakwater_breaker::State;
use breakwater_crds::{ChaosExperimentSpec, Client, MAX_REPLICAS, MAX_SPARED, Pods, Reason, Replica};
use jiff::Timestamp;

use super::{choose, elapsed};
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
pub fn check(spec: &ChaosExperimentSpec, world: &World, now: Timestamp) -> Result<Vec<Replica>, Missing> {
    targets(spec, world)?;
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
    if replicas.len() > MAX_REPLICAS {
        let message =
            format!("{} client replicas; {MAX_REPLICAS} can be watched: narrow the clients' selectors", replicas.len());
        return Err(Missing::new(Reason::TooManyClients, message));
    }
    Ok(replicas)
}

fn targets(spec: &ChaosExperimentSpec, world: &World) -> Result<(), Missing> {
    let alive = world.targets.iter().filter(|pod| pod.alive && !pod.exempt).count();
    let ready = world.targets.iter().filter(|pod| pod.ready && !pod.exempt).count();
    let pods = &spec.target.pods;
    let wanted = match pods {
        Pods::All(_) | Pods::One(_) => 1,
        Pods::Fixed(count) => *count as usize,
    };
    if alive == 0 {
        return Err(Missing::new(Reason::NoTargets, "no pod of this namespace matches spec.target.selector"));
    }
    if wanted > choose::limit(pods)
        || alive.saturating_sub(choose::limit(pods)) > MAX_SPARED
        || (matches!(pods, Pods::All(_)) && alive > choose::limit(pods))
    {
        let message = format!(
            "spec.target.selector matches {alive} pods; one experiment can kill {} and leave {MAX_SPARED}: narrow the selector, or say pods: {{fixed: N}}",
            breakwater_crds::MAX_KILLS
        );
        return Err(Missing::new(Reason::TooManyTargets, message));
    }
    if ready < wanted {
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
        time_to_open: None,
        time_to_close: None,
        calls_at_baseline: report.calls,
        calls: report.calls,
        transitions: vec![],
        transitions_dropped: 0,
        gaps: vec![],
        gaps_dropped: 0,
    }
}
