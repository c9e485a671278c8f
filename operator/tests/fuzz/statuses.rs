//! Any stored status: it is the operator's log, and whoever may write it may write anything.

use std::time::Duration;

use breakwater_crds::{ABORT, ChaosExperiment, ChaosExperimentStatus};
use breakwater_manifests::{fields, mutate, schema};
use fastrand::Rng;

use crate::{
    assert_fits, edges, outage,
    sim::{Fault, STEP, Sim},
};

/// Statuses that are read back.
const STATUSES: usize = 300;
/// How long each goes on by itself, in virtual time.
const GOES_ON: Duration = Duration::from_secs(5);

/// Statuses of real runs, at every moment of them.
fn real() -> Vec<(ChaosExperiment, Vec<ChaosExperimentStatus>)> {
    let mut one_shot = outage();
    one_shot.complete(Duration::from_secs(300));
    let mut recurring = outage();
    recurring.experiment.spec.schedule =
        Some(serde_json::from_value(serde_json::json!({"cron": "* * * * *", "rounds": 2})).unwrap());
    recurring.until(Duration::from_secs(600), |sim| {
        sim.experiment.status.as_ref().is_some_and(|status| status.history.len() >= 2)
    });
    [one_shot, recurring].into_iter().map(|sim| (sim.experiment, sim.written)).collect()
}

#[test]
fn whatever_status_is_stored_the_operator_goes_on() {
    let (mut random, fields, real) = (Rng::with_seed(1), fields(&schema("status"), "status"), real());
    let (mut read, mut unreadable, mut ended) = (0, 0, 0);
    while read < STATUSES {
        let (experiment, written) = &real[random.usize(0..real.len())];
        let mut document = serde_json::json!({"status": written[random.usize(0..written.len())]});
        let mut what = mutate(&mut document, &fields, &mut random);
        what.extend((0..random.u8(0..3)).map(|_| edges::push(&mut document, i64::MAX as u64, &[], &mut random)));
        let what = what.join("; ");
        let Ok(status) = serde_json::from_value::<ChaosExperimentStatus>(document["status"].clone()) else {
            unreadable += 1;
            continue;
        };
        read += 1;
        let mut sim = outage();
        sim.experiment.spec = experiment.spec.clone();
        sim.experiment.status = Some(status);
        go_on(&mut sim, &what);
        ended += usize::from(sim.status().run.as_ref().is_some_and(|run| run.completed_at.is_some()));
    }
    assert!(unreadable < 2 * STATUSES, "{unreadable} statuses could not be read: too many to mean much");
    assert!(ended > STATUSES / 2, "only {ended} came to an end");
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
}
