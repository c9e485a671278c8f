//! Bad manifests by the thousand, for tests.
//!
//! [`mutants`] takes the examples of `crds/examples` and does to every field that the schema has what a person in a hurry, a broken
//! template or an enemy would: leaves it out, writes another type, goes to its bounds and past them, puts control characters and
//! novels into it. The fields come from the schema itself, so a new one is mutated without anybody's thinking of it.
//! [`Checker`] says what can be known of a manifest without a server: whether it fits the schema, the types and the rules.
//!
//! ```
//! use breakwater_manifests::{Checker, mutants};
//!
//! let checker = Checker::new();
//! let refused = mutants(1, 100).iter().filter(|mutant| checker.check(&mutant.manifest).is_err()).count();
//! assert!(0 < refused && refused < 100);
//! ```

mod change;
mod check;
mod field;
mod structure;
mod texts;
mod values;

use std::collections::HashSet;

use fastrand::Rng;
use serde_json::Value;

pub use change::Change;
pub use check::{Checker, Refusal};
pub use field::{Field, Step, fields};
pub use structure::misfits;
pub use texts::TEXTS;

use values::changes;

/// Most of the changes in one mutant.
const MOST: usize = 4;

/// The examples that everything starts from, by name.
const EXAMPLES: [(&str, &str); 8] = [
    ("backend-outage", include_str!("../../crds/examples/backend-outage.yaml")),
    ("deployment", include_str!("../../crds/examples/deployment.yaml")),
    ("game-day", include_str!("../../crds/examples/game-day.yaml")),
    ("half-the-pods", include_str!("../../crds/examples/half-the-pods.yaml")),
    ("normal-operation", include_str!("../../crds/examples/normal-operation.yaml")),
    ("once", include_str!("../../crds/examples/once.yaml")),
    ("recovery", include_str!("../../crds/examples/recovery.yaml")),
    ("rehearsal", include_str!("../../crds/examples/rehearsal.yaml")),
];

/// A manifest that may be bad.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// Which example it was, and what was done to it.
    pub what: String,
    /// The fields that were changed, such as `spec.kill.holdFor`.
    pub fields: Vec<String>,
    /// The whole manifest.
    pub manifest: Value,
}

/// What chance starts from in a test: always the same, unless `BREAKWATER_SEED=7` asks for another. What a test prints is shown where it
/// fails.
///
/// # Panics
/// Where that is no number.
pub fn seed() -> u64 {
    let seed = std::env::var("BREAKWATER_SEED").map_or(1, |seed| seed.parse().expect("BREAKWATER_SEED is a number"));
    println!("played again with BREAKWATER_SEED={seed}");
    seed
}

/// The examples as they are.
///
/// # Panics
/// Where one of them is no YAML, which the tests of `crds` exclude.
pub fn examples() -> Vec<(&'static str, Value)> {
    let read = |text| serde_saphyr::from_str(text).expect("the examples are YAML");
    EXAMPLES.iter().map(|(name, text)| (*name, read(text))).collect()
}

/// The schema of a part of the resource, `spec` or `status`, as the API server has it.
pub fn schema(part: &str) -> Value {
    let crd = serde_json::to_value(breakwater_crds::crd()).expect("a CustomResourceDefinition is plain data");
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part].clone()
}

/// So many manifests, no two alike; the same ones for the same seed. First each single change that there is, to an example chosen by
/// chance, as far as `count` goes, evenly chosen; then several changes at once, mostly of those that a schema lets pass.
pub fn mutants(seed: u64, count: usize) -> Vec<Mutant> {
    let (mut random, examples) = (Rng::with_seed(seed), examples());
    let schema = schema("spec");
    let fields = fields(&schema, "spec");
    let mut all: Vec<_> =
        fields.iter().flat_map(|field| changes(&field.schema).into_iter().map(move |change| (field, change))).collect();
    random.shuffle(&mut all);
    let single: Vec<_> = all.iter().collect();
    let fit: Vec<_> = all.iter().filter(|(field, change)| change.fits(&field.schema)).collect();

    let mut seen: HashSet<String> = examples.iter().map(|(_, manifest)| manifest.to_string()).collect();
    let mut made = Vec::new();
    let mut tries = single.iter().map(|one| vec![*one]);
    while made.len() < count {
        let several = |random: &mut Rng| {
            let changes = random.usize(2..=MOST);
            let one = |random: &mut Rng| {
                let from = if random.u8(0..12) == 0 { &single } else { &fit };
                from[random.usize(0..from.len())]
            };
            (0..changes).map(|_| one(random)).collect::<Vec<_>>()
        };
        let done = tries.next().unwrap_or_else(|| several(&mut random));
        let (name, example) = &examples[random.usize(0..examples.len())];
        let mut manifest = example.clone();
        done.iter().for_each(|(field, change)| change.apply(&mut manifest, field));
        if seen.insert(manifest.to_string()) {
            let said: Vec<_> = done.iter().map(|(field, change)| format!("{field} {change}")).collect();
            let fields = done.iter().map(|(field, change)| change.path(field)).collect();
            made.push(Mutant { what: format!("{name}: {}", said.join("; ")), fields, manifest });
        }
    }
    made
}

/// A part of a real document, such as a status, with one to four changes by chance that fit its schema more often than not.
pub fn mutate(document: &mut Value, fields: &[Field], random: &mut Rng) -> Vec<String> {
    let mut done = vec![];
    for _ in 0..random.usize(1..=MOST) {
        let Some(field) = random.choice(fields) else { continue };
        let all = changes(&field.schema);
        let fit: Vec<_> = all.iter().filter(|change| change.fits(&field.schema)).collect();
        if let Some(change) = random.choice(fit) {
            change.apply(document, field);
            done.push(format!("{field} {change}"));
        }
    }
    done
}
