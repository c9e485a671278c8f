//! Any stored status: it is the operator's log, and whoever may write it may write anything.

use std::{collections::BTreeMap, time::Duration};

use breakwater_crds::{
    ABORT, ChaosExperimentSpec, ChaosExperimentStatus, Gap, GapReason, MAX_GAPS, MAX_KILLS, MAX_SEQUENCE, MAX_SPARED,
    MAX_TRANSITIONS, Outcome,
};
use breakwater_manifests::{fields, mutate, schema};
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    assert_fits, chance, edges, outage,
    sim::{Fault, STEP, Sim},
};

/// Statuses that are read back.
const STATUSES: usize = 200;
/// How long each goes on by itself, in virtual time.
const GOES_ON: Duration = Duration::from_secs(5);

/// A status of a real run, and when it was written.
struct Written {
    spec: ChaosExperimentSpec,
    status: ChaosExperimentStatus,
    at: Timestamp,
}

/// Statuses of real runs, at every moment of them.
fn real() -> Vec<Written> {
    let mut recurring = outage();
    recurring.experiment.spec.schedule =
        Some(serde_json::from_value(json!({"cron": "* * * * *", "rounds": 2})).unwrap());
    let mut later = outage();
    let at = later.now + SignedDuration::from_secs(2);
    later.experiment.spec.schedule = Some(serde_json::from_value(json!({"at": at, "startingDeadline": "1s"})).unwrap());
    let twice = |sim: &Sim| sim.experiment.status.as_ref().is_some_and(|status| status.history.len() >= 2);
    let complete: fn(&Sim) -> bool = Sim::is_complete;
    let mut all = vec![];
    for (mut sim, ends) in [(outage(), complete), (recurring, twice), (later, complete)] {
        let mut seen = 0;
        while !ends(&sim) {
            sim.step(Fault::None);
            for status in &sim.written[seen..] {
                all.push(Written { spec: sim.experiment.spec.clone(), status: status.clone(), at: sim.now });
            }
            seen = sim.written.len();
        }
    }
    all
}

/// The operator looks at an experiment with this status at the moment at which the real one was written.
fn read_back(written: &Written, status: ChaosExperimentStatus) -> Sim {
    let mut sim = outage();
    sim.jump(written.at.duration_since(sim.now));
    sim.experiment.spec = written.spec.clone();
    sim.experiment.status = Some(status);
    sim
}

#[test]
fn whatever_status_is_stored_the_operator_goes_on() {
    let (mut random, fields, real) = (chance("statuses"), fields(&schema("status"), "status"), real());
    let (mut read, mut unreadable, mut ended) = (0, 0, 0);
    while read < STATUSES {
        let written = &real[random.usize(0..real.len())];
        let mut document = json!({"status": written.status});
        let mut what = mutate(&mut document, &fields, &mut random);
        what.extend((0..random.u8(0..3)).map(|_| edges::push(&mut document, i64::MAX as u64, &[], &mut random)));
        let what = what.join("; ");
        let Ok(status) = serde_json::from_value::<ChaosExperimentStatus>(document["status"].clone()) else {
            unreadable += 1;
            continue;
        };
        read += 1;
        let mut sim = read_back(written, status);
        go_on(&mut sim, &what);
        ended += usize::from(sim.status().run.as_ref().is_some_and(|run| run.completed_at.is_some()));
    }
    assert!(unreadable < 2 * STATUSES, "{unreadable} statuses could not be read: too many to mean much");
    assert!(ended > STATUSES / 2, "only {ended} came to an end");
}

