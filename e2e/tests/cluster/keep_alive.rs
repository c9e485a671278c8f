//! A client's connection leads to one pod. When that goes, the next call goes to a living one.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use breakwater_e2e::{Lab, SOON, lab, tools::kubectl, wait::until};
use jiff::Timestamp;
use kube::ResourceExt;

const INTERVAL: Duration = Duration::from_millis(200);
const ATTEMPT: Duration = Duration::from_secs(1);
/// What a busy machine may add.
const SLACK: Duration = Duration::from_millis(500);

#[tokio::test]
async fn when_the_pod_in_use_goes_the_next_call_goes_to_another_within_one_time_out() {
    let values = [
        "demo.backend.replicas=3",
        "demo.client.interval=200ms",
        "demo.client.deadline=3s",
        "demo.client.attemptTimeout=1s",
        "demo.client.attempts=1",
    ];
    lab("keep-alive", &values, async |lab| -> Result<()> {
        let client = lab.pod("app=client").await?.name_any();
        // The client may have begun before the backend.
        let mut used = in_use(lab).await?;
        let before = lab.client_report(&client).await?;
        for _ in 0..3 {
            lab.kubectl(&["delete", "pod", &used, "--grace-period=0", "--force"], "").await?.text()?;
            let another = in_use(lab).await?;
            ensure!(another != used, "{used} is gone");
            used = another;
        }
        let report = lab.client_report(&client).await?;
        let breaker = report.breaker("backend").context("the client has a breaker")?;
        let began = before.breaker("backend").context("the client has a breaker")?;
        ensure!(breaker.transitions.last_seq == began.transitions.last_seq, "the breaker never opened: {breaker:?}");
        let failed = breaker.calls.failure - began.calls.failure;
        ensure!(failed <= 3, "each pod cost one call at most: {breaker:?}");

        let answered = answers(&lab.log(&client).await?)?.into_iter().filter(|at| *at >= before.now.wall);
        let answered: Vec<Timestamp> = answered.collect();
        let pauses = answered.windows(2).map(|pair| pair[1].duration_since(pair[0]));
        let longest = Duration::try_from(pauses.max().context("it was answered")?)?;
        println!("{} calls answered, {failed} failed, the longest pause {longest:?}", answered.len());
        ensure!(longest <= INTERVAL + ATTEMPT + SLACK, "no answer for {longest:?}");
        Ok(())
    })
    .await;
}

/// When the client had its answers.
fn answers(log: &str) -> Result<Vec<Timestamp>> {
    let times = log.lines().filter(|line| line.contains("Success: ")).map(|line| line.split(' ').next().unwrap_or(""));
    times.map(|time| time.parse().with_context(|| format!("the time of a line: {time}"))).collect()
}

/// The name of the backend pod that answers the client's calls.
async fn in_use(lab: &Lab) -> Result<String> {
    let mut before = served(lab).await?;
    until("a backend answers calls", SOON, async || {
        let now = served(lab).await?;
        let grown = now.iter().find(|(pod, count)| before.get(*pod).is_some_and(|before| **count > before + 2.0));
        let grown = grown.map(|(pod, _)| pod.clone());
        for (pod, count) in now {
            before.entry(pod).or_insert(count);
        }
        Ok(grown)
    })
    .await
}

/// How many calls each ready backend has answered.
async fn served(lab: &Lab) -> Result<BTreeMap<String, f64>> {
    let mut served = BTreeMap::new();
    for pod in lab.pods_with("app=backend").await?.iter().map(ResourceExt::name_any) {
        let path = format!("/api/v1/namespaces/{}/pods/{pod}:5000/proxy/metrics", lab.namespace);
        // One that begins or ends does not answer, and serves nobody.
        if let Ok(text) = kubectl(&["get", "--raw", &path], "").await?.text() {
            let count = text.lines().find_map(|line| {
                line.strip_prefix(r#"breakwater_backend_http_requests_total{path="/data",code="200"} "#)?.parse().ok()
            });
            served.insert(pod, count.unwrap_or(0.0));
        }
    }
    Ok(served)
}
