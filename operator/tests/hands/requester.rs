//! Whoever asked for an experiment is asked for again before each kill.

use std::sync::{Arc, Mutex};

use breakwater_crds::Outcome;
use breakwater_operator::requester::{GROUPS, USER};
use serde_json::{Value, json};

use crate::bench::{Bench, OUTAGE, restart};

/// What comes of a kill where the API server answers so, and whom it was asked about.
async fn asked(answer: Value, annotations: Value, more: Value) -> ((Outcome, String), Vec<Value>) {
    let questions = Arc::new(Mutex::new(Vec::new()));
    let heard = questions.clone();
    let mut bench = Bench::meddled(move |_, request, body| {
        if !request.uri.path().ends_with("/namespaces/shop/localsubjectaccessreviews") {
            return None;
        }
        let mut review: Value = serde_json::from_slice(body).expect("it is JSON");
        heard.lock().expect("nobody panicked").push(review["spec"].clone());
        review["status"] = answer.clone();
        Some((201, review))
    });
    bench.hands = bench.hands.asking_for_requester(true);
    let victim =
        if more["kill"]["method"] == "RolloutRestart" { bench.deployment() } else { bench.pod("backend", json!({})) };
    let (experiment, victim) = bench.planned(&victim, more).await;
    bench.patch(OUTAGE, json!({"metadata": {"annotations": annotations}}));
    let said = bench.kill(&experiment, &victim).await;
    let questions = questions.lock().expect("nobody panicked").clone();
    (said, questions)
}

#[tokio::test]
async fn who_may_not_kill_any_more_kills_no_more() {
    let alice = json!({USER: "alice", GROUPS: "sea\nland"});
    for (answer, annotations, words) in [
        (json!({"allowed": true}), &alice, None),
        (
            json!({"allowed": false}),
            &alice,
            Some("alice, who asked for the experiment, may not delete pods in shop any more"),
        ),
        (json!({"allowed": true, "denied": true}), &alice, Some("may not delete pods")),
        (Value::Null, &alice, Some("may not delete pods")),
        (json!({"allowed": true}), &json!({}), Some("it is not written down who asked for the experiment")),
        (json!({"allowed": true}), &json!({USER: ""}), Some("it is not written down who asked for the experiment")),
    ] {
        let ((outcome, said), _) = asked(answer.clone(), annotations.clone(), json!({})).await;
        assert_eq!(outcome, if words.is_some() { Outcome::Failed } else { Outcome::Deleted }, "{answer} {annotations}");
        assert!(said.contains(words.unwrap_or_default()), "{answer} {annotations}: {said}");
    }
}

#[tokio::test]
async fn asked_for_is_the_right_to_do_by_hand_what_the_experiment_does() {
    let named = |kind: &str| {
        let mut restart = restart();
        restart["target"]["workload"]["kind"] = json!(kind);
        restart
    };
    for (more, group, verb, resource, subresource, name) in [
        (json!({}), "", "delete", "pods", None, None),
        (json!({"kill": {"method": "Evict"}}), "", "create", "pods", Some("eviction"), None),
        (named("Deployment"), "apps", "patch", "deployments", None, Some("backend")),
        (named("StatefulSet"), "apps", "patch", "statefulsets", None, Some("backend")),
        (named("DaemonSet"), "apps", "patch", "daemonsets", None, Some("backend")),
    ] {
        let alice = json!({USER: "alice", GROUPS: "sea\nland"});
        let (_, questions) = asked(json!({"allowed": false}), alice, more).await;
        let mut wanted = json!({"group": group, "namespace": "shop", "resource": resource, "verb": verb});
        for (field, value) in [("subresource", subresource), ("name", name)] {
            if let Some(value) = value {
                wanted[field] = json!(value);
            }
        }
        let wanted = json!({"user": "alice", "groups": ["sea", "land"], "resourceAttributes": wanted});
        assert_eq!(questions, [wanted], "{verb} {resource}");
    }
    let (_, questions) = asked(json!({"allowed": true}), json!({USER: "bob"}), json!({})).await;
    assert_eq!(questions[0]["groups"], Value::Null, "bob is in no group");
}
