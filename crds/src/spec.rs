//! What a user asks for: the spec of a `ChaosExperiment`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ChaosExperimentStatus, Duration, Expect, Observe, Run, Schedule, duration, selector};

/// An experiment waits for a good baseline, kills the target's pods, watches the clients' circuit breakers, and writes what
/// happened and a verdict into its status. It runs once, or by schedule.cron again and again; to run a one-shot experiment
/// again, delete it and apply it again. To stop a run: kubectl annotate chaosexp NAME chaos.breakwater.dev/abort=now.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "chaos.breakwater.dev",
    version = "v1alpha1",
    kind = "ChaosExperiment",
    plural = "chaosexperiments",
    shortname = "chaosexp",
    category = "chaos",
    namespaced,
    status = "ChaosExperimentStatus",
    derive = "PartialEq",
    // Together they say whether a run is under way; the operator lists by them.
    selectable = ".status.run.id",
    selectable = ".status.run.completedAt",
    doc = "Kills pods on purpose and proves that the circuit breakers of their clients open and close again.",
    printcolumn(name = "PHASE", type_ = "string", json_path = ".status.phase", description = "Where the run is."),
    printcolumn(name = "VERDICT", type_ = "string", json_path = ".status.verdict", description = "How it ended."),
    printcolumn(name = "BREAKER", type_ = "string", json_path = ".status.summary.breaker", description = "State of the clients' breakers; of several, the one furthest from Closed."),
    printcolumn(name = "KILLS", type_ = "integer", json_path = ".status.summary.kills", description = "Pods killed."),
    printcolumn(name = "OPENED-AFTER", type_ = "string", json_path = ".status.summary.timeToOpen", description = "From the first kill to the last client's breaker opening."),
    printcolumn(name = "CLOSED-AFTER", type_ = "string", json_path = ".status.summary.timeToClose", description = "From the end of the outage that was asked for to the last client's breaker closing."),
    printcolumn(name = "NEXT", type_ = "string", json_path = ".status.nextScheduleTime", description = "When the schedule starts the next run."),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "REASON", type_ = "string", json_path = ".status.reason", priority = 1, description = "Why it stands where it stands."),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.run) || (has(oldSelf.status.run.completedAt) && has(oldSelf.spec.schedule) && has(oldSelf.spec.schedule.cron) && has(self.spec.schedule) && has(self.spec.schedule.cron)) || (self.spec.target == oldSelf.spec.target && (has(self.spec.kill) == has(oldSelf.spec.kill) && (!has(self.spec.kill) || self.spec.kill == oldSelf.spec.kill)) && (has(self.spec.schedule) == has(oldSelf.spec.schedule) && (!has(self.spec.schedule) || self.spec.schedule == oldSelf.spec.schedule)) && self.spec.observe == oldSelf.spec.observe && self.spec.expect == oldSelf.spec.expect && self.spec.timeout == oldSelf.spec.timeout && self.spec.dryRun == oldSelf.spec.dryRun)")
        .message("spec cannot change once the experiment has started, but for suspend, historyLimit and ttlAfterFinished; with schedule.cron, which must stay, it can between two runs; else delete the experiment and apply it again"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.kill) || self.expect.staysClosed").message("an experiment without kill can only expect expect.staysClosed: true; say how to kill, such as kill: {holdFor: 15s}"),
    validation = Rule::new("!has(self.kill) || self.expect.staysClosed || (duration(self.timeout) > duration(self.expect.opensWithin) && duration(self.timeout) > duration(self.expect.closesWithin) + (has(self.kill.holdFor) ? duration(self.kill.holdFor) : duration('0s')))")
        .message("timeout must be longer than expect.opensWithin, and than kill.holdFor and expect.closesWithin together, or the run ends before its verdict"),
    validation = Rule::new("!self.expect.staysClosed || (duration(self.timeout) > duration(self.observe.duration) && (!has(self.kill) || !has(self.kill.holdFor) || duration(self.timeout) > duration(self.kill.holdFor)))")
        .message("with expect.staysClosed timeout must be longer than observe.duration and than kill.holdFor, or the run ends before its verdict; write a longer timeout"),
    // Durations cannot be multiplied, so it is counted in seconds; what is less than one never makes a good manifest a bad one.
    validation = Rule::new("!has(self.schedule) || ((duration(self.timeout) + duration('999ms')).getSeconds() > self.schedule.rounds * (has(self.kill) && has(self.kill.holdFor) ? duration(self.kill.holdFor).getSeconds() : 0) + (self.schedule.rounds - 1) * duration(self.schedule.pauseBetweenRounds).getSeconds() && (!self.expect.staysClosed || (duration(self.timeout) + duration('999ms')).getSeconds() > self.schedule.rounds * duration(self.observe.duration).getSeconds() + (self.schedule.rounds - 1) * duration(self.schedule.pauseBetweenRounds).getSeconds()))")
        .message("timeout is for all rounds together and must be longer than schedule.rounds times kill.holdFor (with expect.staysClosed also times observe.duration) and schedule.pauseBetweenRounds in between; write a longer timeout or fewer rounds"),
    validation = Rule::new("!has(self.kill) || self.kill.method != 'RolloutRestart' || (has(self.target.workload) && self.target.workload.kind != 'ReplicaSet' && has(self.target.pods.all))")
        .message("kill.method RolloutRestart restarts a whole workload: say target.workload: {kind: Deployment, name: ...} (or StatefulSet, DaemonSet) and target.pods: {all: {}}"),
    validation = Rule::new("!has(self.kill) || self.kill.method != 'RolloutRestart' || self.target.minAvailable == 0")
        .message("target.minAvailable is not counted by kill.method RolloutRestart: how many pods stay is up to the workload's own strategy; leave it out"),
    validation = Rule::new("!has(self.ttlAfterFinished) || !has(self.schedule) || !has(self.schedule.cron)").message("ttlAfterFinished is for experiments that run once; one with schedule.cron is never finished")
)]
pub struct ChaosExperimentSpec {
    /// Which pods are killed.
    pub target: Target,
    /// How they are killed. Absent: nothing is killed and the breakers are watched, for an experiment that expects
    /// expect.staysClosed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill: Option<Kill>,
    /// When it runs, and in how many rounds. Absent: once, in one round, as soon as the baseline is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Whose circuit breakers are watched.
    pub observe: Observe,
    /// What must happen for the verdict Passed.
    #[serde(default)]
    pub expect: Expect,
    /// How long the run may take from its first baseline on, all its rounds and the pauses between them together; then it ends as
    /// Aborted. At most 24h. Default 5m. The baseline itself is waited for a minute, or this long if that is less.
    #[serde(default = "default_timeout")]
    #[x_kube(validation = Rule::new(duration::RULE).message(duration::MESSAGE),
        validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('24h')").message("must be between 1s and 24h"))]
    pub timeout: Duration,
    /// Set to true to hold the experiment back: no run begins. Set while it runs, it stops the kills at once and ends the run
    /// with the verdict Aborted. What is recorded stays.
    #[serde(default)]
    pub suspend: bool,
    /// Set to true to rehearse: everything is checked and chosen, and what would be killed is recorded with the outcome DryRun,
    /// but nothing is killed. The verdict is DryRun.
    #[serde(default)]
    pub dry_run: bool,
    /// How many runs status.history keeps, newest last. Default 10, at most 20.
    #[serde(default = "default_history_limit")]
    #[schemars(range(min = 0, max = 20))]
    pub history_limit: u32,
    /// How long after its end an experiment that runs once is deleted, with its status. Absent: it is kept. At most 10000h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(duration::RULE).message(duration::MESSAGE),
        validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('10000h')").message("must be between 1s and 10000h"))]
    pub ttl_after_finished: Option<Duration>,
}

