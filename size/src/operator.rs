//! The operator's program, as it is in its image, and what it takes.

use std::{ffi::OsStr, fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::process::Child;

use crate::{
    program,
    wait::{a_while, until},
};

/// Where it tells its metrics.
pub const LISTEN: &str = "127.0.0.1:9090";
/// So many files and connections a process may have where nobody has raised it, in a container as elsewhere.
const FILES: &str = "--nofile=1024:";
/// Its first list has so long to arrive.
const START: Duration = Duration::from_secs(60);
/// It has so long to come to rest.
const REST: Duration = Duration::from_secs(300);

/// A running operator; it is killed when this is dropped.
pub struct Operator {
    child: Child,
}

/// What a process took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// Memory at its peak, in MiB.
    pub peak_mib: f64,
    /// Memory now, in MiB.
    pub resident_mib: f64,
    /// Processor time so far.
    pub cpu: Duration,
}

impl Operator {
    /// Starts it and waits until it knows all experiments.
    ///
    /// # Errors
    /// Where it does not.
    pub async fn start(program: &Path, kubeconfig: &Path, log: &Path) -> Result<Self> {
        // One heap, as in the chart.
        let environment =
            [("KUBECONFIG", kubeconfig.as_os_str()), ("RUST_LOG", "warn".as_ref()), ("MALLOC_ARENA_MAX", "1".as_ref())];
        ensure!(program.is_file(), "{} is not there", program.display());
        let line = [OsStr::new(FILES), program.as_os_str(), OsStr::new("--listen"), OsStr::new(LISTEN)];
        let child = program::start(Path::new("/usr/bin/prlimit"), line, &environment, log)?;
        let mut operator = Self { child };
        until("the operator's first list", START, async || {
            ensure!(operator.child.try_wait()?.is_none(), "it ended");
            let answer = reqwest::get(format!("http://{LISTEN}/readyz")).await;
            Ok(answer.ok().filter(|answer| answer.status().is_success()))
        })
        .await?;
        Ok(operator)
    }

    /// Waits until it has asked for nothing in three seconds.
    ///
    /// # Errors
    /// Where it goes on and on.
    pub async fn at_rest(&self) -> Result<()> {
        let mut before = -1.0;
        until("the operator is at rest", REST, async || {
            let now = self.metric("breakwater_api_requests_total").await?;
            let rests = now.to_bits() == f64::to_bits(before);
            before = now;
            if !rests {
                a_while(Duration::from_secs(3)).await;
            }
            Ok(rests.then_some(()))
        })
        .await
    }

    /// What it took so far.
    ///
    /// # Errors
    /// Where it does not run any more.
    pub fn taken(&self) -> Result<Taken> {
        let pid = self.child.id().context("the operator ended")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let mib = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
            line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or_default() / 1024.0
        };
        // utime and stime, in hundredths of a second: proc_pid_stat(5).
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let ticks = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
        let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Ok(Taken { peak_mib: mib("VmHWM:"), resident_mib: mib("VmRSS:"), cpu: Duration::from_millis(ticks * 10) })
    }

    /// Whether it says, within this time, that it is alive, as it is asked by a kubelet: on a connection of its own.
    pub async fn is_alive(&self, within: Duration) -> bool {
        let client = reqwest::Client::builder().timeout(within).build();
        let Ok(request) = client.map(|client| client.get(format!("http://{LISTEN}/healthz"))) else { return false };
        request.send().await.is_ok_and(|answer| answer.status().is_success())
    }

    /// A figure of its metrics: the sum of all lines that begin like this.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let text = reqwest::get(format!("http://{LISTEN}/metrics")).await?.text().await?;
        let values = text.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit(' ').next());
        Ok(values.filter_map(|value| value.parse::<f64>().ok()).sum())
    }
}
