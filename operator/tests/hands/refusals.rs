//! What is not killed, though it was planned: everything is checked again right before.

use breakwater_crds::Outcome;
use breakwater_fake_apiserver::{Failure, http::Method};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::bench::{Bench, NOW, OUTAGE, PODS, no, restart};

/// What befalls a planned kill before it is sent, and what is said of it then.
async fn refused(more: Value, befalls: impl Fn(&Bench), outcome: Outcome, words: &str) {
    let bench = Bench::new();
    let pod = bench.pod("backend", json!({}));
    let (experiment, victim) = bench.planned(&pod, more).await;
    befalls(&bench);
    let (found, said) = bench.kill(&experiment, &victim).await;
    assert!(found == outcome && said.contains(words), "{words:?} is wanted: {found:?} {said:?}");
    assert_eq!(bench.sent(), Vec::<Value>::new(), "{said}");
}

#[tokio::test]
async fn an_experiment_that_changed_its_mind_kills_nothing() {
    let status = |run: Value| move |bench: &Bench| bench.patch(&format!("{OUTAGE}/status"), json!({"status": run}));
    let spec = |spec: Value| move |bench: &Bench| bench.patch(OUTAGE, json!({"spec": spec}));
    let kill = |field: &str, value: Value| {
        let mut kill =
            json!({"round": 1, "slot": 1, "pod": "backend", "uid": "", "plannedAt": NOW, "outcome": "Planned"});
        kill[field] = value;
        json!({"run": {"kills": [kill]}})
    };
    let failed = Outcome::Failed;
    refused(json!({}), spec(json!({"suspend": true})), failed, "the experiment is suspended").await;
    refused(json!({}), spec(json!({"kill": null})), failed, "the experiment does not kill").await;
    refused(json!({}), status(json!({"phase": "Recovering"})), failed, "the run is past its kills").await;
    refused(json!({}), status(json!({"run": null})), failed, "the run is past its kills").await;
    refused(json!({}), status(kill("uid", json!("another"))), failed, "not written down as planned").await;
    refused(json!({"dryRun": true}), |_| {}, Outcome::DryRun, "spec.dryRun is true").await;
    let gone = |bench: &Bench| drop(bench.ask(Method::DELETE, OUTAGE, json!({})));
    refused(json!({}), gone, failed, "the experiment is gone").await;
    let another = |bench: &Bench| {
        let old = bench.ask(Method::DELETE, OUTAGE, json!({}));
        assert_eq!(old["status"], "Success");
        bench.apply(json!({}));
    };
    refused(json!({}), another, failed, "the experiment is gone").await;
    let ending = |bench: &Bench| {
        bench.patch(OUTAGE, json!({"metadata": {"finalizers": ["example.com/wait"]}}));
        bench.ask(Method::DELETE, OUTAGE, json!({}));
    };
    refused(json!({}), ending, failed, "the experiment is gone").await;
}

#[tokio::test]
async fn what_is_planned_is_this_pod_in_this_set_and_still_to_be_done() {
    for (field, value, may) in [
        ("outcome", json!("Planned"), true),
        ("outcome", json!("Blocked"), true),
        ("outcome", json!("Deleted"), false),
        ("outcome", json!("Failed"), false),
        ("slot", json!(2), false),
        ("uid", json!("another"), false),
    ] {
        let bench = Bench::new();
        let pod = bench.pod("backend", json!({}));
        let (experiment, victim) = bench.planned(&pod, json!({})).await;
        let mut kill = json!({"round": 1, "slot": 1, "pod": "backend", "uid": victim.uid, "plannedAt": NOW,
            "outcome": "Planned"});
        kill[field] = value.clone();
        bench.patch(&format!("{OUTAGE}/status"), json!({"status": {"run": {"kills": [kill]}}}));
        let (outcome, said) = bench.kill(&experiment, &victim).await;
        let wanted = if may { Outcome::Deleted } else { Outcome::Failed };
        assert_eq!((outcome, bench.sent().len()), (wanted, usize::from(may)), "{field} {value}: {said}");
    }
}

#[tokio::test]
async fn a_pod_that_is_no_target_any_more_lives() {
    let failed = Outcome::Failed;
    let change = |change: Value| move |bench: &Bench| bench.patch(&format!("{PODS}/backend"), change.clone());
    let relabelled = change(json!({"metadata": {"labels": {"app": "database"}}}));
    refused(json!({}), relabelled, failed, "the selector does not match it any more").await;
    let mirror = change(json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "8c1f"}}}));
    refused(json!({}), mirror, failed, "it is the mirror of a static pod").await;
    let workload = json!({"target": {"workload": {"kind": "StatefulSet", "name": "backend"}}});
    refused(workload.clone(), |_| {}, failed, "it does not belong to spec.target.workload").await;
    let owned = |kind: &str, name: &str| {
        change(json!({"metadata": {"ownerReferences":
            [{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "1", "controller": true}]}}))
    };
    refused(workload.clone(), owned("StatefulSet", "other"), failed, "it does not belong").await;
    refused(workload, owned("DaemonSet", "backend"), failed, "it does not belong").await;
    let set = json!({"target": {"selector": {"matchLabels": {"app": "backend", "tier": "front"}}}});
    refused(set, |_| {}, failed, "the selector does not match it any more").await;
}

