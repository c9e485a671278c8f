//! Whole runs: what is killed, what is recorded, and the verdict.

use std::time::Duration;

use breakwater_breaker::{Breaker, Now, Policy, Settings, State};
use breakwater_crds::{GapReason, Outcome, Phase, Reason, Verdict};
use breakwater_operator::{
    decide::{Attempt, decide, outcomes},
    world::World,
};
use jiff::SignedDuration;

use crate::{
    manifest,
    sim::{Fault, Sim},
};

const LIMIT: Duration = Duration::from_secs(400);

fn outage(hold: &str) -> String {
    manifest("{all: {}}", &format!("  kill: {{gracePeriodSeconds: 0, holdFor: {hold}}}"), "{}")
}

fn verdict(sim: &mut Sim) -> (Verdict, Reason) {
    let status = sim.complete(LIMIT);
    (status.verdict.unwrap(), status.reason.unwrap())
}

#[test]
fn a_held_outage_opens_the_breaker_and_it_closes_again() {
    let mut sim = Sim::new(&outage("15s"), 1, 1);
    assert_eq!(verdict(&mut sim), (Verdict::Passed, Reason::AsExpected));
    let (status, run) = (sim.status(), sim.run());
    let replica = &run.clients[0];
    let way: Vec<_> = replica.transitions.iter().map(|one| (one.seq, one.to)).collect();
    assert_eq!(way[0], (2, State::Open));
    assert_eq!(way[1], (3, State::HalfOpen));
    assert_eq!(*way.last().unwrap(), (replica.seq, State::Closed));
    assert_eq!(replica.sequence, [State::Closed, State::Open, State::HalfOpen, State::Closed]);
    assert!(replica.gaps.is_empty());
    let summary = status.summary.as_ref().unwrap();
    assert_eq!(summary.kills, sim.killed.len() as u64);
    assert!(summary.kills > 10, "replacements were killed: {}", summary.kills);
    // Three failures at two attempts a tick of 3 s: the second tick opens it.
    assert!(summary.time_to_open.unwrap().as_std() < Duration::from_secs(7), "{:?}", summary.time_to_open);
    assert!(summary.time_to_close.unwrap().as_std() < Duration::from_secs(20), "{:?}", summary.time_to_close);
    let outage = summary.outage.unwrap().as_std();
    assert!((Duration::from_secs(15)..Duration::from_secs(18)).contains(&outage), "{outage:?}");
    assert_eq!(
        status.conditions.iter().map(|one| one.type_.as_str()).collect::<Vec<_>>(),
        ["TargetsFound", "ClientsObserved", "Complete", "Passed"]
    );
    assert!(status.conditions.iter().all(|one| one.status == "True"), "{:?}", status.conditions);
    let message = status.message.as_ref().unwrap();
    assert!(message.contains("opened") && message.contains("closed"), "{message}");
}

#[test]
fn a_single_kill_is_too_short_and_proves_nothing() {
    let mut sim = Sim::new(&manifest("{all: {}}", "  kill: {gracePeriodSeconds: 0}", "{opensWithin: 10s}"), 1, 1);
    // An outage that falls between two of the client's calls.
    sim.start_up = Duration::from_millis(500);
    assert_eq!(verdict(&mut sim), (Verdict::Inconclusive, Reason::BreakerNeverOpened));
    assert_eq!(sim.killed.len(), 1);
    assert_eq!(sim.run().kills.len(), 1);
}

#[test]
fn nothing_is_killed_before_a_good_baseline() {
    for (pods, clients, reason) in [(0, 1, Reason::NoTargets), (1, 0, Reason::NoClients)] {
        let mut sim = Sim::new(&outage("15s"), pods, clients);
        assert_eq!(verdict(&mut sim), (Verdict::Inconclusive, reason));
        assert_eq!(sim.killed, []);
    }
    let mut sim = Sim::new(&outage("15s"), 1, 1);
    sim.start_up = Duration::from_secs(1000);
    sim.pods.clear();
    assert_eq!(verdict(&mut sim), (Verdict::Inconclusive, Reason::TargetsNotReady));
    let mut sim = Sim::new(&outage("15s"), 1, 1);
    sim.clients[0].answers = false;
    assert_eq!(verdict(&mut sim), (Verdict::Inconclusive, Reason::NoClients));
    assert_eq!(sim.killed, []);
}

