//! An operator that sees nothing for a while, or is not there at all, blames nobody and makes nothing up.

use std::time::Duration;

use breakwater_crds::{Outcome, Reason, Verdict};
use breakwater_operator::{
    decide::decide,
    world::{Rival, World},
};
use jiff::SignedDuration;

use crate::{
    manifest,
    sim::{Fault, Sim},
};

const LIMIT: Duration = Duration::from_secs(4000);
const HELD: &str = "  kill: {gracePeriodSeconds: 0, holdFor: 15s}";

fn blind() -> World {
    World { unseen: Some("etcd is away".into()), ..World::default() }
}

#[test]
fn no_run_begins_as_long_as_nobody_can_say_whether_all_is_halted() {
    for schedule in ["", "at: '2026-12-01T09:00:30Z'", "cron: '*/5 * * * *'"] {
        let more = format!("{HELD}\n  schedule: {{{schedule}}}");
        let mut sim = Sim::new(&manifest("{all: {}}", &more, "{}"), 1, 1);
        sim.look(Fault::None);
        let begins = sim.status().next_schedule_time.unwrap_or(sim.now);
        sim.experiment.status = sim.experiment.status.take().filter(|status| status.runs == 0);
        let decision = decide(&sim.experiment, &blind(), begins);
        assert_eq!(decision.status, sim.experiment.status.clone().unwrap_or_default(), "{schedule}");
        assert!(decision.requeue.is_some_and(|again| again <= Duration::from_secs(2)), "{schedule}");
        assert_eq!(decide(&sim.experiment, &World::default(), begins).status.runs, 1, "{schedule}");
    }
}

/// How long others went first is not what a baseline takes.
#[test]
fn one_failed_look_does_not_end_a_run_that_has_waited_long_for_another() {
    let mut sim = Sim::new(&manifest("{all: {}}", HELD, "{}"), 1, 1);
    sim.rivals = vec![Rival { name: "other".into(), uid: "other".into(), ticket: Some(1) }];
    sim.look(Fault::None);
    sim.until(LIMIT, |sim| sim.status().reason == Some(Reason::AnotherExperiment));
    let begun = sim.now;
    sim.until(LIMIT, |sim| sim.now.duration_since(begun) > SignedDuration::from_secs(120));
    let decision = decide(&sim.experiment, &blind(), sim.now);
    assert_eq!(decision.status.reason, Some(Reason::PodsNotListed));
    assert!(
        decision.status.run.as_ref().is_some_and(|run| run.completed_at.is_none()),
        "{:?}",
        decision.status.message
    );
    // It has its whole patience from there, and no more.
    sim.experiment.status = Some(decision.status);
    for (seconds, ends) in [(59, false), (61, true)] {
        let decision = decide(&sim.experiment, &blind(), sim.now + SignedDuration::from_secs(seconds));
        assert_eq!(decision.status.run.is_some_and(|run| run.completed_at.is_some()), ends, "after {seconds} s");
    }
}

/// What stands in the record of a restart is looked up at the workload: it is no pod that could be gone.
#[test]
fn a_restart_is_told_as_done_where_it_was_done() {
    let restart = "workload: {kind: Deployment, name: backend}}\n  kill: {method: RolloutRestart}";
    for (fault, outcome, reason) in [
        (Fault::DeadBeforeEffects, Outcome::Failed, Reason::KillFailed),
        (Fault::DeadAfterEffects, Outcome::Restarted, Reason::AsExpected),
    ] {
        let manifest = manifest("{all: {}}", "", "{staysClosed: true}")
            .replace("pods: {all: {}}}", &format!("pods: {{all: {{}}}}, {restart}"));
        let mut sim = Sim::new(&manifest, 3, 1);
        while sim.experiment.status.is_none() || sim.run().slot == 0 {
            sim.look(fault);
        }
        sim.operator_away(Duration::from_secs(30));
        let status = sim.complete(LIMIT).clone();
        assert_eq!(
            (sim.run().kills[0].outcome, status.reason),
            (outcome, Some(reason)),
            "{fault:?}: {:?}",
            status.message
        );
        assert_eq!(sim.run().killed, u64::from(outcome == Outcome::Restarted), "{fault:?}");
    }
}

