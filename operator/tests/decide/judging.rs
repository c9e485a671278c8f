//! Ways to stop a run, and what a verdict is made of besides the breakers' way.

use std::time::Duration;

use breakwater_breaker::{Cause, Transition};
use breakwater_crds::{ABORT, DisturbanceKind, Phase, Reason, State, Verdict};
use breakwater_operator::{decide::clients, world::Seen};
use jiff::SignedDuration;

use crate::{
    manifest,
    sim::{Fault, Sim},
};

const LIMIT: Duration = Duration::from_secs(600);
const LONG: &str = "  kill: {gracePeriodSeconds: 0, holdFor: 60s}";
const HELD: &str = "  kill: {gracePeriodSeconds: 0, holdFor: 15s}";

fn in_the_middle(kill: &str) -> Sim {
    let mut sim = Sim::new(&manifest("{all: {}}", kill, "{}"), 1, 1);
    sim.until(LIMIT, |sim| sim.killed.len() > 3);
    sim
}

#[test]
fn every_way_to_stop_stops_at_once_and_says_which_it_was() {
    for reason in [Reason::AbortRequested, Reason::Halted, Reason::Suspended] {
        let mut sim = in_the_middle(LONG);
        let killed = sim.killed.len();
        match reason {
            Reason::AbortRequested => abort(&mut sim),
            Reason::Halted => sim.halted = true,
            _ => sim.experiment.spec.suspend = true,
        }
        sim.look(Fault::None);
        assert_eq!((sim.status().verdict, sim.status().reason), (Some(Verdict::Aborted), Some(reason)));
        assert_eq!(sim.killed.len(), killed, "{reason:?}");
    }
}

fn abort(sim: &mut Sim) {
    sim.experiment.metadata.annotations = Some([(ABORT.to_string(), "now".to_string())].into());
}

#[test]
fn no_run_begins_while_halted_or_aborted_and_a_schedule_goes_on_later() {
    let mut sim = Sim::new(&manifest("{all: {}}", HELD, "{}"), 1, 1);
    sim.halted = true;
    sim.look(Fault::None);
    assert_eq!((sim.status().phase, sim.status().reason), (Some(Phase::Waiting), Some(Reason::Halted)));
    assert!(sim.status().run.is_none());
    // As long as nothing changes there is nothing to write.
    sim.now += SignedDuration::from_secs(2);
    sim.look(Fault::None);
    assert_eq!(sim.written.len(), 1);
    sim.halted = false;
    assert_eq!(sim.complete(LIMIT).verdict, Some(Verdict::Passed));

    let mut sim = Sim::new(&manifest("{all: {}}", &format!("{HELD}\n  schedule: {{cron: '* * * * *'}}"), "{}"), 1, 1);
    sim.look(Fault::None);
    abort(&mut sim);
    sim.look(Fault::None);
    assert_eq!((sim.status().reason, sim.status().next_schedule_time), (Some(Reason::AbortRequested), None));
    sim.jump(SignedDuration::from_secs(300));
    sim.experiment.metadata.annotations = None;
    sim.look(Fault::None);
    assert_eq!((sim.status().runs, sim.status().missed_runs), (0, 0));
    sim.halted = true;
    let next = sim.status().next_schedule_time.unwrap();
    sim.until(LIMIT, |sim| sim.status().reason == Some(Reason::Halted));
    assert_eq!(sim.status().next_schedule_time, Some(next), "it is still to come, within its deadline");
    sim.halted = false;
    sim.until(LIMIT, |sim| sim.status().runs == 1);
    assert_eq!(sim.run().scheduled_at, Some(next));
}

#[test]
fn an_outage_is_told_in_its_parts_in_their_order() {
    let mut sim = Sim::new(&manifest("{all: {}}", HELD, "{}"), 2, 2);
    assert_eq!(sim.complete(LIMIT).verdict, Some(Verdict::Passed));
    let parts = sim.status().summary.as_ref().unwrap().parts.unwrap();
    let order =
        [parts.targets_lost, parts.first_failure, parts.opened, parts.targets_ready, parts.half_open, parts.closed];
    let order: Vec<_> = order.into_iter().map(|part| part.expect("each part is there").as_std()).collect();
    assert!(order[..5].is_sorted() || order[4] >= order[2], "{order:?}");
    assert!(order[0] < Duration::from_millis(500), "{order:?}");
    assert!(order[1] <= Duration::from_millis(3600), "a client calls every 3 s and is asked every 500 ms: {order:?}");
    assert!(order[1] <= order[2] && order[2] <= order[4] && order[4] <= order[5] && order[3] <= order[5], "{order:?}");
    assert!(order[3] >= Duration::from_secs(15), "{order:?}");
    assert_eq!(
        Some(order[5]),
        sim.status().summary.as_ref().unwrap().time_to_close.map(|time| time.as_std() + Duration::from_secs(15)),
        "{order:?}"
    );
}

