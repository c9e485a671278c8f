//! Manifests that nobody meant to write, but that the API server takes: each runs to a verdict, or waits and says why.

use std::{collections::BTreeMap, time::Duration};

use breakwater_breaker::Settings;
use breakwater_crds::{ABORT, ChaosExperiment, Phase, Reason, Verdict};
use breakwater_manifests::{Checker, mutants, seed};
use jiff::{SignedDuration, Timestamp};
use proptest::test_runner::TestCaseError;

use crate::{
    invariants::Watchdog,
    sim::{Client, Fault, STEP, Sim},
};

/// Manifests that are made; `e2e/tests/manifests.rs` shows those of the same seed to a real API server.
const COUNT: usize = 10_000;
/// One of so many is tried; `BREAKWATER_LONG=1` tries them all, `BREAKWATER_EVERY=100` one of a hundred.
const EVERY: usize = 10;
/// Virtual time after which a run that may still go on is aborted, so that an hour's hold costs no minute.
const PATIENCE: Duration = Duration::from_secs(240);
/// Starts of a schedule that are waited for.
const STARTS: usize = 2;

fn world(experiment: ChaosExperiment) -> Sim {
    let now: Timestamp = "2026-11-30T09:00:00Z".parse().unwrap();
    let mut sim = Sim::of(experiment, now, 3);
    // One pod that is never to be killed, and others that the selector nearly means.
    sim.pods[0].exempt = true;
    sim.add_strangers();
    for client in sim.experiment.spec.observe.clients.clone() {
        sim.clients.push(Client::new(&client, &client.name, Settings::default(), (Duration::from_secs(3), 2), now));
    }
    sim
}

/// Plays it, and says where it stands in the end; `killed` counts.
fn play(experiment: ChaosExperiment, killed: &mut usize) -> Result<(Option<Verdict>, Reason), TestCaseError> {
    let fail = |why: &str, sim: &Sim| TestCaseError::fail(format!("{why}: {:#?}", sim.experiment.status));
    let mut sim = world(experiment);
    let mut before = 0;
    let (mut watchdog, mut starts, mut since) = (Watchdog::default(), 0, sim.now);
    let mut aborted = false;
    loop {
        sim.step(Fault::None);
        watchdog.check(&sim)?;
        *killed += sim.killed.len() - std::mem::replace(&mut before, sim.killed.len());
        let Some(status) = &sim.experiment.status else { return Err(fail("it has no status", &sim)) };
        let (Some(phase), Some(reason), Some(message)) = (status.phase, status.reason, &status.message) else {
            return Err(fail("it does not say where it stands", &sim));
        };
        let about_the_spec = matches!(reason, Reason::InvalidSpec | Reason::NeverDue | Reason::StartMissed);
        if about_the_spec && !message.contains("spec.") || message.is_empty() {
            return Err(fail("the message names no field", &sim));
        }
        let runs = status.run.as_ref().is_some_and(|run| run.completed_at.is_none());
        let next = status.next_schedule_time;
        if !runs && matches!(phase, Phase::Completed | Phase::Suspended) {
            return Ok((status.verdict, reason));
        }
        if !runs && phase == Phase::Waiting {
            match next {
                Some(_) if starts >= STARTS => return Ok((status.verdict, reason)),
                Some(next) => {
                    starts += 1;
                    let rest = next.duration_since(sim.now) - SignedDuration::from_secs(1);
                    sim.jump(rest.max(SignedDuration::ZERO));
                    since = sim.now;
                }
                None if sim.is_idle() => return Ok((status.verdict, reason)),
                None => {}
            }
            continue;
        }
        let lasted = Duration::try_from(sim.now.duration_since(since)).unwrap_or_default();
        let most = sim.experiment.spec.timeout.as_std() + Duration::from_secs(90);
        let rounds = sim.experiment.spec.schedule.as_ref().map_or(1, |schedule| schedule.rounds);
        if lasted > (most * rounds).min(PATIENCE) + STEP {
            if aborted || lasted > most * rounds {
                return Err(fail("it never ends", &sim));
            }
            aborted = true;
            sim.experiment.metadata.annotations = Some([(ABORT.to_string(), String::new())].into());
            sim.look(Fault::None);
            since = sim.now;
        }
    }
}

#[test]
fn whatever_is_taken_ends_or_says_why_it_waits() {
    let checker = Checker::new();
    let long = std::env::var("BREAKWATER_LONG").is_ok_and(|long| long == "1");
    let every = std::env::var("BREAKWATER_EVERY").ok().and_then(|every| every.parse().ok());
    let every = every.unwrap_or(if long { 1 } else { EVERY });
    let (mut played, mut killed, mut verdicts, mut wrong) = (0, 0, BTreeMap::new(), vec![]);
    for mutant in mutants(seed(), COUNT).iter().step_by(every) {
        let Ok(experiment) = checker.check(&mutant.manifest) else { continue };
        played += 1;
        match play(experiment, &mut killed) {
            Ok((verdict, reason)) => *verdicts.entry(format!("{verdict:?} {reason:?}")).or_insert(0) += 1,
            Err(error) => wrong.push(format!("{}: {error}", mutant.what)),
        }
    }
    println!("{played} manifests played, {killed} pods killed: {verdicts:#?}");
    assert!(wrong.is_empty(), "{} of {played}, such as {}", wrong.len(), wrong[0]);
    assert!(killed > played, "only {killed} pods were killed by {played}");
    assert!(verdicts.len() >= 6, "too few ways to end to mean much: {verdicts:?}");
}
