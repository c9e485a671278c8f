//! Restarts of a workload: each written down before, sent once, and nothing but the annotation that asks for it.

use std::collections::{BTreeMap, BTreeSet};

use breakwater_crds::Outcome;
use serde_json::{Value, json};

use crate::{
    deployment::RESTARTED_AT,
    history::{Step, experiments},
    lab::Played,
};

/// What is wrong with the restarts of a run.
pub fn restarts(played: &Played, steps: &[Step]) -> Vec<String> {
    if !played.workload.deployment {
        return vec![];
    }
    let mut wrong = vec![];
    // When each was planned, by what the stored statuses said up to then.
    let mut planned: BTreeSet<String> = BTreeSet::new();
    let mut done: BTreeMap<String, usize> = BTreeMap::new();
    for step in steps {
        match step {
            Step::Experiment(experiment) => {
                let run = experiment.run();
                planned.extend(run.iter().flat_map(|run| &run.kills).map(|kill| kill.planned_at.to_string()));
            }
            Step::Workload(change) if change.by.starts_with("operator-") => {
                let (before, after) = (change.before.as_deref().unwrap_or(&Value::Null), &*change.object);
                let at = |object: &Value| object.pointer(RESTARTED_AT).and_then(Value::as_str).map(ToString::to_string);
                if without_restart(before) != without_restart(after) {
                    wrong.push(format!("more was changed than when it was restarted: {after}"));
                }
                match at(after) {
                    Some(at) if !planned.contains(&at) => wrong.push(format!("a restart of {at} was not planned")),
                    Some(restart) if at(before).as_ref() != Some(&restart) => *done.entry(restart).or_default() += 1,
                    _ => {}
                }
            }
            _ => {}
        }
    }
    let twice = done.iter().filter(|(_, count)| **count > 1);
    wrong.extend(twice.map(|(at, count)| format!("the restart of {at} was done {count} times")));
    for experiment in experiments(steps).into_values() {
        for kill in experiment.run().iter().flat_map(|run| &run.kills) {
            if kill.outcome == Outcome::Restarted && !done.contains_key(&kill.planned_at.to_string()) {
                wrong.push(format!("{} is told as restarted, and it was not", kill.pod));
            }
        }
    }
    wrong
}

/// The workload without what a restart changes.
fn without_restart(workload: &Value) -> Value {
    let mut rest = workload.clone();
    let mut forget = |of: &str, fields: &[&str]| {
        if let Some(part) = rest.pointer_mut(of).and_then(Value::as_object_mut) {
            part.retain(|field, _| !fields.contains(&field.as_str()));
        }
    };
    forget("/metadata", &["generation", "resourceVersion", "managedFields"]);
    let (template, annotation) = RESTARTED_AT.rsplit_once('/').unwrap_or_default();
    forget(template, &[&annotation.replace("~1", "/")]);
    // The first restart adds the annotations.
    if let Some(template) = rest.pointer_mut("/spec/template/metadata").and_then(Value::as_object_mut) {
        template.retain(|field, value| field != "annotations" || *value != json!({}));
    }
    rest
}
