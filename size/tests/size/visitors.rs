//! Visitors of the operator's own endpoints who mean no good, while runs go.

use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use breakwater_service::files::raise_limit;
use breakwater_size::{
    LISTEN, Operator, Plan,
    run::{Figures, Mark},
    wait::{a_while, now, until},
};
use jiff::SignedDuration;
use tokio::{io::AsyncWriteExt, net::TcpStream, task::JoinSet};

use crate::{Place, Sizes, at_once::nobody_failed};

/// Connections that are made; none is closed from this side before the runs are over.
pub const MOST: u64 = 10_000;
/// So many more are made each second.
const A_SECOND: u64 = 400;
/// Descriptors for everything else in this process.
const OTHERS: u64 = 2_000;
/// Runs meanwhile.
const RUNNING: usize = 50;
/// Of them; see [`crate::at_once`].
const PASSED: usize = 40;
/// A kubelet asks every ten seconds, waits for five, and ends who has not answered three times: the chart's probe.
const PROBE: Duration = Duration::from_secs(5);

/// Thousands of connections on which nothing is asked, or one letter each second: the runs pass, and a kubelet is answered.
pub async fn hold_up_nobody(sizes: &Sizes, place: &Place) -> Result<()> {
    let Place { plane, town, operator } = place;
    let count = MOST.min(raise_limit()?.saturating_sub(OTHERS));
    ensure!(count >= sizes.visitors, "{count} connections are all that this machine allows; see `ulimit -Hn`");
    town.quarter("visited").await?;
    let (from, names) = (Mark::set(plane, operator)?, vec!["visited".to_owned()]);
    let begin = now() + SignedDuration::from_secs(5 + RUNNING as i64 / 20);
    let step = sizes.visited / u32::try_from(RUNNING)?;
    let at = |number: usize| Some(begin + step * u32::try_from(number).unwrap_or_default());
    town.running(&names, RUNNING, Plan::Outage(Duration::from_secs(5)), at).await?;
    let (mut visitors, mut answered, connected) = (JoinSet::new(), vec![], Arc::<AtomicU64>::default());
    let all = tokio::select! {
        all = town.complete(&names, RUNNING, Duration::from_secs(300)) => all?,
        never = come(&mut visitors, count, &connected) => match never {},
        never = ask(operator, &mut answered) => match never {},
    };
    let came = connected.load(Ordering::Relaxed);
    visitors.shutdown().await;
    until("it is alive once they are gone", PROBE, async || Ok(operator.is_alive(PROBE).await.then_some(()))).await?;
    operator.at_rest().await?;
    let figures = Figures::of(&all, town, plane, operator, &from)?;
    println!(
        "{came} connections of visitors during {RUNNING} runs: {} passed, {} of {} probes answered, {:?}",
        figures.passed,
        answered.iter().filter(|answer| **answer).count(),
        answered.len(),
        figures.start
    );
    ensure!(came >= sizes.visitors, "only {came} came before the runs were over");
    nobody_failed(&all)?;
    ensure!(figures.passed >= PASSED, "{} of {RUNNING} runs passed", figures.passed);
    ensure!(answered.iter().all(|answer| *answer), "a kubelet was not answered: {answered:?}");
    Ok(())
}

/// They come one after the other, and stay.
async fn come(visitors: &mut JoinSet<()>, count: u64, connected: &Arc<AtomicU64>) -> Infallible {
    for number in 0..count {
        visitors.spawn(visit(number, connected.clone()));
        if number % (A_SECOND / 10) == 0 {
            a_while(Duration::from_millis(100)).await;
        }
    }
    pending().await
}

/// Asks nothing, or so slowly that it never ends; what the other side has closed is kept.
async fn visit(number: u64, connected: Arc<AtomicU64>) {
    let mut stream = TcpStream::connect(LISTEN).await;
    connected.fetch_add(stream.is_ok().into(), Ordering::Relaxed);
    if let Ok(stream) = &mut stream
        && number.is_multiple_of(2)
        && stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: operator\r\nSlow: ").await.is_ok()
    {
        while stream.write_all(b"x").await.is_ok() {
            a_while(Duration::from_secs(1)).await;
        }
    }
    pending().await
}

/// Asks as a kubelet does, but every second.
async fn ask(operator: &Operator, answered: &mut Vec<bool>) -> Infallible {
    loop {
        answered.push(operator.is_alive(PROBE).await);
        a_while(Duration::from_secs(1)).await;
    }
}