#[test]
fn errors_at_a_replica_are_counted_and_limited() {
    let errors = |most: &str| {
        let mut sim = Sim::new(&manifest("{all: {}}", HELD, most), 1, 2);
        let status = sim.complete(LIMIT).clone();
        (
            status.verdict.unwrap(),
            status.reason.unwrap(),
            sim.run().clients.iter().map(|one| one.errors - one.errors_at_baseline).max().unwrap(),
        )
    };
    let (verdict, _, worst) = errors("{}");
    assert_eq!(verdict, Verdict::Passed);
    assert!(worst >= 3, "three failures opened it: {worst}");
    assert_eq!(errors(&format!("{{errorsAtMost: {worst}}}")).0, Verdict::Passed);
    let (verdict, reason, _) = errors(&format!("{{errorsAtMost: {}}}", worst - 1));
    assert_eq!((verdict, reason), (Verdict::Failed, Reason::TooManyErrors));
}

#[test]
fn what_others_do_to_the_targets_is_told_and_takes_a_failure_its_worth() {
    // Somebody deletes the two pods that the run left alone: the breaker opens, and that proves nothing.
    let mut sim = Sim::new(&manifest("{one: {}}", LONG, "{staysClosed: true}"), 3, 1);
    sim.until(LIMIT, |sim| sim.killed.len() > 3);
    let spared = sim.run().spared.clone();
    assert_eq!(spared.len(), 2);
    sim.start_up = Duration::from_secs(20);
    spared.iter().for_each(|uid| sim.lose_pod(uid));
    let status = sim.complete(LIMIT).clone();
    assert_eq!(
        (status.verdict, status.reason),
        (Some(Verdict::Inconclusive), Some(Reason::Disturbed)),
        "{:?}",
        status.message
    );
    assert!(status.message.as_ref().unwrap().contains("BreakerOpened"), "{:?}", status.message);
    let kinds: Vec<_> = sim.run().disturbances.iter().map(|one| (one.kind, one.uid.as_str())).collect();
    assert_eq!(kinds, spared.iter().map(|uid| (DisturbanceKind::PodGone, uid.as_str())).collect::<Vec<_>>());

    // A rollout in mid-hold: the run passes, and says so.
    let mut sim = in_the_middle(HELD);
    sim.version = 2;
    let status = sim.complete(LIMIT).clone();
    assert_eq!((status.verdict, status.summary.unwrap().disturbances), (Some(Verdict::Passed), 1));
    assert!(status.message.unwrap().contains("rollout"));

    // A pod that came after the hold is nobody's to delete.
    let mut sim = in_the_middle(HELD);
    sim.until(LIMIT, |sim| !sim.run().survivors.is_empty());
    let survivor = sim.run().survivors[0].clone();
    sim.lose_pod(&survivor);
    sim.complete(LIMIT);
    assert_eq!(sim.run().disturbances[0].uid, survivor);
}

#[test]
fn what_the_run_itself_does_is_no_disturbance() {
    for (pods, of) in [("{all: {}}", 3), ("{one: {}}", 3), ("{percent: 60}", 5)] {
        let mut sim = Sim::new(&manifest(pods, HELD, "{staysClosed: true}"), of, 1);
        sim.complete(LIMIT);
        assert_eq!(sim.run().disturbances, [], "{pods}");
        assert_eq!(sim.status().summary.as_ref().unwrap().disturbances, 0);
    }
}

#[test]
fn a_breaker_that_is_forced_by_hand_is_no_evidence() {
    for state in [State::Open, State::ForcedOpen, State::Disabled] {
        let mut sim = in_the_middle(LONG);
        sim.clients[0].breaker.force(state, "by hand");
        let status = sim.complete(LIMIT);
        assert_eq!((status.verdict, status.reason), (Some(Verdict::Inconclusive), Some(Reason::Disturbed)), "{state}");
        assert!(status.message.as_ref().unwrap().contains("by hand"), "{:?}", status.message);
    }
}

