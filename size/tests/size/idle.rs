//! Who has nothing to do.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use breakwater_size::{audit::Request, run::Mark, wait::a_while};

use crate::{PAGE, Place, Sizes};

/// The first list of experiments comes in pages.
pub fn come_in_pages(sizes: &Sizes, place: &Place) -> Result<()> {
    let began = Mark::default().requests(&place.plane)?;
    let pages = began.iter().filter(|one| one.verb == "list" && one.resource == "chaosexperiments").count();
    ensure!(pages >= sizes.idle / PAGE, "{} experiments were listed in {pages} pages", sizes.idle);
    Ok(())
}

/// Nothing is asked for them.
pub async fn ask_for_nothing(sizes: &Sizes, place: &Place) -> Result<()> {
    let from = Mark::set(&place.plane, &place.operator)?;
    a_while(sizes.idling).await;
    let (watches, asked): (Vec<Request>, Vec<_>) =
        from.requests(&place.plane)?.into_iter().partition(|one| one.verb == "watch");
    println!(
        "{} idle experiments: {} requests and {} watches in {:?}",
        sizes.idle,
        asked.len(),
        watches.len(),
        sizes.idling
    );
    ensure!(asked.is_empty(), "idle experiments send requests: {asked:?}");
    // A watch ends after some minutes and is begun anew: within one, once at most.
    let mut begun = BTreeMap::<_, usize>::new();
    for watch in &watches {
        *begun.entry(watch.uri.split('?').next()).or_default() += 1;
    }
    ensure!(begun.values().all(|times| *times == 1), "watches are begun again and again: {begun:?}");
    ensure!(!watches.iter().any(|one| one.resource == "pods"), "nobody runs, and pods are watched");
    Ok(())
}
