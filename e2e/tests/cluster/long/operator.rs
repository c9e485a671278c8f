//! The operator is killed at chance moments, again and again.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use breakwater_crds::{Phase, Verdict};
use breakwater_e2e::{Lab, RUN, lab};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    api::{DeleteParams, Preconditions},
};

use super::{OUTAGE, ends_as_it_began, stop::a_while};
use crate::check;

/// So often, unless BREAKWATER_LONG_KILLS says otherwise.
const KILLS: u64 = 200;
/// At most so long after the one before, in milliseconds: shorter and longer than a start of the operator.
const AT_MOST: u64 = 6_000;

/// Tries for one kill that counts, at most: most of them find an operator that runs.
const TRIES: u64 = 5;

/// Numbers that look like chance and are the same for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        // Knuth's MMIX: Donald E. Knuth, The Art of Computer Programming, volume 2, 3.3.4.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Whether there is a process to be killed: a pod that is still starting has none.
fn runs(pod: &Pod) -> bool {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref()).into_iter().flatten();
    let mut states = statuses.filter_map(|status| status.state.as_ref());
    pod.metadata.deletion_timestamp.is_none() && states.any(|state| state.running.is_some())
}

/// Takes the operator's pods away at once, whatever they are at; says whether one of them ran when it was looked at.
async fn kill(lab: &Lab) -> Result<bool> {
    let mut killed = false;
    for pod in lab.pods_with("app.kubernetes.io/component=operator").await? {
        let preconditions = Some(Preconditions { uid: pod.uid(), resource_version: None });
        let params = DeleteParams { preconditions, ..DeleteParams::default().grace_period(0) };
        match lab.pods().delete(&pod.name_any(), &params).await {
            Ok(_) => killed |= runs(&pod),
            // It is gone by itself, or another one has its name.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(killed)
}

/// Of a seed, `BREAKWATER_LONG_SEED`, which is printed.
#[tokio::test]
#[ignore = "minutes: cargo e2e --long"]
async fn runs_end_though_the_operator_is_killed_at_chance_moments() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seed = number("BREAKWATER_LONG_SEED").unwrap_or_else(|| RandomState::new().hash_one(()));
    let (kills, mut chance) = (number("BREAKWATER_LONG_KILLS").unwrap_or(KILLS), Chance(seed));
    println!("BREAKWATER_LONG_SEED={seed}, {kills} kills");
    lab("killed", &[], async |lab| -> Result<()> {
        let (mut killed, mut tries, mut ended, mut passed, mut interrupted) = (0, 0, 0, 0, 0);
        while killed < kills {
            lab.apply(OUTAGE).await?;
            let mut begun = None;
            loop {
                a_while(Duration::from_millis(chance.below(AT_MOST))).await;
                let status = lab.experiments().get("outage").await?.status.unwrap_or_default();
                let over = status.phase == Some(Phase::Completed);
                if begun.is_none() && status.run.is_some() && !over {
                    begun = Some(status);
                }
                if over || killed == kills {
                    break;
                }
                killed += u64::from(kill(lab).await?);
                tries += 1;
                ensure!(tries <= kills * TRIES, "only {killed} of {tries} kills met an operator that ran");
            }
            // The last one may not have begun yet.
            if begun.is_none() && killed == kills {
                let first = lab.status("outage", RUN, |status| status.run.is_some()).await?;
                ensure!(first.phase != Some(Phase::Completed), "nobody saw it under way");
                begun = Some(first);
            }
            let begun = begun.context("nobody saw it under way")?;
            let status = ends_as_it_began(lab, &begun).await?;
            // An outage that nobody held for a while may prove nothing; it is nobody's failure.
            let verdict = status.verdict;
            ensure!(
                matches!(verdict, Some(Verdict::Passed | Verdict::Inconclusive)),
                "{verdict:?} {:?} {:?}",
                status.reason,
                status.message
            );
            passed += u64::from(verdict == Some(Verdict::Passed));
            interrupted += u64::from(check::passed_unless_interrupted(&status).is_ok_and(|passed| !passed));
            ended += 1;
            lab.kubectl(&["delete", "chaosexp", "outage", "--timeout=30s"], "").await?.text()?;
        }
        println!(
            "{killed} kills of a running operator, of {tries} tries, in {ended} runs; every run ended, {passed} passed, and {interrupted} had an \
             outage that was interrupted"
        );
        ensure!((ended - passed - interrupted) * 10 <= ended, "{passed} of {ended} runs passed, {interrupted} were interrupted");
        Ok(())
    })
    .await;
}