/// Writes into a run kills of whoever is there, and of whoever is not: of a set that is under way, with nobody spared.
fn forge(run: &mut Value, sim: &Sim, random: &mut Rng) -> usize {
    let (round, slot) = (run["round"].clone(), json!(7));
    let mut victims: Vec<_> = sim.pods.iter().map(|pod| pod.uid.clone()).collect();
    victims.extend((0..random.usize(0..9)).map(|number| format!("nobody-{number}")));
    random.shuffle(&mut victims);
    victims.truncate(random.usize(1..=victims.len()));
    let mut kills = run["kills"].as_array().cloned().unwrap_or_default();
    kills.extend(victims.iter().map(|uid| {
        let outcome = ["Planned", "Planned", "Blocked"][random.usize(0..3)];
        json!({"round": round, "slot": slot, "pod": uid, "uid": uid, "plannedAt": sim.now, "outcome": outcome})
    }));
    let hold_until = sim.now + SignedDuration::from_secs(4);
    let forged = json!({
        "kills": kills, "slot": slot, "firstSlot": slot, "spared": [], "blastRadius": 128, "holdUntil": hold_until,
    });
    let fields = run.as_object_mut().expect("a run is an object");
    fields.extend(forged.as_object().cloned().unwrap_or_default());
    victims.len()
}

/// Kills that are forged into a run that is under way: the pods that nobody may kill live on, and of others no more go at a time
/// than the spec says.
#[test]
fn whatever_kills_are_forged_into_a_status_no_other_pods_are_killed() {
    let (mut random, mut real) = (chance("kills"), real());
    real.retain(|written| {
        let run = written.status.run.as_ref();
        run.is_some_and(|run| run.baseline_at.is_some() && run.completed_at.is_none())
    });
    let (mut forged, mut killed, mut refused) = (0, 0, 0);
    for number in 0..STATUSES {
        let written = random.choice(&real).expect("some are of a run under way");
        let mut sim = read_back(written, written.status.clone());
        // Three more that serve, so that a share of them is some.
        sim.replicas = 6;
        sim.step(Fault::None);
        sim.jump(SignedDuration::from_secs(2));
        let pods = [
            json!({"all": {}}),
            json!({"one": {}}),
            json!({"fixed": 2}),
            json!({"percent": 50}),
            json!({"randomUpToPercent": 40}),
        ];
        let pods = pods[random.usize(0..pods.len())].clone();
        sim.experiment.spec.target.pods = serde_json::from_value(pods.clone()).unwrap();
        let mut document = json!(written.status);
        forged += forge(&mut document["run"], &sim, &mut random);
        let what = format!("status {number}, {pods}: {}", document["run"]["kills"]);
        sim.experiment.status = Some(serde_json::from_value(document).unwrap());
        let before = sim.killed.len();
        sim.look(Fault::None);
        let outcomes = sim.status().run.iter().flat_map(|run| &run.kills).map(|kill| kill.outcome);
        refused += outcomes.filter(|outcome| *outcome == Outcome::Failed).count();
        go_on(&mut sim, &what);
        killed += sim.killed.len() - before;
    }
    assert!(killed > STATUSES && refused > STATUSES, "{forged} forged kills: {killed} killed, {refused} refused");
}

/// Fills what is recorded: the next entry pushes the oldest out.
fn fill(status: &mut ChaosExperimentStatus) {
    fn full<T: Clone>(list: &mut Vec<T>, length: usize) {
        list.last().cloned().into_iter().for_each(|newest| list.resize(length, newest));
    }
    full(&mut status.history, 20);
    if let Some(run) = &mut status.run {
        full(&mut run.kills, MAX_KILLS);
        for replica in &mut run.clients {
            full(&mut replica.transitions, MAX_TRANSITIONS);
            full(&mut replica.sequence, MAX_SEQUENCE);
        }
    }
}

