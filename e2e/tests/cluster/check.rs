//! What holds of every run, whatever its verdict.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use breakwater_crds::{ChaosExperimentStatus, Outcome, Reason, State, Verdict};
use breakwater_e2e::{Lab, run_of};

/// Every transition of every replica is in the status once, in order, as the client itself tells it.
pub async fn transitions_are_the_clients_own(lab: &Lab, status: &ChaosExperimentStatus) -> Result<()> {
    let run = run_of(status)?;
    ensure!(!run.clients.is_empty(), "no replica was watched");
    for replica in &run.clients {
        ensure!(replica.gaps.is_empty(), "gaps: {:?}", replica.gaps);
        let report = lab.client_report(&replica.pod).await?;
        ensure!(report.instance.epoch == replica.epoch, "the client's process is another one");
        ensure!(report.instance.pod_uid.as_deref() == Some(&replica.uid), "the client knows its pod");
        let told = &report.breaker("backend").context("it has the breaker")?.transitions;
        let own: Vec<_> =
            told.items.iter().filter(|one| one.seq > told.last_seq - replica.transitions.len() as u64).collect();
        ensure!(own.len() == replica.transitions.len(), "{} of {} transitions", own.len(), replica.transitions.len());
        for (own, recorded) in own.iter().zip(&replica.transitions) {
            let same = (own.seq, own.from, own.to, own.at) == (recorded.seq, recorded.from, recorded.to, recorded.at);
            ensure!(same, "the client says {own:?}, the status {recorded:?}");
        }
        ensure!(replica.seq == told.last_seq, "recorded up to {}, the client is at {}", replica.seq, told.last_seq);
    }
    Ok(())
}

/// Kills have uids and times, none is there twice, and what was killed is gone.
pub async fn kills_are_told(lab: &Lab, status: &ChaosExperimentStatus) -> Result<()> {
    let run = run_of(status)?;
    ensure!(run.killed > 0, "nothing was killed");
    let uids: BTreeSet<_> = run.kills.iter().map(|kill| &kill.uid).collect();
    ensure!(uids.len() == run.kills.len(), "a pod is there twice");
    ensure!(run.kills.windows(2).all(|pair| pair[0].slot <= pair[1].slot), "slots only rise");
    for kill in &run.kills {
        ensure!(kill.outcome != Outcome::Planned, "{kill:?} has no outcome");
        ensure!(kill.outcome != Outcome::Deleted || kill.sent_at.is_some_and(|at| at >= kill.planned_at), "{kill:?}");
    }
    let left = lab.uids("app=backend").await?;
    let deleted = run.kills.iter().filter(|kill| kill.outcome == Outcome::Deleted);
    ensure!(!deleted.clone().any(|kill| left.contains(&kill.uid)), "a killed pod is still there");
    let listed = deleted.count() as u64;
    ensure!(
        (listed..=listed + run.kills_dropped).contains(&run.killed),
        "{} killed, {listed} of them listed",
        run.killed
    );
    Ok(())
}

/// It passed, or a target served for more than two seconds while there was no operator: such an outage proves nothing. Says which.
pub fn passed_unless_interrupted(status: &ChaosExperimentStatus) -> Result<bool> {
    let interrupted = status.reason == Some(Reason::Disturbed) && run_of(status)?.unheld_at.is_some();
    ensure!(status.verdict == Some(Verdict::Passed) || interrupted, "{:?}: {:?}", status.reason, status.message);
    Ok(!interrupted)
}

/// The breaker's way, as a run that passes has it.
pub fn opened_and_closed(status: &ChaosExperimentStatus) -> Result<()> {
    for replica in &run_of(status)?.clients {
        let way = [State::Closed, State::Open, State::HalfOpen, State::Closed];
        ensure!(replica.sequence == way, "{:?}", replica.sequence);
        ensure!(replica.time_to_open.is_some() && replica.time_to_close.is_some(), "{replica:?}");
        ensure!(replica.breaker == State::Closed);
    }
    Ok(())
}

/// The status of a condition.
pub fn condition<'a>(status: &'a ChaosExperimentStatus, type_: &str) -> Option<&'a str> {
    status.conditions.iter().find(|condition| condition.type_ == type_).map(|condition| condition.status.as_str())
}

/// How often the operator's container was started anew.
pub async fn restarts(lab: &Lab) -> Result<i32> {
    let status = lab.pod("app.kubernetes.io/component=operator").await?.status.context("it has a status")?;
    Ok(status.container_statuses.iter().flatten().map(|container| container.restart_count).sum())
}