impl ChaosExperiment {
    /// Its run that is under way, or else the last one.
    pub fn run(&self) -> Option<&Run> {
        self.status.as_ref()?.run.as_ref()
    }
}

impl ChaosExperimentSpec {
    /// Whether a whole workload is restarted, rather than pods killed.
    pub fn restarts_workload(&self) -> bool {
        self.kill.as_ref().is_some_and(|kill| kill.method == Method::RolloutRestart)
    }
}

/// Which pods of the experiment's own namespace are killed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Labels of the pods, as in a Deployment's selector. It must not be empty.
    #[schemars(schema_with = "selector::bounded")]
    #[x_kube(validation = Rule::new(selector::RULE).message(selector::MESSAGE), validation = Rule::new(selector::VALUES_RULE).message(selector::VALUES_MESSAGE),
        validation = Rule::new(selector::LABELS_RULE).message(selector::LABELS_MESSAGE),
        validation = Rule::new(selector::EXPRESSIONS_RULE).message(selector::EXPRESSIONS_MESSAGE))]
    pub selector: LabelSelector,
    /// Only pods that this workload owns, directly or through a ReplicaSet. Absent: all that the selector matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<Workload>,
    /// How many of them: all: {}, one: {}, fixed: N, percent: N or randomUpToPercent: N.
    #[x_kube(validation = Rule::new("[has(self.all), has(self.one), has(self.fixed), has(self.percent), has(self.randomUpToPercent)].filter(x, x).size() == 1")
        .message("say exactly one of all: {}, one: {}, fixed: N, percent: N or randomUpToPercent: N"))]
    pub pods: Pods,
    /// How many ready pods must be left. It is counted at the moment of each kill; a kill that would leave fewer is not sent, and
    /// is recorded as Blocked. Not with kill.method RolloutRestart, where the workload's strategy says how many stay. Default 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub min_available: u32,
}

