//! Does what a decision wants done: kills, by the one protocol there is, and Events.

use breakwater_crds::{ChaosExperiment, Kill, KillRecord, Method, NOT_IN_TIME, Outcome, Phase, Target};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, PostParams, Preconditions},
    core::{SelectorExt, Status},
    runtime::events::{Event, EventType, Recorder},
};

use crate::{
    clock::Clock,
    decide::{Attempt, Notice, Victim, is_aborted, readable},
    error::{Error, in_time},
    halt::Halt,
    observe::{list, selector},
    requester,
    sabotage::{self, Defect},
    workload::{self, Owners, Restart},
    world::{exemption, is_ready},
};

/// How often a victim is looked at again when it changes between the look and the delete, as under its kubelet's writes.
const LOOKS: usize = 3;
/// An Event's note may have so many bytes.
const MAX_NOTE: usize = 1024;

/// The hands of the operator.
pub struct Hands {
    client: Client,
    events: Recorder,
    clock: Clock,
    halt: Halt,
    ask_for_requester: bool,
}

impl Hands {
    /// `client` must not try anything again by itself: a kill whose answer is lost is looked into, not sent again.
    pub fn new(client: Client, events: Recorder, clock: Clock, halt: Halt) -> Self {
        Self { client, events, clock, halt, ask_for_requester: false }
    }

    /// From now on it is asked before each kill whether who asked for the experiment still has the right to.
    #[must_use]
    pub fn asking_for_requester(self, ask: bool) -> Self {
        Self { ask_for_requester: ask, ..self }
    }

    /// Kills a victim that is written down in the status of `experiment`, or finds out why not. `Planned`: nothing is known yet, and
    /// it is to be tried again; what the API server said, if it said anything, is told.
    ///
    /// Everything is checked again right before the delete, and the delete has the uid and the resourceVersion that were
    /// checked as its preconditions: what was not looked at is not killed.
    pub async fn kill(&self, experiment: &ChaosExperiment, victim: &Victim) -> Attempt {
        self.settle(experiment, victim).await.unwrap_or_else(|error| {
            tracing::warn!(pod = victim.name, %error, "a kill has no outcome yet");
            let message = match error {
                Error::Api(kube::Error::Api(status)) => {
                    Some(format!("not done yet: the API server says: {}", status.message))
                }
                _ => None,
            };
            Attempt { outcome: Outcome::Planned, message, ..failed(victim, String::new()) }
        })
    }

    async fn settle(&self, experiment: &ChaosExperiment, victim: &Victim) -> Result<Attempt, Error> {
        let mut attempt = self.try_kill(experiment, victim).await;
        for _ in 1..LOOKS {
            if !attempt.as_ref().is_err_and(Error::is_conflict) {
                break;
            }
            attempt = self.try_kill(experiment, victim).await;
        }
        let refused = match attempt {
            // Nobody refuses a kill by 410: that is about versions.
            Err(Error::Api(kube::Error::Api(status)))
                if status.code < 500 && !matches!(status.code, 409 | 410 | 429) =>
            {
                failed(victim, format!("the API server refused: {}", status.message))
            }
            other => other?,
        };
        if refused.outcome != Outcome::Failed {
            return Ok(refused);
        }
        // It may have been done before this look, by an operator that died before it could write it down.
        Ok(self.done_already(experiment, victim).await?.unwrap_or(refused))
    }

    async fn done_already(&self, experiment: &ChaosExperiment, victim: &Victim) -> Result<Option<Attempt>, Error> {
        let namespace = experiment.namespace().unwrap_or_default();
        if !experiment.spec.restarts_workload() {
            let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
            return Ok(gone(victim, in_time(pods.get_opt(&victim.name)).await?.as_ref()));
        }
        let Some(workload) = &experiment.spec.target.workload else { return Ok(None) };
        let done = workload::is_restarted(self.client.clone(), &namespace, workload, victim).await?;
        Ok(done.then(|| Attempt { outcome: Outcome::Restarted, ..failed(victim, "found restarted".into()) }))
    }

    async fn try_kill(&self, experiment: &ChaosExperiment, victim: &Victim) -> Result<Attempt, Error> {
        let namespace = experiment.namespace().unwrap_or_default();
        let experiments: Api<ChaosExperiment> = Api::namespaced(self.client.clone(), &namespace);
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let Some(current) = in_time(experiments.get_opt(&experiment.name_any())).await? else {
            return Ok(failed(victim, "not sent: the experiment is gone".into()));
        };
        let current = if sabotage::has(Defect::OldPermission) { experiment.clone() } else { current };
        let kill = match permission(experiment, &current, victim) {
            Ok(kill) => kill,
            Err(why) => return Ok(failed(victim, format!("not sent: {why}"))),
        };
        if let Some(why) = self.halt.why().await? {
            return Ok(failed(victim, format!("not sent: {why}")));
        }
        if self.ask_for_requester
            && let Some(why) = requester::refusal(&self.client, &current, kill).await?
        {
            return Ok(failed(victim, format!("not sent: {why}")));
        }
        if kill.method == Method::RolloutRestart {
            return self.restart(&current, victim).await;
        }
        self.kill_pod(&pods, &current, kill, victim).await
    }

