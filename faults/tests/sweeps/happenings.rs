//! What people and others do while a run is under way, and clients that lie or fail.

use breakwater_faults::{
    clients::Manner,
    lab::{Happening, Setup},
    sweep::{Case, sweep},
    workloads,
};

use crate::{Cases, know};

fn happenings() -> Vec<Happening> {
    let says = |text: &str| Happening::ClientsAre(Manner::Says(text.into()));
    vec![
        Happening::Suspend,
        Happening::Abort,
        Happening::Halt,
        Happening::Relabel(0),
        Happening::Delete(0),
        Happening::Exempt(0),
        Happening::Scale(0),
        Happening::Scale(6),
        Happening::RestartClient(0),
        Happening::DeleteExperiment,
        Happening::RecreateExperiment,
        Happening::Edit,
        Happening::EndNamespace,
        Happening::Undecodable,
        Happening::Compact,
        Happening::KillOperator,
        Happening::ClientsAre(Manner::Silent),
        Happening::ClientsAre(Manner::Down),
        Happening::ClientsAre(Manner::NewEpochs),
        says("all is well"),
        says("{}"),
        says("\u{0}\u{1b}[31m"),
    ]
}

#[test]
fn at_every_moment_of_every_workload() {
    let (known, happenings) = (know(workloads::all()), happenings());
    let moments = 16;
    let cases = Cases::new(&known, 40, |_| happenings.len() * moments);
    let case = |number| {
        let (known, number) = cases.get(number);
        let happening = happenings[number % happenings.len()].clone();
        let span = u64::try_from(known.time.as_millis()).unwrap_or(u64::MAX).min(8000);
        let at = 20 + span * (number / happenings.len()) as u64 / moments as u64;
        let name = format!("{}: {happening:?} after {at} ms", known.workload.name);
        Case { name, setup: Setup { happenings: vec![(at, happening)], ..Setup::calm(&known.workload) } }
    };
    sweep(cases.count(), case, |_| vec![]).expect_none("happenings");
}
