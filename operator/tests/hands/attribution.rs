//! A kill that was done by an operator that died before it could write it down: the next one does not say that it was not done.

use breakwater_crds::{ABORT, Outcome};
use breakwater_fake_apiserver::{Failure, http::Method};
use breakwater_operator::decide::Victim;
use jiff::SignedDuration;
use serde_json::json;

use crate::bench::{Bench, NOW, OUTAGE, PODS, no, restart};

/// Why a kill is not sent any more.
fn refuse(bench: &Bench, why: &str, victim: &mut Victim) {
    match why {
        "halt" => {
            let halt = json!({"metadata": {"name": "halt"}, "data": {"halt": "true"}});
            bench.ask(Method::POST, "/api/v1/namespaces/shop/configmaps", halt);
        }
        "aborted" => bench.patch(OUTAGE, json!({"metadata": {"annotations": {ABORT: ""}}})),
        "suspended" => bench.patch(OUTAGE, json!({"spec": {"suspend": true}})),
        "past its kills" => bench.patch(&format!("{OUTAGE}/status"), json!({"status": {"phase": "Recovering"}})),
        "in time" => victim.deadline = NOW - SignedDuration::from_secs(1),
        _ => {}
    }
}

const REFUSALS: [&str; 5] = ["halt", "aborted", "suspended", "past its kills", "in time"];

#[tokio::test]
async fn a_pod_that_is_gone_or_going_is_not_told_as_failed() {
    for why in REFUSALS {
        for (grace, outcome) in [(None, Outcome::Failed), (Some(0), Outcome::Gone), (Some(30), Outcome::Gone)] {
            let bench = Bench::new();
            let pod = bench.pod("backend", json!({}));
            let (experiment, mut victim) = bench.planned(&pod, json!({"kill": {"gracePeriodSeconds": 30}})).await;
            if let Some(grace) = grace {
                bench.ask(Method::DELETE, &format!("{PODS}/backend"), json!({"gracePeriodSeconds": grace}));
            }
            refuse(&bench, why, &mut victim);
            let attempt = bench.hands.kill(&experiment, &victim).await;
            assert_eq!(attempt.outcome, outcome, "{why}, {grace:?}: {attempt:?}");
            let said = attempt.message.unwrap_or_default();
            assert!(outcome == Outcome::Gone || said.contains(why), "{why}: {said}");
        }
    }
}

#[tokio::test]
async fn a_restart_that_is_done_is_not_told_as_failed() {
    for why in REFUSALS {
        for done in [false, true] {
            let bench = Bench::new();
            let deployment = bench.deployment();
            let (experiment, mut victim) = bench.planned(&deployment, restart()).await;
            if done {
                let first = bench.hands.kill(&experiment, &victim).await;
                assert_eq!(first.outcome, Outcome::Restarted);
            }
            refuse(&bench, why, &mut victim);
            let attempt = bench.hands.kill(&experiment, &victim).await;
            let wanted = if done { Outcome::Restarted } else { Outcome::Failed };
            assert_eq!(attempt.outcome, wanted, "{why}: {attempt:?}");
        }
    }
}

#[tokio::test]
async fn where_nobody_can_look_nothing_is_said() {
    let bench = Bench::meddled(|_, request, _| {
        let refusal = Failure::new(403, "Forbidden", "pods is forbidden");
        if request.uri.path().starts_with(PODS) { no(&refusal) } else { None }
    });
    let pod = bench.pod("backend", json!({}));
    let (experiment, victim) = bench.planned(&pod, json!({})).await;
    assert_eq!(bench.kill(&experiment, &victim).await.0, Outcome::Planned);
}
