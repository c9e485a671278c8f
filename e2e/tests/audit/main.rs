//! The operator's rights against what it used of them in a whole run of the end-to-end tests, by the API server's audit log.
//!
//! `cargo e2e` and `cargo check-all` run this last, on the local cluster, which keeps such a log: by itself it has nothing to read.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Seek, SeekFrom},
};

use anyhow::{Context, Result, ensure};
use breakwater_e2e::tools::{helm, root};
use serde_json::{Value, json};

/// Labs in which a namespace that the operator serves is deleted: its role there may go first.
const DELETED_UNDER_WAY: &[&str] = &["e2e-ends-"];
/// Labs in which a namespace opts out, or goes, while its operator kills in it: a kill that is on its way then is refused.
const OPTED_OUT_UNDER_WAY: &[&str] = &["e2e-optin-", "e2e-goes-on-"];

/// A verb on a resource of a group: `delete /pods`, `create events.k8s.io/events`.
type Right = String;

fn right(verb: &str, group: &str, resource: &str) -> Right {
    format!("{verb} {group}/{resource}")
}

/// What operators asked of the API server, one event a request. Tests that try what an operator may not do act in its name: such an
/// event's user is who impersonates, an administrator, of whom the log says nothing.
fn requests() -> Result<Vec<Value>> {
    let path = std::env::var("BREAKWATER_AUDIT_LOG").context("cargo e2e says where the audit log is")?;
    let mut file = std::fs::File::open(&path).context(path)?;
    let from = std::env::var("BREAKWATER_AUDIT_FROM").ok().and_then(|from| from.parse().ok()).unwrap_or(0);
    file.seek(SeekFrom::Start(from))?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let events = text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    let by_operator =
        |event: &Value| event["user"]["username"].as_str().is_some_and(|name| name.ends_with("-operator"));
    Ok(events.into_iter().filter(by_operator).collect())
}

