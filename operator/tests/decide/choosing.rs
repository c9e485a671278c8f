//! Whom a run kills: how many, which ones, and whom it leaves.

use std::{collections::BTreeSet, time::Duration};

use breakwater_crds::{KillRecord, Outcome, Reason, Run, Verdict};
use breakwater_operator::decide::{Attempt, KILL_LIMIT, outcomes};
use jiff::SignedDuration;

use crate::{
    manifest,
    sim::{Fault, Sim},
};

const LIMIT: Duration = Duration::from_secs(400);
const HELD: &str = "  kill: {gracePeriodSeconds: 0, holdFor: 15s}";

fn target(manifest: &str, more: &str) -> String {
    manifest.replace("app: backend}}, pods", &format!("app: backend}}}}, {more}, pods"))
}

/// The first set of a run, written down, of the experiment with this uid.
fn planned(pods: &str, of: usize, uid: u128) -> Sim {
    let mut sim = Sim::new(&manifest(pods, HELD, "{staysClosed: true}"), of, 1);
    sim.experiment.metadata.uid = Some(uuid::Uuid::from_u128(uid).to_string());
    sim.plan();
    sim
}

#[test]
fn so_many_are_killed_and_never_more_than_the_rule_says() {
    for (pods, of, expected) in [
        ("{all: {}}", 7, 7),
        ("{one: {}}", 7, 1),
        ("{fixed: 3}", 7, 3),
        ("{percent: 50}", 7, 3),
        ("{percent: 50}", 8, 4),
        ("{percent: 99}", 2, 1),
        ("{percent: 100}", 7, 7),
        ("{percent: 1}", 100, 1),
        ("{randomUpToPercent: 34}", 3, 1),
    ] {
        assert_eq!(planned(pods, of, 7).run().kills.len(), expected, "{pods} of {of}");
    }
}

#[test]
fn an_exempt_pod_is_never_chosen_and_one_that_does_not_serve_only_where_all_are() {
    for (pods, chosen) in [("{all: {}}", &[1, 2, 3][..]), ("{fixed: 2}", &[2, 3]), ("{percent: 67}", &[2, 3])] {
        for uid in 0..20 {
            let mut sim = Sim::new(&manifest(pods, HELD, "{staysClosed: true}"), 4, 1);
            sim.experiment.metadata.uid = Some(uuid::Uuid::from_u128(uid).to_string());
            sim.pods[0].exempt = true;
            sim.pods[1].ready_at = sim.now + SignedDuration::from_secs(60);
            sim.plan();
            let kills: BTreeSet<_> = sim.run().kills.iter().map(|kill| kill.uid.clone()).collect();
            let wanted: BTreeSet<_> = chosen.iter().map(|at| sim.pods[*at].uid.clone()).collect();
            assert_eq!(kills, wanted, "{pods}");
        }
    }
}

#[test]
fn a_random_number_is_drawn_by_the_seed_within_its_bounds() {
    let count = |uid: u128| planned("{randomUpToPercent: 60}", 10, uid).run().kills.len();
    let drawn: Vec<_> = (0..60).map(count).collect();
    assert_eq!(drawn, (0..60).map(count).collect::<Vec<_>>(), "the same seed draws the same number");
    assert_eq!(drawn.iter().collect::<BTreeSet<_>>(), (1..=6).collect::<Vec<_>>().iter().collect(), "{drawn:?}");
}

#[test]
fn the_same_seed_chooses_the_same_pods_and_another_run_others() {
    let choice = |uid: u128| {
        let sim = planned("{fixed: 3}", 20, uid);
        let run = sim.run();
        (run.seed, run.kills.iter().map(|kill| kill.uid.clone()).collect::<Vec<_>>())
    };
    assert_eq!(choice(1), choice(1));
    assert_ne!(choice(1), choice(2));
}

#[test]
fn a_status_that_asks_for_more_than_the_spec_kills_no_more() {
    for (pods, allowed) in [("{one: {}}", 1), ("{fixed: 2}", 2), ("{percent: 50}", 3), ("{randomUpToPercent: 17}", 1)] {
        let mut sim = planned(pods, 6, 7);
        let run = sim.experiment.status.as_mut().unwrap().run.as_mut().unwrap();
        assert_eq!(run.kills.len(), allowed, "{pods}");
        for pod in sim.pods.iter().filter(|pod| run.spared.contains(&pod.uid)) {
            let forged = KillRecord { pod: pod.uid.clone(), uid: pod.uid.clone(), ..run.kills[0].clone() };
            run.kills.push(forged);
        }
        (run.spared, run.blast_radius) = (vec![], 128);
        sim.until(LIMIT, |sim| sim.killed.len() >= allowed);
        let refused = sim.run().kills.iter().filter(|kill| kill.outcome == Outcome::Failed).count();
        assert_eq!((sim.killed.len(), refused), (allowed, 6 - allowed), "{pods}: {:?}", sim.run().kills);
        // The forged blast radius does not count for what is planned later either.
        sim.until(LIMIT, |sim| sim.run().slot > 3);
        let of_slot = |slot| sim.run().kills.iter().filter(|kill| kill.slot == slot).count();
        assert!((2..=4).all(|slot| of_slot(slot) <= allowed), "{pods}: {:?}", sim.run().kills);
    }
}

