//! The design's invariants, checked at every step of runs with random faults.

use std::{collections::BTreeSet, time::Duration};

use breakwater_crds::{
    ChaosExperimentStatus, Gap, GapReason, MAX_GAPS, MAX_KILLS, MAX_MESSAGE, MAX_REPLICAS, MAX_SPARED, MAX_TRANSITIONS,
    Outcome, Run, TransitionRecord,
};
use breakwater_operator::decide::decide;
use jiff::SignedDuration;
use proptest::prelude::*;

use crate::{
    manifest,
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
        1 => Just(Happening::Suspend),
        2 => (1..90u64).prop_map(Happening::OperatorAway),
    ]
}

fn specs() -> impl Strategy<Value = String> {
    let pods = prop_oneof![Just("{all: {}}"), Just("{one: {}}"), Just("{fixed: 2}")];
    let kill = prop_oneof![
        Just("  kill: {gracePeriodSeconds: 0}"),
        Just("  kill: {gracePeriodSeconds: 0, holdFor: 5s}"),
        Just("  kill: {holdFor: 20s}"),
    ];
    let expect =
        prop_oneof![Just("{}"), Just("{staysClosed: true}"), Just("{opensWithin: 5s, closesWithin: 20s, maxFlaps: 0}")];
    (pods, kill, expect).prop_map(|(pods, kill, expect)| manifest(pods, kill, expect))
}

fn run(status: &ChaosExperimentStatus) -> Option<&Run> {
    status.run.as_ref()
}

/// Looks at what is new since the last look, and at all that is recorded.
#[derive(Default)]
struct Watchdog {
    written: usize,
    killed: usize,
    spared: Option<Vec<String>>,
    planned: BTreeSet<String>,
    exempt: BTreeSet<String>,
}

impl Watchdog {
    fn check(&mut self, sim: &Sim) -> Result<(), TestCaseError> {
        self.exempt.extend(sim.pods.iter().filter(|pod| pod.exempt).map(|pod| pod.uid.clone()));
        if (self.written, self.killed) == (sim.written.len(), sim.killed.len()) {
            return Ok(());
        }
        let new = sim.written[self.written..].iter().filter_map(run).flat_map(|run| &run.kills);
        self.planned.extend(new.filter(|kill| kill.outcome == Outcome::Planned).map(|kill| kill.uid.clone()));
        let run = sim.run();
        if run.slot > 0 {
            let spared = self.spared.get_or_insert_with(|| run.spared.clone());
            prop_assert!(run.spared.starts_with(spared), "what is spared stays spared");
            spared.clone_from(&run.spared);
        }
        let all: BTreeSet<_> = sim.killed.iter().map(|(uid, _)| uid).collect();
        // 1. Nothing outside the limits, and never the operator itself; 2. nothing that is not written down, and nothing twice.
        for (uid, _) in &sim.killed[self.killed..] {
            prop_assert!(!run.spared.contains(uid), "a spared pod was killed: {}", uid);
            prop_assert!(!self.exempt.contains(uid), "a pod was killed that never is");
            prop_assert!(self.planned.contains(uid), "killed without being written down: {}", uid);
        }
        prop_assert_eq!(all.len(), sim.killed.len());
        prop_assert!(run.killed <= sim.killed.len() as u64);
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
        (self.written, self.killed) = (sim.written.len(), sim.killed.len());
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hold_whatever_happens(
        spec in specs(),
        pods in 0..5usize,
        clients in 0..3usize,
        happenings in proptest::collection::vec((1..200usize, happening()), 0..12),
    ) {
        let mut sim = Sim::new(&spec, pods, clients);
        let mut watchdog = Watchdog::default();
        let mut run_id = None;
        for (steps, happening) in happenings {
            for _ in 0..steps {
                sim.step(Fault::None);
                watchdog.check(&sim)?;
            }
            match happening {
                Happening::Look(fault) => sim.look(fault),
                Happening::RestartClient(which) if which < sim.clients.len() => sim.restart(which),
                Happening::RestartClient(_) => {}
                Happening::Scale(replicas) => sim.replicas = replicas,
                Happening::Relabel(which) => if let Some(pod) = sim.pods.get_mut(which) { pod.labelled = false },
                Happening::Exempt(which) => if let Some(pod) = sim.pods.get_mut(which) { pod.exempt = true },
                Happening::ClockJump(seconds) => sim.jump(SignedDuration::from_secs(seconds)),
                Happening::Suspend => sim.experiment.spec.suspend = true,
                Happening::OperatorAway(seconds) => sim.operator_away(Duration::from_secs(seconds)),
            }
            watchdog.check(&sim)?;
            if let Some(run) = sim.experiment.status.as_ref().and_then(run) {
                prop_assert_eq!(*run_id.get_or_insert(run.id), run.id, "no restart begins a run anew");
            }
        }
        // 4. It ends, or says why it waits.
        sim.experiment.spec.suspend = false;
        let patience = Duration::from_secs(300 + 60).as_millis() / STEP.as_millis();
        for _ in 0..patience {
            if sim.is_complete() { break }
            sim.step(Fault::None);
            watchdog.check(&sim)?;
        }
        prop_assert!(sim.is_complete(), "it never ended: {:#?}", sim.experiment.status);
        let status = sim.status().clone();
        prop_assert!(status.verdict.is_some() && status.reason.is_some() && status.message.is_some());
        prop_assert!(status.run.as_ref().unwrap().kills.iter().all(|kill| kill.outcome != Outcome::Planned));
        // 6. What has ended is left alone.
        let world = sim.world();
        let after = decide(&sim.experiment, &world, sim.now);
        prop_assert_eq!((after.status, after.kills, after.notices, after.requeue), (status, vec![], vec![], None));
    }
}

/// The worst case: every list full, every name as long as Kubernetes makes them for a Deployment's pods.
#[test]
fn a_status_stays_small() {
    let mut sim = Sim::new(&manifest("{all: {}}", "  kill: {gracePeriodSeconds: 0, holdFor: 60s}", "{}"), 3, 1);
    sim.complete(Duration::from_secs(400));
    let mut status = sim.status().clone();
    let run = status.run.as_mut().unwrap();
    let (name, uid) = ("n".repeat(63), uuid::Uuid::nil().to_string());
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
    let size = serde_json::to_vec(&status).unwrap().len();
    assert!(size < 256 * 1024, "{size} bytes");
    assert!(size > 128 * 1024, "{size} bytes: this is meant to be the worst case");
}
