//! The verdict: a run passes on evidence alone. What a run proves nothing about is Inconclusive, never Passed.

use breakwater_breaker::State;
use breakwater_crds::{
    ABORT, ChaosExperiment, ChaosExperimentSpec, KillRecord, Outcome, Phase, Reason, Replica, Run, Verdict,
};
use jiff::Timestamp;

use super::{effect, elapsed, is_aborted, is_held, record};
use crate::world::World;

/// Replicas that a message names; the status has them all.
const NAMED: usize = 3;

/// How far the clocks of two operators that follow each other may differ. A clock that goes back further would hold an outage
/// longer than was asked for.
const CLOCK_TOLERANCE: std::time::Duration = std::time::Duration::from_secs(2);

/// A run's verdict and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    pub verdict: Verdict,
    pub reason: Reason,
    pub message: String,
}

impl Ending {
    pub fn new(verdict: Verdict, reason: Reason, message: impl Into<String>) -> Self {
        Self { verdict, reason, message: message.into() }
    }

    fn failed(reason: Reason, message: String) -> Self {
        Self::new(Verdict::Failed, reason, message)
    }

    fn inconclusive(reason: Reason, message: String) -> Self {
        Self::new(Verdict::Inconclusive, reason, message)
    }
}

/// Where a run stands after its baseline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It goes on.
    Open(Phase, Reason, String),
    /// It ends.
    Ended(Ending),
}

impl Standing {
    /// The same, with another ending where it ends.
    pub fn map(self, temper: impl FnOnce(Ending) -> Ending) -> Self {
        match self {
            Self::Ended(ending) => Self::Ended(temper(ending)),
            open => open,
        }
    }
}

/// What ends a run at once, whatever its phase.
pub fn interruption(experiment: &ChaosExperiment, world: &World, run: &Run, now: Timestamp) -> Option<Ending> {
    let spec = &experiment.spec;
    if is_aborted(experiment) {
        let message = format!("the annotation {ABORT} asked for it; the kills were stopped");
        return Some(Ending::new(Verdict::Aborted, Reason::AbortRequested, message));
    }
    if let Some(why) = &world.halted {
        return Some(Ending::new(Verdict::Aborted, Reason::Halted, format!("the kills were stopped: {why}")));
    }
    if spec.suspend {
        let message = "spec.suspend was set while the experiment ran; the kills were stopped";
        return Some(Ending::new(Verdict::Aborted, Reason::Suspended, message));
    }
    if let Some((replica, gap)) = run.clients.iter().find_map(|replica| Some((replica, replica.gaps.first()?))) {
        let missing = gap.missing.map(|count| format!(", {count} transitions missing")).unwrap_or_default();
        let message =
            format!("what the breaker of {} did is not known in full: {:?}{missing}", replica.pod, gap.reason);
        return Some(Ending::inconclusive(Reason::ObservationGap, message));
    }
    if let Some(replica) = run.clients.iter().find(|replica| replica.forced) {
        let message = format!("somebody forced the breaker of {} into a state by hand", replica.pod);
        return Some(Ending::inconclusive(Reason::Disturbed, message));
    }
    if elapsed(now, newest(run)) > CLOCK_TOLERANCE {
        let message = format!(
            "the operator's clock says {now:.0}, earlier than what this run has recorded; its times mean nothing"
        );
        return Some(Ending::new(Verdict::Aborted, Reason::ClockWentBack, message));
    }
    if run.baseline_at.is_some_and(|baseline| elapsed(baseline, now) >= spec.timeout.as_std()) {
        let message = format!("the run took longer than spec.timeout ({}); {}", spec.timeout, account(&run.clients));
        return Some(Ending::new(Verdict::Aborted, Reason::Timeout, message));
    }
    None
}