#[test]
fn a_spec_that_cannot_be_used_is_a_verdict_and_no_error() {
    let mut sim = Sim::new(&outage("15s"), 1, 1);
    sim.look(Fault::None);
    let world = World { invalid: Some("a selector is empty".into()), ..World::default() };
    let decision = decide(&sim.experiment, &world, sim.now);
    assert_eq!(
        (decision.status.verdict, decision.status.reason),
        (Some(Verdict::Inconclusive), Some(Reason::InvalidSpec))
    );
    assert_eq!(decision.requeue, None);
}

#[test]
fn an_open_breaker_is_no_baseline_and_is_waited_for() {
    let mut sim = Sim::new(&outage("15s"), 1, 1);
    // The backend was away: the breaker is open when the experiment comes.
    let replicas = std::mem::replace(&mut sim.replicas, 0);
    sim.pods.clear();
    let open = |sim: &Sim| sim.clients[0].breaker.state() == State::Open;
    sim.until(LIMIT, open);
    (sim.replicas, sim.start_up) = (replicas, Duration::ZERO);
    sim.until(LIMIT, |sim| sim.status().reason == Some(Reason::BaselineNotClosed));
    assert_eq!(sim.killed, []);
    sim.start_up = Duration::from_millis(1500);
    assert_eq!(verdict(&mut sim), (Verdict::Passed, Reason::AsExpected));
}

#[test]
fn a_breaker_on_its_way_to_open_is_no_baseline() {
    let mut sim = Sim::new(&manifest("{all: {}}", "", "{staysClosed: true}"), 1, 1);
    let failures = |sim: &Sim| sim.clients[0].breaker.consecutive_failures();
    sim.experiment.spec.suspend = true;
    (sim.replicas, sim.start_up) = (0, Duration::ZERO);
    sim.pods.clear();
    sim.until(LIMIT, |sim| failures(sim) == 2);
    sim.experiment.spec.suspend = false;
    sim.replicas = 1;
    sim.until(LIMIT, |sim| sim.status().reason == Some(Reason::BaselineNotClosed));
    assert_eq!(verdict(&mut sim), (Verdict::Passed, Reason::AsExpected));
}

#[test]
fn normal_operation_passes_without_a_kill() {
    let mut sim = Sim::new(&manifest("{all: {}}", "", "{staysClosed: true}"), 2, 2);
    assert_eq!(verdict(&mut sim), (Verdict::Passed, Reason::AsExpected));
    assert_eq!(sim.killed, []);
    assert!(sim.written.iter().any(|status| status.phase == Some(Phase::Observing)));
}

#[test]
fn a_breaker_that_was_to_stay_closed_and_opened_fails_at_once() {
    let mut sim =
        Sim::new(&manifest("{all: {}}", "  kill: {gracePeriodSeconds: 0, holdFor: 60s}", "{staysClosed: true}"), 1, 1);
    assert_eq!(verdict(&mut sim), (Verdict::Failed, Reason::BreakerOpened));
    let held = sim.now.duration_since(sim.run().first_kill_at.unwrap());
    assert!(held < SignedDuration::from_secs(10), "the kills end with the verdict: {held:?}");
}

#[test]
fn late_missing_and_flapping_breakers_fail() {
    let kill = "  kill: {gracePeriodSeconds: 0, holdFor: 40s}";
    for (expect, reason) in [
        ("{opensWithin: 1s}", Reason::OpenedTooLate),
        ("{closesWithin: 1s}", Reason::NotClosedInTime),
        ("{maxFlaps: 1}", Reason::TooManyFlaps),
        ("{sequence: [Closed, Open, Closed]}", Reason::UnexpectedSequence),
    ] {
        let mut sim = Sim::new(&manifest("{all: {}}", kill, expect), 1, 1);
        assert_eq!(verdict(&mut sim), (Verdict::Failed, reason), "{expect}");
    }
}

/// A breaker that nothing opens.
fn stubborn(sim: &Sim) -> Breaker {
    let settings = Settings::default().with_policy(Policy::consecutive_failures(1000));
    let now = Now::new(sim.now, Duration::ZERO);
    Breaker::builder("backend").epoch(uuid::Uuid::from_u128(5)).settings(settings).clock(now).build()
}

#[test]
fn one_breaker_of_several_that_never_opened_makes_it_inconclusive() {
    let mut sim = Sim::new(&outage("15s"), 1, 3);
    sim.clients[2].breaker = stubborn(&sim);
    assert_eq!(verdict(&mut sim), (Verdict::Inconclusive, Reason::BreakerNeverOpened));
    assert_eq!(sim.run().clients.iter().filter(|replica| replica.time_to_open.is_some()).count(), 2);
}

