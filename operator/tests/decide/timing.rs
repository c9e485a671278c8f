//! When runs begin, in how many rounds, and what is remembered of them.

use std::time::Duration;

use breakwater_crds::{Outcome, Phase, Reason, Verdict};
use breakwater_operator::decide::{Attempt, LONGEST_WAIT, decide, outcomes};
use breakwater_operator::world::{Rival, World};
use jiff::{SignedDuration, Timestamp};

use crate::{
    manifest,
    sim::{Fault, Sim},
};

const LIMIT: Duration = Duration::from_secs(4000);
const HELD: &str = "  kill: {gracePeriodSeconds: 0, holdFor: 15s}";

fn scheduled(schedule: &str) -> Sim {
    Sim::new(&manifest("{all: {}}", &format!("{HELD}\n  schedule: {{{schedule}}}"), "{}"), 1, 1)
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn a_cron_does_not_fire_on_apply_and_then_fires_on_time_again_and_again() {
    // The simulation begins at 09:00:00 sharp, which is a start: it is not taken.
    let mut sim = scheduled("cron: '*/5 * * * *'");
    sim.look(Fault::None);
    assert_eq!((sim.status().phase, sim.status().reason), (Some(Phase::Waiting), Some(Reason::Scheduled)));
    assert_eq!(sim.status().next_schedule_time, Some(at("2026-12-01T09:05:00Z")));
    assert!(sim.status().run.is_none());
    let looks = sim.looks;
    sim.until(LIMIT, |sim| sim.status().runs == 1);
    assert_eq!(sim.looks, looks + 1, "nothing is done while it waits");
    assert_eq!(sim.run().scheduled_at, Some(at("2026-12-01T09:05:00Z")));
    assert!(sim.now.duration_since(at("2026-12-01T09:05:00Z")) < SignedDuration::from_secs(1));
    sim.until(LIMIT, |sim| sim.status().runs == 3 && sim.run().completed_at.is_some());
    let status = sim.status().clone();
    assert_eq!(
        (status.phase, status.verdict, status.reason),
        (Some(Phase::Waiting), Some(Verdict::Passed), Some(Reason::AsExpected))
    );
    assert_eq!(status.next_schedule_time, Some(at("2026-12-01T09:20:00Z")));
    assert_eq!(status.history.iter().map(|run| run.number).collect::<Vec<_>>(), [1, 2, 3]);
    let ids: std::collections::BTreeSet<_> = status.history.iter().map(|run| run.id).collect();
    assert_eq!(ids.len(), 3, "each run has an id of its own");
    let statistics = status.statistics.unwrap();
    assert_eq!((statistics.runs, statistics.passed, statistics.pass_rate), (3, 3, Some(100)));
    let spread = statistics.time_to_open.unwrap();
    assert!(spread.runs == 3 && spread.median <= spread.worst);
    assert_eq!(status.missed_runs, 0);
    let complete = status.conditions.iter().find(|one| one.type_ == "Complete").unwrap();
    assert_eq!(complete.status, "False", "a schedule is never complete");
}

#[test]
fn starts_that_are_missed_are_counted_and_one_at_most_is_made_up_for() {
    for (away, deadline, runs, missed) in [(200, "60s", 1, 2), (200, "1s", 0, 3), (3600 * 24 * 3, "60s", 1, 1000)] {
        let mut sim = scheduled(&format!("cron: '* * * * *', startingDeadline: {deadline}"));
        sim.look(Fault::None);
        sim.jump(SignedDuration::from_secs(away + 10));
        sim.look(Fault::None);
        assert_eq!((sim.status().runs, sim.status().missed_runs), (runs, missed), "away {away} s, {deadline}");
        assert!(sim.status().next_schedule_time.unwrap() > sim.now, "the next start is in the future");
    }
}

#[test]
fn a_start_is_used_once_whatever_clocks_show() {
    let mut sim = scheduled("cron: '*/5 * * * *', startingDeadline: 10m");
    sim.look(Fault::None);
    sim.until(LIMIT, |sim| sim.status().runs == 1 && sim.run().completed_at.is_some());
    // An operator whose clock is years behind finds the next start far away, and this one finds a start of years ago that was missed.
    for years in [-20, 20] {
        sim.jump(SignedDuration::from_hours(years * 24 * 365));
        sim.look(Fault::None);
    }
    assert!(sim.status().missed_runs > 0, "it was as is said here");
    sim.until(LIMIT, |sim| sim.status().runs == 2);
    assert_eq!(sim.run().scheduled_at, Some(at("2026-12-01T09:10:00Z")), "09:05 has had its run");
}

/// A clock is put back, and shows once more what it has shown; how many runs the history keeps has no part in it.
#[test]
fn a_clock_that_is_put_back_brings_no_start_again() {
    for (limit, back) in [(0, 7), (0, 20), (1, 20), (10, 120)] {
        let mut sim = scheduled("cron: '*/5 * * * *'");
        sim.experiment.spec.history_limit = limit;
        sim.look(Fault::None);
        sim.until(LIMIT, |sim| sim.status().runs == 2 && sim.run().completed_at.is_some());
        sim.look(Fault::None);
        sim.jump(SignedDuration::from_mins(-back));
        sim.look(Fault::None);
        let case = format!("{back} minutes back, {limit} runs are kept");
        assert_eq!(sim.status().next_schedule_time, Some(at("2026-12-01T09:15:00Z")), "{case}");
        sim.until(LIMIT * 4, |sim| sim.status().runs == 3);
        assert_eq!(sim.run().scheduled_at, Some(at("2026-12-01T09:15:00Z")), "{case}");
    }
}

#[test]
fn starts_that_fall_into_a_run_are_skipped_and_the_next_start_is_always_true() {
    let mut sim = scheduled("cron: '* * * * *'");
    sim.experiment.spec.kill.as_mut().unwrap().hold_for = Some("2m30s".parse().unwrap());
    sim.experiment.spec.expect.max_flaps = 100;
    sim.look(Fault::None);
    sim.until(LIMIT, |sim| {
        let next = sim.status().next_schedule_time.unwrap();
        assert!(next > sim.now - SignedDuration::from_secs(3), "{next} at {}", sim.now);
        sim.status().runs == 1 && sim.run().completed_at.is_some()
    });
    assert_eq!(sim.status().verdict, Some(Verdict::Passed), "{:?}", sim.status().message);
    assert!((2..=3).contains(&sim.status().missed_runs), "{}", sim.status().missed_runs);
    sim.until(LIMIT, |sim| sim.status().runs == 2);
}

#[test]
fn at_runs_once_on_time_and_a_missed_one_is_told() {
    let mut sim = scheduled("at: 2026-12-01T09:10:00Z");
    sim.look(Fault::None);
    assert_eq!(sim.status().next_schedule_time, Some(at("2026-12-01T09:10:00Z")));
    assert_eq!(sim.complete(LIMIT).verdict, Some(Verdict::Passed));
    assert!(sim.run().started_at >= at("2026-12-01T09:10:00Z"));
    assert_eq!(sim.status().next_schedule_time, None);

    let mut sim = scheduled("at: 2026-12-01T08:00:00Z");
    sim.look(Fault::None);
    let status = sim.status();
    assert_eq!((status.verdict, status.reason), (Some(Verdict::Inconclusive), Some(Reason::StartMissed)));
    assert_eq!((status.missed_runs, sim.is_complete()), (1, true));
}

#[test]
fn a_schedule_that_cannot_be_used_or_never_comes_says_so_and_is_left_alone() {
    for (schedule, reason) in [
        ("cron: '61 * * * *'", Reason::InvalidSpec),
        ("cron: '0 0 * * *', timeZone: Mars/Olympus", Reason::InvalidSpec),
        ("cron: '0 0 30 2 *'", Reason::NeverDue),
    ] {
        let mut sim = scheduled(schedule);
        sim.look(Fault::None);
        assert_eq!((sim.status().reason, sim.status().next_schedule_time), (Some(reason), None), "{schedule}");
        assert!(sim.is_idle(), "{schedule}");
    }
}

#[test]
fn a_new_schedule_begins_with_its_next_start_and_suspend_holds_it_back() {
    let mut sim = scheduled("cron: '*/5 * * * *'");
    sim.look(Fault::None);
    sim.experiment.spec.suspend = true;
    sim.experiment.metadata.generation = Some(2);
    sim.look(Fault::None);
    assert_eq!((sim.status().phase, sim.status().next_schedule_time), (Some(Phase::Suspended), None));
    sim.jump(SignedDuration::from_secs(3600 + 30));
    sim.experiment.spec.suspend = false;
    sim.experiment.metadata.generation = Some(3);
    sim.look(Fault::None);
    assert_eq!((sim.status().runs, sim.status().missed_runs), (0, 0), "what was held back is not missed");
    assert_eq!(sim.status().next_schedule_time, Some(at("2026-12-01T10:05:00Z")));
    sim.experiment.spec.schedule.as_mut().unwrap().cron = Some("0 12 * * *".into());
    sim.experiment.metadata.generation = Some(4);
    sim.look(Fault::None);
    assert_eq!(sim.status().next_schedule_time, Some(at("2026-12-01T12:00:00Z")));
}

#[test]
fn an_experiment_that_waits_long_is_thought_of_daily_and_not_never() {
    let sim = scheduled("cron: '0 0 1 1 *'");
    let decision = decide(&sim.experiment, &World::default(), sim.now);
    assert_eq!(decision.requeue, Some(LONGEST_WAIT));
}

#[test]
fn each_round_has_a_baseline_of_its_own_and_is_judged_by_itself() {
    let mut sim = scheduled("rounds: 3, pauseBetweenRounds: 20s");
    sim.experiment.spec.timeout = "10m".parse().unwrap();
    sim.until(LIMIT, |sim| sim.experiment.status.is_some() && sim.status().reason == Some(Reason::BetweenRounds));
    assert_eq!(sim.status().phase, Some(Phase::Waiting));
    let (ended, killed) = (sim.now, sim.killed.len());
    let errors = |sim: &mut Sim| {
        let said = sim.world().clients[0].replicas[0].report.clone().expect("it answers").errors;
        said - sim.run().clients[0].errors_at_baseline
    };
    let first = errors(&mut sim);
    assert_eq!(sim.run().rounds[0].summary.errors, first, "up to the round's end");
    assert!(first > 0);
    // What another operator says late of the first round is not of the second.
    let mut late = sim.run().clone();
    late.kills[0].outcome = Outcome::Gone;
    let said = Attempt {
        slot: 1,
        uid: late.kills[0].uid.clone(),
        sent_at: Some(ended),
        outcome: Outcome::Deleted,
        message: None,
    };
    outcomes(&mut late, &[said]);
    assert_eq!((late.kills[0].outcome, late.first_kill_at), (Outcome::Deleted, None));
    // The target is away when the pause ends: the round waits for it.
    sim.until(LIMIT, |sim| sim.now.duration_since(ended) > SignedDuration::from_secs(19));
    sim.pods.iter_mut().for_each(|pod| pod.ready_at = sim.now + SignedDuration::from_secs(10));
    sim.until(LIMIT, |sim| sim.status().reason == Some(Reason::TargetsNotReady));
    assert_eq!(sim.killed.len(), killed, "nothing is killed in the pause or before the baseline");
    let status = sim.complete(LIMIT).clone();
    assert_eq!(
        (status.verdict, status.reason),
        (Some(Verdict::Passed), Some(Reason::AsExpected)),
        "{:?}",
        status.message
    );
    let run = sim.run();
    assert_eq!((run.round, run.rounds.len()), (3, 2));
    assert!(run.rounds.iter().all(|round| round.summary.kills > 10 && round.summary.time_to_open.is_some()));
    assert!(run.rounds[1].baseline_at.duration_since(run.rounds[0].completed_at) >= SignedDuration::from_secs(20));
    assert_eq!(status.summary.as_ref().unwrap().kills, sim.killed.len() as u64);
    let (all, of_rounds) =
        (status.summary.as_ref().unwrap().errors, run.rounds.iter().map(|round| round.summary.errors));
    assert!(of_rounds.clone().min() > Some(0) && of_rounds.sum::<u64>() < all, "each round has its own of {all}");
    assert_eq!(
        run.clients[0].transitions.iter().map(|one| one.seq).collect::<Vec<_>>(),
        (2..=run.clients[0].seq).collect::<Vec<_>>()
    );
}

#[test]
fn a_round_that_fails_ends_the_run() {
    let mut sim = scheduled("rounds: 3, pauseBetweenRounds: 1s");
    sim.until(LIMIT, |sim| sim.experiment.status.is_some() && sim.status().reason == Some(Reason::BetweenRounds));
    sim.experiment.spec.expect.max_flaps = 0;
    sim.experiment.spec.kill.as_mut().unwrap().hold_for = Some("30s".parse().unwrap());
    assert_eq!(sim.complete(LIMIT).reason, Some(Reason::TooManyFlaps));
    assert_eq!(sim.run().round, 2);
}

#[test]
fn of_two_experiments_with_a_target_in_common_the_later_waits_and_says_for_whom() {
    let mut sim = Sim::new(&manifest("{all: {}}", HELD, "{}"), 1, 1);
    let rival = |ticket| Rival { name: "earlier".into(), uid: "0".into(), ticket };
    for ticket in [None, Some(1)] {
        sim.rivals = vec![rival(ticket)];
        sim.until(LIMIT, |sim| {
            sim.experiment.status.is_some() && sim.status().reason == Some(Reason::AnotherExperiment)
        });
        assert!(sim.status().message.as_ref().unwrap().contains("earlier"));
    }
    let waited = sim.now;
    sim.until(LIMIT, |sim| sim.now.duration_since(waited) > SignedDuration::from_secs(300));
    assert_eq!(sim.killed, [], "it waits however long the other one takes");
    sim.rivals.clear();
    assert_eq!(sim.complete(LIMIT).verdict, Some(Verdict::Passed));

    // The wait is a moment that the clock may not go back behind.
    let mut sim = Sim::new(&manifest("{all: {}}", HELD, "{}"), 0, 1);
    sim.rivals = vec![rival(None)];
    let waits = |sim: &Sim| sim.now > at("2026-12-01T10:00:00Z");
    let looks = sim.looks;
    sim.until(LIMIT, waits);
    assert!(sim.looks - looks < 1900, "it looks now and then, however long it waits: {}", sim.looks - looks);
    sim.rivals.clear();
    sim.until(LIMIT, |sim| sim.status().reason == Some(Reason::NoTargets));
    sim.jump(SignedDuration::from_secs(-600));
    assert_eq!(sim.complete(LIMIT).reason, Some(Reason::ClockWentBack));

    // One that came later is not waited for.
    let mut sim = Sim::new(&manifest("{all: {}}", HELD, "{}"), 1, 1);
    sim.rivals = vec![rival(Some(u64::MAX))];
    assert_eq!(sim.complete(LIMIT).verdict, Some(Verdict::Passed));
}

#[test]
fn nothing_is_killed_before_the_ticket_is_written_down_for_others_to_see() {
    let mut sim = Sim::new(&manifest("{all: {}}", HELD, "{}"), 1, 1);
    sim.until(LIMIT, |sim| {
        sim.experiment.status.as_ref().is_some_and(|status| status.run.as_ref().is_some_and(|run| run.slot > 0))
    });
    let tickets: Vec<_> = sim
        .written
        .iter()
        .filter_map(|status| status.run.as_ref())
        .map(|run| (run.ticket.is_some(), run.slot))
        .collect();
    assert_eq!(tickets[..3], [(false, 0), (true, 0), (true, 1)], "claim, ticket, kills: each in a write of its own");
}

#[test]
fn the_history_is_bounded_and_says_what_it_dropped() {
    let mut sim = scheduled("cron: '* * * * *'");
    sim.experiment.spec.history_limit = 2;
    sim.until(LIMIT, |sim| {
        sim.experiment.status.is_some() && sim.status().runs == 4 && sim.run().completed_at.is_some()
    });
    let status = sim.status();
    assert_eq!(status.history.iter().map(|run| run.number).collect::<Vec<_>>(), [3, 4]);
    assert_eq!((status.history_dropped, status.statistics.as_ref().unwrap().runs), (2, 2));
}

/// What was begun at its time is not what a window forbids; what is made up for later is.
#[test]
fn a_missed_start_is_not_made_up_for_in_an_excluded_window() {
    for (away, runs, missed) in [(330, 0, 1), (50, 1, 0)] {
        let window = "excluded: [{from: '09:10', to: '09:20'}]";
        let mut sim = scheduled(&format!("cron: '8 9 * * *', startingDeadline: 12h, {window}"));
        sim.look(Fault::None);
        sim.until(LIMIT, |sim| sim.now >= at("2026-12-01T09:07:30Z"));
        sim.operator_away(Duration::from_secs(away));
        assert_eq!((sim.status().runs, sim.status().missed_runs), (runs, missed), "{away} s away");
        assert_eq!(sim.status().next_schedule_time, Some(at("2026-12-02T09:08:00Z")), "{away} s away");
    }
}

#[test]
fn without_a_history_the_last_run_s_reason_stays_in_sight() {
    let mut sim = scheduled("cron: '*/5 * * * *'");
    sim.experiment.spec.history_limit = 0;
    sim.until(LIMIT, |sim| sim.experiment.status.as_ref().is_some_and(|status| status.verdict.is_some()));
    sim.until(LIMIT, |sim| sim.status().next_schedule_time == Some(at("2026-12-01T09:10:00Z")));
    sim.step(Fault::None);
    assert_eq!((sim.status().verdict, sim.status().reason), (Some(Verdict::Passed), Some(Reason::AsExpected)));
    sim.experiment.spec.suspend = true;
    sim.look(Fault::None);
    sim.experiment.spec.suspend = false;
    sim.look(Fault::None);
    assert_eq!(sim.status().reason, Some(Reason::Scheduled), "it has said something else in between");
}

/// Nobody else says when it is time.
#[test]
fn who_has_ended_for_good_asks_to_be_looked_at_when_it_is_to_be_deleted() {
    for at in ["", "  schedule: {at: '2026-12-01T08:00:00Z'}\n"] {
        let mut sim = Sim::new(&manifest("{all: {}}", &format!("{HELD}\n{at}  ttlAfterFinished: 5s"), "{}"), 1, 1);
        sim.until(LIMIT, |sim| sim.experiment.status.is_some() && sim.is_complete());
        let ended = sim.now;
        // As the last look said, and no look by hand.
        sim.until(Duration::from_secs(6), |sim| sim.deleted);
        assert!(sim.now.duration_since(ended) >= SignedDuration::from_secs(5), "{at}");
    }
}

#[test]
fn a_finished_experiment_is_deleted_when_its_time_is_over_and_not_before() {
    let mut sim = Sim::new(&manifest("{all: {}}", HELD, "{}"), 1, 1);
    sim.experiment.spec.ttl_after_finished = Some("1h".parse().unwrap());
    sim.complete(LIMIT);
    sim.look(Fault::None);
    assert!(!sim.deleted);
    let ended = sim.run().completed_at.unwrap();
    sim.until(LIMIT, |sim| sim.deleted);
    let kept = sim.now.duration_since(ended);
    assert!(kept >= SignedDuration::from_hours(1) && kept < SignedDuration::from_secs(3602), "{kept:?}");
}

#[test]
fn what_changes_after_the_end_is_taken_note_of_and_changes_nothing_else() {
    let mut sim = Sim::new(&manifest("{all: {}}", HELD, "{}"), 1, 1);
    let before = sim.complete(LIMIT).clone();
    sim.experiment.metadata.generation = Some(2);
    sim.experiment.spec.suspend = true;
    sim.look(Fault::None);
    let after = sim.status();
    assert_eq!(after.observed_generation, Some(2));
    assert_eq!((after.phase, after.verdict, &after.run), (before.phase, before.verdict, &before.run));
    assert!(after.conditions.iter().all(|one| one.observed_generation == Some(2) || one.type_ != "Complete"));
}
