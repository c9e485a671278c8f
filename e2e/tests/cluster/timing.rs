//! When runs begin: on a schedule, in rounds, one after the other.

use anyhow::{Context, Result, ensure};
use breakwater_crds::{Phase, Reason, Verdict};
use breakwater_e2e::{RUN, SOON, lab, run_of};
use jiff::SignedDuration;
use kube::ResourceExt;

const SCHEDULED: &str = "
apiVersion: chaos.breakwater.dev/v1alpha1
kind: ChaosExperiment
metadata: {name: scheduled}
spec:
  target: {selector: {matchLabels: {app: backend}}, pods: {all: {}}}
  kill: {gracePeriodSeconds: 0, holdFor: 10s}
  schedule: {cron: '* * * * *', timeZone: Asia/Kathmandu, rounds: 2, pauseBetweenRounds: 1s}
  observe: {clients: [{name: client, selector: {matchLabels: {app: client}}, port: http, breaker: backend}]}
  timeout: 4m
";

#[tokio::test]
async fn a_schedule_starts_on_time_runs_its_rounds_and_remembers() {
    lab("schedule", &["demo.client.interval=1s", "demo.client.attemptTimeout=500ms"], async |lab| -> Result<()> {
        lab.apply(SCHEDULED).await?;
        let waiting = lab.status("scheduled", SOON, |status| status.next_schedule_time.is_some()).await?;
        ensure!((waiting.phase, waiting.runs) == (Some(Phase::Waiting), 0), "it does not fire on apply: {waiting:?}");
        let next = waiting.next_schedule_time.context("it has a start")?;
        let table = lab.kubectl(&["get", "chaosexp"], "").await?.text()?;
        ensure!(table.contains(&next.to_string()), "NEXT says when: {table}");
        lab.status("scheduled", SOON * 2, |status| status.reason == Some(Reason::BetweenRounds)).await?;
        let status = lab.status("scheduled", RUN, |status| status.verdict.is_some()).await?;
        ensure!(status.verdict == Some(Verdict::Passed), "{:?} {:?}", status.reason, status.message);
        ensure!(status.phase == Some(Phase::Waiting), "it goes on: {:?}", status.phase);
        let run = run_of(&status)?;
        ensure!(run.scheduled_at == Some(next), "{:?} for {next}", run.scheduled_at);
        let late = run.started_at.duration_since(next);
        ensure!((SignedDuration::ZERO..SignedDuration::from_secs(2)).contains(&late), "{late:?} late");
        ensure!((run.round, run.rounds.len()) == (2, 1), "{} rounds", run.round);
        let (first, second) = (&run.rounds[0], run.round_at.context("it had a baseline")?);
        ensure!(second.duration_since(first.completed_at) >= SignedDuration::from_secs(1), "it paused");
        ensure!(status.history.len() == 1 && status.history[0].id == run.id);
        ensure!(status.statistics.as_ref().is_some_and(|figures| (figures.runs, figures.passed) == (1, 1)));
        ensure!(status.next_schedule_time.is_some_and(|next| next > run.started_at));
        ensure!(status.summary.as_ref().and_then(|summary| summary.parts).is_some_and(|parts| parts.closed.is_some()));
        // What has run by a schedule has a history; one that runs once is another experiment.
        let once = r#"{"spec":{"schedule":{"cron":null,"at":"2126-01-01T00:00:00Z"}}}"#;
        let changed = lab.kubectl(&["patch", "chaosexp", "scheduled", "--type=merge", "-p", once], "").await?;
        ensure!(!changed.ok && changed.err.contains("schedule.cron, which must stay"), "{changed:?}");
        // Between two runs the spec may change; a date that is over is no start.
        let change = r#"{"spec":{"timeout":"5m","schedule":{"cron":"0 0 30 2 *"}}}"#;
        lab.kubectl(&["patch", "chaosexp", "scheduled", "--type=merge", "-p", change], "").await?.text()?;
        lab.status("scheduled", SOON, |status| status.reason == Some(Reason::NeverDue)).await.map(drop)
    })
    .await;
}

