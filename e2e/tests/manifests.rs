//! Bad manifests by the thousand: what the real API server says to them, and whether what we know without a server agrees. By itself, as
//! so many requests would hold up the tests that are about time.
//!
//! `BREAKWATER_SEED=7` makes other ones; `BREAKWATER_EVERY=10` tries one of ten; `BREAKWATER_SHOW=100` prints so many refusals, to be read by a person.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use breakwater_crds::ChaosExperiment;
use breakwater_e2e::bare;
use breakwater_fake_apiserver::http::Request;
use breakwater_manifests::{Checker, Mutant, examples, mutants, seed};
use futures::{StreamExt, stream};
use kube::{Client, client::Body};
use serde_json::Value;

/// Manifests that are tried.
const COUNT: usize = 10_000;
/// Requests under way at a time.
const AT_ONCE: usize = 8;

/// What the API server makes of a manifest: what it would store, or what it says.
type Answer = Result<Value, String>;

/// What kube's client-side rules cannot say, and how it is known by what is said. Each is still met: the test says so.
const LIMITS: [(&str, &str); 3] = [
    ("kube knows no time zones, and takes any", "unknown time zone"),
    (
        "kube counts the bytes of a text, and the API server its letters",
        "the name of a container port, which has at most 15",
    ),
    ("kube's rules take 2.0 for a whole number, and the API server's do not", "expected int, got float64"),
];

async fn ask(client: &Client, namespace: &str, manifest: &Value) -> Result<Answer> {
    let uri = format!(
        "/apis/chaos.breakwater.dev/v1alpha1/namespaces/{namespace}/chaosexperiments?dryRun=All&fieldValidation=Strict"
    );
    let request = Request::post(uri).header("content-type", "application/json").header("accept", "application/json");
    let response = client.send(request.body(Body::from(manifest.to_string().into_bytes()))?).await?;
    let code = response.status().as_u16();
    let body: Value = serde_json::from_slice(&response.into_body().collect_bytes().await?)?;
    let said = || body["message"].as_str().unwrap_or_default().to_string();
    match code {
        201 => Ok(Ok(body)),
        400 | 413 | 422 => Ok(Err(said())),
        _ => anyhow::bail!("the API server answers {code}: {}", said()),
    }
}

/// A name of so many letters may stand in a sentence that is not about it: `at`, `to`, `all`, `one`, `name`.
const SHORT: usize = 4;

/// A refusal has a changed field's path; or its name, which a short one shares with other words, so that it is to stand behind its
/// parent's or as a key; or, where a rule is about what it is in, the path of that.
fn names_a_field(said: &str, fields: &[String]) -> bool {
    fields.iter().any(|path| {
        let plain = path.replace("[0]", "");
        let parts: Vec<_> = plain.split('.').filter(|part| !part.is_empty()).collect();
        let Some((name, way)) = parts.split_last() else { return false };
        let parent = way.last().map_or(String::new(), |parent| format!("{parent}.{name}"));
        let by_name = name.chars().count() > SHORT && has_word(said, name) || has_word(said, &format!("{name}:"));
        // The whole spec is what everything is in.
        let inside = (2..=way.len()).any(|depth| has_path(&said.replace("[0]", ""), &way[..depth].join(".")));
        by_name || has_word(said, path) || has_word(said, &plain) || has_word(said, &parent) || inside
    })
}

/// Whether no word goes on there.
fn apart(letter: Option<char>) -> bool {
    letter.is_none_or(|letter| !letter.is_alphanumeric())
}

/// Whether the text has this path itself, rather than that of a field or an item in it; a full stop may end the sentence.
fn has_path(text: &str, path: &str) -> bool {
    let goes_on = |rest: &str| match rest.strip_prefix('.') {
        Some(rest) => rest.chars().next().is_some_and(|letter| !letter.is_whitespace()),
        None => rest.starts_with('[') || !apart(rest.chars().next()),
    };
    let mut found = text.match_indices(path).map(|(at, _)| (text[..at].chars().next_back(), &text[at + path.len()..]));
    found.any(|(before, rest)| apart(before) && !goes_on(rest))
}

/// Whether the text has this with no letter or digit right before or behind it.
fn has_word(text: &str, word: &str) -> bool {
    let ends = |at: usize| (text[..at].chars().next_back(), text[at + word.len()..].chars().next());
    let mut found = text.match_indices(word).map(|(at, _)| ends(at));
    !word.is_empty() && found.any(|(before, behind)| apart(before) && (word.ends_with(':') || apart(behind)))
}

#[test]
fn a_short_name_is_no_name_in_another_word_or_sentence() {
    for (said, path, named) in [
        ("spec.timeout: must be at most 1h", "spec.schedule.at", false),
        ("spec.schedule.at: must be a moment", "spec.schedule.at", true),
        ("say schedule.cron or schedule.at, not both", "spec.schedule.at", true),
        ("spec.target.pods: say exactly one of all: {}, one: {}", "spec.target.pods.one", true),
        ("each client needs a name of its own", "spec.observe.clients[0].name", false),
        ("spec.observe.clients: each needs a name of its own", "spec.observe.clients[0].name", true),
        ("must be longer than timeouts", "spec.timeout", false),
        ("timeout must be longer", "spec.timeout", true),
        ("ChaosExperiment is invalid: spec: one of all", "spec.target.pods.all", false),
        ("unknown field \"spec.target.pods.some\"", "spec.target.pods.some", true),
    ] {
        assert_eq!(names_a_field(said, &[path.into()]), named, "{path} in {said}");
    }
}

