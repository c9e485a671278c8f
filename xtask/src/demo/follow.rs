//! Follows an experiment until it is complete, and tells what is new in each status.

use std::collections::HashSet;
use std::io::BufReader;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use breakwater_crds::{ChaosExperiment, ChaosExperimentStatus, Outcome, Phase, State};

use crate::wait::{Stopwatch, short};

/// The first set of kills is told one by one; of what is killed in its place, one line for so many.
const KILLS_A_LINE: u64 = 10;

/// Watches by `watch`, a `kubectl get --watch --output=json`, and prints news; gives the last status.
pub fn follow(mut watch: Command) -> Result<ChaosExperimentStatus> {
    let stopwatch = Stopwatch::start();
    let mut kubectl = watch.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start kubectl")?;
    let output = BufReader::new(kubectl.stdout.take().context("kubectl has no standard output")?);
    let mut known = ChaosExperimentStatus::default();
    let mut complete = false;
    for experiment in serde_json::Deserializer::from_reader(output).into_iter::<ChaosExperiment>() {
        let status = experiment.context("kubectl printed what is no ChaosExperiment")?.status.unwrap_or_default();
        for line in news(&known, &status) {
            println!("    {:>7}  {line}", short(stopwatch.elapsed()));
        }
        complete = status.phase == Some(Phase::Completed);
        known = status;
        if complete {
            break;
        }
    }
    // It would watch on for ever; that it is gone already is fine.
    let _gone = kubectl.kill();
    let ended = kubectl.wait()?;
    if !complete {
        bail!(
            "the watch ended ({ended}) before the experiment: is the operator running? `cargo cluster kubectl get pods -A`"
        );
    }
    Ok(known)
}

/// What `after` tells that `before` did not.
fn news(before: &ChaosExperimentStatus, after: &ChaosExperimentStatus) -> Vec<String> {
    let mut lines = Vec::new();
    let killed = |status: &ChaosExperimentStatus| -> HashSet<String> {
        let kills = status.run.iter().flat_map(|run| &run.kills);
        kills.filter(|kill| kill.outcome == Outcome::Deleted).map(|kill| kill.uid.clone()).collect()
    };
    let known = killed(before);
    for kill in after.run.iter().flat_map(|run| &run.kills) {
        if kill.slot == 1 && kill.outcome == Outcome::Deleted && !known.contains(&kill.uid) {
            lines.push(format!("killed {} (uid {})", kill.pod, kill.uid));
        }
    }
    let count = |status: &ChaosExperimentStatus| status.run.as_ref().map_or(0, |run| run.killed);
    if count(after) / KILLS_A_LINE > count(before) / KILLS_A_LINE {
        lines.push(format!("killed {} pods by now: what comes in their place is killed too", count(after)));
    }
    let recorded = |status: &ChaosExperimentStatus| -> HashSet<(String, String, u64)> {
        let replicas = status.run.iter().flat_map(|run| &run.clients);
        let keys = replicas.flat_map(|replica| {
            replica.transitions.iter().map(|record| (replica.uid.clone(), replica.epoch.to_string(), record.seq))
        });
        keys.collect()
    };
    let known = recorded(before);
    for replica in after.run.iter().flat_map(|run| &run.clients) {
        for record in &replica.transitions {
            if !known.contains(&(replica.uid.clone(), replica.epoch.to_string(), record.seq)) {
                let from = record.from.map_or("start", State::as_str);
                let (pod, to, seq, cause) = (&replica.pod, record.to, record.seq, &record.cause);
                lines.push(format!("breaker of {pod}: {from} -> {to} (no. {seq}, {cause})"));
            }
        }
    }
    if after.phase.is_some() && (before.phase, before.reason) != (after.phase, after.reason) {
        let phase = after.phase.map(|phase| format!("{phase:?}")).unwrap_or_default();
        let message = after.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
        lines.push(format!("{phase}{message}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const AT: &str = "2026-12-01T09:00:00Z";

    #[test]
    fn replacements_are_told_by_tens() {
        let killed = |count: u64| {
            let mut status = status("Killing", &[], &[]);
            status.run.as_mut().unwrap().killed = count;
            status
        };
        assert_eq!(news(&killed(8), &killed(9)), Vec::<String>::new());
        assert_eq!(news(&killed(9), &killed(11)), ["killed 11 pods by now: what comes in their place is killed too"]);
    }

    fn status(phase: &str, kills: &[(&str, &str)], transitions: &[u64]) -> ChaosExperimentStatus {
        let kill = |(pod, outcome): &(&str, &str)| -> Value {
            json!({"slot": 1, "pod": pod, "uid": format!("uid-of-{pod}"), "plannedAt": AT, "outcome": outcome})
        };
        let transition = |seq: &u64| -> Value {
            json!({"seq": seq, "from": "Closed", "to": "Open", "at": AT, "alignedAt": AT, "observedAt": AT,
                "cause": "3 failed attempts in a row"})
        };
        let epoch = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";
        let client = json!({"client": "client", "pod": "client-1", "uid": "c", "epoch": epoch, "seq": 1, "breaker": "Open",
            "sequence": [], "transitions": transitions.iter().map(transition).collect::<Vec<_>>()});
        let run = json!({"id": epoch, "startedAt": AT, "slot": 1, "clients": [client],
            "kills": kills.iter().map(kill).collect::<Vec<_>>()});
        serde_json::from_value(json!({"phase": phase, "message": "as it is", "run": run})).unwrap()
    }

    #[test]
    fn only_what_is_new_is_told() {
        let nothing = ChaosExperimentStatus::default();
        let planned = status("Killing", &[("a", "Planned")], &[]);
        let deleted = status("Killing", &[("a", "Deleted"), ("b", "Planned")], &[]);
        let opened = status("Recovering", &[("a", "Deleted"), ("b", "Deleted")], &[2]);
        let open = "breaker of client-1: Closed -> Open (no. 2, 3 failed attempts in a row)";
        for (before, after, lines) in [
            (&nothing, &nothing, vec![]),
            (&nothing, &planned, vec!["Killing: as it is"]),
            (&planned, &deleted, vec!["killed a (uid uid-of-a)"]),
            (&deleted, &opened, vec!["killed b (uid uid-of-b)", open, "Recovering: as it is"]),
            (&opened, &opened, vec![]),
        ] {
            assert_eq!(news(before, after), lines);
        }
    }
}
