//! The wire types against the documented JSON, and against what newer clients may send.

use breakwater_breaker::wire::{BreakerReport, Cause, Cursor, Gap, State, StatusReport, Transition, Unit};
use serde_json::{Value, json};

const EPOCH: &str = "6f0f3bd8-2f0c-4d5e-9a51-0e6d1a8c9b11";

fn documented() -> Value {
    json!({
        "schema": "v1",
        "instance": {"epoch": EPOCH, "podUid": "pod-1", "startedAt": "2026-12-01T09:00:00Z"},
        "now": {"wall": "2026-12-01T09:00:15.123456789Z", "monoNanos": 123},
        "breakers": [{
            "name": "backend", "state": "Open", "consecutiveFailures": 3,
            "halfOpenAt": "2026-12-01T09:00:20Z",
            "firstFailureAt": "2026-12-01T09:00:04Z", "firstFailureMonoNanos": 40,
            "calls": {"permitted": 9, "notPermitted": 1, "success": 5, "failure": 3, "ignored": 1, "slow": 0},
            "window": {"calls": 10, "failures": 3, "slow": 0},
            "transitions": {
                "firstSeq": 1, "lastSeq": 42, "capacity": 1024, "dropped": 0, "gap": null, "epochChanged": false,
                "next": format!("{EPOCH}:42"),
                "items": [{
                    "seq": 42, "from": "Closed", "to": "Open", "at": "2026-12-01T09:00:10Z", "monoNanos": 99,
                    "cause": {"kind": "ConsecutiveFailures", "count": 3, "unit": "attempt", "lastError": "timeout"},
                }],
            },
        }],
    })
}

#[test]
fn a_report_reads_and_writes_as_documented() {
    let report: StatusReport = serde_json::from_value(documented()).unwrap();
    let breaker = report.breaker("backend").unwrap();
    assert_eq!(breaker.state, State::Open);
    assert_eq!(
        breaker.transitions.items[0].cause,
        Cause::ConsecutiveFailures { count: 3, unit: Unit::Attempt, last_error: "timeout".into() }
    );
    assert_eq!(serde_json::to_value(&report).unwrap(), documented());
}

#[test]
fn every_cause_reads_back_as_itself() {
    for (cause, json) in [
        (Cause::Started, json!({"kind": "Started"})),
        (Cause::OpenTimeElapsed, json!({"kind": "OpenTimeElapsed"})),
        (Cause::TrialSucceeded, json!({"kind": "TrialSucceeded"})),
        (Cause::TrialFailed { last_error: "reset".into() }, json!({"kind": "TrialFailed", "lastError": "reset"})),
        (Cause::TrialSlow, json!({"kind": "TrialSlow"})),
        (Cause::TrialOverdue, json!({"kind": "TrialOverdue"})),
        (
            Cause::FailureRate { calls: 10, failures: 6, unit: Unit::Call, last_error: Some("reset".into()) },
            json!({"kind": "FailureRate", "calls": 10, "failures": 6, "unit": "call", "lastError": "reset"}),
        ),
        (
            Cause::SlowCallRate { calls: 10, slow: 9, unit: Unit::Attempt },
            json!({"kind": "SlowCallRate", "calls": 10, "slow": 9, "unit": "attempt"}),
        ),
        (Cause::Forced { reason: "maintenance".into() }, json!({"kind": "Forced", "reason": "maintenance"})),
        (Cause::Other { kind: "Whim".into() }, json!({"kind": "Whim"})),
    ] {
        assert_eq!(serde_json::to_value(&cause).unwrap(), json);
        assert_eq!(cause.kind(), json["kind"]);
        assert_eq!(serde_json::from_value::<Cause>(json).unwrap(), cause);
    }
}

#[test]
fn what_a_newer_client_adds_does_not_blind_an_older_reader() {
    let mut newer = documented();
    newer["breakers"][0]["load"] = json!(0.5);
    newer["breakers"][0]["calls"]["queued"] = json!(7);
    newer["breakers"][0]["transitions"]["items"][0]["cause"] = json!({"kind": "Overload", "percent": 60});
    let report: StatusReport = serde_json::from_value(newer).unwrap();
    assert_eq!(report.breakers[0].transitions.items[0].cause, Cause::Other { kind: "Overload".into() });
}

#[test]
fn what_may_be_absent_may_be_absent() {
    let mut sparse = documented();
    let breaker = sparse["breakers"][0].as_object_mut().unwrap();
    for field in ["halfOpenAt", "firstFailureAt", "firstFailureMonoNanos", "window"] {
        breaker.remove(field);
    }
    breaker["calls"] = json!({});
    for field in ["gap", "epochChanged"] {
        breaker["transitions"].as_object_mut().unwrap().remove(field);
    }
    let breaker: BreakerReport = serde_json::from_value(sparse["breakers"][0].take()).unwrap();
    assert_eq!(breaker.half_open_at, None);
    assert_eq!(breaker.transitions.gap, None);

    let start = json!({"seq": 1, "from": null, "to": "Closed", "at": "2026-12-01T09:00:00Z", "monoNanos": 0,
        "cause": {"kind": "Started"}});
    assert_eq!(serde_json::from_value::<Transition>(start).unwrap().from, None);
}

#[test]
fn cursors_say_what_is_wrong_with_them() {
    let cursor: Cursor = format!("{EPOCH}:7").parse().unwrap();
    assert_eq!((cursor.seq, cursor.to_string()), (7, format!("{EPOCH}:7")));
    for bad in ["", "7", ":7", "not-a-uuid:7", EPOCH, &format!("{EPOCH}:-1"), &format!("{EPOCH}:x")] {
        let said = bad.parse::<Cursor>().unwrap_err().to_string();
        assert!(said.contains("write EPOCH:SEQ"), "{said}");
    }
}

#[test]
fn a_gap_counts_both_ends() {
    assert_eq!(Gap { from: 3, to: 3 }.missing(), 1);
    assert_eq!(Gap { from: 1, to: 10 }.missing(), 10);
}

/// Kubernetes' structural schemas take a plain string enum, and no `oneOf` with constants.
#[cfg(feature = "schemars")]
#[test]
fn the_schema_of_state_is_a_plain_string_enum() {
    let schema = serde_json::to_value(schemars::schema_for!(State)).unwrap();
    assert_eq!(schema["type"], "string");
    assert_eq!(schema["enum"], json!(["Closed", "Open", "HalfOpen", "ForcedOpen", "Disabled"]));
    assert!(schema["description"].as_str().unwrap().ends_with('.'));
    assert!(schema.get("oneOf").is_none() && schema.get("anyOf").is_none(), "{schema}");
}