/// The status with its records full, and all its numbers as large or all its moments as late as they can be. `most` remembers how
/// large that is.
fn extremes(status: &ChaosExperimentStatus, most: &mut BTreeMap<String, u64>) -> [Value; 2] {
    let mut status = status.clone();
    fill(&mut status);
    let real = json!(status);
    let (mut large, mut late) = (real.clone(), real.clone());
    for (place, is_number) in edges::ended(&real) {
        if !is_number {
            *late.pointer_mut(&place).unwrap() = json!(edges::LAST);
            continue;
        }
        let can_be = |number: &u64| {
            let mut document = real.clone();
            *document.pointer_mut(&place).unwrap() = json!(number);
            serde_json::from_value::<ChaosExperimentStatus>(document).is_ok()
        };
        let field = place.replace(|letter: char| letter.is_ascii_digit(), "");
        let ends = [i64::MAX as u64, u64::from(u32::MAX)];
        let number = *most.entry(field).or_insert_with(|| ends.into_iter().find(can_be).unwrap());
        *large.pointer_mut(&place).unwrap() = json!(number);
    }
    [large, late]
}

/// At the first and the last moment of whatever is going on.
#[test]
fn where_all_figures_are_at_their_ends_the_operator_goes_on() {
    let (real, mut most) = (real(), BTreeMap::new());
    let stands = |at: usize| {
        let status = &real.get(at)?.status;
        let run = status.run.as_ref().map(|run| (run.round, run.clients.first().map(|replica| replica.breaker)));
        Some((status.phase, status.reason, status.history.len(), status.missed_runs, run))
    };
    let turns = |at: &usize| stands(*at) != stands(at.wrapping_sub(1)) || stands(*at) != stands(at + 1);
    for at in (0..real.len()).filter(turns) {
        for (document, what) in extremes(&real[at].status, &mut most).into_iter().zip(["numbers", "moments"]) {
            for away in [0, 1, 200] {
                let mut sim = read_back(&real[at], serde_json::from_value(document.clone()).unwrap());
                sim.experiment.metadata.generation = sim.status().observed_generation;
                if away > 0 {
                    sim.jump(SignedDuration::from_secs(away));
                    // Its new process has all to tell, and not for the first time.
                    sim.restart(0);
                    let gap = Gap { reason: GapReason::InstanceRestart, observed_at: sim.now, missing: None };
                    let run = sim.experiment.status.as_mut().and_then(|status| status.run.as_mut());
                    let replicas = run.into_iter().flat_map(|run| &mut run.clients);
                    replicas.for_each(|replica| replica.gaps = vec![gap.clone(); MAX_GAPS]);
                }
                go_on(&mut sim, &format!("all {what} at their ends, {away} s later, from {:?}", stands(at)));
                assert_bounded(sim.status());
            }
        }
    }
}

fn assert_bounded(status: &ChaosExperimentStatus) {
    let Some(run) = &status.run else { return };
    assert!(run.kills.len() <= MAX_KILLS && run.spared.len() <= MAX_SPARED, "{} kills", run.kills.len());
    for replica in &run.clients {
        let records = [replica.transitions.len(), replica.gaps.len(), replica.sequence.len()];
        let limits = [MAX_TRANSITIONS, MAX_GAPS, MAX_SEQUENCE];
        assert!(records.iter().zip(limits).all(|(length, limit)| *length <= limit), "{records:?} of {}", replica.pod);
    }
}

fn go_on(sim: &mut Sim, what: &str) {
    for _ in 0..GOES_ON.as_millis() / STEP.as_millis() {
        sim.step(Fault::None);
    }
    sim.experiment.metadata.annotations = Some([(ABORT.to_string(), String::new())].into());
    sim.look(Fault::None);
    sim.look(Fault::None);
    let status = sim.status();
    assert!(
        status.run.as_ref().is_none_or(|run| run.completed_at.is_some()),
        "{what}: it cannot be aborted: {status:#?}"
    );
    assert!(status.reason.is_some() && status.message.is_some(), "{what}: it does not say where it stands");
    assert!(status.conditions.len() <= 8, "{what}: {} conditions", status.conditions.len());
    assert_fits(status, what);
    assert!(sim.wrong.is_empty(), "{what}: {:?}", sim.wrong);
}
