//! Restarts of a Deployment as the operator asks for them: a merge patch that names the uid and the version that were looked at.
//! Its controller writes to it as well, so that each step waits until it has, which random sequences do not.

use anyhow::{Result, ensure};
use breakwater_e2e::{SOON, bare, wait::until};
use serde_json::{Value, json};

use super::{
    DEPLOYMENTS,
    objects::{object, restart},
    side::Side,
    sides,
};

const JSON: &str = "application/json";

/// As what the Deployment is asked for.
#[derive(Clone, Copy, Debug)]
enum As {
    /// As it is.
    Now,
    /// With the uid and the version that it was first seen with.
    First,
    /// With its version, and without a uid.
    Version,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Create,
    Delete,
    /// Whose code is this.
    Restart(As, &'static str, u16),
}

const STEPS: [Step; 11] = [
    Step::Restart(As::First, "0", 404),
    Step::Create,
    Step::Restart(As::Now, "1", 200),
    // The write before has made another version.
    Step::Restart(As::First, "2", 409),
    // It changes nothing, and so makes no version.
    Step::Restart(As::Now, "1", 200),
    Step::Restart(As::Version, "2", 200),
    Step::Delete,
    Step::Restart(As::First, "3", 404),
    Step::Create,
    // Another one has its name.
    Step::Restart(As::First, "3", 409),
    Step::Restart(As::Now, "3", 200),
];

fn path(side: &Side) -> String {
    side.path(DEPLOYMENTS, &format!("/{}", side.name(0)))
}

/// The Deployment once its controller has nothing more to write, if it is there; the server in process has no controllers.
async fn settled(side: &Side, controlled: bool) -> Result<Value> {
    until("the controller has seen the Deployment", SOON, async || {
        let (_, found) = side.send("GET", &path(side), JSON, &Value::Null).await?;
        let seen = found["status"]["observedGeneration"] == found["metadata"]["generation"];
        Ok((!controlled || found["kind"] == "Status" || seen).then_some(found))
    })
    .await
}

/// Takes a step; gives what both servers should say alike.
async fn take(side: &Side, step: Step, first: &mut Value, controlled: bool) -> Result<Value> {
    let (code, answer) = match step {
        Step::Create => {
            let made =
                side.send("POST", &side.path(DEPLOYMENTS, ""), JSON, &object(DEPLOYMENTS, &side.name(0), 0)).await?;
            if first.is_null() {
                *first = made.1["metadata"].clone();
            }
            made
        }
        Step::Delete => side.send("DELETE", &path(side), JSON, &json!({})).await?,
        Step::Restart(by, at, _) => {
            let before = settled(side, controlled).await?["metadata"].clone();
            let mut patch = restart(at);
            let seen = if matches!(by, As::First) { &*first } else { &before };
            if !matches!(by, As::Version) {
                patch["metadata"]["uid"] = seen["uid"].clone();
            }
            patch["metadata"]["resourceVersion"] = seen["resourceVersion"].clone();
            let (code, answer) = side.send("PATCH", &path(side), "application/merge-patch+json", &patch).await?;
            let template = &answer["spec"]["template"]["metadata"];
            let moved = code == 200 && answer["metadata"]["resourceVersion"] != before["resourceVersion"];
            let told = json!({"code": code, "reason": answer["reason"], "moved": moved,
                "generation": answer["metadata"]["generation"], "labels": [answer["metadata"]["labels"], template["labels"]],
                "annotations": template["annotations"], "replicas": answer["spec"]["replicas"]});
            return Ok(told);
        }
    };
    Ok(json!({"code": code, "reason": answer["reason"]}))
}

#[tokio::test]
async fn both_servers_restart_the_same() {
    bare("restarted", async |client, namespace| -> Result<()> {
        let (_, real, fake) = sides(0, &client, namespace).await?;
        let (mut first_real, mut first_fake) = (Value::Null, Value::Null);
        for (number, step) in STEPS.into_iter().enumerate() {
            let wanted = take(&real, step, &mut first_real, true).await?;
            let got = take(&fake, step, &mut first_fake, false).await?;
            ensure!(wanted == got, "step {number} {step:?}\n  real: {wanted}\n  fake: {got}");
            if let Step::Restart(_, _, code) = step {
                ensure!(wanted["code"] == code, "step {number} {step:?} is to prove another thing: {wanted}");
            }
        }
        Ok(())
    })
    .await;
}
