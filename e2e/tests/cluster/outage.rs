//! The report's three experiments, from the examples that people are given.

use std::time::Duration;

use anyhow::{Result, ensure};
use breakwater_breaker::State;
use breakwater_crds::{Reason, Replica, Verdict};
use breakwater_e2e::{SOON, lab, run_of, tools::helm, wait::until};
use kube::ResourceExt;

use crate::check;

#[tokio::test]
async fn backend_outage_passes() {
    lab("outage", &[], async |lab| {
        let tested = helm(&["test", "breakwater", "--namespace", &lab.namespace]).await?;
        ensure!(tested.ok, "helm test: {tested:?}");
        let before = lab.uids("app=backend").await?;
        let others = (lab.uids("app=client").await?, lab.uids("app.kubernetes.io/component=operator").await?);
        lab.apply_example("backend-outage").await?;
        let status = lab.complete("backend-outage").await?;
        ensure!(
            (status.verdict, status.reason) == (Some(Verdict::Passed), Some(Reason::AsExpected)),
            "{:?}",
            status.message
        );
        ensure!(check::condition(&status, "Passed") == Some("True"));
        check::kills_are_told(lab, &status).await?;
        check::opened_and_closed(&status)?;
        check::transitions_are_the_clients_own(lab, &status).await?;
        let run = run_of(&status)?;
        ensure!(
            run.kills.iter().any(|kill| before.contains(&kill.uid)) || run.kills_dropped > 0,
            "the first pod was killed"
        );
        ensure!(run.killed > 3, "replacements were killed: {}", run.killed);
        ensure!(
            (lab.uids("app=client").await?, lab.uids("app.kubernetes.io/component=operator").await?) == others,
            "nothing else was killed"
        );

        let log = lab.log(&lab.pod("app=client").await?.name_any()).await?;
        for line in [
            "Success: {",
            "Backend failed | Fail count = 1",
            "Backend failed | Fail count = 3",
            "Circuit Breaker OPEN",
            "Circuit open... skipping call",
            "Retrying backend...",
        ] {
            ensure!(log.contains(line), "the client's log has no {line:?}:\n{log}");
        }
        let events = lab
            .kubectl(&["get", "events.v1.events.k8s.io", "--field-selector=regarding.kind=ChaosExperiment"], "")
            .await?
            .text()?;
        for reason in ["PodKilled", "BreakerOpened", "BreakerClosed", "Passed"] {
            ensure!(events.contains(reason), "no event {reason}:\n{events}");
        }
        let table = lab.kubectl(&["get", "chaosexp"], "").await?.text()?;
        for word in ["PHASE", "OPENED-AFTER", "CLOSED-AFTER", "Completed", "Passed", "Closed"] {
            ensure!(table.contains(word), "{table}");
        }
        let text = lab.operator_metrics().await?;
        for line in ["breakwater_runs_total{verdict=\"Passed\"} 1", "breakwater_transitions_total{to=\"Open\"}"] {
            ensure!(text.contains(line), "no {line}:\n{text}");
        }
        // An idle experiment has no watch and asks nobody.
        until("the operator is idle", SOON, async || {
            Ok(lab.operator_metrics().await?.contains("breakwater_active_experiments 0").then_some(()))
        })
        .await
    })
    .await;
}

#[tokio::test]
async fn normal_operation_passes_and_kills_nothing() {
    lab("normal", &[], async |lab| {
        let before = lab.uids("app=backend").await?;
        lab.apply_example("normal-operation").await?;
        let status = lab.complete("normal-operation").await?;
        ensure!(status.verdict == Some(Verdict::Passed), "{:?}", status.message);
        let run = run_of(&status)?;
        ensure!(run.kills.is_empty() && run.killed == 0);
        ensure!(lab.uids("app=backend").await? == before, "the backend was left alone");
        let client = &run.clients[0];
        ensure!(client.calls > client.calls_at_baseline && client.errors == client.errors_at_baseline, "{client:?}");
        // Before the baseline its breaker may have opened: the client may have been there before the backend.
        ensure!(client.sequence == [State::Closed] && client.transitions.is_empty(), "{client:?}");
        let report = lab.client_report(&client.pod).await?;
        let told = report.breaker("backend").map(|breaker| breaker.transitions.last_seq);
        ensure!(told == Some(client.seq), "the client tells transition {told:?}: {client:?}");
        let log = lab.log(&client.pod).await?;
        ensure!(log.contains("Success: {"), "{log}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn recovery_passes_after_a_trial_that_failed() {
    lab("recovery", &["demo.client.replicas=2"], async |lab| -> Result<()> {
        lab.apply_example("recovery").await?;
        let status = lab.complete("recovery").await?;
        ensure!(status.verdict == Some(Verdict::Passed), "{:?}", status.message);
        check::kills_are_told(lab, &status).await?;
        check::opened_and_closed(&status)?;
        check::transitions_are_the_clients_own(lab, &status).await?;
        let run = run_of(&status)?;
        ensure!(run.clients.len() == 2, "each replica is watched by itself");
        // A breaker stays open for 10 s, and the outage lasts 20 s: who opened well before its middle tried while it lasted.
        let early = Duration::from_secs(9);
        let tried = |replica: &&Replica| replica.time_to_open.is_some_and(|time| time.as_std() < early);
        let tried: Vec<_> = run.clients.iter().filter(tried).collect();
        ensure!(!tried.is_empty(), "one opens in good time: {:?}", run.clients);
        ensure!(tried.iter().all(|replica| replica.flaps >= 1), "the first trial failed: {tried:?}");
        Ok(())
    })
    .await;
}
