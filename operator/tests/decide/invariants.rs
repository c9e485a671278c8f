//! The design's invariants, checked at every step of runs with random faults.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use breakwater_crds::{
    ABORT, ChaosExperimentStatus, Disturbance, DisturbanceKind, Gap, GapReason, MAX_DISTURBANCES, MAX_GAPS, MAX_KILLS,
    MAX_MESSAGE, MAX_OWNERS, MAX_PAST_MESSAGE, MAX_REPLICAS, MAX_SPARED, MAX_TRANSITIONS, Outcome, Reason, Round, Run,
    TransitionRecord,
};
use breakwater_operator::{
    decide::{decide, is_active, running},
    world::Rival,
};
use jiff::SignedDuration;
use proptest::{prelude::*, test_runner::TestRunner};

use crate::{
    cases, manifest,
    sim::{Fault, STEP, Sim},
};

#[derive(Clone, Debug)]
enum Happening {
    Look(Fault),
    RestartClient(usize),
    Scale(usize),
    Relabel(usize),
    Exempt(usize),
    ClockJump(i64),
    Suspend,
    Abort,
    Halt(bool),
    Budget(usize),
    Rival(bool),
    LosePod(usize),
    Rollout,
    OperatorAway(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => prop_oneof![Just(Fault::Conflict), Just(Fault::DeadBeforeEffects), Just(Fault::DeadAfterEffects)].prop_map(Happening::Look),
        1 => (0..3usize).prop_map(Happening::RestartClient),
        2 => (0..6usize).prop_map(Happening::Scale),
        1 => (0..6usize).prop_map(Happening::Relabel),
        1 => (0..6usize).prop_map(Happening::Exempt),
        1 => (-600..600i64).prop_map(Happening::ClockJump),
        1 => prop_oneof![Just(Happening::Suspend), Just(Happening::Abort)],
        1 => any::<bool>().prop_map(Happening::Halt),
        1 => (0..4usize).prop_map(Happening::Budget),
        1 => any::<bool>().prop_map(Happening::Rival),
        1 => (0..6usize).prop_map(Happening::LosePod),
        1 => Just(Happening::Rollout),
        2 => (1..90u64).prop_map(Happening::OperatorAway),
    ]
}

fn specs() -> impl Strategy<Value = String> {
    let pods = prop_oneof![
        Just("{all: {}}"),
        Just("{one: {}}"),
        Just("{fixed: 2}"),
        Just("{percent: 50}"),
        Just("{randomUpToPercent: 80}")
    ];
    let kill = prop_oneof![
        Just("  kill: {gracePeriodSeconds: 0}"),
        Just("  kill: {gracePeriodSeconds: 0, holdFor: 5s}"),
        Just("  kill: {holdFor: 20s}"),
        Just("  kill: {method: Evict, holdFor: 10s}"),
        Just("  kill: {method: RolloutRestart}"),
    ];
    let expect =
        prop_oneof![Just("{}"), Just("{staysClosed: true}"), Just("{opensWithin: 5s, closesWithin: 20s, maxFlaps: 0}")];
    let schedule = prop_oneof![
        3 => Just("schedule: {}"),
        1 => Just("schedule: {rounds: 2, pauseBetweenRounds: 3s}"),
        2 => Just("schedule: {cron: '* * * * *', startingDeadline: 5s, rounds: 2}"),
        1 => Just("schedule: {cron: '*/2 * * * *', excluded: [{from: '09:04', to: '09:09'}]}"),
        1 => Just("schedule: {at: 2026-12-01T09:01:00Z, startingDeadline: 1m}"),
    ];
    let dry = prop_oneof![7 => Just("dryRun: false"), 1 => Just("dryRun: true")];
    let min = prop_oneof![3 => Just(0), 1 => 1..3usize];
    (pods, kill, expect, schedule, dry, min).prop_map(|(pods, kill, expect, schedule, dry, min)| {
        let pods = format!("{pods}, minAvailable: {min}");
        let pods = if kill.contains("Rollout") {
            "{all: {}}, workload: {kind: Deployment, name: backend}".into()
        } else {
            pods
        };
        manifest(&pods, &format!("{kill}\n  {schedule}\n  {dry}"), expect)
    })
}

