//! Evictions under a budget. The real budget is counted by a controller, so that each eviction waits until it is, which random
//! sequences do not.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use breakwater_e2e::{SOON, bare, wait::until};
use kube::{Client, Config};
use serde_json::{Value, json};

use super::{PODS, objects::object, side::Side, sides};

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";

/// Of the pod that is to be evicted.
#[derive(Clone, Copy, Debug)]
enum Uid {
    Own,
    Other,
    None,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many pods must be available from now on.
    Needs(usize),
    /// A pod is not ready any more.
    Unready(&'static str),
    /// Which is answered by this code.
    Evict(&'static str, Uid, u16),
}

/// Before them a, b and c are ready, d runs and is not ready, e has not begun.
const STEPS: [Step; 15] = [
    Step::Needs(3),
    Step::Evict("a", Uid::None, 429),
    Step::Evict("a", Uid::Own, 429),
    // The budget is asked before the preconditions are.
    Step::Evict("a", Uid::Other, 429),
    Step::Evict("e", Uid::Own, 201),
    // Enough others are healthy, and this one is not counted.
    Step::Evict("d", Uid::Own, 201),
    Step::Evict("d", Uid::None, 404),
    Step::Needs(2),
    Step::Evict("b", Uid::Own, 201),
    Step::Evict("a", Uid::Own, 429),
    Step::Unready("c"),
    // Not enough others are.
    Step::Evict("c", Uid::None, 429),
    // What is not ready may go as long as others are counted, and then the last of those.
    Step::Needs(0),
    Step::Evict("c", Uid::Own, 201),
    Step::Evict("a", Uid::Own, 201),
];

fn budget(side: &Side, name: &str) -> String {
    format!("/apis/policy/v1/namespaces/{}/poddisruptionbudgets{name}", side.namespace)
}

fn pod(side: &Side, name: &str, part: &str) -> String {
    side.path(PODS, &format!("/s0-{name}{part}"))
}

async fn done(side: &Side, method: &str, path: &str, body: &Value) -> Result<()> {
    let content = if method == "PATCH" { MERGE } else { JSON };
    let (code, answer) = side.send(method, path, content, body).await?;
    ensure!(code < 300, "{method} {path}: {code} {answer}");
    Ok(())
}

async fn running(side: &Side, name: &str, ready: bool) -> Result<()> {
    let ready = if ready { "True" } else { "False" };
    let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}});
    done(side, "PATCH", &pod(side, name, "/status"), &status).await
}

async fn begin(side: &Side) -> Result<()> {
    for name in ["a", "b", "c", "d", "e"] {
        // No node has it, so that it goes at once.
        done(side, "POST", &side.path(PODS, ""), &object(PODS, &format!("s0-{name}"), 1)).await?;
    }
    for (name, ready) in [("a", true), ("b", true), ("c", true), ("d", false)] {
        running(side, name, ready).await?;
    }
    let body = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "budget"},
        "spec": {"minAvailable": 0, "selector": {"matchLabels": {"of": "s0"}}}});
    done(side, "POST", &budget(side, ""), &body).await
}

/// Waits until the real server's controller has counted.
async fn counted(real: &Side, needed: usize, healthy: usize) -> Result<()> {
    until("the budget is counted", SOON, async || {
        let (_, found) = real.send("GET", &budget(real, "/budget"), JSON, &Value::Null).await?;
        let status = &found["status"];
        let told = [&status["desiredHealthy"], &status["currentHealthy"], &status["disruptionsAllowed"]];
        let wanted = [needed, healthy, healthy.saturating_sub(needed)].map(|number| json!(number));
        let is_new = status["observedGeneration"] == found["metadata"]["generation"];
        ensure!(is_new && told.into_iter().eq(&wanted), "it says {status}, and not {wanted:?}");
        Ok(Some(()))
    })
    .await
}

/// Gives what both servers should say alike.
async fn evict(side: &Side, name: &str, uid: Uid) -> Result<Value> {
    let mut options = json!({});
    match uid {
        Uid::None => {}
        Uid::Other => options["preconditions"] = json!({"uid": "11111111-2222-3333-4444-555555555555"}),
        Uid::Own => {
            let (_, found) = side.send("GET", &pod(side, name, ""), JSON, &Value::Null).await?;
            let metadata = &found["metadata"];
            options["preconditions"] = json!({"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]});
        }
    }
    let body = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": format!("s0-{name}")},
        "deleteOptions": options});
    let (code, answer) = side.send("POST", &pod(side, name, "/eviction"), JSON, &body).await?;
    let causes = answer["details"]["causes"].as_array().into_iter().flatten();
    let causes: Vec<_> = causes.map(|cause| cause["reason"].clone()).collect();
    let (left, _) = side.send("GET", &pod(side, name, ""), JSON, &Value::Null).await?;
    Ok(json!({"code": code, "reason": answer["reason"], "causes": causes, "left": left}))
}

#[tokio::test]
async fn both_servers_evict_the_same_under_a_budget() {
    bare("budget", async |_, namespace| -> Result<()> {
        let mut config = Config::infer().await?;
        // What a budget refuses is an answer here, and is not asked for again.
        config.default_retry = false;
        let (_, real, fake) = sides(0, &Client::try_from(config)?, namespace).await?;
        begin(&real).await?;
        begin(&fake).await?;
        let (mut needed, mut ready) = (0, BTreeSet::from(["a", "b", "c"]));
        for (number, step) in STEPS.into_iter().enumerate() {
            match step {
                Step::Needs(least) => {
                    needed = least;
                    for side in [&real, &fake] {
                        let least = json!({"spec": {"minAvailable": least}});
                        done(side, "PATCH", &budget(side, "/budget"), &least).await?;
                    }
                }
                Step::Unready(name) => {
                    for side in [&real, &fake] {
                        running(side, name, false).await?;
                    }
                    ready.remove(name);
                }
                Step::Evict(name, uid, code) => {
                    counted(&real, needed, ready.len()).await?;
                    let (wanted, got) = (evict(&real, name, uid).await?, evict(&fake, name, uid).await?);
                    ensure!(wanted == got, "step {number} {step:?}\n  real: {wanted}\n  fake: {got}");
                    ensure!(wanted["code"] == code, "step {number} {step:?} is to prove another thing: {wanted}");
                    if code == 201 {
                        ready.remove(name);
                    }
                }
            }
        }
        Ok(())
    })
    .await;
}
