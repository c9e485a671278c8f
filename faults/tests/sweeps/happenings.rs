//! What people and others do while a run is under way, and clients that lie or fail.

use std::time::Duration;

use breakwater_crds::Reason;
use breakwater_faults::{
    clients::Manner,
    history::{last, steps},
    lab::{Happening, Played, Setup},
    lies::LIES,
    net::{Fate, Sent},
    permission::kills,
    sweep::{Case, sweep},
    workloads,
};

use jiff::SignedDuration;

use crate::{Cases, crashes::CRASHES, know, verdict};

fn happenings() -> Vec<Happening> {
    let says = |text: &str| Happening::ClientsAre(Manner::Says(text.into()));
    let lies = LIES.map(|lie| Happening::ClientsAre(Manner::Lies(lie)));
    let all = vec![
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
        Happening::Reschedule,
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
        Happening::Forge,
        Happening::Churn(50),
    ];
    all.into_iter().chain(lies).collect()
}

#[test]
fn at_every_moment_of_every_workload() {
    let (known, happenings) = (know(workloads::all()), happenings());
    let moments = 16;
    let cases = Cases::new(&known, 20, |_| happenings.len() * moments);
    let case = |number| {
        let (known, number) = cases.get(number);
        let happening = happenings[number % happenings.len()].clone();
        let (begin, span) = known.busy();
        let at = begin + 20 + span * (number / happenings.len()) as u64 / moments as u64;
        let name = format!("{}: {happening:?} after {at} ms", known.workload.name);
        Case { name, setup: Setup { happenings: vec![(at, happening)], ..Setup::calm(&known.workload) } }
    };
    sweep(cases.count(), case, |_| vec![]).expect_none("happenings");
}

/// What is not known is not Closed: with clients that never say a thing that can be read nothing is killed, nothing passes.
#[test]
fn clients_of_which_nothing_is_known_from_the_start() {
    let known = know(workloads::all());
    let manners = [Manner::Silent, Manner::Down, Manner::Says("{}".into()), Manner::Says("all is well".into())];
    let unknown = |played: &Played| {
        let verdict = verdict(played);
        let mut wrong = vec![];
        if played.workload.clients > 0 && verdict != "Inconclusive" {
            wrong.push(format!("the verdict is {verdict}"));
        }
        if played.server.state().requests.iter().any(kills) {
            wrong.push("pods were killed".into());
        }
        wrong
    };
    let case = |number: usize| {
        let (workload, manner) = (&known[number / manners.len()].workload, manners[number % manners.len()].clone());
        let name = format!("{}: clients are {manner:?}", workload.name);
        Case { name, setup: Setup { happenings: vec![(0, Happening::ClientsAre(manner))], ..Setup::calm(workload) } }
    };
    sweep(known.len() * manners.len(), case, unknown).expect_none("clients of which nothing is known");
}

/// A kill that is on its way may still be sent for so long.
const AT_ONCE: SignedDuration = SignedDuration::from_millis(500);

/// A run under way ends, and whoever reads its status is told why.
#[test]
fn a_namespace_that_opts_out() {
    let known: Vec<_> = know(workloads::all()).into_iter().filter(|known| known.workload.runs == 1).collect();
    let moments = 8;
    let case = |number: usize| {
        let known = &known[number / moments];
        let (begin, span) = known.busy();
        let at = begin + 500 + span * (number % moments) as u64 / moments as u64;
        let name = format!("{}: it opts out after {at} ms", known.workload.name);
        let happenings = vec![(at, Happening::OptOut)];
        Case { name, setup: Setup { happenings, label_required: true, ..Setup::calm(&known.workload) } }
    };
    let heeds = |played: &Played| {
        let state = played.server.state();
        let said = state.requests.iter().find(|request| &*request.by == "user" && request.kind == "namespaces");
        let Some(said) = said.map(|request| request.at) else { return vec![] };
        let newest = state.requests.iter().filter(|request| kills(request)).map(|request| request.at).max();
        drop(state);
        let late = newest
            .filter(|at| at.duration_since(said) > AT_ONCE)
            .map(|at| format!("a kill at {at}, and it opted out at {said}"));
        let steps = steps(&played.server);
        let status = last(&steps).and_then(|last| last.status.clone()).unwrap_or_default();
        // What was not under way is left alone.
        let under_way = status.run.filter(|run| run.completed_at.is_none_or(|ended| ended > said));
        let ran = under_way.filter(|_| status.reason != Some(Reason::Halted));
        let ran = ran.map(|run| format!("it ended at {:?} as {:?}", run.completed_at, status.reason));
        late.into_iter().chain(ran).collect()
    };
    sweep(known.len() * moments, case, heeds).expect_none("a namespace that opts out");
}

/// An operator stands still between the plan of its first kills and the looks that come right before them, and meanwhile somebody stops it.
#[test]
fn a_run_that_is_stopped_right_before_its_kills() {
    let known: Vec<_> = know(workloads::all()).into_iter().filter(|known| known.first_kill > 0).collect();
    let stops = [Happening::Suspend, Happening::Abort, Happening::Halt, Happening::DeleteExperiment];
    let case = |number: usize| {
        let (known, stop) = (&known[number / stops.len()], stops[number % stops.len()].clone());
        let kill = known.sent.iter().position(Sent::is_kill).unwrap_or_default();
        let plan = known.sent[..kill].iter().rposition(|sent| sent.method == "PUT").unwrap_or_default();
        let pause = Fate::Paused(Duration::from_millis(400));
        let plan = Box::new(move |sent: &Sent| if sent.index == plan + 1 { pause } else { Fate::Pass });
        let name = format!("{}: {stop:?} right before the first kill", known.workload.name);
        let happenings = vec![(known.first_kill + 100, stop)];
        Case { name, setup: Setup { plan, happenings, ..Setup::calm(&known.workload) } }
    };
    let killed = |played: &Played| {
        let state = played.server.state();
        let kill = state.requests.iter().find(|request| kills(request));
        kill.map(|kill| format!("{} was killed at {}", kill.object, kill.at)).into_iter().collect()
    };
    sweep(known.len() * stops.len(), case, killed).expect_none("a stop right before the first kill");
}

/// An operator dies with its kill, or the kill is on its way for long, and meanwhile somebody stops the run: what was done is not told as
/// not done.
#[test]
fn a_run_that_is_stopped_while_its_operator_is_dead() {
    let known = know(workloads::all());
    let stops = [Happening::Suspend, Happening::Abort, Happening::Halt, Happening::Scale(0), Happening::Exempt(0)];
    let late = [Fate::Late(Duration::from_secs(3)), Fate::Late(Duration::from_secs(20))];
    let crashes = [&CRASHES[..], &late].concat();
    let cases = Cases::new(&known, 1, |_| stops.len() * crashes.len());
    let case = |number| {
        let (known, number) = cases.get(number);
        let (stop, crash) = (stops[number / crashes.len()].clone(), crashes[number % crashes.len()]);
        let mut first = true;
        let plan =
            Box::new(move |sent: &Sent| if sent.is_kill() && std::mem::take(&mut first) { crash } else { Fate::Pass });
        let name = format!("{}: {crash:?} at the first kill, then {stop:?}", known.workload.name);
        let happenings = vec![(known.first_kill + 100, stop)];
        Case { name, setup: Setup { plan, happenings, ..Setup::calm(&known.workload) } }
    };
    sweep(cases.count(), case, |_| vec![]).expect_none("a crash at a kill, and a stop");
}