#[test]
fn two_breakers_of_one_pod_are_told_apart() {
    let client = "{name: client, selector: {matchLabels: {app: client}}, port: 8080, breaker: backend}";
    let other = client.replace("name: client", "name: other").replace("breaker: backend", "breaker: other");
    let mut sim = Sim::new(&outage("15s").replace(client, &format!("{client}, {other}")), 1, 2);
    (sim.clients[1].of, sim.clients[1].uid) = ("other".into(), sim.clients[0].uid.clone());
    sim.clients[1].breaker = stubborn(&sim);
    assert_eq!(verdict(&mut sim), (Verdict::Inconclusive, Reason::BreakerNeverOpened));
    let told: Vec<_> =
        sim.run().clients.iter().map(|replica| (replica.client.as_str(), replica.time_to_open.is_some())).collect();
    assert_eq!(told, [("client", true), ("other", false)]);
}

#[test]
fn clients_without_traffic_prove_nothing() {
    for (kill, expect) in [("  kill: {gracePeriodSeconds: 0, holdFor: 15s}", "{}"), ("", "{staysClosed: true}")] {
        let mut sim = Sim::new(&manifest("{all: {}}", kill, expect), 1, 1);
        sim.silence_traffic();
        assert_eq!(verdict(&mut sim), (Verdict::Inconclusive, Reason::NoTraffic));
    }
}

#[test]
fn a_lost_observation_ends_the_kills() {
    let mut sim = Sim::new(&outage("60s"), 1, 1);
    sim.until(LIMIT, |sim| sim.killed.len() > 3);
    sim.clients[0].answers = false;
    let from = sim.now;
    assert_eq!(verdict(&mut sim), (Verdict::Inconclusive, Reason::ObservationGap));
    assert!(sim.now.duration_since(from) < SignedDuration::from_secs(13));
    assert_eq!(sim.run().clients[0].gaps[0].reason, GapReason::NoAnswer);

    let mut sim = Sim::new(&outage("60s"), 1, 2);
    sim.until(LIMIT, |sim| sim.killed.len() > 3);
    sim.restart(1);
    assert_eq!(verdict(&mut sim), (Verdict::Inconclusive, Reason::ObservationGap));
    let replica = &sim.run().clients[1];
    assert_eq!(replica.gaps[0].reason, GapReason::InstanceRestart);
    assert_eq!(replica.transitions.last().unwrap().from, None, "a restart is itself a record");

    let mut sim = Sim::new(&outage("60s"), 1, 2);
    sim.until(LIMIT, |sim| sim.killed.len() > 3);
    sim.clients.remove(0);
    assert_eq!(verdict(&mut sim), (Verdict::Inconclusive, Reason::ObservationGap));
    assert_eq!(sim.run().clients[0].gaps[0].reason, GapReason::ReplicaGone);
}

#[test]
fn silence_is_measured_by_the_interval() {
    for (interval, reason) in [("500ms", Reason::ObservationGap), ("10s", Reason::AsExpected)] {
        let manifest =
            outage("30s").replace("breaker: backend}]", &format!("breaker: backend}}], interval: {interval}"));
        let mut sim = Sim::new(&manifest, 1, 1);
        sim.until(LIMIT, |sim| sim.killed.len() > 3);
        // What it said last stays known.
        let last = sim.world().clients[0].replicas[0].report.clone();
        (sim.clients[0].answers, sim.clients[0].said) = (false, last.map(Ok));
        let again = sim.now + SignedDuration::from_secs(14);
        sim.until(LIMIT, |sim| sim.now > again);
        (sim.clients[0].answers, sim.clients[0].said) = (true, None);
        assert_eq!(verdict(&mut sim).1, reason, "{interval}");
    }
}

#[test]
fn suspend_holds_an_experiment_back_and_stops_one_that_runs() {
    let mut sim = Sim::new(&outage("60s"), 1, 1);
    sim.experiment.spec.suspend = true;
    sim.look(Fault::None);
    assert_eq!((sim.status().phase, sim.status().reason), (Some(Phase::Suspended), Some(Reason::Suspended)));
    sim.experiment.spec.suspend = false;
    sim.look(Fault::None);
    sim.until(LIMIT, |sim| sim.killed.len() > 3);
    sim.experiment.spec.suspend = true;
    let killed = sim.killed.len();
    assert_eq!(verdict(&mut sim), (Verdict::Aborted, Reason::Suspended));
    assert!(sim.killed.len() - killed <= 1, "no set is begun after the stop");
}