/// What a rule says of a field is said of what is in it, but what is said of one field is not said of the one beside it.
#[test]
fn a_field_is_named_by_what_it_is_in_but_not_by_the_one_beside_it() {
    for (said, path, named) in [
        ("spec.kill.gracePeriodSeconds: must be at most 3600", "spec.kill.holdFor", false),
        ("spec.kill: Invalid value: \"object\": with RolloutRestart leave it out", "spec.kill.holdFor", true),
        ("spec.kill in body must be of type object", "spec.kill.holdFor", true),
        ("there is something wrong with spec.kill.", "spec.kill.holdFor", true),
        ("something is wrong with spec.kill. Leave it out", "spec.kill.holdFor", true),
        ("spec.killer: no such thing", "spec.kill.holdFor", false),
        ("unknown field \"spec.kill.some\"", "spec.kill.holdFor", false),
        ("spec.kill.: Invalid value", "spec.kill.holdFor", false),
        ("spec.expect.sequence[3]: Unsupported value", "spec.expect.sequence[0].x", false),
        ("spec.observe.clients[0].port: Required value", "spec.observe.clients[0].name", false),
        ("spec.observe.clients[0]: Invalid value: \"null\"", "spec.observe.clients[0].name", true),
        ("spec.observe.clients[1].port: Required value", "spec.observe.clients[0].name", false),
        ("spec.target.pods: say exactly one", "spec.target.pods.one", true),
        ("spec.target.selector: must name at least one label", "spec.target.selector.matchLabels.app", true),
        ("spec.target.selector.matchExpressions: Too many", "spec.target.selector.matchLabels.app", false),
        ("spec: timeout must be longer", "spec.kill.holdFor", false),
    ] {
        assert_eq!(names_a_field(said, &[path.into()]), named, "{path} in {said}");
    }
}

/// What is said to a manifest that is refused without the name of a field that was changed, if it is.
fn unnamed(mutant: &Mutant, answer: &Answer) -> Option<String> {
    let said = answer.as_ref().err().filter(|said| !names_a_field(said, &mutant.fields))?;
    Some(format!("{}\n    changed: {}\n    said: {said:.600}", mutant.what, mutant.fields.join(", ")))
}

/// What else is wrong with an answer, if anything is.
fn judge(mutant: &Mutant, answer: &Answer, checker: &Checker, limits: &mut BTreeSet<&'static str>) -> Option<String> {
    if let Ok(stored) = answer
        && let Err(error) = serde_json::from_value::<ChaosExperiment>(stored.clone())
    {
        return Some(format!("is taken, and cannot be read back: {error}"));
    }
    let ours = checker.check(&mutant.manifest).map(drop);
    if answer.is_ok() == ours.is_ok() {
        return None;
    }
    let only = match (answer, &ours) {
        (Err(said), _) => said.clone(),
        (_, ours) => ours.as_ref().err().map(ToString::to_string).unwrap_or_default(),
    };
    if let Some((why, _)) = LIMITS.iter().find(|(_, words)| only.contains(words)) {
        limits.insert(why);
        return None;
    }
    let who = if answer.is_err() { "the API server" } else { "us" };
    Some(format!("is refused by {who} alone: {only}"))
}

#[tokio::test]
async fn bad_manifests_are_refused_by_name_and_as_we_would() {
    bare("manifests", async |client, namespace| -> Result<()> {
        let asked = |name: &str| std::env::var(name).ok().and_then(|number| number.parse::<usize>().ok());
        let (every, show) = (asked("BREAKWATER_EVERY").unwrap_or(1), asked("BREAKWATER_SHOW").unwrap_or(0));
        let checker = Checker::new();
        for (name, manifest) in examples() {
            let taken = ask(&client, namespace, &manifest).await?;
            ensure!(taken.is_ok() && checker.check(&manifest).is_ok(), "the example {name} is refused: {taken:?}");
        }
        let made: Vec<_> = mutants(seed(), COUNT).into_iter().step_by(every).collect();
        let count = made.len();
        let answers = stream::iter(&made).map(|mutant| async {
            ask(&client, namespace, &mutant.manifest).await.with_context(|| mutant.what.clone())
        });
        let answers: Vec<_> = answers.buffered(AT_ONCE).collect().await;
        let (mut nameless, mut wrong, mut limits, mut taken) = (vec![], vec![], BTreeSet::new(), 0);
        for (number, (mutant, answer)) in made.iter().zip(answers).enumerate() {
            let answer = answer?;
            taken += usize::from(answer.is_ok());
            if let Err(said) = &answer
                && show > 0
                && number % (count / show).max(1) == 0
            {
                println!("{}\n    {said:.600}", mutant.what);
            }
            nameless.extend(unnamed(mutant, &answer));
            wrong.extend(
                judge(mutant, &answer, &checker, &mut limits).map(|what| format!("{} {what:.600}", mutant.what)),
            );
        }
        println!("{count} manifests: {taken} taken, {} refused", count - taken);
        let first = |all: &[String]| all.iter().take(show.max(20)).cloned().collect::<Vec<_>>().join("\n");
        for (what, all) in [("are refused without a changed field's name", &nameless), ("are judged wrong", &wrong)] {
            println!("{} of {count} {what}\n{}", all.len(), first(all));
        }
        ensure!(nameless.is_empty(), "{} are refused without a changed field's name", nameless.len());
        ensure!(wrong.is_empty(), "{} are judged wrong", wrong.len());
        for (why, _) in LIMITS {
            ensure!(
                every > 1 || limits.contains(why),
                "this limit of the client-side rules is not met any more: {why}"
            );
        }
        ensure!(taken > count / 10, "only {taken} manifests are taken: too few to learn from");
        Ok(())
    })
    .await;
}
