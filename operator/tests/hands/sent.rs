//! What a kill sends, and what is made of the answer.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use breakwater_crds::{ChaosExperiment, Outcome};
use breakwater_fake_apiserver::{
    Failure, FakeApiServer,
    http::{Method, request::Parts},
};
use breakwater_operator::decide::Notice;
use kube::api::ObjectMeta;
use serde_json::{Value, json};

use crate::bench::{Bench, OUTAGE, PODS, no, restart};

#[tokio::test]
async fn a_kill_names_the_pod_that_was_looked_at_and_the_grace_that_was_asked_for() {
    for (grace, method) in [(None, "Delete"), (Some(0), "Delete"), (Some(7), "Evict"), (None, "Evict")] {
        let bench = Bench::new();
        let pod = bench.pod("backend", json!({}));
        let kill = json!({"kill": {"method": method, "gracePeriodSeconds": grace}});
        let (experiment, victim) = bench.planned(&pod, kill).await;
        let (outcome, said) = bench.kill(&experiment, &victim).await;
        assert_eq!(outcome, if method == "Evict" { Outcome::Evicted } else { Outcome::Deleted }, "{said}");
        let sent = bench.sent();
        let options = if method == "Evict" { &sent[0]["deleteOptions"] } else { &sent[0] };
        let metadata = &pod["metadata"];
        let wanted = json!({"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]});
        assert_eq!(
            (sent.len(), &options["preconditions"], &options["gracePeriodSeconds"]),
            (1, &wanted, &json!(grace))
        );
    }
}

/// Before the first so many kills arrive, the pod's kubelet writes its status.
fn writes(
    times: usize,
) -> impl Fn(&FakeApiServer, &Parts, &[u8]) -> Option<(u16, Value)> + Clone + Send + Sync + 'static {
    let seen = Arc::new(AtomicUsize::new(0));
    move |server, request, _| {
        if request.method == Method::DELETE {
            let number = seen.fetch_add(1, Ordering::Relaxed);
            if number < times {
                let status = json!({"status": {"message": number.to_string()}});
                let path = format!("{PODS}/backend/status");
                server.call("kubelet", Method::PATCH, &path, &status).expect("it is taken");
            }
        }
        None
    }
}

#[tokio::test]
async fn a_pod_that_changed_is_looked_at_again_three_times_at_most() {
    for (times, sent, settled) in [(0, 1, true), (1, 2, true), (2, 3, true), (3, 3, false)] {
        let bench = Bench::meddled(writes(times));
        let pod = bench.pod("backend", json!({}));
        let (experiment, victim) = bench.planned(&pod, json!({})).await;
        let outcome = if settled { Outcome::Deleted } else { Outcome::Planned };
        assert_eq!(bench.kill(&experiment, &victim).await.0, outcome, "{times}");
        assert_eq!(bench.sent().len(), sent, "{times}");
    }
}

/// What the API server answers to a kill, and what comes of it; where it is not known yet, what went wrong is told all the same.
#[tokio::test]
async fn an_answer_is_taken_for_what_it_says() {
    let budget = Failure {
        cause: Some(("DisruptionBudget", "The disruption budget backend needs 1 healthy pods".into())),
        ..Failure::new(429, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget.")
    };
    for (failure, outcome, words) in [
        (Failure::new(404, "NotFound", "no such pod"), Outcome::Gone, "gone when the kill arrived"),
        (Failure::new(403, "Forbidden", "by policy"), Outcome::Failed, "the API server refused: by policy"),
        (Failure::new(422, "Invalid", "what is this"), Outcome::Failed, "the API server refused"),
        (budget, Outcome::Blocked, "disruption budget. The disruption budget backend needs 1 healthy pods"),
        (Failure::new(429, "TooManyRequests", "busy"), Outcome::Planned, "not done yet: the API server says: busy"),
        (
            Failure::new(500, "InternalError", "etcd is away"),
            Outcome::Planned,
            "not done yet: the API server says: etcd is away",
        ),
        (Failure::new(504, "Timeout", "late"), Outcome::Planned, "late"),
        (
            Failure {
                code: 500,
                cause: Some(("DisruptionBudget", String::new())),
                ..Failure::new(500, "", "This pod has more than one PodDisruptionBudget")
            },
            Outcome::Planned,
            "more than one PodDisruptionBudget",
        ),
    ] {
        for method in ["Delete", "Evict"] {
            let answer = failure.clone();
            let bench = Bench::meddled(move |_, request, _| {
                let kills = request.method == Method::DELETE || request.uri.path().ends_with("/eviction");
                if kills { no(&answer) } else { None }
            });
            let pod = bench.pod("backend", json!({}));
            let (experiment, victim) = bench.planned(&pod, json!({"kill": {"method": method}})).await;
            let (found, said) = bench.kill(&experiment, &victim).await;
            assert_eq!(found, outcome, "{method} {failure:?}");
            assert!(said.contains(words), "{method} {failure:?}: {said}");
        }
    }
}

#[tokio::test]
async fn a_workload_that_is_gone_or_another_one_is_not_restarted() {
    let bench = Bench::new();
    let deployment = bench.deployment();
    let (experiment, victim) = bench.planned(&deployment, restart()).await;
    bench.ask(Method::DELETE, "/apis/apps/v1/namespaces/shop/deployments/backend", json!({}));
    assert_eq!(bench.kill(&experiment, &victim).await.0, Outcome::Gone);
    let another = bench.deployment();
    assert_eq!(bench.kill(&experiment, &victim).await.0, Outcome::Gone);
    let now = bench.ask(Method::GET, "/apis/apps/v1/namespaces/shop/deployments/backend", json!({}));
    assert_eq!(now["metadata"]["resourceVersion"], another["metadata"]["resourceVersion"], "it is left alone");
}

#[tokio::test]
async fn an_experiment_that_outlived_its_time_is_deleted_as_it_was_looked_at() {
    let bench = Bench::new();
    let pod = bench.pod("backend", json!({}));
    let (experiment, _) = bench.planned(&pod, json!({})).await;
    bench.patch(OUTAGE, json!({"metadata": {"labels": {"team": "sea"}}}));
    assert!(bench.hands.remove(&experiment).await.is_err_and(|error| error.is_conflict()), "somebody wrote to it");
    let fresh = bench.experiments.get("outage").await.expect("it is there");
    let another = ChaosExperiment {
        metadata: ObjectMeta { uid: Some("another".into()), ..fresh.metadata.clone() },
        ..fresh.clone()
    };
    assert!(bench.hands.remove(&another).await.is_err_and(|error| error.is_conflict()), "it is another one");
    bench.hands.remove(&fresh).await.expect("it is deleted");
    assert_eq!(bench.experiments.get_opt("outage").await.expect("it is answered"), None);
    bench.hands.remove(&fresh).await.expect("it is gone already");
}

#[tokio::test]
async fn an_event_is_of_its_type_and_cut_to_what_an_event_may_hold() {
    let bench = Bench::new();
    let pod = bench.pod("backend", json!({}));
    let (experiment, _) = bench.planned(&pod, json!({})).await;
    for (warning, note, length) in [(false, "well".to_owned(), 4), (true, "long ".repeat(400), 1024)] {
        bench.hands.publish(&experiment, &Notice { warning, reason: "PodKilled", action: "Kill", note }).await;
        let events = bench.ask(Method::GET, "/apis/events.k8s.io/v1/namespaces/shop/events", json!({}));
        let wanted = if warning { "Warning" } else { "Normal" };
        let events = events["items"].as_array().expect("a list").iter();
        let event = events.clone().find(|event| event["type"] == wanted).expect("it is published");
        assert_eq!((&event["reason"], &event["action"]), (&json!("PodKilled"), &json!("Kill")));
        assert_eq!(event["note"].as_str().map(str::len), Some(length), "{event}");
        assert_eq!(event["regarding"]["name"], "outage");
    }
}
