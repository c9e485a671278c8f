//! The design's invariants, checked against the server's own log.

use std::collections::{BTreeMap, BTreeSet};

use breakwater_crds::{ChaosExperiment, ChaosExperimentStatus, KillRecord, Outcome, Phase, Reason, Run};
use breakwater_fake_apiserver::Change;
use breakwater_operator::decide;
use jiff::SignedDuration;
use uuid::Uuid;

use crate::{
    backend::{is_backend, is_ready},
    clients::Manner,
    history::{Step, last, steps, uid, when},
    lab::{Happening, OPENS, Played},
    permission::permission,
    protocol::protocol,
    restarts::restarts,
    starts::starts,
    verdicts::verdicts,
};

/// Everything that is wrong with a run; nothing, if all is well.
pub fn check(played: &Played) -> Vec<String> {
    let steps = steps(&played.server);
    let mut judge = Judge::new(played);
    for step in &steps {
        judge.take(step);
    }
    judge.end(&steps);
    judge.wrong.extend(protocol(played));
    judge.wrong.extend(permission(played));
    judge.wrong.extend(restarts(played, &steps));
    judge.wrong.extend(starts(played, &steps));
    judge.wrong.extend(verdicts(played, &steps));
    judge.wrong.extend(played.panics.iter().map(|panic| format!("a task ended by a panic: {panic}")));
    judge.wrong
}

/// A held outage of three pods takes some 150.
const REQUESTS_A_SECOND: usize = 400;
/// A clock that is off by more is not asked for moments.
const FAST: SignedDuration = SignedDuration::from_secs(2);
/// A status never grows past it.
const MAX_STATUS: usize = 256 << 10;

struct Judge<'a> {
    played: &'a Played,
    wrong: Vec<String>,
    /// The stored version of each experiment, by uid.
    stored: BTreeMap<String, ChaosExperiment>,
    /// Versions before that.
    runs: BTreeMap<String, Vec<Uuid>>,
    verdicts: BTreeMap<Uuid, String>,
    sets: BTreeMap<(Uuid, u64), BTreeSet<String>>,
    /// Pods that were written down to be killed.
    planned: BTreeSet<String>,
    /// Pods that an operator ended.
    killed: BTreeSet<String>,
    ready: BTreeSet<String>,
    /// Pods that may be down at once.
    limit: usize,
    /// How many targets are ready is not the operator's doing alone, or not as it was shown.
    disturbed: bool,
    /// Somebody else has written into the record.
    forged: bool,
    /// What clients told is not what they did.
    lied: bool,
}

/// Whether it changes how many targets are ready.
fn touches_targets(happening: &Happening) -> bool {
    use Happening::{Delete, EndNamespace, RecreateExperiment, Relabel, Scale};
    matches!(happening, Relabel(_) | Delete(_) | Scale(_) | EndNamespace | RecreateExperiment)
}

impl<'a> Judge<'a> {
    fn new(played: &'a Played) -> Self {
        let happened = |which: fn(&Happening) -> bool| played.happenings.iter().any(|(_, happening)| which(happening));
        // What is not said as a number is of those that there are.
        let is_relative = !played.workload.pods.contains("one") && !played.workload.pods.contains("fixed");
        let scaled = happened(|happening| matches!(happening, Happening::Scale(_)));
        let limit = if is_relative && scaled { usize::MAX } else { played.workload.limit };
        Self {
            played,
            wrong: vec![],
            stored: BTreeMap::new(),
            runs: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            sets: BTreeMap::new(),
            planned: BTreeSet::new(),
            killed: BTreeSet::new(),
            ready: BTreeSet::new(),
            limit,
            disturbed: played.network.lagged() || happened(touches_targets),
            forged: happened(|happening| matches!(happening, Happening::Forge)),
            lied: happened(|happening| matches!(happening, Happening::ClientsAre(Manner::Lies(_)))),
        }
    }

