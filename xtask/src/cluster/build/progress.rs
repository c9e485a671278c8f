//! Runs a long `go build -v` and shows how far it is.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::wait::{self, Stopwatch, short};

/// A build that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(90 * 60);
/// How often a log that is no terminal gets a line.
const LINE_EVERY: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Seen {
    downloads: usize,
    packages: usize,
    last: VecDeque<String>,
}

impl Seen {
    fn note(&mut self, line: String) {
        match line.strip_prefix("go: ") {
            Some(rest) => self.downloads += usize::from(rest.starts_with("downloading")),
            None => self.packages += 1,
        }
        self.last.push_back(line);
        if self.last.len() > 30 {
            self.last.pop_front();
        }
    }

    fn line(&self, name: &str, elapsed: Duration, last_time: Option<u64>) -> String {
        let last_time = last_time.map(|secs| format!(", last time {}", short(Duration::from_secs(secs))));
        let Self { downloads, packages, .. } = self;
        let last_time = last_time.unwrap_or_default();
        format!("  {name}: {} ({downloads} modules fetched, {packages} packages built{last_time})", short(elapsed))
    }
}

/// Runs the build. `times` remembers how long a cold one took, for the next time.
pub fn run(name: &str, go: &mut Command, times: &Path) -> Result<()> {
    let mut known: BTreeMap<String, u64> =
        fs::read(times).ok().and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
    let last_time = known.get(name).copied();
    let watch = Stopwatch::start();
    let mut child = go.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().context("cannot start go")?;
    let seen = Arc::new(Mutex::new(Seen::default()));
    let errors = child.stderr.take().context("go has no standard error")?;
    let reader = std::thread::spawn({
        let seen = Arc::clone(&seen);
        move || BufReader::new(errors).lines().map_while(Result::ok).for_each(|line| seen.lock().unwrap().note(line))
    });

    let terminal = std::io::stdout().is_terminal();
    let mut next_line = Duration::ZERO;
    let status = wait::until(name, LIMIT, || {
        let status = child.try_wait()?;
        let elapsed = watch.elapsed();
        if terminal {
            print!("\r{}\x1b[K", seen.lock().unwrap().line(name, elapsed, last_time));
            std::io::stdout().flush()?;
        } else if elapsed >= next_line && status.is_none() {
            println!("{}", seen.lock().unwrap().line(name, elapsed, last_time));
            next_line = elapsed + LINE_EVERY;
        }
        Ok(status)
    })?;
    reader.join().expect("the reader of go's output does not panic");
    let seen = seen.lock().unwrap();
    println!("{}{}, done", if terminal { "\r" } else { "" }, seen.line(name, watch.elapsed(), last_time));
    if !status.success() {
        bail!("building {name} failed ({status}):\n{}", Vec::from(seen.last.clone()).join("\n"));
    }
    if seen.packages > 20 {
        known.insert(name.to_owned(), watch.elapsed().as_secs());
        fs::write(times, serde_json::to_vec_pretty(&known)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_counts_what_go_says() {
        let mut seen = Seen::default();
        for line in ["go: downloading k8s.io/api v0.37.2", "go: finding", "k8s.io/api/core/v1", "k8s.io/api/apps/v1"] {
            seen.note(line.into());
        }
        let elapsed = Duration::from_secs(75);
        assert_eq!(seen.line("etcd", elapsed, None), "  etcd: 1 min 15 s (1 modules fetched, 2 packages built)");
        let with_last = "  etcd: 1 min 15 s (1 modules fetched, 2 packages built, last time 7 min 24 s)";
        assert_eq!(seen.line("etcd", elapsed, Some(444)), with_last);
    }
}
