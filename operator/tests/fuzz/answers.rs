//! Any answer of a client: parsed, understood, recorded and judged.

use std::time::Duration;

use breakwater_breaker::wire::{Instance, StatusReport};
use breakwater_crds::ChaosExperimentStatus;
use breakwater_manifests::TEXTS;
use breakwater_operator::{
    poll::{Endpoint, understand},
    world::Report,
};
use fastrand::Rng;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::{
    assert_fits, chance, edges, outage,
    sim::{Fault, STEP, Sim},
};

/// Documents that are tried.
const DOCUMENTS: u64 = 2000;
/// Looks with an answer each, before a new run is begun.
const LOOKS: u64 = 60;
/// How often the client is asked.
const POLL: Duration = Duration::from_millis(500);

fn endpoint(pod: &str) -> Endpoint {
    Endpoint {
        address: ([127, 0, 0, 1], 80).into(),
        path: "/status".into(),
        pod_uid: pod.into(),
        breaker: "backend".into(),
        interval: POLL,
    }
}

/// What the client would truly answer.
fn truth(sim: &Sim) -> Value {
    let client = &sim.clients[0];
    let now = breakwater_breaker::Now::new(sim.now, Duration::from_secs(100));
    let report = client.breaker.report(None, now).unwrap();
    let instance = Instance { epoch: client.breaker.epoch(), pod_uid: Some(client.uid.clone()), started_at: sim.now };
    serde_json::to_value(StatusReport { schema: "v1".into(), instance, now, breakers: vec![report] }).unwrap()
}

/// Changes one value somewhere in the document; half of the time one that has ends, to be near one of them, and a quarter of the
/// time what it says in its own words.
fn spoil(document: &mut Value, random: &mut Rng) {
    if random.bool() {
        edges::push(document, u64::MAX, &edges::ANCIENT, random);
        return;
    }
    let mut all = vec![];
    edges::places(document, "", &mut all);
    let words: Vec<_> = all.iter().filter(|place| place.ends_with("/lastError")).collect();
    if let Some(place) = random.choice(words).filter(|_| random.bool()) {
        document.pointer_mut(place).into_iter().for_each(|said| *said = json!(text(random)));
        return;
    }
    let Some(value) = random.choice(&all).and_then(|place| document.pointer_mut(place)) else { return };
    match value {
        Value::Object(fields) => match (random.bool(), fields.keys().next().cloned()) {
            (true, Some(name)) => _ = fields.remove(&name),
            _ => _ = fields.insert("unknown".into(), json!([{"a": null}])),
        },
        Value::Array(items) if !items.is_empty() => match random.u8(0..3) {
            0 => items.extend(std::iter::repeat_n(items[0].clone(), random.usize(1..200))),
            1 => _ = items.pop(),
            _ => items.reverse(),
        },
        _ => *value = other(value, random),
    }
}

/// Of any length, or one that means something somewhere.
fn text(random: &mut Rng) -> String {
    if random.bool() {
        return ["x", "é", "🦀"][random.usize(0..3)].repeat(random.usize(0..2000));
    }
    TEXTS[random.usize(0..TEXTS.len())].into()
}

fn other(value: &Value, random: &mut Rng) -> Value {
    match random.u8(0..10) {
        0 => Value::Null,
        1 => json!([]),
        2 => json!({}),
        3 => json!(-1),
        4 => json!("Open"),
        5 => json!("HalfOpen"),
        _ if value.is_number() => json!(random.u64(0..1000)),
        _ => json!(text(random)),
    }
}

/// The API server takes what can be written of it, whenever that is.
fn assert_writable(report: &Report, document: &Value) {
    let seqs = report.transitions.iter().map(|seen| seen.transition.seq);
    let most = seqs.chain([report.calls, report.errors, report.failures, report.last_seq]).max();
    assert!(most <= Some(i64::MAX as u64), "{most:?} is understood of {document}");
    assert!(report.transitions.is_sorted_by_key(|seen| seen.transition.seq), "out of order: {document}");
    for seen in &report.transitions {
        let year = seen.transition.at.to_zoned(TimeZone::UTC).year();
        assert!((1970..=9999).contains(&year), "the year {year} is understood of {document}");
    }
}

/// What it says of itself is cut and cleaned before it goes into the record: no client fills the status.
fn assert_small(status: &ChaosExperimentStatus, document: &Value) {
    let all = status.run.iter().flat_map(|run| &run.clients).flat_map(|replica| &replica.transitions);
    for one in all {
        assert!(one.cause.len() <= 128 && !one.cause.contains(char::is_control), "{} is of {document}", one.cause);
    }
    let size = json!(status).to_string().len();
    assert!(size < 256 * 1024, "{size} bytes are of {document}");
}

#[test]
fn whatever_a_client_answers_is_taken_or_refused_in_words() {
    let (mut random, mut understood, mut refused) = (chance("answers"), 0, 0);
    let mut sim = outage();
    for number in 0..DOCUMENTS {
        if number % LOOKS == 0 || sim.is_complete() {
            sim = outage();
            let until = random.u64(0..600);
            (0..until).for_each(|_| sim.step(Fault::None));
        }
        // Between two questions there is nobody who looks: what is new is told by this answer first.
        sim.absent = true;
        (0..POLL.as_millis() / STEP.as_millis()).for_each(|_| sim.step(Fault::None));
        sim.absent = false;
        let mut document = truth(&sim);
        (0..random.u8(0..3)).for_each(|_| spoil(&mut document, &mut random));
        let mut bytes = document.to_string().into_bytes();
        if random.u8(0..8) == 0 {
            let at = random.usize(0..bytes.len());
            bytes[at] = random.u8(..);
            bytes.truncate(random.usize(at..=bytes.len()));
        }
        let parsed = serde_json::from_slice::<StatusReport>(&bytes).map_err(|error| error.to_string());
        let pod = sim.clients[0].uid.clone();
        let answer = parsed.and_then(|report| understand(report, &endpoint(&pod), sim.now));
        match &answer {
            Ok((report, _)) => {
                understood += 1;
                assert_writable(report, &document);
            }
            Err(why) => {
                refused += 1;
                assert!(!why.is_empty());
            }
        }
        sim.clients[0].said = Some(answer.map(|(report, _)| report));
        sim.look(Fault::None);
        sim.clients[0].said = None;
        assert_fits(sim.status(), format_args!("document {number}: {document}"));
        assert_small(sim.status(), &document);
        assert!(sim.wrong.is_empty(), "document {number}: {:?}: {document}", sim.wrong);
    }
    assert!(understood > DOCUMENTS / 5 && refused > DOCUMENTS / 5, "{understood} understood, {refused} refused");
}

#[test]
fn bytes_are_no_document() {
    let mut random = chance("bytes");
    for _ in 0..20_000 {
        let letters = b"{}[]\",:0123456789eE+-.truefalsn\\u \n\xff\xc3\x28abreakers";
        let bytes: Vec<u8> = (0..random.usize(0..200)).map(|_| letters[random.usize(0..letters.len())]).collect();
        assert!(serde_json::from_slice::<StatusReport>(&bytes).is_err());
    }
    let deep = "[".repeat(100_000);
    assert!(serde_json::from_str::<StatusReport>(&deep).is_err());
}
