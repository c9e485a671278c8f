//! Runs that are all under way at one moment, and others who want something of the API server meanwhile.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use breakwater_crds::ChaosExperiment;
use breakwater_size::{
    Plan,
    audit::{self, Request},
    run::{Figures, Mark, Percentiles, between},
    wait::{a_while, now, until},
};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{Api, Client, ResourceExt, api::ListParams};

use crate::{Place, Sizes, at_once::nobody_failed};

/// Runs share a namespace, so many of them.
const A_NAMESPACE: usize = 50;
/// Looks that are made a second for no other reason than that time has passed, as the documents say.
const LOOKS_A_SECOND: f64 = 100.0;
/// Where that leaves more, an experiment is looked at so often.
const LOOK: f64 = 2.0;
/// All are under way for so long, in which is measured.
const MEANWHILE: Duration = Duration::from_secs(30);
/// What is left between the last one's begin and the first one's end, beside that.
const SPARE: Duration = Duration::from_secs(60);
/// Another user's request takes at most so many times what it takes without the runs, in the middle.
const SLOWER: u32 = 5;
/// Or so long, where that is more: two cores that the operator and the API server share are busy with as many runs as they can carry.
const NOISE: Duration = Duration::from_millis(100);
/// Of a hundred all but one take less.
const SLOWEST: Duration = Duration::from_secs(1);
/// Of a hundred runs so many pass; see [`crate::at_once`].
const PASSED: usize = 97;
/// Of a hundred of them all but one begin so soon after their time, however many others are looked at.
const LATE: Duration = Duration::from_secs(10);
/// Another user asks so often: enough for one of a hundred to be another than the slowest.
const QUESTIONS: usize = 110;

/// All of them are looked at at the pace that is promised, within the memory that is; and another user is answered.
pub async fn leave_room(sizes: &Sizes, place: &Place) -> Result<()> {
    let Place { plane, town, operator } = place;
    let count = sizes.under_way;
    let names: Vec<_> = (0..count.div_ceil(A_NAMESPACE)).map(|number| format!("under-way-{number}")).collect();
    for name in &names {
        town.quarter(name).await?;
    }
    let neighbour = plane.neighbour().await?;
    let alone = Answers::to(&neighbour).await?;
    let from = Mark::set(plane, operator)?;
    let begin = now() + SignedDuration::from_secs(10 + count as i64 / 10);
    let step = sizes.spread / u32::try_from(count)?;
    let at = |number: usize| Some(begin + step * u32::try_from(number).unwrap_or_default());
    town.running(&names, count, Plan::Calm(sizes.spread + MEANWHILE + SPARE), at).await?;
    ensure!(now() < begin, "the town was not ready when the first run was to begin");
    let limit = between(now(), begin) + sizes.spread + SPARE;
    let mut most = 0.0_f64;
    let together = until("all are under way", limit, async || {
        most = most.max(operator.metric("breakwater_active_experiments").await?);
        Ok((most >= count as f64).then_some(()))
    })
    .await;
    together.with_context(|| format!("{most} of {count} were at the most"))?;

    let (meanwhile, since) = (Mark::set(plane, operator)?, now());
    let beside = Answers::to(&neighbour).await?;
    a_while(MEANWHILE.saturating_sub(between(since, now()))).await;
    let (asked, time) = (meanwhile.requests(plane)?, between(since, now()).as_secs_f64());
    all_run(&town.runs(&names).await?, count)?;
    println!("{count} runs under way: {:.0} requests a second, {:?}", asked.len() as f64 / time, audit::count(&asked));
    println!("another user: {alone:?} before, {beside:?} beside them");
    at_their_pace(&asked, count, time)?;
    hardly_slower("GET", &alone.get, &beside.get)?;
    hardly_slower("LIST", &alone.list, &beside.list)?;
    place.within_memory()?;

    let all = town.complete(&names, count, sizes.spread + Duration::from_secs(600)).await?;
    operator.at_rest().await?;
    let figures = Figures::of(&all, town, plane, operator, &from)?;
    println!("{} of {count} passed, {} kills, late {:?}", figures.passed, figures.kills, figures.start);
    nobody_failed(&all)?;
    ensure!(figures.start.p99 < LATE, "one of a hundred begins {:?} late, or more", figures.start.p99);
    ensure!(figures.passed * 100 >= count * PASSED, "{} of {count} passed", figures.passed);
    Ok(())
}

/// Each is looked at as often as is promised, or half as often where the machine is busy, and all of them not more often.
fn at_their_pace(asked: &[Request], count: usize, time: f64) -> Result<()> {
    let mut looks = BTreeMap::<&str, usize>::new();
    for look in asked.iter().filter(|one| one.verb == "get" && one.resource == "chaosexperiments") {
        *looks.entry(&look.name).or_default() += 1;
    }
    let each = time / LOOK.max(count as f64 / LOOKS_A_SECOND);
    let (all, least) = (looks.values().sum::<usize>() as f64, looks.values().min().copied().unwrap_or_default());
    println!(
        "looks: {:.0} a second, {:.1} at each run and at least {least} in {time:.0} s",
        all / time,
        all / count as f64
    );
    ensure!(all < count as f64 * each * 1.1, "{all} looks at {count} runs, and {each:.1} at each were enough");
    ensure!(looks.len() == count, "{} of {count} runs were looked at", looks.len());
    ensure!(least as f64 > each / 2.0 - 1.0, "a run was looked at {least} times, and {each:.1} times were promised");
    Ok(())
}

/// Another user hardly notices the runs.
fn hardly_slower(what: &str, alone: &Percentiles, beside: &Percentiles) -> Result<()> {
    let limit = NOISE.max(alone.p50 * SLOWER);
    ensure!(beside.p50 < limit, "another user's {what} takes {:?} in the middle, not {:?}", beside.p50, alone.p50);
    ensure!(beside.p99 < SLOWEST, "one of a hundred of another user's {what} takes {:?}", beside.p99);
    Ok(())
}

/// Each run has begun, and none has ended.
fn all_run(all: &[ChaosExperiment], count: usize) -> Result<()> {
    let goes = |one: &&ChaosExperiment| one.run().is_some_and(|run| run.completed_at.is_none());
    let run = all.iter().filter(goes).count();
    ensure!(run == count, "{run} of {count} are under way");
    Ok(())
}

/// How long another user waits.
#[derive(Clone, Copy, Debug)]
struct Answers {
    get: Percentiles,
    list: Percentiles,
}

impl Answers {
    async fn to(user: &Client) -> Result<Self> {
        let (namespaces, pods): (Api<Namespace>, Api<Pod>) =
            (Api::all(user.clone()), Api::namespaced(user.clone(), "crowd"));
        let (mut get, mut list) = (vec![], vec![]);
        for _ in 0..QUESTIONS {
            let asked = now();
            namespaces.get("crowd").await?;
            let between_them = now();
            get.push(between(asked, between_them));
            let found = pods.list(&ListParams::default().limit(100)).await?;
            list.push(between(between_them, now()));
            ensure!(found.items.first().is_some_and(|pod| pod.name_any().starts_with("crowd-")), "another answer");
            a_while(Duration::from_millis(200)).await;
        }
        Ok(Self { get: Percentiles::of(get), list: Percentiles::of(list) })
    }
}
