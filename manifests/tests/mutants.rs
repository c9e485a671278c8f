//! The mutants are what the other tests take them for.

use std::collections::BTreeSet;

use breakwater_manifests::{Checker, Refusal, examples, fields, mutants, schema};
use serde_json::json;

#[test]
fn the_examples_are_taken() {
    let checker = Checker::new();
    for (name, manifest) in examples() {
        let taken = checker.check(&manifest);
        assert!(taken.is_ok(), "{name}: {taken:?}");
        let by_kube = kube::core::cel::validate_cel(&taken.unwrap());
        assert!(by_kube.is_ok(), "{name}: {by_kube:?}");
    }
}

/// Ours compiles the rules once; what it says is what kube says.
#[test]
fn rules_are_judged_as_kube_judges_them() {
    let checker = Checker::new();
    let mut broken = 0;
    for mutant in mutants(3, 3000) {
        let Err(Refusal::Rule(said)) = checker.check(&mutant.manifest) else { continue };
        let Ok(experiment) = serde_json::from_value::<breakwater_crds::ChaosExperiment>(mutant.manifest) else {
            continue;
        };
        // What the types read as something else, such as a duration with a space in it, kube never sees.
        let Err(by_kube) = kube::core::cel::validate_cel(&experiment).map_err(|error| error.to_string()) else {
            continue;
        };
        let lines = |said: &str| said.lines().map(String::from).collect::<BTreeSet<_>>();
        assert_eq!(lines(&by_kube), lines(&said), "{}", mutant.what);
        broken += 1;
        if broken == 30 {
            return;
        }
    }
    panic!("only {broken} mutants break a rule");
}

#[test]
fn mutants_are_many_distinct_and_the_same_for_a_seed() {
    let (made, again) = (mutants(1, 4000), mutants(1, 4000));
    assert!(made.iter().zip(&again).all(|(one, other)| one.manifest == other.manifest && one.what == other.what));
    let distinct: BTreeSet<_> = made.iter().map(|mutant| mutant.manifest.to_string()).collect();
    assert_eq!(distinct.len(), made.len());
    assert!(made.iter().zip(mutants(2, 100)).any(|(one, other)| one.what != other.what));
}

#[test]
fn every_field_of_the_schema_is_mutated() {
    let all: BTreeSet<_> = fields(&schema("spec"), "spec").iter().map(ToString::to_string).collect();
    let mutated: BTreeSet<_> = mutants(1, 10_000).into_iter().flat_map(|mutant| mutant.fields).collect();
    assert_eq!(all.difference(&mutated).collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(all.contains("spec.schedule.excluded[0].from") && all.contains("spec.target.selector.matchLabels.app"));
}

#[test]
fn a_manifest_is_refused_for_what_is_wrong_with_it() {
    let checker = Checker::new();
    let (_, good) = &examples()[0];
    let with = |pointer: &str, value| {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        checker.check(&bad).map(drop)
    };
    for (pointer, value, words) in [
        ("/spec/timeout", json!(5), "spec.timeout: must be of type string"),
        ("/spec/kill/gracePeriodSeconds", json!(3601), "spec.kill.gracePeriodSeconds: 3601 is out of bounds"),
        ("/spec/kill/method", json!("Explode"), "spec.kill.method: must be one of"),
        ("/spec/observe/clients", json!([]), "spec.observe.clients: 0 is out of bounds"),
        ("/spec/target", json!({"pods": {"all": {}}}), "spec.target.selector: is required"),
        ("/spec/target/pods", json!({"all": {}, "some": 1}), "spec.target.pods.some: is an unknown field"),
        ("/spec/kill/holdFor", json!("2h"), "must be between 1s and 1h"),
        ("/spec/timeout", json!("1m"), "timeout must be longer"),
    ] {
        let said = with(pointer, value).unwrap_err().to_string();
        assert!(said.contains(words), "{pointer}: {said}");
    }
    assert_eq!(with("/spec/timeout", json!(null)), Ok(()), "a null is no value where there is a default");
}