    async fn kill_pod(
        &self,
        pods: &Api<Pod>,
        current: &ChaosExperiment,
        kill: &Kill,
        victim: &Victim,
    ) -> Result<Attempt, Error> {
        let pod = in_time(pods.get_opt(&victim.name)).await?;
        if let Some(gone) = gone(victim, pod.as_ref()) {
            return Ok(gone);
        }
        let pod = pod.unwrap_or_default();
        let trusts = sabotage::has(Defect::TrustedStatus);
        if let Some(why) = outside(&current.spec.target, &pod).filter(|_| !trusts) {
            return Ok(failed(victim, format!("not sent: {why}")));
        }
        if let Some(refusal) = self.needed_there(pods, current, victim, &pod).await?.filter(|_| !trusts) {
            return Ok(refusal);
        }
        let sent_at = self.clock.now();
        if sent_at > victim.deadline {
            return Ok(failed(victim, NOT_IN_TIME.into()));
        }
        if current.spec.dry_run {
            return Ok(Attempt { outcome: Outcome::DryRun, ..failed(victim, "not sent: spec.dryRun is true".into()) });
        }
        let params = DeleteParams {
            grace_period_seconds: kill.grace_period_seconds,
            preconditions: Some(Preconditions {
                uid: pod.metadata.uid,
                resource_version: pod.metadata.resource_version,
            }),
            ..DeleteParams::default()
        };
        let answer = match kill.method {
            Method::Evict => {
                // Not by `Api::evict`: kube 5.0 sends `delete_options`, which the API server passes over, uid and all.
                let eviction = serde_json::json!({
                    "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": victim.name}, "deleteOptions": params
                });
                let post = PostParams::default();
                let request = pods.create_subresource::<_, Status>("eviction", &victim.name, &post, &eviction);
                in_time(request).await.map(|_| sent(victim, sent_at, Outcome::Evicted))
            }
            _ => in_time(pods.delete(&victim.name, &params)).await.map(|_| sent(victim, sent_at, Outcome::Deleted)),
        };
        match &answer {
            Err(error) if error.is_not_found() => Ok(is_gone(victim, "gone when the kill arrived")),
            Err(Error::Api(kube::Error::Api(status))) => match forbidden_by_budget(status) {
                Some(why) => Ok(Attempt { outcome: Outcome::Blocked, ..failed(victim, why) }),
                None => answer,
            },
            _ => answer,
        }
    }

    /// Why the pod is not the target's workload's, or may not be missed.
    async fn needed_there(
        &self,
        pods: &Api<Pod>,
        current: &ChaosExperiment,
        victim: &Victim,
        pod: &Pod,
    ) -> Result<Option<Attempt>, Error> {
        let target = &current.spec.target;
        let namespace = current.namespace().unwrap_or_default();
        let mut owners = target.workload.as_ref().map(|of| Owners::new(self.client.clone(), &namespace, of));
        if let Some(owners) = &mut owners
            && !owners.own(pod).await?
        {
            return Ok(Some(failed(victim, "not sent: it does not belong to spec.target.workload".into())));
        }
        if target.min_available == 0 || !is_ready(pod) {
            return Ok(None);
        }
        let selector = match selector(&target.selector) {
            Ok(selector) => selector,
            Err(why) => return Ok(Some(failed(victim, format!("not sent: {why}")))),
        };
        let mut left = 0;
        for other in list(pods, &selector).await?.iter().filter(|pod| is_ready(pod)) {
            left += u32::from(match &mut owners {
                Some(owners) => owners.own(other).await?,
                None => true,
            });
        }
        let message = format!("{left} target pods are ready, and minAvailable is {}", target.min_available);
        let blocked = Attempt { outcome: Outcome::Blocked, ..failed(victim, message) };
        Ok((left <= target.min_available).then_some(blocked))
    }

    /// Restarts the workload that is written down as the victim.
    async fn restart(&self, current: &ChaosExperiment, victim: &Victim) -> Result<Attempt, Error> {
        let Some(workload) = current.spec.target.workload.as_ref().filter(|workload| workload.name == victim.name)
        else {
            return Ok(failed(victim, "not sent: spec.target.workload is another one".into()));
        };
        let sent_at = self.clock.now();
        if sent_at > victim.deadline {
            return Ok(failed(victim, NOT_IN_TIME.into()));
        }
        if current.spec.dry_run {
            return Ok(Attempt { outcome: Outcome::DryRun, ..failed(victim, "not sent: spec.dryRun is true".into()) });
        }
        let namespace = current.namespace().unwrap_or_default();
        let client = self.client.clone();
        Ok(match workload::restart(client, &namespace, workload, &victim.uid, victim.planned_at).await? {
            Restart::Sent => sent(victim, sent_at, Outcome::Restarted),
            Restart::Gone => is_gone(victim, "gone when it was looked at again"),
            Restart::Exempt(why) => failed(victim, format!("not sent: {why}")),
        })
    }

    /// Deletes an experiment that has outlived its ttlAfterFinished, if nobody has written to it since.
    pub async fn remove(&self, experiment: &ChaosExperiment) -> Result<(), Error> {
        let experiments: Api<ChaosExperiment> =
            Api::namespaced(self.client.clone(), &experiment.namespace().unwrap_or_default());
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: experiment.metadata.uid.clone(),
                resource_version: experiment.metadata.resource_version.clone(),
            }),
            ..DeleteParams::default()
        };
        match in_time(experiments.delete(&experiment.name_any(), &params)).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// Publishes a Kubernetes Event on the experiment. That it fails is only logged: the record is the status.
    pub async fn publish(&self, experiment: &ChaosExperiment, notice: &Notice) {
        let event = Event {
            type_: if notice.warning { EventType::Warning } else { EventType::Normal },
            reason: notice.reason.into(),
            note: Some(readable(&notice.note, MAX_NOTE)),
            action: notice.action.into(),
            secondary: None,
        };
        if let Err(error) = in_time(self.events.publish(&event, &experiment.object_ref(&()))).await {
            tracing::warn!(%error, reason = notice.reason, "an event was not published");
        }
    }
}

