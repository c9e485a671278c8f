//! Rights that are taken away while an experiment runs.

use anyhow::{Result, ensure};
use breakwater_crds::Outcome;
use breakwater_e2e::{LONG, RUN, SOON, lab, run_of, wait::until};

use crate::users::{as_user, author, grant};

#[tokio::test]
async fn an_experiment_stops_killing_when_its_author_may_not_any_more() {
    lab("withdrawn", &[], async |lab| -> Result<()> {
        let namespace = lab.namespace.as_str();
        author(namespace, "bob").await?;
        grant(namespace, "bob", "bob-deletes", "delete", "pods").await?;
        until("bob may write it, and is written down", SOON, async || {
            as_user("bob", namespace, &["replace", "--force", "-f", "-"], LONG).await?.text()?;
            let there = lab.kubectl(&["get", "chaosexp", "long", "-o", "yaml"], "").await?.text()?;
            Ok(there.contains("requested-by: bob").then_some(()))
        })
        .await?;
        lab.status("long", RUN, |status| status.run.as_ref().is_some_and(|run| run.killed >= 3)).await?;
        lab.kubectl(&["delete", "rolebinding", "bob-deletes"], "").await?.text()?;
        let words = "bob, who asked for the experiment, may not delete pods";
        let refused = |kill: &breakwater_crds::KillRecord| {
            kill.outcome == Outcome::Failed && kill.message.as_deref().is_some_and(|message| message.contains(words))
        };
        let status = lab
            .status("long", SOON, |status| status.run.as_ref().is_some_and(|run| run.kills.iter().any(refused)))
            .await?;
        let killed = run_of(&status)?.killed;
        // Two more are refused, and none is killed.
        let again = |status: &breakwater_crds::ChaosExperimentStatus| {
            status.run.as_ref().is_some_and(|run| run.kills.iter().filter(|kill| refused(kill)).count() >= 3)
        };
        let status = lab.status("long", SOON, again).await?;
        ensure!(run_of(&status)?.killed == killed, "{killed} killed, then {}", run_of(&status)?.killed);
        Ok(())
    })
    .await;
}