/// What owns the pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// Deployment, StatefulSet, DaemonSet or ReplicaSet.
    pub kind: WorkloadKind,
    /// Its name, in the experiment's own namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Kind of a workload.
#[allow(missing_docs, reason = "Kubernetes' own kinds")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WorkloadKind {
    Deployment,
    StatefulSet,
    DaemonSet,
    ReplicaSet,
}

/// How many of the pods that the selector matches are killed. Which ones is a hash of the run's seed and the pods' uids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Pods {
    /// All of them: {}.
    All(NoSettings),
    /// One of them: {}.
    One(NoSettings),
    /// So many of them, at most 128. At least so many must be ready for the run to begin.
    Fixed(#[schemars(range(min = 1, max = 128))] u32),
    /// So many percent of those that are ready, rounded down; what comes to no pod at all is not begun.
    Percent(#[schemars(range(min = 1, max = 100))] u32),
    /// From one pod up to so many percent of those that are ready, rounded down; how many is drawn by the run's seed.
    RandomUpToPercent(#[schemars(range(min = 1, max = 100))] u32),
}

/// Nothing to set: {}.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NoSettings {}

/// How the pods are killed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.method != 'RolloutRestart' || (!has(self.holdFor) && !has(self.gracePeriodSeconds))")
    .message("with method RolloutRestart the workload's own rollout says when pods end: leave out holdFor and gracePeriodSeconds"))]
pub struct Kill {
    /// Delete: the pod is deleted, as kubectl delete pod does. Evict: it is evicted, so that PodDisruptionBudgets hold; a refusal
    /// is recorded as Blocked and tried again until the hold ends, or for 10s. RolloutRestart: target.workload is restarted once,
    /// as kubectl rollout restart does. Default Delete.
    #[serde(default)]
    pub method: Method,
    /// Seconds that a killed pod has to end by itself; 0 ends it at once. Absent: the pod's own terminationGracePeriodSeconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub grace_period_seconds: Option<u32>,
    /// How long the outage is held, from the first kill: pods that replace the killed ones are killed too, within a quarter
    /// of a second of being seen. Absent: the pods are killed once, which makes an outage of a few seconds only. At most 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(duration::RULE).message(duration::MESSAGE),
        validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('1h')").message("must be between 1s and 1h; leave it out for a single kill"))]
    pub hold_for: Option<Duration>,
}

/// The way a pod is killed.
#[allow(
    missing_docs,
    reason = "documented at Kill::method; a comment on a variant makes a oneOf, which Kubernetes refuses"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Method {
    #[default]
    Delete,
    Evict,
    RolloutRestart,
}

fn default_timeout() -> Duration {
    Duration::from_secs(300)
}

fn default_history_limit() -> u32 {
    10
}