/// Why a pod is no victim of this target, whatever is written down of it.
pub fn outside(target: &Target, pod: &Pod) -> Option<&'static str> {
    let selected = || selector(&target.selector).is_ok_and(|selector| selector.matches(pod.labels()));
    exemption(pod).or_else(|| (!selected()).then_some("the selector does not match it any more"))
}

/// How the victim may be killed, if the experiment as it stands now still wants it.
fn permission<'a>(
    decided: &ChaosExperiment,
    current: &'a ChaosExperiment,
    victim: &Victim,
) -> Result<&'a Kill, &'static str> {
    if current.metadata.uid != decided.metadata.uid || current.metadata.deletion_timestamp.is_some() {
        return Err("the experiment is gone");
    }
    if is_aborted(current) {
        return Err("the experiment is aborted");
    }
    if current.spec.suspend {
        return Err("the experiment is suspended");
    }
    let status = current.status.as_ref().filter(|status| status.phase == Some(Phase::Killing));
    let run = status.and_then(|status| status.run.as_ref()).ok_or("the run is past its kills")?;
    let waits = |outcome| matches!(outcome, Outcome::Planned | Outcome::Blocked);
    let is_planned = |kill: &KillRecord| kill.uid == victim.uid && kill.slot == victim.slot && waits(kill.outcome);
    if !run.kills.iter().any(is_planned) {
        return Err("it is not written down as planned");
    }
    current.spec.kill.as_ref().ok_or("the experiment does not kill")
}

fn sent(victim: &Victim, at: Timestamp, outcome: Outcome) -> Attempt {
    Attempt { slot: victim.slot, uid: victim.uid.clone(), sent_at: Some(at), outcome, message: None }
}

fn failed(victim: &Victim, message: String) -> Attempt {
    Attempt {
        slot: victim.slot,
        uid: victim.uid.clone(),
        sent_at: None,
        outcome: Outcome::Failed,
        message: Some(message),
    }
}

fn is_gone(victim: &Victim, message: &str) -> Attempt {
    Attempt { outcome: Outcome::Gone, ..failed(victim, message.into()) }
}

/// What is known of a victim by what stands under its name: gone or on its way, by whatever hand; nothing if it lives.
fn gone(victim: &Victim, found: Option<&Pod>) -> Option<Attempt> {
    let is_it = |pod: &&Pod| pod.metadata.uid.as_deref() == Some(&victim.uid) || sabotage::has(Defect::NamesForUids);
    match found.filter(is_it) {
        None => Some(is_gone(victim, "gone when it was looked at again")),
        Some(pod) if pod.metadata.deletion_timestamp.is_some() => {
            Some(is_gone(victim, "terminating already when it was looked at again"))
        }
        Some(_) => None,
    }
}

/// What a PodDisruptionBudget says to an eviction that it forbids; other answers with the same code mean that the API server is busy.
fn forbidden_by_budget(status: &Status) -> Option<String> {
    let causes = status.details.as_ref().map_or(&[][..], |details| &details.causes);
    let budget = causes.iter().find(|cause| cause.reason == "DisruptionBudget").filter(|_| status.code == 429)?;
    Some(format!("{} {}", status.message, budget.message))
}
