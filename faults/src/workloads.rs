//! What the operator is given to do.

use jiff::SignedDuration;

/// An experiment, and the backend and clients that it is about.
#[derive(Clone, Debug)]
pub struct Workload {
    /// What it is about, in a word.
    pub name: &'static str,
    /// `spec.target.pods`.
    pub pods: &'static str,
    /// `spec.kill`; nothing where it is empty.
    pub kill: &'static str,
    /// `spec.schedule`; nothing where it is empty.
    pub schedule: &'static str,
    /// `spec.expect`.
    pub expect: &'static str,
    /// `spec.target.minAvailable`.
    pub min_available: u32,
    /// More lines of the spec.
    pub more: &'static str,
    /// Pods of the backend.
    pub backends: usize,
    /// From a pod's creation to its readiness.
    pub start: SignedDuration,
    /// Client replicas.
    pub clients: usize,
    /// Pods keep their names.
    pub stateful: bool,
    /// Pods are of a Deployment, which is the experiment's `spec.target.workload`.
    pub deployment: bool,
    /// A disruption budget wants so many pods.
    pub budget: Option<u32>,
    /// Pods that may be down at once.
    pub limit: usize,
    /// Runs that are waited for.
    pub runs: u64,
    /// The verdict without any fault.
    pub verdict: &'static str,
}

const BASE: Workload = Workload {
    name: "",
    pods: "{all: {}}",
    kill: "{gracePeriodSeconds: 0, holdFor: 2s}",
    schedule: "",
    expect: "{}",
    min_available: 0,
    more: "",
    backends: 1,
    start: SignedDuration::from_millis(600),
    clients: 1,
    stateful: false,
    deployment: false,
    budget: None,
    limit: usize::MAX,
    runs: 1,
    verdict: "Passed",
};

impl Workload {
    /// The experiment as JSON, under this name.
    pub fn experiment(&self, name: &str) -> serde_json::Value {
        let part =
            |key: &str, value: &str| if value.is_empty() { String::new() } else { format!("  {key}: {value}\n") };
        let text = format!(
            "apiVersion: chaos.breakwater.dev/v1alpha1\nkind: ChaosExperiment\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  \
             target: {{selector: {{matchLabels: {{app: backend}}}}, pods: {}, minAvailable: {}{}}}\n{}{}  expect: {}\n  \
             observe: {{interval: 250ms, duration: 3s, clients: [{{name: client, selector: {{matchLabels: {{app: client}}}}, port: 8080, breaker: backend}}]}}\n{}",
            self.pods,
            self.min_available,
            if self.deployment { ", workload: {kind: Deployment, name: backend}" } else { "" },
            part("kill", self.kill),
            part("schedule", self.schedule),
            self.expect,
            self.more,
        );
        serde_saphyr::from_str(&text).expect("the manifest is one")
    }
}

/// All workloads.
pub fn all() -> Vec<Workload> {
    let quick = "{gracePeriodSeconds: 0}";
    let stays = "{staysClosed: true}";
    vec![
        Workload { name: "outage", ..BASE },
        Workload { name: "single kill", kill: quick, expect: stays, backends: 2, pods: "{one: {}}", limit: 1, ..BASE },
        Workload { name: "one of three", pods: "{one: {}}", backends: 3, limit: 1, expect: stays, ..BASE },
        Workload {
            name: "two of three",
            pods: "{fixed: 2}",
            backends: 3,
            limit: 2,
            expect: stays,
            kill: quick,
            ..BASE
        },
        Workload {
            name: "half of four",
            pods: "{percent: 50}",
            backends: 4,
            limit: 2,
            expect: stays,
            kill: quick,
            ..BASE
        },
        Workload {
            name: "up to all of three",
            pods: "{randomUpToPercent: 60}",
            backends: 3,
            limit: 2,
            expect: stays,
            kill: quick,
            ..BASE
        },
        Workload { name: "all of three held", backends: 3, ..BASE },
        Workload { name: "two clients", clients: 2, ..BASE },
        Workload { name: "five clients", clients: 5, backends: 2, ..BASE },
        Workload { name: "graceful", kill: "{holdFor: 3s}", ..BASE },
        Workload { name: "reborn under its name", stateful: true, backends: 2, ..BASE },
        Workload {
            name: "reborn under its name, one of three",
            stateful: true,
            backends: 3,
            pods: "{one: {}}",
            limit: 1,
            expect: stays,
            ..BASE
        },
        Workload { name: "evicted", kill: "{method: Evict, holdFor: 2s}", ..BASE },
        Workload {
            name: "evicted under a budget",
            kill: "{method: Evict, gracePeriodSeconds: 0}",
            pods: "{fixed: 2}",
            backends: 3,
            budget: Some(2),
            limit: 2,
            expect: stays,
            ..BASE
        },
        Workload {
            name: "some must be left",
            pods: "{all: {}}",
            backends: 3,
            min_available: 2,
            limit: 1,
            expect: stays,
            kill: quick,
            ..BASE
        },
        Workload { name: "nothing killed", kill: "", expect: stays, ..BASE },
        Workload { name: "dry run", more: "  dryRun: true\n", verdict: "DryRun", ..BASE },
        Workload { name: "two rounds", schedule: "{rounds: 2, pauseBetweenRounds: 1s}", ..BASE },
        Workload {
            name: "at a moment",
            schedule: "{at: '2026-12-01T09:00:03Z'}",
            kill: quick,
            expect: stays,
            backends: 2,
            pods: "{one: {}}",
            limit: 1,
            ..BASE
        },
        Workload {
            name: "every minute, twice",
            schedule: "{cron: '* * * * *'}",
            kill: quick,
            expect: stays,
            backends: 2,
            pods: "{one: {}}",
            limit: 1,
            runs: 2,
            ..BASE
        },
        Workload {
            name: "never opens",
            kill: quick,
            expect: "{opensWithin: 2s}",
            backends: 2,
            pods: "{one: {}}",
            limit: 1,
            verdict: "Inconclusive",
            ..BASE
        },
        Workload {
            name: "no target",
            backends: 0,
            more: "  timeout: 62s\n",
            expect: "{opensWithin: 2s, closesWithin: 4s}",
            verdict: "Inconclusive",
            ..BASE
        },
        Workload { name: "one workload's pods", deployment: true, backends: 2, ..BASE },
        Workload {
            name: "restarted",
            deployment: true,
            kill: "{method: RolloutRestart}",
            expect: stays,
            backends: 2,
            ..BASE
        },
        Workload { name: "deleted when it is over", more: "  ttlAfterFinished: 2s\n", ..BASE },
        Workload { name: "no client", clients: 0, verdict: "Inconclusive", ..BASE },
        Workload {
            name: "closes too late",
            kill: "{gracePeriodSeconds: 0, holdFor: 8s}",
            expect: "{closesWithin: 1s}",
            start: SignedDuration::from_secs(4),
            verdict: "Failed",
            ..BASE
        },
    ]
}

/// One by its name.
///
/// # Panics
/// Where there is none.
pub fn named(name: &str) -> Workload {
    all().into_iter().find(|workload| workload.name == name).expect("there is such a workload")
}
