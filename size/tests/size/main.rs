//! The operator among thousands: pages, silence, memory, the right pods, and room for others. `BREAKWATER_LONG=1` is the full size.
//!
//! It wants the programs of a control plane and the operator's own, which `cargo check-all --long` brings.

mod at_once;
mod crowd;
mod idle;
mod under_way;
mod visitors;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use breakwater_size::{ControlPlane, OPERATOR, Operator, Town, on_an_island, run::Mark};

/// What the documents promise; the chart allows half as much again.
const MEMORY_MIB: f64 = 128.0;
/// Objects that one answer may bring.
const PAGE: usize = 500;
/// Pods under one selector.
const CROWD: usize = 5_000;

struct Sizes {
    idle: usize,
    idling: Duration,
    /// Runs that are under way at one moment.
    under_way: usize,
    /// They begin one after the other in this time.
    spread: Duration,
    /// Visitors who must have come before the runs that they visit are over.
    visitors: u64,
    /// Those runs begin one after the other in this time; where all visitors must come, many begin once they are there.
    visited: Duration,
}

fn sizes() -> Sizes {
    let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
    match std::env::var("BREAKWATER_LONG").as_deref() {
        Ok("1") => Sizes {
            idle: 10_000,
            idling: minute,
            under_way: 1_000,
            spread: 3 * minute,
            visitors: visitors::MOST,
            visited: minute,
        },
        _ => Sizes {
            idle: 2_000,
            idling: 10 * second,
            under_way: 200,
            spread: 40 * second,
            visitors: 1_000,
            visited: 10 * second,
        },
    }
}

/// What everything happens in.
struct Place {
    plane: ControlPlane,
    town: std::sync::Arc<Town>,
    operator: Operator,
}

fn path(variable: &str) -> Result<PathBuf> {
    std::env::var(variable)
        .map(PathBuf::from)
        .with_context(|| format!("{variable} is not set; run `cargo check-all --long`"))
}

#[test]
#[ignore = "wants an API server's program: cargo check-all --long"]
fn thousands() {
    on_an_island(async || among_thousands(&sizes()).await).unwrap();
}

async fn among_thousands(sizes: &Sizes) -> Result<()> {
    let plane = ControlPlane::start(&path("BREAKWATER_PROGRAMS")?).await?;
    let town = Town::found(plane.client.clone()).await?;
    for quarter in ["crowd", "idle"] {
        town.quarter(quarter).await?;
    }
    town.crowd("crowd", CROWD).await?;
    town.idle("idle", sizes.idle).await?;
    let log = plane.folder().join("operator.log");
    let operator = Operator::start(&path("BREAKWATER_OPERATOR")?, &plane.kubeconfig(OPERATOR)?, &log).await?;
    operator.at_rest().await?;
    let place = Place { plane, town, operator };

    // All of it is played and told, whatever fails.
    let outcomes = [
        place.told("the first list", idle::come_in_pages(sizes, &place)),
        place.told("silence", idle::ask_for_nothing(sizes, &place).await),
        place.told("the crowd", crowd::is_refused(&place).await),
        place.told("all at once", at_once::pass(&place).await),
        place.told("visitors", visitors::hold_up_nobody(sizes, &place).await),
        place.told("all under way", under_way::leave_room(sizes, &place).await),
        place.told("lists", come_in_pages(&place)),
    ];
    ensure!(outcomes.into_iter().all(|passed| passed), "not all is as it should be: see above");
    Ok(())
}

/// All lists do, those that watches begin from as well.
fn come_in_pages(place: &Place) -> Result<()> {
    let everything = Mark::default().requests(&place.plane)?;
    let lists = everything.iter().filter(|one| one.verb == "list");
    let whole: Vec<_> = lists.filter(|one| !one.uri.contains("limit=")).map(|one| &one.uri).collect();
    ensure!(whole.is_empty(), "{} lists without a limit, such as {:?}", whole.len(), whole[0]);
    Ok(())
}

impl Place {
    /// Tells how a part of it went, and what the operator has taken by then.
    fn told(&self, part: &str, outcome: Result<()>) -> bool {
        let outcome = outcome.and_then(|()| self.within_memory());
        match &outcome {
            Ok(()) => println!("{part}: as it should be\n"),
            Err(error) => println!("{part}: FAILED: {error:#}\n"),
        }
        outcome.is_ok()
    }

    fn within_memory(&self) -> Result<()> {
        let taken = self.operator.taken()?;
        println!("memory: {:.0} MiB at its peak, {:.0} now", taken.peak_mib, taken.resident_mib);
        ensure!(taken.peak_mib < MEMORY_MIB, "the operator took {:.0} MiB", taken.peak_mib);
        Ok(())
    }
}