#[test]
fn who_has_just_begun_to_listen_does_not_say_that_nobody_tells() {
    let mut sim = Sim::new(&manifest("{all: {}}", HELD, "{}"), 1, 1);
    sim.clients[0].answers = false;
    sim.until(LIMIT, |sim| {
        sim.experiment.status.as_ref().is_some_and(|status| status.reason == Some(Reason::NoClients))
    });
    sim.clients[0].answers = true;
    sim.operator_away(Duration::from_secs(100));
    assert!(!sim.is_complete(), "nobody was heard yet: {:?}", sim.status().message);
    assert_eq!(sim.complete(LIMIT).verdict, Some(Verdict::Passed));
}

/// The breakers close as they were to, but what they bore was not the outage that was asked for.
#[test]
fn an_outage_that_nobody_held_to_its_end_proves_nothing() {
    let rounds = format!("{HELD}\n  schedule: {{rounds: 2, pauseBetweenRounds: 1s}}");
    for (pods, kill, expect) in [
        ("{all: {}}", HELD, "{}"),
        ("{all: {}}", HELD, "{closesWithin: 5s}"),
        ("{all: {}}", &rounds, "{}"),
        ("{one: {}}", HELD, "{staysClosed: true}"),
    ] {
        // For how long before the end nobody is there: what comes in the last second may come before its node says so.
        for (missing, verdict) in [(10, Verdict::Inconclusive), (1, Verdict::Passed)] {
            let case = format!("{pods}, {kill}, {expect}: {missing} s");
            let mut sim = Sim::new(&manifest(pods, kill, expect), 3, 1);
            let left = SignedDuration::from_secs(missing);
            sim.until(LIMIT, |sim| {
                let run = sim.experiment.run().filter(|run| run.first_kill_at.is_some());
                run.and_then(|run| run.hold_until).is_some_and(|end| end.duration_since(sim.now) <= left)
            });
            sim.operator_away(Duration::from_secs(missing.unsigned_abs() + 1));
            let status = sim.complete(LIMIT).clone();
            assert_eq!(status.verdict, Some(verdict), "{case}: {:?}", status.message);
            if verdict == Verdict::Inconclusive {
                assert_eq!(
                    (status.reason, sim.run().round),
                    (Some(Reason::Disturbed), 1),
                    "{case}: {:?}",
                    status.message
                );
                assert!(status.message.as_ref().is_some_and(|said| said.contains("not held")), "{case}");
            }
        }
    }
}

/// Whoever comes back in time kills what has come meanwhile, and at the end nothing of it is left to be seen.
#[test]
fn an_outage_that_was_interrupted_proves_nothing() {
    let kill = HELD.replace("15s", "30s");
    for (pods, expect) in
        [("{all: {}}", "{}"), ("{all: {}}", "{opensWithin: 60s}"), ("{one: {}}", "{staysClosed: true}")]
    {
        // What replaces a pod is ready after a second and a half, and may serve for two until it counts.
        for (away, verdict) in [(20, Verdict::Inconclusive), (5, Verdict::Inconclusive), (1, Verdict::Passed)] {
            let case = format!("{pods}, {expect}: away for {away} s");
            let mut sim = Sim::new(&manifest(pods, &kill, expect), 3, 1);
            sim.until(LIMIT, |sim| {
                let first = sim.experiment.run().and_then(|run| run.first_kill_at);
                first.is_some_and(|kill| sim.now.duration_since(kill) > SignedDuration::from_secs(5))
            });
            sim.operator_away(Duration::from_secs(away));
            assert!(!sim.is_complete(), "{case}: it is back in time");
            let status = sim.complete(LIMIT).clone();
            assert_eq!(status.verdict, Some(verdict), "{case}: {:?}", status.message);
            let is_told = status.message.as_ref().is_some_and(|said| said.contains("not held"));
            assert_eq!(is_told, verdict == Verdict::Inconclusive, "{case}: {:?}", status.message);
        }
    }
}
