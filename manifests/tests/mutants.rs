//! The mutants are what the other tests take them for.

use std::collections::BTreeSet;

use breakwater_crds::ChaosExperiment;
use breakwater_manifests::{Checker, Refusal, examples, fields, mutants, schema};
use kube::{
    CustomResourceExt,
    core::cel::{ValidationErrors, Validator, compile_schema, validate_cel},
};
use serde_json::json;

fn lines(said: &str) -> BTreeSet<String> {
    said.lines().map(String::from).collect()
}

#[test]
fn the_examples_are_taken() {
    let checker = Checker::new();
    for (name, manifest) in examples() {
        let taken = checker.check(&manifest);
        assert!(taken.is_ok(), "{name}: {taken:?}");
        let by_kube = validate_cel(&taken.unwrap());
        assert!(by_kube.is_ok(), "{name}: {by_kube:?}");
    }
}

/// Mutants that are shown to kube as well.
const SHOWN: usize = 2000;
/// Of these, so many that are taken and so many that are refused go through `validate_cel` itself, which compiles every rule anew for each.
const WHOLLY: usize = 10;

/// What is read and written again otherwise than it stood, so that kube sees another text, and how it is known by what is said. Each
/// is still met: the test says so.
const LIMITS: [(&str, &str); 4] = [
    ("a duration with a space, or of a hundred thousand hours", "must be a duration of hours"),
    ("a date with a time behind it", "must be a date such as"),
    ("a time of the day of one digit", "must be a time of the day"),
    ("a moment a day from UTC, or without a T", "must be a moment with its zone"),
];

/// Ours compiles the rules once, and sees a manifest as it stands; kube sees it as it is read and written again. What the one says
/// is what the other says, where a manifest is taken as well as where it breaks rules.
#[test]
fn rules_are_judged_as_kube_judges_them() {
    let checker = Checker::new();
    let crd = serde_json::to_value(ChaosExperiment::crd()).unwrap();
    let compiled = compile_schema(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]);
    let said = |judged: Result<(), _>| {
        judged.map_or_else(|error: ValidationErrors| lines(&error.to_string()), |()| BTreeSet::new())
    };
    let (mut taken, mut broken, mut unread, mut met) = (0, 0, 0, BTreeSet::new());
    for mutant in mutants(3, 8000) {
        let ours = match checker.check(&mutant.manifest) {
            Ok(_) => BTreeSet::new(),
            Err(Refusal::Rule(said)) => lines(&said),
            // Of schemas and types kube's rules know nothing.
            Err(_) => continue,
        };
        // A null where there is a default is nothing to the API server, and no experiment to serde.
        let Ok(experiment) = serde_json::from_value::<ChaosExperiment>(mutant.manifest) else {
            unread += 1;
            continue;
        };
        let kubes = said(Validator::new().validate_compiled(&compiled, &json!(experiment), None));
        let count = if ours.is_empty() { &mut taken } else { &mut broken };
        *count += 1;
        if *count <= WHOLLY {
            assert_eq!(said(validate_cel(&experiment)), kubes, "{}", mutant.what);
        }
        let of = |line: &str| line.trim_start_matches("  - ").split(": ").next().unwrap_or_default().to_string();
        let limits = LIMITS.iter().flat_map(|(why, words)| {
            ours.union(&kubes).filter(|line| line.contains(words)).map(|line| (of(line), *why)).collect::<Vec<_>>()
        });
        let limits: Vec<_> = limits.collect();
        for line in kubes.symmetric_difference(&ours).filter(|line| !line.contains("validation error(s)")) {
            // Of such a field, and of what it is in, kube knows another value than we do.
            let limit = limits.iter().find(|(field, _)| field.starts_with(&of(line)));
            let (_, why) = limit.unwrap_or_else(|| panic!("{}: kube says {kubes:?}, and we {ours:?}", mutant.what));
            met.insert(*why);
        }
        if taken + broken == SHOWN {
            break;
        }
    }
    println!("{taken} are taken, {broken} break a rule, {unread} are not read");
    assert!(taken > SHOWN / 5 && broken > SHOWN / 5, "{taken} are taken, and {broken} break a rule");
    assert!(unread < SHOWN / 10, "{unread} are not read");
    assert_eq!(met, LIMITS.iter().map(|(why, _)| *why).collect(), "a limit is not met any more");
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

#[test]
fn a_timeout_that_no_run_can_keep_is_refused() {
    let (checker, examples) = (Checker::new(), examples());
    for (name, changes, words) in [
        // Held for 20s and watched for 25s, in 3m.
        ("half-the-pods", vec![("kill/holdFor", json!("2m59s"))], None),
        ("half-the-pods", vec![("kill/holdFor", json!("3m"))], Some("kill.holdFor")),
        ("half-the-pods", vec![("kill/holdFor", json!("1h"))], Some("kill.holdFor")),
        ("half-the-pods", vec![("observe/duration", json!("3m"))], Some("observe.duration")),
        ("half-the-pods", rounds(6, "5s"), None),
        ("half-the-pods", rounds(6, "6s"), Some("fewer rounds")),
        // Watched for 15s, in 2m.
        ("normal-operation", vec![("observe/duration", json!("1m59s"))], None),
        ("normal-operation", vec![("observe/duration", json!("2m"))], Some("observe.duration")),
        ("normal-operation", rounds(4, "19s"), None),
        ("normal-operation", rounds(4, "20s"), Some("fewer rounds")),
        // Held for 15s, in 10m.
        ("game-day", rounds(10, "49s"), None),
        ("game-day", rounds(10, "50s"), Some("fewer rounds")),
        ("game-day", [rounds(10, "50s"), vec![("timeout", json!("10m500ms"))]].concat(), None),
        ("game-day", vec![("schedule/pauseBetweenRounds", json!("1h"))], Some("schedule.pauseBetweenRounds")),
        ("game-day", vec![("kill/holdFor", json!("4m"))], Some("kill.holdFor")),
    ] {
        let found = examples.iter().find(|(other, _)| *other == name);
        let mut manifest = found.expect("there is such an example").1.clone();
        for (path, value) in &changes {
            *path.split('/').fold(&mut manifest["spec"], |at, step| &mut at[step]) = value.clone();
        }
        let said = checker.check(&manifest).err().map(|why| why.to_string());
        assert_eq!(said.is_some(), words.is_some(), "{name} with {changes:?}: {said:?}");
        assert!(said.unwrap_or_default().contains(words.unwrap_or_default()), "{name} with {changes:?}");
    }
}

fn rounds(count: u32, pause: &str) -> Vec<(&'static str, serde_json::Value)> {
    vec![("schedule/rounds", json!(count)), ("schedule/pauseBetweenRounds", json!(pause))]
}
