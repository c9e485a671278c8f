use std::{io::Write, num::NonZeroU64, time::Duration};

use breakwater_breaker::{OpenTime, Percent, Policy, Rates, SlowCalls, Window};

use super::*;

fn read(args: &str) -> Result<Settings, clap::Error> {
    let words = std::iter::once("breakwater-client").chain(args.split_whitespace());
    match Task::read(words)? {
        Task::Serve(settings) => Ok(*settings),
        Task::Check { .. } => panic!("{args} serves"),
    }
}

/// Reads a file of settings with these further `args`.
fn read_file(text: &str, args: &str) -> Result<Settings, clap::Error> {
    let mut file = tempfile::Builder::new().prefix("client").suffix(".toml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    read(&format!("--config {} {args}", file.path().display()))
}

#[test]
fn the_readme_lists_every_flag_with_its_environment_and_default() {
    let readme = include_str!("../../README.md");
    let command = Words::command();
    for argument in command.get_arguments() {
        let Some(flag) = argument.get_long().filter(|flag| !matches!(*flag, "help" | "version")) else { continue };
        let environment = argument.get_env().unwrap().to_str().unwrap();
        let row = readme.lines().find(|line| line.starts_with(&format!("| `--{flag}` | `{environment}` |")));
        let row = row.unwrap_or_else(|| panic!("no row for --{flag}, {environment}"));
        for default in argument.get_default_values() {
            assert!(row.contains(&format!("| `{}` |", default.to_str().unwrap())), "{row}");
        }
    }
}

#[test]
fn the_readmes_file_of_settings_is_one() {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("```toml\n").unwrap();
    let settings = read_file(rest.split_once("```").unwrap().0, "").unwrap();
    let names: Vec<_> = settings.targets.iter().map(|target| target.name.as_str()).collect();
    assert_eq!(names, ["shop", "stock"]);
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let Settings { process, targets } = read("").unwrap();
    assert_eq!(process.listen.to_string(), "0.0.0.0:8080");
    let [Target { name, url, settings }] = &targets[..] else { panic!("{targets:?}") };
    let plan = settings.plan();
    assert_eq!((name.as_str(), url.as_str()), ("backend", "http://backend:5000/data"));
    assert_eq!((plan.interval.as_secs(), plan.deadline.as_secs(), plan.attempts), (3, 3, 2));
    assert_eq!(settings.attempt_timeout.as_secs(), 2);
    assert_eq!((plan.retry_base.as_millis(), plan.retry_cap.as_millis()), (100, 500));
    assert_eq!(settings.breaker.settings().policy, Policy::consecutive_failures(3));
    assert_eq!(settings.breaker.settings().open_time, OpenTime::fixed(Duration::from_secs(10)));
}

#[test]
fn what_contradicts_is_refused_with_what_to_write_instead() {
    for (args, said) in [
        ("--attempts 3", "fewer than --failure-threshold 3"),
        ("--failure-threshold 1 --attempts 1", "a threshold of 2 or more"),
        ("--interval 1s", "must not exceed the deadline"),
        ("--deadline 1s", "must not exceed the deadline"),
        ("--retry-base 1s", "must not exceed --retry-cap"),
        ("--interval 0s", "above zero"),
        ("--interval 3", "with its unit"),
        ("--open-for=-3s", "with its unit"),
        ("--attempts 0", "--attempts"),
        ("--retry-budget 2", "like 10% or 0.1"),
        ("--method get", "write GET, HEAD"),
        ("--fallback default", "write --fallback-answer ANSWER too"),
        ("--fallback-answer []", "write --fallback default or last-good too"),
        ("--failure-rate 50%", "--failure-rate is never looked at: write --policy rates too"),
        ("--window 30s", "write --policy rates too"),
        ("--policy rates --failure-rate 0%", "from 1% to 100%"),
        ("--policy rates --window 0s", "a time, like 30s"),
        ("--policy rates --window 0", "a number of attempts"),
        ("--policy rates --minimum-calls 2", "fewer than --minimum-calls and --window"),
        ("--policy rates --window 2", "fewer than --minimum-calls and --window"),
        ("--policy rates --slow-call-rate 50%", "write --slow-call TIME too"),
        ("--policy rates --slow-call 2s", "must be shorter than --attempt-timeout"),
        ("--policy rates --window 30s", "holds 22 attempts at most, up to 2 each --interval 3s"),
        ("--policy rates --window 30s --minimum-calls 12 --method POST", "write --minimum-calls 11 or fewer"),
        ("--half-open-wait 2s", "must be longer than --attempt-timeout 2s"),
        ("--backend-url http://user:secret@backend/", "would stand in logs"),
        ("--open-for-longest 5s", "must not be shorter than --open-for 10s"),
        ("--backend-url https://backend/", "https: is not spoken here"),
        ("--backend-url backend:5000/data", "write it like http://backend:5000/data"),
        ("--breaker-name a,b", "letters, digits"),
        ("--target http://backend/", "write NAME=URL"),
        ("--target a=http://a/ --target a=http://b/", "a is there twice"),
        ("--target a=http://a/ --backend-url http://b/", "--backend-url is for one target only"),
        ("--config /nowhere/client.toml", "/nowhere/client.toml"),
    ] {
        let error = read(args).expect_err(args);
        assert_eq!(error.exit_code(), 2, "{args}");
        assert!(error.to_string().contains(said), "{args}: {error}");
    }
    for args in [
        "--attempts 1 --failure-threshold 2",
        "--policy rates --attempts 3",
        "--policy rates --window 30s --minimum-calls 22",
        "--half-open-wait 2001ms",
        "--interval 2s",
        "--interval 1s --deadline 2s",
    ] {
        assert!(read(args).is_ok(), "{args}");
    }
}

#[test]
fn every_policy_of_the_breaker_can_be_set() {
    let breaker = |args: &str| read(args).unwrap().targets[0].settings.breaker.settings();
    let percent = |percent| Percent::new(percent).unwrap();
    assert_eq!(breaker("--policy rates").policy, Policy::Rates(Rates::default()));
    let rates =
        "--policy rates --window 30s --minimum-calls 20 --failure-rate 40% --slow-call 500ms --slow-call-rate 80%";
    let slow_calls = SlowCalls { longer_than: Duration::from_millis(500), rate: percent(80) };
    assert_eq!(
        breaker(rates).policy,
        Policy::Rates(Rates {
            window: Window::time(Duration::from_secs(30)),
            minimum_calls: NonZeroU64::new(20).unwrap(),
            failure_rate: percent(40),
            slow_calls: Some(slow_calls),
        })
    );
    let Policy::Rates(rates) = breaker("--policy rates --window 50").policy else { panic!("rates") };
    assert_eq!(rates.window, Window::calls(50));

    let [five, sixty] = [5, 60].map(Duration::from_secs);
    let open = breaker("--open-for 5s --open-for-longest 60s --open-for-jitter 20%").open_time;
    assert_eq!(open, OpenTime::growing(five, sixty).with_jitter(percent(20)));
    let half_open = breaker("--half-open-calls 3 --half-open-wait 5s").half_open;
    assert_eq!((half_open.calls.get(), half_open.wait), (3, Some(five)));
}

#[test]
fn a_call_that_is_not_idempotent_is_not_tried_again() {
    for (method, attempts) in [("GET", 2), ("HEAD", 2), ("PUT", 2), ("DELETE", 2), ("POST", 1), ("PATCH", 1)] {
        let settings = read(&format!("--method {method}")).unwrap();
        assert_eq!(settings.targets[0].settings.plan().attempts, attempts, "{method}");
    }
}

const TWO: &str = r#"
listen = "127.0.0.1:9000"
interval = "4s"
failure-threshold = 5

[target.stock]
url = "http://stock/data"
interval = "5s"
open-for = "7s"

[target.auth]
url = "http://auth/data"
retry-budget = 0.5
"#;

#[test]
fn the_nearest_source_has_the_greatest_weight() {
    let said = |settings: &Settings| {
        let of = |target: &Target| {
            let TargetSettings { interval, breaker: BreakerSettings { failure_threshold, open_for, .. }, .. } =
                &target.settings;
            let [interval, open_for] = [interval, open_for].map(|time| time.as_secs());
            format!("{} {} {interval} {failure_threshold} {open_for}", target.name, target.url)
        };
        settings.targets.iter().map(of).collect::<Vec<_>>()
    };
    // The target's table before the file's top, this before the default; targets in the order of the file.
    let settings = read_file(TWO, "").unwrap();
    assert_eq!(settings.process.listen.port(), 9000);
    assert_eq!(said(&settings), ["stock http://stock/data 5 5 7", "auth http://auth/data 4 5 10"]);
    assert_eq!(settings.targets[1].settings.retry_budget, 0.5);

    // The command line before the file, also its targets.
    let settings =
        read_file(TWO, "--interval 6s --listen 127.0.0.1:1 --target auth=http://b/ --target c=http://c/").unwrap();
    assert_eq!(settings.process.listen.port(), 1);
    assert_eq!(said(&settings), ["stock http://stock/data 6 5 7", "auth http://b/ 6 5 10", "c http://c/ 6 5 10"]);

    let settings = read("--target a=http://a/,b=http://b/ --open-for 1s").unwrap();
    assert_eq!(said(&settings), ["a http://a/ 3 3 1", "b http://b/ 3 3 1"]);
}

#[test]
fn the_line_that_is_wrong_is_said() {
    for (text, line, shown, said) in [
        ("interval = \"3\"", 1, "interval = \"3\"", "with its unit"),
        ("\n\ninterval = 3", 3, "interval = 3", "with its unit"),
        ("[target.a]\nurl = \"http://a/\"\nattempts = 0 # none", 3, "attempts = 0 # none", "zero"),
        ("log-format = \"xml\"", 1, "log-format", "text, json"),
        ("open_for = \"3s\"", 1, "open_for", "open_for is no setting here; write one of"),
        ("config = \"b.toml\"", 1, "config", "config is no setting here"),
        ("[target.a]\nlisten = \"0.0.0.0:1\"", 2, "listen", "listen is no setting here"),
        ("[target.a]\nopen-for = \"1s\"", 1, "[target.a]", "write its url too"),
        ("[target.a]\nurl = \"a\"", 2, "url", "write it like http://backend:5000/data"),
        ("[target.\"a b\"]\nurl = \"http://a/\"", 1, "a b", "letters, digits"),
        ("target = \"a=http://a/\"", 1, "target", "write [target.NAME]"),
        ("[[target]]\nname = \"a\"", 1, "[[target]]", "write [target.NAME]"),
        ("[target]\na = \"http://a/\"", 2, "a = ", "write [target.NAME]"),
        ("interval = [\"3s\"]", 1, "interval", "write one value"),
        ("interval = \"3s\"\ninterval = \"4s\"", 2, "interval = \"4s\"", "duplicate key"),
        ("interval = \"3s\"\nattempts = ", 2, "attempts =", ""),
        ("[target.a]\nurl = \"http://a/\"\nattempts = 3", 3, "attempts = 3", "fewer than --failure-threshold 3: one"),
        ("interval = \"1s\"\n[target.a]\nurl = \"http://a/\"", 1, "interval", "(target a)"),
        ("backend-url = \"http://b/\"\n[target.a]\nurl = \"http://a/\"", 1, "backend-url", "one target only"),
    ] {
        let error = read_file(text, "").expect_err(text);
        assert_eq!(error.exit_code(), 2, "{text}");
        let error = error.to_string();
        let mut lines = error.lines();
        let (first, second) = (lines.next().unwrap(), lines.next().unwrap());
        assert!(first.starts_with("error: ") && first.contains(&format!(".toml, line {line}: ")), "{text}: {error}");
        assert!(first.contains(said), "{text}: {error}");
        assert!(second.trim_start().starts_with(shown) || second.contains(shown), "{text}: {error}");
    }
    // A line that the command line overrules is not in the way.
    assert!(read_file("attempts = 3", "--attempts 2").is_ok());
    let error = read_file("interval = \"4s\"", "--attempts 3").unwrap_err().to_string();
    assert!(!error.contains("line") && error.contains("--attempts 3 must be fewer"), "{error}");
}