#[test]
fn a_run_that_takes_too_long_is_ended() {
    let mut sim = Sim::new(&outage("15s"), 1, 1);
    sim.experiment.spec.timeout = breakwater_crds::Duration::from_secs(40);
    sim.until(LIMIT, |sim| sim.killed.len() > 3);
    sim.start_up = Duration::from_secs(1000);
    assert_eq!(verdict(&mut sim), (Verdict::Aborted, Reason::Timeout));
}

#[test]
fn a_clock_that_goes_back_ends_the_run_and_the_outage() {
    let mut sim = Sim::new(&outage("60s"), 1, 1);
    sim.until(LIMIT, |sim| sim.killed.len() > 3);
    sim.jump(SignedDuration::from_secs(-30));
    let killed = sim.killed.len();
    assert_eq!(verdict(&mut sim), (Verdict::Aborted, Reason::ClockWentBack));
    assert_eq!(sim.killed.len(), killed);
}

#[test]
fn one_and_fixed_leave_the_others_alone_while_the_outage_is_held() {
    for (pods, count) in [("{one: {}}", 1), ("{fixed: 2}", 2)] {
        let mut sim =
            Sim::new(&manifest(pods, "  kill: {gracePeriodSeconds: 0, holdFor: 15s}", "{staysClosed: true}"), 5, 1);
        let first: Vec<_> = sim.pods.iter().map(|pod| pod.uid.clone()).collect();
        assert_eq!(verdict(&mut sim), (Verdict::Passed, Reason::AsExpected));
        let of_first = sim.killed.iter().filter(|(uid, _)| first.contains(uid)).count();
        assert_eq!(of_first, count, "{pods}: {:?}", sim.killed);
        assert_eq!(sim.run().spared.len(), 5 - count);
        assert!(sim.killed.len() > count * 5, "replacements were killed");
    }
}

#[test]
fn a_replacement_is_killed_within_a_quarter_second_of_being_seen() {
    let mut sim = Sim::new(&outage("15s"), 3, 1);
    sim.complete(LIMIT);
    let end = sim.run().hold_until.unwrap();
    let mut waves: Vec<_> = sim.killed.iter().map(|(_, at)| *at).collect();
    waves.dedup();
    for pair in waves.windows(2) {
        assert!(pair[1].duration_since(pair[0]) <= SignedDuration::from_millis(250), "{pair:?}");
    }
    assert!(waves.iter().all(|at| *at <= end));
    assert!(end.duration_since(*waves.last().unwrap()) <= SignedDuration::from_millis(250));
}

#[test]
fn what_the_clients_clock_says_does_not_change_the_durations() {
    let measure = |skew| {
        let mut sim = Sim::new(&outage("15s"), 1, 1);
        sim.clients[0].skew = skew;
        assert_eq!(verdict(&mut sim), (Verdict::Passed, Reason::AsExpected));
        let summary = sim.status().summary.clone().unwrap();
        (summary.time_to_open, summary.time_to_close)
    };
    assert_eq!(measure(SignedDuration::ZERO), measure(SignedDuration::from_hours(-24 * 3650)));
}

#[test]
fn a_kill_that_is_refused_is_told() {
    let mut sim = Sim::new(&outage("15s"), 1, 1);
    sim.plan();
    let mut status = sim.status().clone();
    let uid = status.run.as_ref().unwrap().kills[0].uid.clone();
    let refused =
        Attempt { slot: 1, uid, sent_at: None, outcome: Outcome::Failed, message: Some("pods is forbidden".into()) };
    outcomes(status.run.as_mut().unwrap(), &[refused]);
    sim.experiment.status = Some(status);
    assert_eq!(verdict(&mut sim), (Verdict::Inconclusive, Reason::KillFailed));
    assert!(sim.status().message.as_ref().unwrap().contains("forbidden"));
}

#[test]
fn a_kill_has_one_outcome_for_ever() {
    let mut sim = Sim::new(&outage("15s"), 1, 1);
    sim.until(LIMIT, |sim| sim.killed.len() == 1);
    let mut run = sim.run().clone();
    let recorded = run.clone();
    let again =
        Attempt { slot: 1, uid: run.kills[0].uid.clone(), sent_at: None, outcome: Outcome::Gone, message: None };
    outcomes(&mut run, &[again.clone(), Attempt { outcome: Outcome::Deleted, ..again.clone() }]);
    assert_eq!(run, recorded);
    assert_eq!((run.killed, run.kills[0].outcome), (1, Outcome::Deleted));
    // Unless another operator found gone what this one has killed.
    let mut sim = Sim::new(&outage("15s"), 1, 1);
    sim.plan();
    let mut run = sim.run().clone();
    outcomes(&mut run, &[again.clone(), Attempt { outcome: Outcome::Deleted, sent_at: Some(sim.now), ..again }]);
    assert_eq!((run.killed, run.kills[0].outcome), (1, Outcome::Deleted));
}