#[tokio::test]
async fn a_deployments_pods_are_those_of_its_replica_sets() {
    let owner = |kind: &str, name: &str, uid: &Value| json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": true}]);
    for (workload, above, of, own) in [
        ("Deployment", owner("Deployment", "backend", &json!("1")), None, true),
        ("Deployment", owner("Deployment", "another", &json!("1")), None, false),
        ("Deployment", owner("StatefulSet", "backend", &json!("1")), None, false),
        ("Deployment", json!([]), None, false),
        // A set of that name, but not the one that made the pod.
        ("Deployment", owner("Deployment", "backend", &json!("1")), Some("an older one"), false),
        // The sets of a Deployment are not a StatefulSet's pods.
        ("StatefulSet", owner("StatefulSet", "backend", &json!("1")), None, false),
    ] {
        let bench = Bench::new();
        let metadata = json!({"name": "backend-7", "ownerReferences": above});
        let set = bench.ask(Method::POST, "/apis/apps/v1/namespaces/shop/replicasets", json!({"metadata": metadata}));
        let uid = of.map_or_else(|| set["metadata"]["uid"].clone(), |uid| json!(uid));
        let owners = owner("ReplicaSet", "backend-7", &uid);
        let pod = bench.pod("backend-7-x", json!({"metadata": {"ownerReferences": owners}}));
        let target = json!({"target": {"workload": {"kind": workload, "name": "backend"}}});
        let (experiment, victim) = bench.planned(&pod, target).await;
        let (outcome, said) = bench.kill(&experiment, &victim).await;
        let wanted = if own { Outcome::Deleted } else { Outcome::Failed };
        assert_eq!((outcome, bench.sent().len()), (wanted, usize::from(own)), "{workload} {above} {of:?}: {said}");
    }
}

#[tokio::test]
async fn as_many_stay_ready_as_min_available_says() {
    for (ready, unready, min, victim_ready, killed) in [
        (2, 0, 1, true, true),
        (1, 0, 1, true, false),
        (1, 3, 1, true, false),
        (3, 0, 2, true, true),
        (3, 0, 3, true, false),
        (1, 0, 0, true, true),
        // Who does not serve is no loss.
        (1, 0, 2, false, true),
    ] {
        let bench = Bench::new();
        let pod = bench.pod("victim", json!({}));
        if !victim_ready {
            bench.ready("victim", "False");
        }
        for number in usize::from(victim_ready)..ready {
            bench.pod(&format!("ready-{number}"), json!({}));
        }
        for number in 0..unready {
            bench.pod(&format!("unready-{number}"), json!({}));
            bench.ready(&format!("unready-{number}"), "False");
        }
        bench.pod("of-another", json!({"metadata": {"labels": {"app": "another"}}}));
        let (experiment, victim) = bench.planned(&pod, json!({"target": {"minAvailable": min}})).await;
        let (outcome, said) = bench.kill(&experiment, &victim).await;
        let wanted = if killed { Outcome::Deleted } else { Outcome::Blocked };
        assert_eq!((outcome, bench.sent().len()), (wanted, usize::from(killed)), "{ready}/{unready} of {min}: {said}");
        let message = format!("{ready} target pods are ready, and minAvailable is {min}");
        assert!(killed || said == message, "{said}");
    }
}

#[tokio::test]
async fn only_the_workloads_own_pods_count_as_available() {
    let bench = Bench::new();
    let owner =
        json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "backend", "uid": "1", "controller": true}]);
    let pod = bench.pod("victim", json!({"metadata": {"ownerReferences": owner}}));
    bench.pod("stranger", json!({}));
    let target = json!({"minAvailable": 1, "workload": {"kind": "StatefulSet", "name": "backend"}});
    let (experiment, victim) = bench.planned(&pod, json!({"target": target})).await;
    let (outcome, said) = bench.kill(&experiment, &victim).await;
    assert_eq!((outcome, said.as_str()), (Outcome::Blocked, "1 target pods are ready, and minAvailable is 1"));
}