fn used(event: &Value) -> Right {
    let object = &event["objectRef"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let resource = match object["subresource"].as_str() {
        Some(part) => format!("{}/{part}", text(&object["resource"])),
        None => text(&object["resource"]),
    };
    right(&text(&event["verb"]), &text(&object["apiGroup"]), &resource)
}

/// Whether the authorizer allowed it: the admission policies come after it, and their refusals have this decision too.
fn is_authorized(event: &Value) -> bool {
    event["annotations"]["authorization.k8s.io/decision"] == "allow"
}

fn is_denied(event: &Value) -> bool {
    !is_authorized(event) || event["responseStatus"]["code"] == 403
}

/// Whether a test has seen to it that this would be denied.
fn is_provoked(event: &Value) -> bool {
    let namespace = event["user"]["username"].as_str().and_then(|name| name.split(':').nth(2)).unwrap_or_default();
    let is_of = |labs: &[&str]| labs.iter().any(|lab| namespace.starts_with(lab));
    let message = event["responseStatus"]["message"].as_str().unwrap_or_default();
    // Nothing is created in a namespace that is going, as the tests' own do in the end: not even an Event.
    let by_policy = message.contains("is being terminated")
        || is_of(OPTED_OUT_UNDER_WAY)
            && (message.contains("takes no part in experiments") || message.contains("not found"));
    is_of(DELETED_UNDER_WAY) || is_authorized(event) && by_policy
}

#[test]
fn a_request_is_denied_by_the_authorizer_or_by_a_policy() {
    let event = |lab: &str, decision: &str, code: u16, message: &str| {
        json!({"user": {"username": format!("system:serviceaccount:{lab}:breakwater-operator")},
            "annotations": {"authorization.k8s.io/decision": decision},
            "responseStatus": {"code": code, "message": message}})
    };
    let (ending, closed) = ("because it is being terminated", "the namespace takes no part in experiments");
    for (event, denied, provoked) in [
        (event("e2e-kills-a", "allow", 200, ""), false, false),
        (event("e2e-kills-a", "allow", 409, "the object has been modified"), false, false),
        (event("e2e-kills-a", "forbid", 403, "cannot delete resource"), true, false),
        (event("e2e-kills-a", "allow", 403, "a pod is killed only by its uid"), true, false),
        (event("e2e-kills-a", "allow", 403, closed), true, false),
        (event("e2e-kills-a", "allow", 403, ending), true, true),
        (event("e2e-kills-a", "forbid", 403, ending), true, false),
        (event("e2e-optin-a", "allow", 403, closed), true, true),
        (event("e2e-optin-a", "allow", 403, "a pod is killed only by its uid"), true, false),
        (event("e2e-optin-a", "forbid", 403, closed), true, false),
        (event("e2e-ends-a", "forbid", 403, "cannot delete resource"), true, true),
    ] {
        assert_eq!((is_denied(&event), is_provoked(&event)), (denied, provoked), "{event}");
    }
}

/// What the chart's roles allow, with all that is optional.
async fn granted() -> Result<BTreeSet<Right>> {
    let chart = root().join("charts/breakwater");
    let chart = chart.to_str().context("the path of the checkout is text")?;
    let args = ["template", "breakwater", chart, "--kube-version", "1.37.0", "--set", "rbac.rolloutRestart=true"];
    let objects: Vec<Value> = serde_saphyr::from_multiple(&helm(&args).await?.text()?)?;
    let mut rights = BTreeSet::new();
    for rule in objects.iter().filter_map(|object| object["rules"].as_array()).flatten() {
        let list = |field: &str| rule[field].as_array().cloned().unwrap_or_default();
        for (group, resource, verb) in list("apiGroups").iter().flat_map(|group| {
            list("resources").into_iter().flat_map({
                let verbs = list("verbs");
                move |resource| verbs.clone().into_iter().map(move |verb| (group.clone(), resource.clone(), verb))
            })
        }) {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            // One code restarts all three kinds; the tests restart a Deployment.
            if ["statefulsets", "daemonsets"].contains(&text(&resource).as_str()) {
                continue;
            }
            rights.insert(right(&text(&verb), &text(&group), &text(&resource)));
        }
    }
    Ok(rights)
}

#[tokio::test]
#[ignore = "needs the audit log of a whole run: cargo e2e runs it last"]
async fn the_operator_uses_every_right_that_it_has_and_asks_for_no_other() -> Result<()> {
    let requests = requests()?;
    let mut times: BTreeMap<Right, u64> = BTreeMap::new();
    let (mut denied, mut provoked) = (BTreeMap::new(), 0);
    for event in &requests {
        *times.entry(used(event)).or_default() += 1;
        if !is_denied(event) {
            continue;
        }
        if is_provoked(event) {
            provoked += 1;
            continue;
        }
        let message = &event["responseStatus"]["message"];
        *denied.entry(format!("{} in {}: {message}", used(event), event["requestURI"])).or_insert(0) += 1;
    }
    println!("{} requests by operators, {provoked} denied as the tests wanted: {times:#?}", requests.len());
    let deletes = requests.iter().filter(|event| used(event) == "delete /pods");
    let conflicts = deletes.clone().filter(|event| event["responseStatus"]["code"] == 409).count();
    println!("{conflicts} of {} deletes of pods met a conflict (409)", deletes.count());

    let (used, granted) = (times.into_keys().collect::<BTreeSet<_>>(), granted().await?);
    ensure!(denied.is_empty(), "denied: {denied:#?}");
    let (missing, unneeded) = (used.difference(&granted), granted.difference(&used));
    let (missing, unneeded): (Vec<_>, Vec<_>) = (missing.collect(), unneeded.collect());
    ensure!(missing.is_empty(), "used, but in no role of the chart: {missing:?}");
    ensure!(unneeded.is_empty(), "in a role of the chart, but never used: {unneeded:?}");
    Ok(())
}
