//! The program itself: its log, its exit codes, its end on SIGTERM.

mod common;

use std::process::Command;

use common::{TestBackend, get, program::Program};
use serde_json::Value;

#[test]
fn its_log_tells_the_story_in_the_known_words() {
    let backend = TestBackend::start();
    let mut program = Program::start(&backend.url(), &[]);
    let start = program.until(r#"Success: {"message":"Backend Running"}"#);
    assert!(start.iter().any(|line| line.contains(r#""seq":1,"from":null,"to":"Closed""#)), "{start:#?}");

    backend.answer(500);
    let failures: Vec<_> = program
        .until("Circuit Breaker OPEN")
        .into_iter()
        .filter(|line| line.contains("Backend failed"))
        .map(|line| line.split_once("Backend failed").unwrap().1.to_owned())
        .collect();
    let expected: Vec<_> =
        (1..=3).map(|count| format!(r#" | Fail count = {count} breaker="backend" error=status 500"#)).collect();
    assert_eq!(failures, expected);
    program.until("Circuit open... skipping call");
    program.until("Retrying backend...");
    backend.answer(0);
    program.until("Success: ");
    assert_eq!(program.terminate(), Some(0));
}

#[tokio::test]
async fn as_json_every_line_is_an_object_and_transitions_have_their_key() {
    let backend = TestBackend::start();
    let mut program = Program::start(&backend.url(), &["--log-format", "json"]);
    let listening = program.until("listening");
    backend.answer(500);
    let lines: Vec<Value> = listening
        .into_iter()
        .chain(program.until(r#""to":"HalfOpen""#))
        .map(|line| serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let epoch = lines[0]["epoch"].as_str().unwrap();
    let transitions: Vec<_> = lines.iter().filter(|line| line["target"] == "transition").collect();
    let told: Vec<_> = transitions.iter().map(|line| (line["seq"].as_u64(), line["to"].as_str())).collect();
    assert_eq!(told, [(Some(1), Some("Closed")), (Some(2), Some("Open")), (Some(3), Some("HalfOpen"))]);
    assert!(transitions.iter().all(|line| line["epoch"] == epoch && line["breaker"] == "backend"));
    assert_eq!(transitions[1]["cause"]["kind"], "ConsecutiveFailures");

    // The epoch of the log is that of the status: the two can be matched.
    let address = lines[0]["address"].as_str().unwrap().parse().unwrap();
    let report: Value = get(address, "/status").await.json().await.unwrap();
    assert_eq!(report["instance"]["epoch"], epoch);
    assert_eq!(program.terminate(), Some(0));
}

#[test]
fn a_wrong_setting_is_refused_with_a_sentence() {
    for (args, said) in [
        (["--attempts", "3"], "one call alone must not open the breaker"),
        (["--interval", "3"], "write a duration with its unit"),
        (["--backend-url", "here"], "write it like http://backend:5000/data"),
    ] {
        // A program that takes the setting after all ends as well: that address is nobody's.
        let elsewhere = ["--listen", "192.0.2.1:1"];
        let output = Command::new(env!("CARGO_BIN_EXE_breakwater-client")).args(args).args(elsewhere).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_breakwater-client")).env("CLIENT_OPEN_FOR", "soon").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "the environment is checked like flags");
}

#[tokio::test]
async fn check_asks_each_url_and_says_which_one_failed() {
    let backend = TestBackend::start();
    let check = |urls: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_breakwater-client")).arg("check").args(urls).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let good = backend.url();
    assert_eq!(check(&[&good]), (Some(0), format!("{good}: ok\n"), String::new()));
    let (code, out, err) = check(&["http://127.0.0.1:1/", &good]);
    assert_eq!((code, out), (Some(1), format!("{good}: ok\n")), "one that failed does not hide the others");
    assert!(err.starts_with("http://127.0.0.1:1/: connect"), "{err}");
    backend.answer(500);
    let (code, _, err) = check(&[&good]);
    assert_eq!((code, err), (Some(1), format!("{good}: status 500\n")));
    assert_eq!(check(&[]).0, Some(2));
}