fn run(status: &ChaosExperimentStatus) -> Option<&Run> {
    status.run.as_ref()
}

/// Looks at what is new since the last look, and at all that is recorded.
#[derive(Default)]
pub struct Watchdog {
    written: usize,
    killed: usize,
    /// Which round of which run, and whom it spared.
    spared: Option<(uuid::Uuid, u32, Vec<String>)>,
    planned: BTreeSet<String>,
    exempt: BTreeSet<String>,
    runs: BTreeSet<uuid::Uuid>,
    missed: u64,
}

impl Watchdog {
    pub fn check(&mut self, sim: &Sim) -> Result<(), TestCaseError> {
        prop_assert!(sim.wrong.is_empty(), "{:?}", sim.wrong);
        self.exempt.extend(sim.pods.iter().filter(|pod| pod.exempt).map(|pod| pod.uid.clone()));
        let Some(status) = sim
            .experiment
            .status
            .as_ref()
            .filter(|_| (self.written, self.killed) != (sim.written.len(), sim.killed.len()))
        else {
            return Ok(());
        };
        prop_assert!(status.missed_runs >= self.missed, "what was missed stays missed");
        self.missed = status.missed_runs;
        let bounded = status.history.len() <= sim.experiment.spec.history_limit as usize;
        prop_assert!(bounded && status.history.iter().map(|run| run.number).is_sorted());
        prop_assert_eq!(status.history.iter().map(|run| run.id).collect::<BTreeSet<_>>().len(), status.history.len());
        if running(status).is_none()
            && sim.experiment.spec.schedule.as_ref().is_some_and(|schedule| schedule.cron.is_some())
        {
            prop_assert!(
                status
                    .next_schedule_time
                    .is_none_or(|next| next > sim.now || status.reason == Some(Reason::Halted) || sim.absent),
                "NEXT is in the past"
            );
        }
        let new = sim.written[self.written..].iter().filter_map(run).flat_map(|run| &run.kills);
        self.planned.extend(new.filter(|kill| kill.outcome == Outcome::Planned).map(|kill| kill.uid.clone()));
        let Some(run) = run(status) else { return self.seen(sim) };
        self.runs.insert(run.id);
        prop_assert_eq!(status.runs as usize, self.runs.len(), "no restart begins a run anew");
        if run.round_at.is_some() {
            let spared = self.spared.take().filter(|(id, round, _)| (*id, *round) == (run.id, run.round));
            prop_assert!(
                spared.is_none_or(|(_, _, spared)| run.spared.starts_with(&spared)),
                "what is spared stays spared"
            );
            self.spared = Some((run.id, run.round, run.spared.clone()));
        }
        let all: BTreeSet<_> = sim.killed.iter().map(|(uid, _)| uid).collect();
        // 1. Nothing outside the limits, and never what is exempt; 2. nothing that is not written down, and nothing twice.
        let new = &sim.killed[self.killed..];
        for (uid, _) in new {
            prop_assert!(!run.spared.contains(uid), "a spared pod was killed: {}", uid);
            prop_assert!(!self.exempt.contains(uid), "a pod was killed that never is");
            prop_assert!(self.planned.contains(uid), "killed without being written down: {}", uid);
            prop_assert!(!sim.halted && !sim.experiment.spec.dry_run, "killed while halted, or in a dry run");
            prop_assert!(sim.rivals.is_empty() || run.baseline_at.is_some());
        }
        prop_assert_eq!(all.len(), sim.killed.len());
        prop_assert!(run.killed <= sim.killed.len() as u64 + u64::from(sim.version));
        prop_assert!(new.len() <= MAX_KILLS);
        // 3. Each transition once and in order, or a gap.
        for replica in &run.clients {
            let seqs: Vec<_> = replica.transitions.iter().map(|one| one.seq).collect();
            let rises = seqs.windows(2).all(|pair| pair[1] > pair[0] || pair[1] == 1);
            prop_assert!(rises, "{:?}", seqs);
            if replica.gaps.is_empty() {
                prop_assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "{:?}", seqs);
            }
        }
        prop_assert!(run.kills.len() <= MAX_KILLS);
        prop_assert!(run.clients.iter().all(|replica| replica.transitions.len() <= MAX_TRANSITIONS));
        self.seen(sim)
    }

    fn seen(&mut self, sim: &Sim) -> Result<(), TestCaseError> {
        (self.written, self.killed) = (sim.written.len(), sim.killed.len());
        Ok(())
    }
}