#[test]
fn a_percentage_that_comes_to_no_pod_is_not_begun() {
    for pods in ["{percent: 49}", "{randomUpToPercent: 49}"] {
        let mut sim = Sim::new(&manifest(pods, HELD, "{}"), 2, 1);
        let status = sim.complete(LIMIT);
        assert_eq!((status.verdict, status.reason), (Some(Verdict::Inconclusive), Some(Reason::TargetsNotReady)));
        assert!(status.message.as_ref().unwrap().contains("comes to none"), "{:?}", status.message);
        assert_eq!(sim.killed, []);
    }
}

/// More than one set may have are never cut down in silence; what is restarted is one object, however many pods it has.
#[test]
fn more_than_one_set_may_have_are_refused_and_a_workload_may_have_as_many_as_it_likes() {
    let restart = "{all: {}}, workload: {kind: Deployment, name: backend}";
    for (pods, kill, refused) in [
        ("{percent: 60}", HELD, true),
        ("{randomUpToPercent: 60}", HELD, true),
        ("{percent: 50}", HELD, false),
        ("{all: {}}", HELD, true),
        ("{all: {}}", "", false),
        (restart, "  kill: {method: RolloutRestart}", false),
    ] {
        let mut sim = Sim::new(&manifest(pods, kill, "{staysClosed: true}"), 240, 1);
        sim.until(LIMIT, |sim| {
            sim.experiment.status.as_ref().is_some_and(|status| {
                status.run.as_ref().is_some_and(|run| run.round_at.is_some()) || sim.is_complete()
            })
        });
        assert_eq!(
            sim.status().reason == Some(Reason::TooManyTargets),
            refused,
            "{pods} {kill}: {:?}",
            sim.status().message
        );
    }
}

#[test]
fn as_many_as_min_available_says_are_ready_at_every_moment() {
    for (pods, min) in [("{all: {}}", 1), ("{all: {}}", 3), ("{fixed: 4}", 3), ("{percent: 100}", 2)] {
        let spec = target(&manifest(pods, HELD, "{staysClosed: true}"), &format!("minAvailable: {min}"));
        let mut sim = Sim::new(&spec, 5, 1);
        while !sim.is_complete() {
            sim.step(Fault::None);
            let ready = sim.pods.iter().filter(|pod| pod.ready_at <= sim.now).count();
            assert!(ready >= min, "{pods}: {ready} ready, {min} wanted");
        }
        assert_eq!(sim.status().verdict, Some(Verdict::Passed), "{:?}", sim.status().message);
        assert!(sim.killed.len() > 5, "{pods}: {} killed", sim.killed.len());
    }
}

#[test]
fn too_few_ready_pods_for_min_available_are_no_baseline() {
    let mut sim = Sim::new(&target(&manifest("{one: {}}", HELD, "{}"), "minAvailable: 3"), 3, 1);
    let status = sim.complete(LIMIT);
    assert_eq!((status.verdict, status.reason), (Some(Verdict::Inconclusive), Some(Reason::TargetsNotReady)));
    assert!(status.message.as_ref().unwrap().contains("4 needed"), "{:?}", status.message);
}

#[test]
fn a_budget_blocks_evictions_and_they_are_tried_again_until_the_hold_ends() {
    let evict = "  kill: {method: Evict, gracePeriodSeconds: 0, holdFor: 15s}";
    let mut sim = Sim::new(&manifest("{all: {}}", evict, "{}"), 2, 1);
    sim.budget = 2;
    sim.until(LIMIT, |sim| sim.looks > 5);
    assert!(sim.run().kills.iter().all(|kill| kill.outcome == Outcome::Blocked), "{:?}", sim.run().kills);
    let begun = sim.now;
    // The budget is lifted in mid-hold.
    sim.until(LIMIT, |sim| sim.now.duration_since(begun) > SignedDuration::from_secs(4));
    sim.budget = 0;
    let status = sim.complete(LIMIT);
    assert_eq!(
        (status.verdict, status.reason),
        (Some(Verdict::Passed), Some(Reason::AsExpected)),
        "{:?}",
        status.message
    );
    assert!(sim.run().kills.iter().any(|kill| kill.outcome == Outcome::Evicted));
    assert!(sim.run().killed > 10);

    let mut sim = Sim::new(&manifest("{all: {}}", evict, "{}"), 2, 1);
    sim.budget = 2;
    let status = sim.complete(LIMIT);
    assert_eq!((status.verdict, status.reason), (Some(Verdict::Inconclusive), Some(Reason::KillBlocked)));
    assert_eq!(sim.killed, []);
    assert_eq!(sim.run().kills.len(), 2, "what is blocked is not written down anew");
    let mut run = sim.run().clone();
    let late =
        Attempt { slot: 1, uid: run.kills[0].uid.clone(), sent_at: None, outcome: Outcome::Failed, message: None };
    outcomes(&mut run, &[late]);
    assert_eq!(run.kills[0].outcome, Outcome::Blocked, "a last try that came too late is no news");
}

