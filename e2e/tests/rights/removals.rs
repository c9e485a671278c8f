//! What the operator may delete of experiments with its own account, whoever holds its token.

use anyhow::{Result, ensure};
use breakwater_crds::ChaosExperiment;
use breakwater_e2e::{SOON, bare, open_lab, tools::kubectl, wait::until};
use kube::{Api, ResourceExt, api::DeleteParams};

use crate::{
    kills::{account, as_operator, by_uid, refused},
    label::label,
    reach::WATCH,
    requests::HELD,
};

/// What its author wants to go when it has ended, but not before the test has.
fn brief(manifest: &str) -> String {
    manifest.replace("\nspec:\n", "\nspec:\n  ttlAfterFinished: 1h\n")
}

#[tokio::test]
async fn the_operator_deletes_experiments_by_uid_only_and_only_those_that_have_had_their_time() {
    open_lab("removes", &[], async |lab| {
        bare("closed", async |admin, namespace| -> Result<()> {
            // Of a target in common they would wait for each other.
            let kept = WATCH.replace("name: watch", "name: kept").replace("app: backend", "app: another");
            for manifest in [&brief(HELD), &brief(WATCH), &kept] {
                kubectl(&["-n", namespace, "create", "-f", "-"], manifest).await?.text()?;
            }
            let experiments: Api<ChaosExperiment> = Api::namespaced(admin, namespace);
            let operator: Api<ChaosExperiment> = Api::namespaced(as_operator(&account(lab)).await?, namespace);
            let uid = async |name: &str| -> Result<Option<String>> { Ok(experiments.get(name).await?.uid()) };
            refused(&operator, "watch", &by_uid(uid("watch").await?), "takes no part in experiments").await?;
            label(namespace, "allowed").await?;
            for name in ["watch", "kept"] {
                until(&format!("{name} has ended"), SOON, async || {
                    let experiment = experiments.get(name).await?;
                    Ok(experiment.run().and_then(|run| run.completed_at))
                })
                .await?;
            }

            refused(&operator, "watch", &DeleteParams::default(), "only by its uid").await?;
            let words = "only experiments that have ended, and whose spec.ttlAfterFinished says so";
            for name in ["held", "kept"] {
                refused(&operator, name, &by_uid(uid(name).await?), words).await?;
            }
            let everything = operator.delete_collection(&DeleteParams::default(), &Default::default()).await;
            ensure!(everything.is_err_and(|error| error.to_string().contains("cannot deletecollection")));
            operator.delete("watch", &by_uid(uid("watch").await?)).await?;
            ensure!(experiments.get_opt("watch").await?.is_none(), "it is gone");
            ensure!(experiments.list(&Default::default()).await?.items.len() == 2, "the others are there");
            Ok(())
        })
        .await;
        Ok(())
    })
    .await;
}