fn befall(sim: &mut Sim, happening: Happening) {
    match happening {
        Happening::Look(fault) => sim.look(fault),
        Happening::RestartClient(which) if which < sim.clients.len() => sim.restart(which),
        Happening::RestartClient(_) => {}
        Happening::Scale(replicas) => sim.replicas = replicas,
        Happening::Relabel(which) => sim.pods.get_mut(which).into_iter().for_each(|pod| pod.labels.clear()),
        Happening::Exempt(which) => sim.pods.get_mut(which).into_iter().for_each(|pod| pod.exempt = true),
        Happening::ClockJump(seconds) => sim.jump(SignedDuration::from_secs(seconds)),
        Happening::Suspend => sim.experiment.spec.suspend = true,
        Happening::Abort => sim.experiment.metadata.annotations = Some([(ABORT.to_string(), "now".to_string())].into()),
        Happening::Halt(on) => sim.halted = on,
        Happening::Budget(budget) => sim.budget = budget,
        Happening::Rival(there) => {
            let rival = Rival { name: "other".into(), uid: "0".into(), ticket: Some(1) };
            sim.rivals = if there { vec![rival] } else { vec![] };
        }
        Happening::LosePod(which) => {
            let uid = sim.pods.get(which).map(|pod| pod.uid.clone());
            uid.into_iter().for_each(|uid| sim.lose_pod(&uid));
        }
        Happening::Rollout => sim.version += 1,
        Happening::OperatorAway(seconds) => sim.operator_away(Duration::from_secs(seconds)),
    }
}

/// Steps of the simulation over all cases, each with the checks behind it.
static STEPS: AtomicUsize = AtomicUsize::new(0);