/// The newest moment that the run has recorded by the operator's clock.
fn newest(run: &Run) -> Timestamp {
    let kill = run.kills.last().map(|kill| kill.sent_at.unwrap_or(kill.planned_at));
    // Between rounds it is a moment to come.
    let waited = run.waited_until.filter(|_| run.round == 1);
    let moments = [waited, run.round_at, run.targets_lost_at, run.targets_ready_at, kill];
    moments.into_iter().flatten().fold(run.started_at, Timestamp::max)
}

/// The verdict of a round with a baseline, or what it waits for.
pub fn judge(spec: &ChaosExperimentSpec, run: &Run, world: &World, now: Timestamp) -> Standing {
    let pending = run.kills.iter().any(|kill| effect::is_pending(run, kill, now));
    if spec.dry_run && !pending {
        return Standing::Ended(rehearsed(run));
    }
    if let Some(kill) = of_round(run).last().filter(|_| !pending && run.first_kill_at.is_none()) {
        let why = kill.message.as_deref().unwrap_or("no reason given");
        let reason = if kill.outcome == Outcome::Blocked { Reason::KillBlocked } else { Reason::KillFailed };
        let message = format!("no pod could be killed: {}: {why}", kill.pod);
        return Standing::Ended(Ending::inconclusive(reason, message));
    }
    let baseline_at = run.round_at.unwrap_or(run.started_at);
    let view = View { spec, run, world, now, pending, baseline_at };
    if spec.expect.stays_closed { view.stays_closed() } else { view.opens_and_closes() }
}

fn of_round(run: &Run) -> impl Iterator<Item = &KillRecord> {
    run.kills.iter().filter(|kill| kill.round == run.round)
}

/// What a dry run says: who would have been killed.
fn rehearsed(run: &Run) -> Ending {
    let of = |outcome| of_round(run).filter(move |kill| kill.outcome == outcome);
    let would: Vec<_> = of(Outcome::DryRun).map(|kill| kill.pod.clone()).collect();
    let mut message = match would.len() {
        0 => "a dry run, and nothing would be killed".to_string(),
        count => {
            let more = count.saturating_sub(NAMED);
            let names = would.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("a dry run: of the targets {count} would be killed: {names}{more}")
        }
    };
    if let Some(kill) = of(Outcome::Blocked).chain(of(Outcome::Failed)).next() {
        message = format!("{message}; {} would not: {}", kill.pod, kill.message.as_deref().unwrap_or_default());
    }
    Ending::new(Verdict::DryRun, Reason::WouldKill, message)
}

struct View<'a> {
    spec: &'a ChaosExperimentSpec,
    run: &'a Run,
    world: &'a World,
    now: Timestamp,
    pending: bool,
    baseline_at: Timestamp,
}