    fn fails(&mut self, what: impl Into<String>) {
        self.wrong.push(what.into());
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Experiment(experiment) => self.status(experiment),
            Step::ExperimentGone(change) => self.gone(change),
            Step::Workload(_) => {}
            Step::PodEnds(change) => {
                if change.by.starts_with("operator-") {
                    self.kill(change);
                }
                self.ready.remove(&uid(&change.object));
            }
            Step::Pod(change) if change.deleted => drop(self.ready.remove(&uid(&change.object))),
            Step::Pod(change) => {
                if is_ready(&change.object) && is_backend(&change.object) {
                    self.ready.insert(uid(&change.object));
                } else {
                    self.ready.remove(&uid(&change.object));
                }
            }
        }
    }

    /// An operator deletes an experiment only when its time to live is over.
    fn gone(&mut self, change: &Change) {
        let gone = self.stored.remove(&uid(&change.object)).filter(|_| change.by.starts_with("operator-"));
        let Some(gone) = gone else { return };
        let completed = gone.run().and_then(|run| run.completed_at);
        let expiry = completed.zip(gone.spec.ttl_after_finished).map(|(completed, ttl)| ttl.after(completed));
        let deleted = when(&self.played.server, change.revision);
        let right = self.played.skews.iter().all(|skew| skew.abs() <= FAST);
        if expiry.is_none_or(|expiry| right && deleted.is_some_and(|deleted| deleted + FAST < expiry)) {
            self.fails(format!(
                "an operator deleted an experiment at {deleted:?} that was to be kept until {expiry:?}"
            ));
        }
    }

    /// Invariants 1 and 2: nothing outside of the selector, the namespace and the limits; nothing that is not written down before.
    fn kill(&mut self, change: &Change) {
        let Some(before) = &change.before else { return };
        let (uid, name) = (uid(before), change.key.2.clone());
        if !self.killed.insert(uid.clone()) {
            self.fails(format!("{name} ({uid}) was killed twice"));
        }
        // What is blocked when its run ends is given up with it.
        let waits = |run: &Run, outcome| {
            outcome == Outcome::Planned || outcome == Outcome::Blocked && run.completed_at.is_none()
        };
        let names = |run: &Run| run.kills.iter().any(|kill| kill.uid == uid && waits(run, kill.outcome));
        let labels = &before["metadata"]["labels"];
        if labels["app"] != "backend" {
            self.fails(format!("{name} was killed, and the selector does not match it: {labels}"));
        }
        if self.played.workload.deployment && !is_backend(before) {
            self.fails(format!("{name} was killed, and it is not of the workload"));
        }
        let intent = self.stored.values().find(|one| one.run().is_some_and(&names)).cloned();
        let Some(experiment) = intent else {
            // Another operator may have given the kill up after the last look at it; it was written down all the same.
            if self.planned.contains(&uid) {
                return;
            }
            return self.fails(format!("{name} ({uid}) was killed, and no stored status says that it would be"));
        };
        if experiment.metadata.namespace.as_deref() != Some(change.key.1.as_str()) {
            self.fails(format!("{name} was killed in another namespace"));
        }
        if before["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_string() {
            self.fails(format!("{name} was killed, and it is one that never is"));
        }
        let status = experiment.status.clone().unwrap_or_default();
        let Some(run) = status.run else { return };
        if run.spared.contains(&uid) {
            self.fails(format!("{name} was killed, and it was to be spared"));
        }
        if run.completed_at.is_some() || status.phase != Some(Phase::Killing) {
            self.fails(format!("{name} was killed in the phase {:?}", status.phase));
        }
        if experiment.spec.dry_run {
            self.fails(format!("{name} was killed by a dry run"));
        }
        if self.disturbed {
            return;
        }
        let left = self.ready.iter().filter(|ready| **ready != uid).count();
        let backends = self.played.workload.backends;
        if left + self.limit.min(backends) < backends {
            self.fails(format!("{name} was killed when no more than {left} others were ready"));
        }
    }

    fn status(&mut self, experiment: &ChaosExperiment) {
        let key = experiment.metadata.uid.clone().unwrap_or_default();
        let before = self.stored.insert(key.clone(), experiment.clone());
        let Some(run) = experiment.run() else {
            if before.is_some_and(|before| before.run().is_some()) {
                self.fails("a run went out of the status");
            }
            return;
        };
        let runs = self.runs.entry(key).or_default();
        if runs.last() != Some(&run.id) {
            if runs.contains(&run.id) {
                self.wrong.push(format!("run {} came back", run.id));
            }
            runs.push(run.id);
        }
        let status = experiment.status.clone().unwrap_or_default();
        if runs.len() as u64 > status.runs {
            self.wrong.push(format!("{} runs were begun, and {} are counted", runs.len(), status.runs));
        }
        if run.completed_at.is_some() {
            let said = format!("{:?} {:?}", status.verdict, status.reason);
            let first = self.verdicts.entry(run.id).or_insert_with(|| said.clone()).clone();
            let waits = experiment.spec.schedule.as_ref().is_some_and(|schedule| schedule.cron.is_some());
            if first != said && !waits {
                self.fails(format!("the verdict changed from {first} to {said}"));
            }
        }
        self.planned.extend(run.kills.iter().map(|kill| kill.uid.clone()));
        if !self.forged {
            self.kills(run, before.as_ref().and_then(ChaosExperiment::run));
        }
        self.transitions(run, before.as_ref().and_then(ChaosExperiment::run));
    }

    fn kills(&mut self, run: &Run, before: Option<&Run>) {
        let mut sets: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
        for kill in &run.kills {
            sets.entry(kill.slot).or_default().insert(kill.uid.clone());
        }
        for (slot, set) in sets {
            let limit = self.limit;
            if set.len() > limit {
                self.fails(format!("set {slot} has {} victims, more than {limit}", set.len()));
            }
            let first = self.sets.entry((run.id, slot)).or_insert_with(|| set.clone());
            if !set.is_subset(first) {
                let words = format!("set {slot} was chosen again: {first:?}, then {set:?}");
                self.fails(words);
            }
        }
        let Some(before) = before.filter(|before| before.id == run.id) else { return };
        if run.slot < before.slot {
            self.fails(format!("the number of the newest set fell from {} to {}", before.slot, run.slot));
        }
        for was in &before.kills {
            let now = run.kills.iter().find(|kill| (&kill.uid, kill.slot) == (&was.uid, was.slot));
            if now.is_none() && was.outcome == Outcome::Planned {
                self.fails(format!("{} was planned in set {}, and then not written down any more", was.pod, was.slot));
            }
            let settled = !matches!(was.outcome, Outcome::Planned | Outcome::Blocked);
            if let Some(now) = now.filter(|now| settled && now.outcome != was.outcome) {
                let late = matches!(was.outcome, Outcome::Gone | Outcome::Failed | Outcome::Unknown)
                    && matches!(now.outcome, Outcome::Deleted | Outcome::Evicted);
                if !late {
                    self.fails(format!(
                        "the outcome of {} changed from {:?} to {:?}",
                        was.pod, was.outcome, now.outcome
                    ));
                }
            }
        }
    }

    /// Invariant 3: each transition once and in order, as its client made it, or a gap.
    fn transitions(&mut self, run: &Run, before: Option<&Run>) {
        let before = before.filter(|before| before.id == run.id && before.round == run.round);
        for replica in &run.clients {
            let was = before.and_then(|before| {
                before.clients.iter().find(|was| was.uid == replica.uid && was.client == replica.client)
            });
            if let Some(was) = was.filter(|was| was.epoch == replica.epoch && was.seq > replica.seq) {
                self.fails(format!("the cursor of {} went back from {} to {}", replica.pod, was.seq, replica.seq));
            }
            if let Some(was) = was.filter(|was| was.epoch == replica.epoch) {
                let new = replica.transitions_dropped + replica.transitions.len() as u64;
                let old = was.transitions_dropped + was.transitions.len() as u64;
                let missing = |gaps: &[breakwater_crds::Gap]| gaps.iter().filter_map(|gap| gap.missing).sum::<u64>();
                let gained = new.saturating_sub(old) + missing(&replica.gaps).saturating_sub(missing(&was.gaps));
                if replica.gaps_dropped == 0 && gained != replica.seq - was.seq {
                    self.fails(format!(
                        "the cursor of {} went from {} to {}, and {gained} transitions or gaps were added",
                        replica.pod, was.seq, replica.seq
                    ));
                }
            }
            let seqs: Vec<_> = replica.transitions.iter().map(|transition| transition.seq).collect();
            if !seqs.windows(2).all(|pair| pair[1] > pair[0] || pair[1] == 1) {
                self.fails(format!("the transitions of {} are out of order: {seqs:?}", replica.pod));
            }
        }
    }

    /// Its clock was put back behind the last start, which is not used again: the next one is still to come.
    fn is_early(&self, status: &ChaosExperimentStatus) -> bool {
        let clock = self.played.skews.iter().max().copied().unwrap_or_default();
        let now = OPENS + SignedDuration::try_from(self.played.time).unwrap_or_default() + clock;
        status.phase == Some(Phase::Waiting) && status.next_schedule_time.is_some_and(|next| next > now)
    }

    fn end(&mut self, steps: &[Step]) {
        // 4. It ends, or says why it waits.
        if !self.played.ended {
            let last = last(steps).and_then(|last| last.status.clone());
            // It says what it waits for: its time, or somebody's leave.
            let waits = [Reason::Scheduled, Reason::Suspended, Reason::AbortRequested, Reason::Halted].map(Some);
            let waits = |status: &ChaosExperimentStatus| waits.contains(&status.reason) || self.is_early(status);
            if !last.as_ref().is_some_and(waits) && !self.left_alone(last.as_ref()) {
                let said = last.map(|status| (status.phase, status.reason, status.message));
                self.fails(format!("it never ended: {said:?}"));
            }
        }
        // 6. What has ended is left alone.
        let sent = self.played.network.sent();
        let late: Vec<_> = sent[self.played.quiet_from..].iter().filter(|(sent, _)| !sent.is_watching()).collect();
        // What somebody changed may be told late, or never: what is gone by a line that was lost is read again and again.
        let gone = steps.iter().any(|step| matches!(step, Step::ExperimentGone(_)));
        let told_late = self.played.network.withheld() > 0 && (gone || !self.played.happenings.is_empty());
        let quiet = self.played.ended && self.played.workload.runs == 1 && !told_late;
        if let Some((first, _)) = late.first().filter(|_| quiet) {
            self.fails(format!("{} requests after the end, first {} {}", late.len(), first.method, first.path));
        }
        // 4. Nobody turns in circles.
        let mut busy: BTreeMap<(usize, u64), usize> = BTreeMap::new();
        sent.iter().for_each(|(sent, _)| *busy.entry((sent.process, sent.at.as_secs())).or_default() += 1);
        if let Some(((process, second), count)) = busy.into_iter().find(|(_, count)| *count > REQUESTS_A_SECOND) {
            self.fails(format!("operator {process} sent {count} requests in second {second}"));
        }
        // The bucket above the minute that a look may take; a run that is written down was looked at.
        let least = if self.runs.is_empty() { 0.0 } else { f64::MIN_POSITIVE };
        if !(least..66.0).contains(&self.played.looking) {
            self.fails(format!("a look took up to {:.1} s", self.played.looking));
        }
        for experiment in self.stored.clone().into_values() {
            let Some(run) = experiment.run().filter(|run| run.completed_at.is_some()) else {
                continue;
            };
            let size = serde_json::to_string(&experiment.status).map_or(0, |text| text.len());
            if size > MAX_STATUS {
                self.fails(format!("the status has {size} bytes"));
            }
            if !self.forged {
                self.honest(run);
            }
            if !self.lied {
                self.emitted(run);
            }
        }
    }

    /// In a namespace that takes no part any more nothing is touched but the runs of operators that are still there: there may be others
    /// that serve it.
    fn left_alone(&self, status: Option<&ChaosExperimentStatus>) -> bool {
        let opted_out = self.played.happenings.iter().any(|(_, happening)| *happening == Happening::OptOut);
        let died = self.played.processes > self.played.skews.len();
        self.played.label_required && opted_out && (died || status.and_then(decide::running).is_none())
    }

    /// What the record says of kills is what happened.
    fn honest(&mut self, run: &Run) {
        for kill in &run.kills {
            let killed = self.killed.contains(&kill.uid);
            // A pod that one set did not kill may be killed by a later one.
            let told = |other: &KillRecord| {
                other.slot != kill.slot
                    && other.uid == kill.uid
                    && !matches!(other.outcome, Outcome::Failed | Outcome::Blocked | Outcome::DryRun)
            };
            match kill.outcome {
                Outcome::Planned => self.fails(format!("{} is still planned at the end", kill.pod)),
                Outcome::Deleted | Outcome::Evicted if !killed => {
                    self.fails(format!("{} is told as killed, and no operator killed it", kill.pod));
                }
                Outcome::Failed | Outcome::Blocked | Outcome::DryRun if killed && !run.kills.iter().any(told) => {
                    let said = kill.message.as_deref().unwrap_or_default();
                    self.fails(format!("{} was killed, and is told as {:?}: {said}", kill.pod, kill.outcome));
                }
                _ => {}
            }
        }
    }

    /// What is recorded of transitions is what the clients made.
    fn emitted(&mut self, run: &Run) {
        let all = self.played.clients.emitted();
        for replica in &run.clients {
            let Some((_, emitted)) = all.iter().find(|(uid, _)| *uid == replica.uid) else { continue };
            for told in &replica.transitions {
                let made =
                    emitted.iter().any(|(_, made)| (made.seq, made.from, made.to) == (told.seq, told.from, told.to));
                if !made && told.seq > 1 {
                    self.fails(format!("{} never made transition {} to {}", replica.pod, told.seq, told.to));
                }
            }
            let last = emitted.iter().filter(|(epoch, _)| *epoch == replica.epoch).map(|(_, made)| made.seq).max();
            if replica.seq > last.unwrap_or(1) {
                self.fails(format!("the cursor of {} is {}, and it made {last:?}", replica.pod, replica.seq));
            }
        }
    }
}
