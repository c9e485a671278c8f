//! The API server in process, on which the fault tests stand, answers as the real one does: the same random requests are sent to
//! both, and what they answer is compared, and what they tell watches that are open meanwhile, and such as begin afterwards.
//!
//! `BREAKWATER_LONG=1` tries 2000 sequences; `BREAKWATER_SEED=7` one of them.

mod evictions;
mod objects;
mod restarts;
mod side;
mod step;

use std::{ops::AddAssign, time::Duration};

use anyhow::{Context, Result, ensure};
use breakwater_crds::ChaosExperiment;
use breakwater_e2e::{bare, wait::until};
use breakwater_fake_apiserver::{FakeApiServer, Kind};
use fastrand::Rng;
use futures::{StreamExt, stream};
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};

use objects::object;
use side::Side;
use step::Step;

const KINDS: [(&str, &str); 4] = [
    ("api/v1", "pods"),
    ("apis/chaos.breakwater.dev/v1alpha1", "chaosexperiments"),
    ("api/v1", "configmaps"),
    ("apis/apps/v1", "deployments"),
];
const PODS: usize = 0;
const EXPERIMENTS: usize = 1;
const CONFIG_MAPS: usize = 2;
/// Their controller writes to them, so that neither their versions nor what watches tell of them can be compared.
const DEPLOYMENTS: usize = 3;
const WATCHED: [usize; 3] = [PODS, EXPERIMENTS, CONFIG_MAPS];
/// Objects of a kind in one sequence.
const NAMES: usize = 2;

/// What was compared.
#[derive(Clone, Copy, Debug, Default)]
struct Compared {
    requests: usize,
    watches: usize,
    /// Watches from a version that the real server has forgotten in the meantime.
    forgotten: usize,
}

impl AddAssign for Compared {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.watches += other.watches;
        self.forgotten += other.forgotten;
    }
}

/// One sequence on both servers; nothing of it is held on to afterwards.
async fn compare(seed: u64, client: &Client, namespace: &str) -> Result<Compared> {
    let real = Side::new(client.clone(), seed, namespace);
    let compared = played(seed, client, namespace).await;
    real.release().await?;
    compared
}

async fn sides(seed: u64, real: &Client, namespace: &str) -> Result<(FakeApiServer, Side, Side)> {
    let server = FakeApiServer::new(&[Kind::custom::<ChaosExperiment>()], || Timestamp::UNIX_EPOCH);
    let real = Side::new(real.clone(), seed, namespace);
    let fake = Side::new(Client::new(server.service("test"), namespace), seed, namespace);
    fake.send("POST", "/api/v1/namespaces", "application/json", &json!({"metadata": {"name": namespace}})).await?;
    Ok((server, real, fake))
}

async fn played(seed: u64, real: &Client, namespace: &str) -> Result<Compared> {
    let (_, mut real, mut fake) = sides(seed, real, namespace).await?;
    let mut since = vec![];
    for side in [&real, &fake] {
        let path = side.path(CONFIG_MAPS, "?limit=1");
        let (_, list) = side.send("GET", &path, "application/json", &Value::Null).await?;
        since.push(list["metadata"]["resourceVersion"].as_str().context("a list has a version")?.to_string());
    }
    let mut open = vec![];
    for kind in WATCHED {
        open.push((real.watch(kind, &since[0]).await?, fake.watch(kind, &since[1]).await?));
    }
    let mut random = Rng::with_seed(seed);
    let steps: Vec<_> = (0..random.usize(10..=50)).map(|_| Step::random(&mut random)).collect();
    for (number, step) in steps.iter().enumerate() {
        let (wanted, got) = (real.take(step).await?, fake.take(step).await?);
        let before = &steps[..number];
        ensure!(
            wanted == got,
            "seed {seed}, step {number} {step:?}\n  real: {wanted}\n  fake: {got}\n  before: {before:?}"
        );
    }
    let mut compared = Compared { requests: steps.len(), ..Compared::default() };
    for (kind, open) in WATCHED.into_iter().zip(open) {
        real.end(kind).await?;
        fake.end(kind).await?;
        let late = (real.watch(kind, &since[0]).await?, fake.watch(kind, &since[1]).await?);
        for (which, (wanted, got)) in [("open", open), ("late", late)] {
            let what = format!("seed {seed}, {which} watch on {}", KINDS[kind].1);
            let wanted = wanted.await?.with_context(|| format!("{what}, real"))?;
            let got = got.await?.with_context(|| format!("{what}, fake"))?;
            let got = got.with_context(|| format!("{what}: the fake has forgotten what nobody told it to forget"))?;
            // What neither side has been told of has a number on neither: the others can still be compared.
            let Some(wanted) = wanted else {
                compared.forgotten += 1;
                continue;
            };
            let (wanted, got) = (real.told(&wanted), fake.told(&got));
            let lines = |told: &[Value]| told.iter().map(|line| format!("    {line}\n")).collect::<String>();
            ensure!(wanted == got, "{what}\n  real:\n{}  fake:\n{}  {steps:?}", lines(&wanted), lines(&got));
            compared.watches += 1;
        }
    }
    Ok(compared)
}