#[test]
fn of_a_breaker_that_closes_very_often_all_is_recorded_and_little_is_told() {
    let mut sim = in_the_middle(LONG);
    let (mut run, mut world) = (sim.run().clone(), sim.world());
    let from = run.clients[0].seq;
    let report = world.clients[0].replicas[0].report.as_mut().expect("it answers");
    let seen = |number: u64| {
        let to = if number % 2 == 1 { State::Open } else { State::Closed };
        let (seq, at, cause) = (from + number, sim.now, Cause::TrialSucceeded);
        Seen { transition: Transition { seq, from: None, to, at, mono_nanos: number, cause }, aligned_at: at }
    };
    report.transitions = (1..=400).map(seen).collect();
    let notices = clients(&sim.experiment.spec, &mut run, &world, sim.now);
    assert_eq!(run.clients[0].seq, from + 400);
    assert_eq!(notices.len(), 17, "{notices:?}");
    let closed = notices.iter().filter(|notice| notice.note.contains("closed")).count();
    assert!(closed >= 15 && notices[16].note.contains("the status has"), "{notices:?}");
}

/// What the rules on spec.timeout refuse: a manifest that could only end so.
#[test]
fn a_timeout_holds_for_the_hold_the_watch_and_all_rounds_together() {
    let rounds = "\n  schedule: {rounds: 2, pauseBetweenRounds: 10s}";
    for (more, watched, timeout, verdict) in [
        ("", "5s", "15s", Verdict::Aborted),
        ("", "5s", "20s", Verdict::Passed),
        ("", "20s", "20s", Verdict::Aborted),
        ("", "20s", "25s", Verdict::Passed),
        (rounds, "5s", "40s", Verdict::Aborted),
        (rounds, "5s", "60s", Verdict::Passed),
    ] {
        let mut sim = Sim::new(&manifest("{one: {}}", &format!("{HELD}{more}"), "{staysClosed: true}"), 3, 1);
        sim.experiment.spec.observe.duration = watched.parse().unwrap();
        sim.experiment.spec.timeout = timeout.parse().unwrap();
        let status = sim.complete(LIMIT);
        let said = (status.verdict, status.reason == Some(Reason::Timeout));
        assert_eq!(
            said,
            (Some(verdict), verdict == Verdict::Aborted),
            "{more} {watched} {timeout}: {:?}",
            status.message
        );
    }
}

/// A hold may last longer than the breakers are watched from its beginning, and what was heard in it says nothing of its end.
#[test]
fn what_a_breaker_did_at_the_end_of_an_outage_is_asked_after_it() {
    let fail = |sim: &Sim| (0..3).for_each(|_| drop(sim.clients[0].breaker.try_acquire().unwrap().failure("reset")));
    for (expect, reason) in [("{staysClosed: true}", Reason::BreakerOpened), ("{}", Reason::UnexpectedSequence)] {
        let more = format!("{HELD}\n  schedule: {{rounds: 1}}");
        let manifest = manifest("{one: {}}", &more, expect).replace("observe: {", "observe: {duration: 5s, ");
        let mut sim = Sim::new(&manifest, 3, 1);
        sim.until(LIMIT, |sim| !sim.killed.is_empty());
        if expect == "{}" {
            // It opens and closes in the hold, for whatever reason.
            fail(&sim);
        }
        let end = sim.run().hold_until.unwrap();
        sim.until(LIMIT, |sim| end.duration_since(sim.now) < SignedDuration::from_secs(1));
        assert_eq!(sim.clients[0].breaker.state(), State::Closed, "{expect}");
        // Its last answer is from now; then it opens.
        let last = sim.world().clients[0].replicas[0].report.clone();
        (sim.clients[0].answers, sim.clients[0].said) = (false, last.map(Ok));
        fail(&sim);
        sim.until(LIMIT, |sim| sim.now.duration_since(end) > SignedDuration::from_secs(3));
        assert!(!sim.is_complete(), "{expect}: nobody was heard: {:?}", sim.status().message);
        (sim.clients[0].answers, sim.clients[0].said) = (true, None);
        let status = sim.complete(LIMIT).clone();
        assert_eq!(
            (status.verdict, status.reason),
            (Some(Verdict::Failed), Some(reason)),
            "{expect}: {:?}",
            status.message
        );
    }
}