#[test]
fn what_was_blocked_and_is_gone_at_the_next_look_may_have_been_killed() {
    let evict = "  kill: {method: Evict, gracePeriodSeconds: 0}";
    let blocked = || {
        let mut sim = Sim::new(&manifest("{all: {}}", evict, "{staysClosed: true}"), 3, 1);
        sim.budget = 3;
        sim.until(LIMIT, |sim| sim.looks > 5);
        assert!(sim.run().kills.iter().all(|kill| kill.outcome == Outcome::Blocked), "{:?}", sim.run().kills);
        sim.budget = 1;
        sim
    };
    // The last try of two is allowed, and who sent it never hears so.
    let mut sim = blocked();
    sim.look(Fault::DeadAfterEffects);
    sim.operator_away(KILL_LIMIT + Duration::from_secs(2));
    sim.complete(LIMIT);
    let mut told: Vec<_> = sim.run().kills.iter().map(|kill| kill.outcome).collect();
    told.sort_by_key(|outcome| *outcome == Outcome::Blocked);
    assert_eq!(told, [Outcome::Gone, Outcome::Gone, Outcome::Blocked], "{:?}", sim.run().kills);
    assert_eq!(sim.run().disturbances, []);
    // It is allowed and heard of, after the hold: what was tried up to then is nothing that others did.
    let mut sim = blocked();
    sim.complete(LIMIT);
    assert_eq!(sim.run().kills.iter().filter(|kill| kill.outcome == Outcome::Evicted).count(), 3);
    assert_eq!(sim.run().disturbances, []);
}

#[test]
fn an_outcome_belongs_to_the_set_that_it_was_for() {
    let evict = "  kill: {method: Evict, gracePeriodSeconds: 0}\n  schedule: {rounds: 2, pauseBetweenRounds: 1s}";
    let mut sim = Sim::new(&manifest("{all: {}}", evict, "{staysClosed: true}"), 3, 1);
    // What a budget keeps in the first round, until it is too late, is chosen again in the second, where there is none.
    (sim.budget, sim.start_up) = (1, KILL_LIMIT + Duration::from_secs(2));
    sim.until(LIMIT, |sim| sim.experiment.status.is_some() && sim.run().round == 2);
    let kept = sim.run().kills.iter().find(|kill| kill.outcome == Outcome::Blocked).cloned().expect("one is kept");
    (sim.budget, sim.start_up) = (0, Duration::from_secs(1));
    let status = sim.complete(LIMIT);
    assert_eq!(status.verdict, Some(Verdict::Passed), "{:?}", status.message);
    let of_it = sim.run().kills.iter().filter(|kill| kill.uid == kept.uid);
    let told: Vec<_> = of_it.map(|kill| (kill.round, kill.outcome, kill.sent_at.is_some())).collect();
    assert_eq!(told, [(1, Outcome::Blocked, false), (2, Outcome::Evicted, true)]);
}

#[test]
fn what_is_said_of_one_set_is_not_taken_for_another() {
    use Outcome::{Blocked, Deleted, Failed, Gone, Planned, Unknown};
    let run = planned("{one: {}}", 2, 7).run().clone();
    let first = run.kills[0].clone();
    let second = KillRecord { round: 2, slot: 2, ..first.clone() };
    for (told, slot, then) in [
        ([Gone, Planned], 2, [Gone, Deleted]),
        ([Failed, Planned], 2, [Failed, Deleted]),
        ([Unknown, Planned], 2, [Unknown, Deleted]),
        ([Unknown, Planned], 1, [Deleted, Planned]),
        ([Deleted, Planned], 1, [Deleted, Planned]),
        ([Blocked, Unknown], 3, [Blocked, Unknown]),
    ] {
        let kills = [&first, &second].into_iter().zip(told);
        let kills = kills.map(|(kill, outcome)| KillRecord { outcome, ..kill.clone() }).collect();
        let mut run = Run { round: 2, kills, ..run.clone() };
        outcomes(&mut run, &[Attempt { slot, uid: first.uid.clone(), sent_at: None, outcome: Deleted, message: None }]);
        assert_eq!(run.kills.iter().map(|kill| kill.outcome).collect::<Vec<_>>(), then, "{told:?}, set {slot}");
    }
}

