//! All of it mixed, by chance from a seed.
//!
//! A seed that fails is told; `BREAKWATER_SEED=7 cargo test -p breakwater-faults random` plays it alone, and `7-1000` these.

use std::time::Duration;

use breakwater_faults::{
    clients::Manner,
    lab::{Happening, Setup},
    lies::LIES,
    net::{Fate, LineFate, Sent},
    sweep::{Case, sweep},
    workloads,
};
use fastrand::Rng;
use jiff::SignedDuration;

use crate::{every, long};

fn fate(random: &mut Rng, sent: &Sent) -> Fate {
    match random.u8(0..14) {
        0 => Fate::DeadBefore,
        1 => Fate::DeadAfter,
        2 => Fate::AnswerLost,
        3 => Fate::Refused,
        4 => Fate::Status(*random.choice(&[409, 410, 500, 504]).unwrap_or(&500)),
        5 => Fate::Busy(random.u32(1..120)),
        6 => Fate::Silence,
        7 => Fate::SilenceAfter,
        8 => Fate::HalfBody,
        9 => Fate::Paused(Duration::from_secs(random.u64(1..40))),
        10 => Fate::Stale(sent.revision.saturating_sub(random.u64(1..40))),
        11 => Fate::Late(Duration::from_secs(random.u64(1..40))),
        _ => Fate::Pass,
    }
}

fn happening(random: &mut Rng) -> Happening {
    match random.u8(0..29) {
        0 => Happening::Suspend,
        1 => Happening::Abort,
        2 => Happening::Relabel(random.usize(0..4)),
        3 => Happening::Delete(random.usize(0..4)),
        4 => Happening::Exempt(random.usize(0..4)),
        5 => Happening::Scale(random.usize(0..6)),
        6 | 7 => Happening::RestartClient(random.usize(0..2)),
        8 => Happening::Jump(random.i64(-7200..7200)),
        9 => Happening::Compact,
        10 => Happening::RecreateExperiment,
        11 => Happening::Edit,
        12 => Happening::Undecodable,
        13 => Happening::ClientsAre(Manner::Down),
        14 => Happening::ClientsAre(Manner::Honest),
        15 => Happening::Halt,
        16 => Happening::Forge,
        17 => Happening::Churn(random.usize(1..50)),
        18 => Happening::DeleteExperiment,
        19 => Happening::EndNamespace,
        20 => Happening::OptOut,
        21 => Happening::Reschedule,
        22 => Happening::ClientsAre(Manner::Silent),
        23 => Happening::ClientsAre(Manner::NewEpochs),
        24 => Happening::ClientsAre(Manner::Says(
            random.choice(&["all is well", "{}", "[]"]).copied().unwrap_or("").into(),
        )),
        25 | 26 => Happening::ClientsAre(Manner::Lies(*random.choice(&LIES).unwrap_or(&LIES[0]))),
        _ => Happening::KillOperator,
    }
}

pub fn setup(seed: u64) -> Setup {
    let mut random = Rng::with_seed(seed);
    let all = workloads::all();
    let workload = all[random.usize(0..all.len())].clone();
    // Most clocks are off by a little, some by years.
    let off = if random.u8(0..16) == 0 { 315_532_800 } else { 1 };
    let operators = (0..random.usize(1..4)).map(|_| SignedDuration::from_secs(off * random.i64(-2..3))).collect();
    // Mostly at once; now and then only after a deadline, or after everybody's patience.
    let take_over = SignedDuration::from_secs(*random.choice(&[1, 1, 1, 1, 12, 70]).unwrap_or(&1));
    // The first start of a schedule is a minute away.
    let span = if workload.runs > 1 { 130_000 } else { 9000 };
    let happenings: Vec<_> = (0..random.usize(0..4)).map(|_| (random.u64(0..span), happening(&mut random))).collect();
    // Of an experiment whose first line is lost nobody hears before the next list, which may be never.
    let renewed = happenings.iter().any(|(_, happening)| *happening == Happening::RecreateExperiment);
    let (odds, mut chance, mut lines) = (random.usize(8..200), random.fork(), random.fork());
    // After so many requests all is well again, so that the run can end.
    let faults = random.usize(0..600);
    let plan = move |sent: &Sent| {
        if sent.index < faults && chance.usize(0..odds) == 0 { fate(&mut chance, sent) } else { Fate::Pass }
    };
    let lines = move |_| match lines.usize(0..odds * 2) {
        _ if renewed => LineFate::Pass,
        0 => LineFate::Drop,
        1 => LineFate::Double,
        2 => LineFate::Swap,
        _ => LineFate::Pass,
    };
    Setup {
        workload,
        plan: Box::new(plan),
        lines: Box::new(lines),
        operators,
        happenings,
        take_over,
        label_required: random.bool(),
        defect: None,
        seed,
    }
}

/// The first seed and how many: those asked for, `7` or `7-1000`, or as many as there is time for.
fn asked() -> (u64, usize) {
    let text = std::env::var("BREAKWATER_SEED").unwrap_or_default();
    let (first, last) = text.split_once('-').unwrap_or((&text, &text));
    match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) => (first, usize::try_from(last.saturating_sub(first)).unwrap_or(0) + 1),
        _ => (1, if long() { 100_000 } else { 2000 / every(1) }),
    }
}

#[test]
fn seeds() {
    let (first, count) = asked();
    let case = |number: usize| {
        let seed = first + number as u64;
        Case { name: format!("BREAKWATER_SEED={seed}"), setup: setup(seed) }
    };
    sweep(count, case, |_| vec![]).expect_none("random");
}