#[tokio::test]
async fn the_deadline_is_the_last_moment() {
    for (late, outcome) in [(0, Outcome::Deleted), (1, Outcome::Failed)] {
        let bench = Bench::new();
        let pod = bench.pod("backend", json!({}));
        let (experiment, mut victim) = bench.planned(&pod, json!({})).await;
        victim.deadline = NOW - SignedDuration::from_millis(late);
        assert_eq!(bench.kill(&experiment, &victim).await.0, outcome, "{late} ms late");

        let bench = Bench::new();
        let deployment = bench.deployment();
        let (experiment, mut victim) = bench.planned(&deployment, restart()).await;
        victim.deadline = NOW - SignedDuration::from_millis(late);
        let outcome = if late == 0 { Outcome::Restarted } else { Outcome::Failed };
        assert_eq!(bench.kill(&experiment, &victim).await.0, outcome, "{late} ms late");
    }
}

#[tokio::test]
async fn a_restart_is_of_the_workload_that_the_spec_names_and_not_in_a_dry_run() {
    let bench = Bench::new();
    let deployment = bench.deployment();
    let (experiment, victim) = bench.planned(&deployment, restart()).await;
    bench.patch(OUTAGE, json!({"spec": {"target": {"workload": {"name": "another"}}}}));
    let (outcome, said) = bench.kill(&experiment, &victim).await;
    assert_eq!((outcome, said.as_str()), (Outcome::Failed, "not sent: spec.target.workload is another one"));

    bench.patch(OUTAGE, json!({"spec": {"target": {"workload": {"name": "backend"}}, "dryRun": true}}));
    let (outcome, said) = bench.kill(&experiment, &victim).await;
    assert_eq!((outcome, said.as_str()), (Outcome::DryRun, "not sent: spec.dryRun is true"));
}

/// As where a status was forged: no run of the operator's own comes so far.
#[tokio::test]
async fn a_workload_whose_pods_are_never_killed_is_not_restarted() {
    let deployment = "/apis/apps/v1/namespaces/shop/deployments/backend";
    let class = |class: &str| json!({"spec": {"priorityClassName": class}});
    let labels = |part: &str| json!({"metadata": {"labels": {"app.kubernetes.io/component": "operator", "app.kubernetes.io/part-of": part}}});
    let critical = Some("not sent: the priority of its pods says that they are critical to the cluster");
    for (template, refused) in [
        (class("system-cluster-critical"), critical),
        (class("system-node-critical"), critical),
        (class("high"), None),
        (labels("breakwater"), Some("not sent: its pods are an operator's own")),
        (labels("another"), None),
    ] {
        let bench = Bench::new();
        bench.deployment();
        let before = bench.ask(Method::PATCH, deployment, json!({"spec": {"template": template}}));
        let (experiment, victim) = bench.planned(&before, restart()).await;
        let (outcome, said) = bench.kill(&experiment, &victim).await;
        let wanted = if refused.is_some() { Outcome::Failed } else { Outcome::Restarted };
        assert_eq!((outcome, said.as_str()), (wanted, refused.unwrap_or_default()), "{template}");
        let now = bench.ask(Method::GET, deployment, json!({}));
        assert_eq!(now == before, refused.is_some(), "{template}: {now}");
    }
}

#[tokio::test]
async fn a_halt_is_the_word_true() {
    for (data, halted) in [
        (json!({"halt": "true"}), true),
        (json!({"halt": " true\n"}), true),
        (json!({"halt": "false"}), false),
        (json!({"halt": ""}), false),
        (json!({"other": "true"}), false),
        (json!(null), false),
    ] {
        let bench = Bench::new();
        let pod = bench.pod("backend", json!({}));
        let (experiment, victim) = bench.planned(&pod, json!({})).await;
        let halt = json!({"metadata": {"name": "halt"}, "data": data});
        bench.ask(Method::POST, "/api/v1/namespaces/shop/configmaps", halt);
        let (outcome, said) = bench.kill(&experiment, &victim).await;
        assert_eq!(outcome == Outcome::Failed, halted, "{data}: {said}");
        assert!(!halted || said == "not sent: ConfigMap halt in namespace shop says halt: \"true\"", "{said}");
    }
}

/// Whoever cannot find out whether there is a halt kills nothing.
#[tokio::test]
async fn a_halt_that_cannot_be_read_stops_a_kill() {
    let bench = Bench::meddled(|_, request, _| {
        let refusal = Failure::new(500, "InternalError", "etcd is away");
        if request.uri.path().contains("configmaps") { no(&refusal) } else { None }
    });
    let pod = bench.pod("backend", json!({}));
    let (experiment, victim) = bench.planned(&pod, json!({})).await;
    assert_eq!((bench.kill(&experiment, &victim).await.0, bench.sent().len()), (Outcome::Planned, 0));
}