#[test]
fn hold_whatever_happens() {
    let mut runner = TestRunner::new(cases(400));
    let world = (specs(), 0..5usize, 0..3usize, proptest::collection::vec((1..200usize, happening()), 0..12));
    let outcome = runner.run(&world, |(spec, pods, clients, happenings)| {
        let mut sim = Sim::new(&spec, pods, clients);
        let mut watchdog = Watchdog::default();
        let step = |sim: &mut Sim, watchdog: &mut Watchdog| {
            STEPS.fetch_add(1, Relaxed);
            sim.step(Fault::None);
            watchdog.check(sim)
        };
        for (steps, happening) in happenings {
            for _ in 0..steps {
                step(&mut sim, &mut watchdog)?;
            }
            befall(&mut sim, happening);
            watchdog.check(&sim)?;
        }
        // 4. It ends, or says why it waits.
        sim.experiment.spec.suspend = false;
        (sim.experiment.metadata.annotations, sim.halted) = (None, false);
        sim.rivals.clear();
        if let Some(schedule) = &mut sim.experiment.spec.schedule {
            (schedule.cron, schedule.at) = (None, None);
        }
        // A change of the spec is a reason to look.
        sim.experiment.metadata.generation = Some(2);
        sim.look(Fault::None);
        let patience = Duration::from_secs(300 + 60 + 60).as_millis() / STEP.as_millis();
        for _ in 0..patience {
            if sim.is_complete() {
                break;
            }
            step(&mut sim, &mut watchdog)?;
        }
        prop_assert!(sim.is_complete(), "it never ended: {:#?}", sim.experiment.status);
        sim.look(Fault::None);
        let status = sim.status().clone();
        prop_assert!(status.verdict.is_some() && status.reason.is_some() && status.message.is_some());
        prop_assert!(status.run.as_ref().unwrap().kills.iter().all(|kill| kill.outcome != Outcome::Planned));
        // 6. What has ended is left alone.
        let world = sim.world();
        let after = decide(&sim.experiment, &world, sim.now);
        prop_assert_eq!((after.status, after.kills, after.notices, after.requeue), (status, vec![], vec![], None));
        prop_assert!(!is_active(&sim.experiment, sim.now));
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    let steps = STEPS.load(Relaxed);
    assert!(steps >= 100_000, "{steps} steps are too few to mean much");
}

fn uid_of(number: u128) -> String {
    uuid::Uuid::from_u128(number).to_string()
}

/// The worst case: every list full, every name as long as Kubernetes makes them for a Deployment's pods.
#[test]
fn a_status_stays_small() {
    let mut sim = Sim::new(&manifest("{all: {}}", "  kill: {gracePeriodSeconds: 0, holdFor: 60s}", "{}"), 3, 1);
    sim.complete(Duration::from_secs(400));
    let mut status = sim.status().clone();
    let run = status.run.as_mut().unwrap();
    let (name, uid) = ("n".repeat(63), uid_of(0));
    run.spared = vec![uid.clone(); MAX_SPARED];
    let kill = &mut run.kills[0];
    (kill.pod, kill.uid, kill.node, kill.message) =
        (name.clone(), uid.clone(), Some(name.clone()), Some("m".repeat(MAX_MESSAGE)));
    run.kills = vec![run.kills[0].clone(); MAX_KILLS];
    let replica = &mut run.clients[0];
    (replica.pod, replica.uid) = (name, uid);
    replica.transitions =
        vec![TransitionRecord { cause: "c".repeat(128), ..replica.transitions[0].clone() }; MAX_TRANSITIONS];
    replica.gaps =
        vec![Gap { reason: GapReason::InstanceRestart, observed_at: sim.now, missing: Some(u64::MAX) }; MAX_GAPS];
    run.clients = vec![run.clients[0].clone(); MAX_REPLICAS];
    run.survivors = vec![uid_of(0); MAX_KILLS];
    run.owners = vec![uid_of(0); MAX_OWNERS];
    let disturbance = Disturbance { kind: DisturbanceKind::PodGone, uid: uid_of(0), observed_at: sim.now };
    run.disturbances = vec![disturbance; MAX_DISTURBANCES];
    let summary = status.summary.clone().unwrap();
    let round = Round { number: 1, baseline_at: sim.now, completed_at: sim.now, summary };
    run.rounds = vec![round; 10];
    status.history = vec![status.history[0].clone(); 20];
    status.history.iter_mut().for_each(|run| run.message = "m".repeat(MAX_PAST_MESSAGE));
    let size = serde_json::to_vec(&status).unwrap().len();
    assert!(size < 256 * 1024, "{size} bytes");
    assert!(size > 128 * 1024, "{size} bytes: this is meant to be the worst case");
}

#[test]
fn a_status_stays_small_with_a_thousand_kills_and_twenty_replicas() {
    let mut sim =
        Sim::new(&manifest("{all: {}}", "  kill: {gracePeriodSeconds: 0, holdFor: 20s}", "{}"), 10, MAX_REPLICAS);
    sim.complete(Duration::from_secs(400));
    let run = sim.run();
    assert_eq!(run.killed, run.kills_dropped + run.kills.len() as u64, "what is dropped is counted");
    assert!(run.killed > 1000 && run.clients.len() == MAX_REPLICAS, "{} kills", run.killed);
    for status in &sim.written {
        let size = serde_json::to_vec(status).unwrap().len();
        assert!(size < 256 * 1024, "{size} bytes");
    }
}