const ONE: &str = "
apiVersion: chaos.breakwater.dev/v1alpha1
kind: ChaosExperiment
metadata: {name: earlier}
spec:
  target: {selector: {matchLabels: {app: backend}}, pods: {one: {}}}
  kill: {gracePeriodSeconds: 0, holdFor: 12s}
  observe: {clients: [{name: client, selector: {matchLabels: {app: client}}, port: http, breaker: backend}], duration: 12s}
  expect: {staysClosed: true}
";

#[tokio::test]
async fn of_two_experiments_with_a_target_in_common_the_later_waits() {
    lab("rivals", &["demo.backend.replicas=3"], async |lab| -> Result<()> {
        lab.apply(ONE).await?;
        lab.status("earlier", SOON, |status| status.run.as_ref().is_some_and(|run| run.killed > 0)).await?;
        lab.apply(&ONE.replace("name: earlier", "name: later")).await?;
        let waiting = lab.status("later", SOON, |status| status.reason == Some(Reason::AnotherExperiment)).await?;
        ensure!(waiting.message.as_deref().is_some_and(|said| said.contains("earlier")), "{:?}", waiting.message);
        let (earlier, later) = (lab.complete("earlier").await?, lab.complete("later").await?);
        ensure!(earlier.verdict == Some(Verdict::Passed), "{:?}", earlier.message);
        ensure!(later.verdict == Some(Verdict::Passed), "{:?}", later.message);
        let ended = run_of(&earlier)?.completed_at.context("it ended")?;
        ensure!(run_of(&later)?.first_kill_at.is_some_and(|at| at >= ended), "the later killed nothing before");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn at_starts_once_and_a_missed_one_is_told() {
    lab("at", &[], async |lab| -> Result<()> {
        let at = |moment: &str| {
            ONE.replace("  observe:", &format!("  schedule: {{at: {moment}, startingDeadline: 1h}}\n  observe:"))
        };
        lab.apply(&at("2026-01-01T00:00:00+01:00").replace("earlier", "missed")).await?;
        let missed = lab.complete("missed").await?;
        ensure!((missed.reason, missed.missed_runs) == (Some(Reason::StartMissed), 1), "{:?}", missed.message);
        lab.apply(&at("2100-01-01T00:00:00Z").replace("earlier", "far")).await?;
        let far = lab.status("far", SOON, |status| status.next_schedule_time.is_some()).await?;
        ensure!((far.phase, far.reason) == (Some(Phase::Waiting), Some(Reason::Scheduled)), "{:?}", far.message);
        ensure!(far.run.is_none());
        // Only afternoons in Kathmandu are left, which is a quarter to six hours ahead.
        let schedule =
            "schedule: {cron: '15 * * * *', timeZone: Asia/Kathmandu, excluded: [{to: '12:00'}, {days: [Sun]}]}";
        let afternoons =
            ONE.replace("  observe:", &format!("  {schedule}\n  observe:")).replace("earlier", "afternoons");
        lab.apply(&afternoons).await?;
        let status = lab.status("afternoons", SOON, |status| status.next_schedule_time.is_some()).await?;
        let zone = jiff::tz::TimeZone::fixed(jiff::tz::Offset::from_seconds(5 * 3600 + 45 * 60)?);
        let next = status.next_schedule_time.context("it has a start")?.to_zoned(zone);
        ensure!(next.hour() >= 12 && next.minute() == 15 && next.weekday() != jiff::civil::Weekday::Sunday, "{next}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn what_others_do_to_the_targets_is_told() {
    lab("disturbed", &["demo.backend.replicas=3"], async |lab| -> Result<()> {
        lab.apply(ONE).await?;
        let status =
            lab.status("earlier", SOON, |status| status.run.as_ref().is_some_and(|run| run.killed > 0)).await?;
        let spared = &run_of(&status)?.spared;
        let pods = lab.pods_with("app=backend").await?;
        let mine = pods.iter().find(|pod| spared.contains(&pod.uid().unwrap_or_default())).context("one is spared")?;
        lab.kubectl(&["delete", "pod", &mine.name_any(), "--grace-period=0", "--force"], "").await?.text()?;
        let status = lab.complete("earlier").await?;
        let told = &run_of(&status)?.disturbances;
        ensure!(told.len() == 1 && Some(&told[0].uid) == mine.uid().as_ref(), "{told:?}");
        ensure!(status.message.as_deref().is_some_and(|said| said.contains("others")), "{:?}", status.message);
        Ok(())
    })
    .await;
}