#[test]
fn a_rolling_restart_replaces_every_pod_once_and_clients_may_survive_it() {
    let restart = "  kill: {method: RolloutRestart}";
    let spec =
        target(&manifest("{all: {}}", restart, "{staysClosed: true}"), "workload: {kind: Deployment, name: backend}");
    let mut sim = Sim::new(&spec, 4, 1);
    let first: Vec<_> = sim.pods.iter().map(|pod| pod.uid.clone()).collect();
    let status = sim.complete(LIMIT);
    assert_eq!(
        (status.verdict, status.reason),
        (Some(Verdict::Passed), Some(Reason::AsExpected)),
        "{:?}",
        status.message
    );
    assert_eq!((sim.version, sim.run().killed, sim.run().kills[0].outcome), (2, 1, Outcome::Restarted));
    assert!(sim.pods.iter().all(|pod| !first.contains(&pod.uid) && pod.version == 2));
    assert_eq!(sim.run().disturbances, [], "the rollout is the run's own");
}

#[test]
fn a_dry_run_kills_nothing_and_says_who_would_be_killed() {
    let workload = "workload: {kind: Deployment, name: backend}";
    for (pods, kill, more, would) in [
        ("{fixed: 2}", HELD, "minAvailable: 0", 2),
        ("{all: {}}", HELD, "minAvailable: 3", 1),
        ("{all: {}}", "  kill: {method: Evict}", "minAvailable: 0", 4),
        ("{all: {}}", "  kill: {method: RolloutRestart}", workload, 1),
    ] {
        let spec = target(&manifest(pods, kill, "{}"), more).replace("spec:", "spec:\n  dryRun: true");
        let mut sim = Sim::new(&spec, 4, 1);
        let status = sim.complete(LIMIT).clone();
        assert_eq!((status.verdict, status.reason), (Some(Verdict::DryRun), Some(Reason::WouldKill)), "{kill}");
        assert_eq!((sim.killed.len(), sim.version, sim.run().killed), (0, 1, 0), "{kill}");
        let names: Vec<_> = sim.run().kills.iter().filter(|kill| kill.outcome == Outcome::DryRun).collect();
        assert_eq!(names.len(), would, "{kill}: {names:?}");
        assert!(status.message.as_ref().unwrap().contains(&names[0].pod), "{:?}", status.message);
        assert_eq!(status.conditions.iter().find(|one| one.type_ == "Passed").unwrap().status, "False");
        assert_eq!(status.statistics, None, "a rehearsal is no evidence");
    }
}

/// Who refuses a kill, as a policy does, refuses most likely the next one too.
#[test]
fn a_refused_kill_is_tried_again_less_and_less_often() {
    let held = "  kill: {gracePeriodSeconds: 0, holdFor: 60s}";
    let mut sim = Sim::new(&manifest("{all: {}}", held, "{}"), 3, 1);
    sim.refuses = true;
    let status = sim.complete(LIMIT).clone();
    assert_eq!((status.verdict, status.reason), (Some(Verdict::Inconclusive), Some(Reason::KillFailed)));
    let run = sim.run();
    assert_eq!(
        (run.slot, run.kills.len()),
        (1, 3),
        "where the whole of the first set is refused there is no second one"
    );

    let mut sim = Sim::new(&manifest("{all: {}}", held, "{}"), 3, 1);
    sim.until(LIMIT, |sim| !sim.killed.is_empty());
    sim.refuses = true;
    let slot = sim.run().slot;
    let refused = |sim: &Sim| sim.run().kills.iter().filter(|kill| kill.outcome == Outcome::Failed).count();
    let begun = sim.now;
    for (seconds, most) in [(1, 1), (3, 2), (7, 3), (15, 4), (31, 5), (59, 6)] {
        sim.until(LIMIT, |sim| sim.now.duration_since(begun) >= SignedDuration::from_secs(seconds));
        assert!(refused(&sim) <= 3 * most, "{} kills of three pods were refused in {seconds} s", refused(&sim));
    }
    assert!(refused(&sim) >= 3 * 4, "they are tried again: {}", refused(&sim));
    assert!(sim.run().slot > slot + 3 && sim.run().kills.iter().any(|kill| kill.outcome == Outcome::Deleted));
    // What is let through at last is killed.
    let killed = sim.killed.len();
    sim.refuses = false;
    sim.complete(LIMIT);
    assert_eq!(sim.killed.len(), killed, "by then the hold was over");
}