impl View<'_> {
    fn stays_closed(&self) -> Standing {
        if let Some(replica) = self.run.clients.iter().find(|replica| replica.sequence.contains(&State::Open)) {
            let message = format!("breaker of {} was to stay Closed and opened", replica.pod);
            return Standing::Ended(Ending::failed(Reason::BreakerOpened, message));
        }
        let from = self.run.first_kill_at.unwrap_or(self.baseline_at);
        let window = self.spec.observe.duration;
        // An outage may last longer than the breakers are watched from its beginning.
        if self.kills() || !self.is_over(window.after(from).max(self.outage_end(from))) {
            let phase = if self.kills() { Phase::Killing } else { Phase::Observing };
            return Standing::Open(phase, Reason::Watching, format!("breakers must stay Closed for {window}"));
        }
        if let Some(replica) = self.run.clients.iter().find(|replica| self.is_quiet(replica)) {
            return Standing::Ended(self.no_traffic(replica));
        }
        if let Some(ending) = self.too_many_errors() {
            return Standing::Ended(ending);
        }
        let message = format!("breaker of {} stayed Closed for {window}", names(&self.run.clients));
        Standing::Ended(Ending::new(Verdict::Passed, Reason::AsExpected, message))
    }

    fn opens_and_closes(&self) -> Standing {
        let expect = &self.spec.expect;
        if let Some(replica) = self.run.clients.iter().find(|replica| replica.flaps > expect.max_flaps) {
            let message = format!(
                "breaker of {} fell back from HalfOpen to Open {} times, {} allowed",
                replica.pod, replica.flaps, expect.max_flaps
            );
            return Standing::Ended(Ending::failed(Reason::TooManyFlaps, message));
        }
        if self.kills() {
            let message = match self.run.hold_until.filter(|_| self.held()) {
                Some(end) => format!("holding the outage until {end:.0}; {}", account(&self.run.clients)),
                None if self.rolls_out() => format!("the workload is rolled out; {}", account(&self.run.clients)),
                None => "killing".into(),
            };
            return Standing::Open(Phase::Killing, Reason::HoldingOutage, message);
        }
        let first_kill = self.run.first_kill_at.unwrap_or(self.baseline_at);
        let hold_end = self.outage_end(first_kill);
        let waiting = |reason, what: &str| {
            Standing::Open(Phase::Recovering, reason, format!("{what}; {}", account(&self.run.clients)))
        };
        let unopened = self.run.clients.iter().any(|replica| replica.time_to_open.is_none());
        if unopened && !self.is_over(expect.opens_within.after(first_kill).max(hold_end)) {
            return waiting(Reason::WaitingForOpen, "waiting for the breakers to open");
        }
        if !self.is_over(expect.closes_within.after(hold_end)) {
            let open = |replica: &Replica| replica.time_to_open.is_some() && replica.breaker != State::Closed;
            if self.run.clients.iter().any(open) {
                return waiting(Reason::WaitingForClose, "waiting for the breakers to close");
            }
            if self.run.targets_lost_at.is_some() && self.run.targets_ready_at.is_none() {
                return waiting(Reason::WaitingForClose, "waiting for a target to be ready");
            }
            // What was closed when it was last asked may have opened before the outage was over.
            if !self.is_over(hold_end.max(self.run.targets_ready_at.unwrap_or(hold_end))) {
                return waiting(Reason::WaitingForClose, "waiting for each replica's answer after the outage");
            }
        }
        Standing::Ended(self.verdict())
    }

    /// The worst finding over all replicas: Failed before Inconclusive before Passed.
    fn verdict(&self) -> Ending {
        let findings: Vec<_> = self.run.clients.iter().filter_map(|replica| self.finding(replica)).collect();
        let failed = findings.iter().find(|finding| finding.verdict == Verdict::Failed).cloned();
        failed
            .or_else(|| findings.first().cloned())
            .or_else(|| self.too_many_errors())
            .unwrap_or_else(|| Ending::new(Verdict::Passed, Reason::AsExpected, account(&self.run.clients)))
    }

    fn finding(&self, replica: &Replica) -> Option<Ending> {
        let (expect, pod) = (&self.spec.expect, &replica.pod);
        let Some(opened) = replica.time_to_open else {
            if replica.sequence.contains(&State::Open) {
                let message = format!("breaker of {pod} opened before the first kill, so not because of it");
                return Some(Ending::inconclusive(Reason::BaselineNotClosed, message));
            }
            let outage =
                record::summary(self.run).outage.map(|outage| format!(" in an outage of {outage}")).unwrap_or_default();
            let hint = "a longer kill.holdFor makes a longer outage";
            let never = || {
                Ending::inconclusive(
                    Reason::BreakerNeverOpened,
                    format!("breaker of {pod} never opened{outage}; {hint}"),
                )
            };
            return Some(if self.is_quiet(replica) { self.no_traffic(replica) } else { never() });
        };
        if opened > expect.opens_within {
            let message =
                format!("breaker of {pod} opened {opened} after the first kill, later than {}", expect.opens_within);
            return Some(Ending::failed(Reason::OpenedTooLate, message));
        }
        match replica.time_to_close.filter(|_| replica.breaker == State::Closed) {
            None => {
                let message = format!(
                    "breaker of {pod} is {}, not closed {} after the hold ended",
                    replica.breaker, expect.closes_within
                );
                return Some(Ending::failed(Reason::NotClosedInTime, message));
            }
            Some(closed) if closed > expect.closes_within => {
                let message = format!(
                    "breaker of {pod} closed {closed} after the hold ended, later than {}",
                    expect.closes_within
                );
                return Some(Ending::failed(Reason::NotClosedInTime, message));
            }
            Some(_) => {}
        }
        (replica.sequence != expect.sequence).then(|| {
            let message =
                format!("breaker of {pod} went {}, expected {}", way(&replica.sequence), way(&expect.sequence));
            Ending::failed(Reason::UnexpectedSequence, message)
        })
    }

    /// At any one replica.
    fn too_many_errors(&self) -> Option<Ending> {
        let most = u64::from(self.spec.expect.errors_at_most?);
        let of = |replica: &Replica| {
            let errors = record::report_of(replica, self.world).map_or(replica.errors, |report| report.errors);
            errors.saturating_sub(replica.errors_at_baseline)
        };
        let worst = self.run.clients.iter().max_by_key(|replica| of(replica)).filter(|replica| of(replica) > most)?;
        let message = format!("{} attempts of {} failed or were refused, {most} allowed", of(worst), worst.pod);
        Some(Ending::failed(Reason::TooManyErrors, message))
    }

    /// Kills are still to come, or a restart still goes on.
    fn kills(&self) -> bool {
        self.held() || self.pending || self.rolls_out()
    }

    /// When no kill is to come any more.
    fn outage_end(&self, first_kill: Timestamp) -> Timestamp {
        self.run.hold_until.unwrap_or(first_kill).max(first_kill)
    }

    fn held(&self) -> bool {
        is_held(self.run, self.now)
    }

    fn rolls_out(&self) -> bool {
        self.run.first_kill_at.is_some() && self.world.workload.as_ref().is_some_and(|workload| !workload.settled)
    }

    /// The window is over, and every replica was asked after its end: what a replica did is known, or nothing is concluded.
    fn is_over(&self, end: Timestamp) -> bool {
        let known = |replica: &Replica| {
            let view = record::view_of(replica, self.world).filter(|view| view.heard_at >= end);
            view.and_then(|view| view.report.as_ref()).is_some_and(|report| report.last_seq <= replica.seq)
        };
        self.now >= end && self.run.clients.iter().all(known)
    }

    fn is_quiet(&self, replica: &Replica) -> bool {
        let calls = record::report_of(replica, self.world).map_or(replica.calls, |report| report.calls);
        calls <= replica.calls_at_baseline
    }

    fn no_traffic(&self, replica: &Replica) -> Ending {
        let message = format!("{} made no call during the run, so its breaker had nothing to see", replica.pod);
        Ending::inconclusive(Reason::NoTraffic, message)
    }
}

/// What the breakers did, in a sentence with figures.
fn account(replicas: &[Replica]) -> String {
    let told = replicas.iter().take(NAMED).map(|replica| {
        let pod = &replica.pod;
        match (replica.time_to_open, replica.time_to_close) {
            (Some(open), Some(close)) => {
                format!("breaker of {pod} opened {open} after the first kill and closed {close} after the hold ended")
            }
            (Some(open), None) => {
                format!("breaker of {pod} opened {open} after the first kill and is {}", replica.breaker)
            }
            _ => format!("breaker of {pod} is {}", replica.breaker),
        }
    });
    told.chain(more(replicas)).collect::<Vec<_>>().join("; ")
}

fn names(replicas: &[Replica]) -> String {
    replicas.iter().take(NAMED).map(|replica| replica.pod.clone()).chain(more(replicas)).collect::<Vec<_>>().join(", ")
}

fn more(replicas: &[Replica]) -> Option<String> {
    let count = replicas.len().saturating_sub(NAMED);
    (count > 0).then(|| format!("and {count} more replicas"))
}

fn way(states: &[State]) -> String {
    states.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(" → ")
}