fn is_long() -> bool {
    std::env::var_os("BREAKWATER_LONG").is_some_and(|value| value == "1")
}

#[tokio::test]
async fn both_servers_answer_the_same() {
    bare("same", async |client, namespace| -> Result<()> {
        let one = std::env::var("BREAKWATER_SEED").ok().and_then(|seed| seed.parse().ok());
        let seeds = one.map_or(1..=if is_long() { 2000 } else { 60 }, |seed: u64| seed..=seed);
        let compared: Vec<_> =
            stream::iter(seeds).map(|seed| compare(seed, &client, namespace)).buffer_unordered(4).collect().await;
        let differ: Vec<_> =
            compared.iter().filter_map(|one| one.as_ref().err()).map(|error| format!("{error:#}")).collect();
        let first = differ.iter().take(5).cloned().collect::<Vec<_>>().join("\n\n");
        ensure!(differ.is_empty(), "{} sequences differ:\n{first}", differ.len());
        let mut all = Compared::default();
        compared.iter().flatten().for_each(|one| all += *one);
        println!("{} sequences, {all:?}: no difference", compared.len());
        ensure!(all.watches >= 9 * all.forgotten, "too few watches were compared: {all:?}");
        Ok(())
    })
    .await;
}

/// The compaction of the real server's store: every five minutes, of what is five minutes old.
const FORGETS: Duration = Duration::from_secs(11 * 60);

/// What no server has any more, or not yet, or never.
#[tokio::test]
async fn both_servers_refuse_the_same_versions() {
    bare("versions", async |client, namespace| -> Result<()> {
        let (server, mut real, mut fake) = sides(0, &client, namespace).await?;
        let mut next = vec![];
        for side in [&mut real, &mut fake] {
            for name in 0..NAMES {
                let body = object(EXPERIMENTS, &side.name(name), 0);
                side.send("POST", &side.path(EXPERIMENTS, ""), "application/json", &body).await?;
            }
            side.page(EXPERIMENTS).await?;
            next.push(format!("?limit=1&continue={}", side.open[&EXPERIMENTS].1));
            // Since then there is a newer version.
            side.send(
                "DELETE",
                &side.path(EXPERIMENTS, &format!("/{}", side.name(0))),
                "application/json",
                &Value::Null,
            )
            .await?;
        }
        server.state().store.compact();
        for query in [
            "?limit=1&continue=nowhere",
            "?limit=1&continue=nowhere&resourceVersion=1",
            "?limit=x",
            // No definition was there at the first version.
            "?watch=true&resourceVersion=1&timeoutSeconds=5",
            "?watch=true&resourceVersion=999999999999&timeoutSeconds=1",
        ] {
            let (wanted, got) = (real.ask(EXPERIMENTS, query).await?, fake.ask(EXPERIMENTS, query).await?);
            ensure!(wanted == got, "{query}\n  real: {wanted}\n  fake: {got}");
        }
        if is_long() {
            let got = fake.ask(EXPERIMENTS, &next[1]).await?;
            ensure!(got["code"] == 410, "fake: {got}");
            until("the next page is forgotten", FORGETS, async || {
                let wanted = real.ask(EXPERIMENTS, &next[0]).await?;
                ensure!(wanted == got, "real: {wanted}, fake: {got}");
                Ok(Some(()))
            })
            .await?;
        }
        Ok(())
    })
    .await;
}