#[test]
fn a_new_operator_hears_the_clients_before_it_judges_or_kills() {
    // Away while the breaker closed, until closesWithin is long over.
    let mut sim = Sim::new(&outage("15s"), 1, 1);
    sim.until(LIMIT, |sim| sim.killed.len() > 3);
    sim.until(LIMIT, |sim| sim.run().hold_until.is_some_and(|end| sim.now > end));
    assert_eq!(sim.run().clients[0].breaker, State::Open);
    sim.operator_away(Duration::from_secs(100));
    assert!(!sim.is_complete(), "nothing was heard yet: {:?}", sim.status().message);
    let (_, reason) = verdict(&mut sim);
    assert_eq!(reason, Reason::AsExpected);

    let mut sim = Sim::new(&outage("60s"), 1, 1);
    sim.until(LIMIT, |sim| sim.killed.len() > 3);
    let killed = sim.killed.len();
    sim.operator_away(Duration::from_secs(1));
    assert_eq!(sim.killed.len(), killed, "nothing is killed that nobody watches");
    assert_eq!(verdict(&mut sim), (Verdict::Passed, Reason::AsExpected));
    assert!(sim.killed.len() > killed + 10);
}

#[test]
fn a_target_that_is_scaled_up_loses_no_more_pods_at_once() {
    let kill = "  kill: {gracePeriodSeconds: 0, holdFor: 15s}";
    let mut sim = Sim::new(&manifest("{one: {}}", kill, "{staysClosed: true}"), 3, 1);
    sim.until(LIMIT, |sim| sim.killed.len() > 3);
    sim.replicas = 10;
    let held = |sim: &Sim| sim.run().hold_until.is_some_and(|end| sim.now < end);
    let settled = sim.now + SignedDuration::from_secs(3);
    while held(&sim) {
        sim.step(Fault::None);
        let ready = sim.pods.iter().filter(|pod| pod.ready_at <= sim.now).count();
        assert!(sim.now < settled || ready >= 9, "{ready} of 10 ready");
    }
}

#[test]
fn a_breaker_that_opened_before_the_kill_proves_nothing() {
    let mut sim = Sim::new(&outage("15s"), 1, 1);
    sim.plan();
    let mut status = sim.status().clone();
    status.run.as_mut().unwrap().kills[0].planned_at = sim.now + SignedDuration::from_secs(60);
    status.run.as_mut().unwrap().first_kill_at = Some(sim.now + SignedDuration::from_secs(60));
    status.run.as_mut().unwrap().kills[0].outcome = Outcome::Gone;
    sim.experiment.status = Some(status);
    (sim.replicas, sim.absent) = (0, true);
    sim.pods.clear();
    sim.until(LIMIT, |sim| sim.clients[0].breaker.state() == State::Open);
    (sim.replicas, sim.absent) = (1, false);
    sim.now = sim.run().first_kill_at.unwrap();
    assert_eq!(verdict(&mut sim), (Verdict::Inconclusive, Reason::BaselineNotClosed));
}

#[test]
fn an_operator_that_cannot_list_pods_says_so_and_still_ends() {
    let mut sim = Sim::new(&outage("15s"), 1, 1);
    sim.look(Fault::None);
    let blind = World { unseen: Some("pods is forbidden".into()), ..World::default() };
    let first = decide(&sim.experiment, &blind, sim.now);
    assert_eq!((first.status.reason, first.kills.len()), (Some(Reason::PodsNotListed), 0));
    assert!(first.status.message.as_ref().unwrap().contains("forbidden"));
    sim.experiment.status = Some(first.status);
    let later = decide(&sim.experiment, &blind, sim.now + SignedDuration::from_secs(61));
    assert_eq!((later.status.verdict, later.status.reason), (Some(Verdict::Inconclusive), Some(Reason::PodsNotListed)));
    sim.experiment.status = None;
    sim.until(LIMIT, |sim| sim.killed.len() > 3);
    let late = decide(&sim.experiment, &blind, sim.now + SignedDuration::from_secs(301));
    assert_eq!((late.status.verdict, late.status.reason), (Some(Verdict::Aborted), Some(Reason::Timeout)));
}
