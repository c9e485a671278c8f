//! The proof that the sweeps bite: an operator with a defect does not get through.

use std::time::Duration;

use breakwater_faults::{
    check::check,
    lab::{Happening, Setup, play},
    net::Fate,
    sabotage::{DEFECTS, Defect},
    workloads,
};
use jiff::SignedDuration;

use crate::{at, know};

const WORKLOADS: [&str; 6] =
    ["outage", "single kill", "one of three", "reborn under its name", "evicted under a budget", "every minute, twice"];

/// Runs as the sweeps have them, a few of each kind: calm, with a crash at each kill and write, beside an operator that stands still
/// for a while at some request, with a forged status, and with clocks that go on by minutes.
fn noticed(defect: Option<Defect>) -> Option<String> {
    for known in know(WORKLOADS.into_iter().map(workloads::named).collect()) {
        let play = |what: &str, setup: Setup| {
            let wrong = check(&play(Setup { defect, ..setup })).into_iter().next()?;
            Some(format!("{}, {what}: {wrong}", known.workload.name))
        };
        let calm = || Setup::calm(&known.workload);
        let effects = known.sent.iter().take(known.requests).filter(|sent| sent.method != "GET").map(|sent| sent.index);
        let crashes = effects.take(30).map(|index| ("a crash", Setup { plan: at(index, Fate::DeadAfter), ..calm() }));
        let pauses = (10..120).step_by(9).map(|index| {
            let operators = vec![SignedDuration::ZERO; 2];
            ("a pause", Setup { plan: at(index, Fate::Paused(Duration::from_secs(3))), operators, ..calm() })
        });
        let happens = |what, when, happening| (what, Setup { happenings: vec![(when, happening)], ..calm() });
        let forged = (0..5).map(|step| happens("a forged status", known.first_kill + 200 * step, Happening::Forge));
        let leaps = [happens("a clock that goes on", 500, Happening::Jump(300))];
        let plan = known.sent.iter().take_while(|sent| !sent.is_kill()).filter(|sent| sent.method == "PUT").last();
        let pause = at(plan.map_or(0, |plan| plan.index + 1), Fate::Paused(Duration::from_millis(400)));
        let stop = vec![(known.first_kill + 100, Happening::Suspend)];
        let stopped = [("a stop right before a kill", Setup { plan: pause, happenings: stop, ..calm() })];
        let calm = [("nothing out of order", calm())];
        let mut all = calm.into_iter().chain(crashes).chain(pauses).chain(forged).chain(leaps).chain(stopped);
        if let Some(wrong) = all.find_map(|(what, setup)| play(what, setup)) {
            return Some(wrong);
        }
    }
    None
}

#[test]
fn every_defect_is_noticed() {
    assert_eq!(noticed(None), None, "without a defect there is nothing to notice");
    for defect in DEFECTS {
        let wrong = noticed(Some(defect));
        println!("{defect:?}: {}", wrong.as_deref().unwrap_or("not noticed"));
        assert!(wrong.is_some(), "{defect:?} was not noticed");
    }
}
