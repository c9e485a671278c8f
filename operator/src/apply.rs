//! Does what a decision wants done: kills, by the one protocol there is, and Events.
#![allow(clippy::disallowed_methods, reason = "the edge: here a kill gets its time")]

use breakwater_crds::{ChaosExperiment, Kill, KillRecord, Outcome, Phase};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, Preconditions},
    core::SelectorExt,
    runtime::events::{Event, EventType, Recorder},
};

use crate::{
    decide::{Attempt, Notice, Victim, readable},
    error::{Error, in_time},
    observe::selector,
    world::exemption,
};

/// How often a victim is looked at again when it changes between the look and the delete, as under its kubelet's writes.
const LOOKS: usize = 3;
/// An Event's note may have so many bytes.
const MAX_NOTE: usize = 1024;

/// The hands of the operator.
pub struct Hands {
    client: Client,
    events: Recorder,
}

impl Hands {
    /// `client` must not try anything again by itself: a kill whose answer is lost is looked into, not sent again.
    pub fn new(client: Client, events: Recorder) -> Self {
        Self { client, events }
    }

    /// Kills a victim that is written down in the status of `experiment`, or finds out why not. `None`: nothing is known yet,
    /// and it is to be tried again.
    ///
    /// Everything is checked again right before the delete, and the delete has the uid and the resourceVersion that were
    /// checked as its preconditions: what was not looked at is not killed.
    pub async fn kill(&self, experiment: &ChaosExperiment, victim: &Victim) -> Option<Attempt> {
        for _ in 0..LOOKS {
            match self.try_kill(experiment, victim).await {
                Ok(attempt) => return Some(attempt),
                Err(error) if error.is_conflict() => {}
                Err(Error::Api(kube::Error::Api(status))) if status.code < 500 && status.code != 429 => {
                    return Some(failed(victim, format!("the API server refused: {}", status.message)));
                }
                Err(error) => {
                    tracing::warn!(pod = victim.name, %error, "a kill has no outcome yet");
                    return None;
                }
            }
        }
        None
    }

    async fn try_kill(&self, experiment: &ChaosExperiment, victim: &Victim) -> Result<Attempt, Error> {
        let namespace = experiment.namespace().unwrap_or_default();
        let experiments: Api<ChaosExperiment> = Api::namespaced(self.client.clone(), &namespace);
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let Some(current) = in_time(experiments.get_opt(&experiment.name_any())).await? else {
            return Ok(failed(victim, "not sent: the experiment is gone".into()));
        };
        let kill = match permission(experiment, &current, victim) {
            Ok(kill) => kill,
            Err(why) => return Ok(failed(victim, format!("not sent: {why}"))),
        };
        let gone = |message: &str| Attempt { outcome: Outcome::Gone, ..failed(victim, message.into()) };
        let pod = match in_time(pods.get_opt(&victim.name)).await? {
            Some(pod) if pod.metadata.uid.as_deref() == Some(&victim.uid) => pod,
            _ => return Ok(gone("gone when it was looked at again")),
        };
        if let Some(why) = exemption(&pod) {
            return Ok(failed(victim, format!("not sent: {why}")));
        }
        if pod.metadata.deletion_timestamp.is_some() {
            return Ok(gone("terminating already when it was looked at again"));
        }
        if !selector(&current.spec.target.selector).is_ok_and(|selector| selector.matches(pod.labels())) {
            return Ok(failed(victim, "not sent: the selector does not match it any more".into()));
        }
        let sent_at = Timestamp::now();
        if sent_at > victim.deadline {
            return Ok(failed(victim, "not sent in time".into()));
        }
        let params = DeleteParams {
            grace_period_seconds: kill.grace_period_seconds,
            preconditions: Some(Preconditions {
                uid: pod.metadata.uid,
                resource_version: pod.metadata.resource_version,
            }),
            ..DeleteParams::default()
        };
        match in_time(pods.delete(&victim.name, &params)).await {
            Ok(_) => Ok(Attempt {
                uid: victim.uid.clone(),
                sent_at: Some(sent_at),
                outcome: Outcome::Deleted,
                message: None,
            }),
            Err(error) if error.is_not_found() => Ok(gone("gone when the delete arrived")),
            Err(error) => Err(error),
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

/// How the victim may be killed, if the experiment as it stands now still wants it.
fn permission<'a>(
    decided: &ChaosExperiment,
    current: &'a ChaosExperiment,
    victim: &Victim,
) -> Result<&'a Kill, &'static str> {
    if current.metadata.uid != decided.metadata.uid || current.metadata.deletion_timestamp.is_some() {
        return Err("the experiment is gone");
    }
    if current.spec.suspend {
        return Err("the experiment is suspended");
    }
    let status = current.status.as_ref().filter(|status| status.phase == Some(Phase::Killing));
    let run = status.and_then(|status| status.run.as_ref()).ok_or("the run is past its kills")?;
    let is_planned =
        |kill: &KillRecord| kill.uid == victim.uid && kill.slot == victim.slot && kill.outcome == Outcome::Planned;
    if !run.kills.iter().any(is_planned) {
        return Err("it is not written down as planned");
    }
    current.spec.kill.as_ref().ok_or("the experiment does not kill")
}

fn failed(victim: &Victim, message: String) -> Attempt {
    Attempt { uid: victim.uid.clone(), sent_at: None, outcome: Outcome::Failed, message: Some(message) }
}
