//! Prints an experiment's runs in virtual time, before anybody is harmed: what would be killed when, what a client's breaker would
//! do, and what the verdict would be.
//!
//! ```text
//! cargo run -p breakwater-operator --example timeline -- crds/examples/backend-outage.yaml
//! cargo run -p breakwater-operator --example timeline -- crds/examples/game-day.yaml --open-for 30s --pods 3
//! ```
//!
//! The decisions are the operator's own, the breaker is the client's own; the pods, the clock and the API server are simulated.

#[path = "../tests/decide/sim/mod.rs"]
#[allow(dead_code, reason = "the tests use the rest of it")]
mod sim;

use std::{num::NonZero, path::PathBuf, process::ExitCode};

use breakwater_breaker::{OpenTime, Policy, Settings};
use breakwater_crds::{ChaosExperimentStatus, Duration, Phase};
use clap::Parser;
use jiff::{SignedDuration, Timestamp};
use sim::{Client, Sim};

/// Virtual days that are waited for a schedule's first start.
const DAYS: i64 = 400;

/// Prints an experiment's run in virtual time: what would be killed when, and what the verdict would be.
#[derive(Parser)]
struct Arguments {
    /// The experiment's manifest.
    manifest: PathBuf,
    /// When it is applied.
    #[arg(long, default_value = "2026-12-01T09:00:00Z")]
    now: Timestamp,
    /// Pods of the target, all ready.
    #[arg(long, default_value_t = 1)]
    pods: usize,
    /// From the creation of a pod to its readiness.
    #[arg(long, default_value = "1500ms")]
    start_up: Duration,
    /// Replicas of each client.
    #[arg(long, default_value_t = 1)]
    clients: usize,
    /// So many failures in a row open the client's breaker.
    #[arg(long, default_value = "3")]
    failure_threshold: NonZero<u64>,
    /// How long it stays open before a trial call.
    #[arg(long, default_value = "10s")]
    open_for: Duration,
    /// From one call of the client to the next.
    #[arg(long, default_value = "3s")]
    interval: Duration,
    /// Attempts in one call.
    #[arg(long, default_value_t = 2)]
    attempts: u32,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match simulate(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", arguments.manifest.display());
            ExitCode::from(2)
        }
    }
}

fn simulate(arguments: &Arguments) -> Result<(), String> {
    let text = std::fs::read_to_string(&arguments.manifest).map_err(|error| error.to_string())?;
    let mut sim = world(&text, arguments)?;
    let mut printer = Printer { said: None, kills: 0, replaced: 0, transitions: 0, zero: arguments.now };
    let give_up = arguments.now + SignedDuration::from_hours(24 * DAYS);
    loop {
        if sim.now > give_up {
            return Err(format!("no run has ended within {DAYS} virtual days"));
        }
        sim.step(sim::Fault::None);
        if let Some(status) = sim.experiment.status.clone() {
            printer.print(&sim, &status);
            if status.verdict.is_some() {
                break;
            }
            // While a schedule waits nothing happens: the time is passed over.
            if let Some(next) =
                status.next_schedule_time.filter(|_| status.phase == Some(Phase::Waiting) && status.run.is_none())
            {
                sim.jump((next.duration_since(sim.now) - SignedDuration::from_millis(100)).max(SignedDuration::ZERO));
            } else if sim.is_idle() {
                return Err("it waits for something that never comes".into());
            }
        }
    }
    Ok(())
}

fn world(manifest: &str, arguments: &Arguments) -> Result<Sim, String> {
    let experiment = serde_saphyr::from_str(manifest).map_err(|error| error.to_string())?;
    let mut sim = Sim::of(experiment, arguments.now, arguments.pods);
    sim.start_up = arguments.start_up.as_std();
    let settings = Settings::default()
        .with_policy(Policy::ConsecutiveFailures(arguments.failure_threshold))
        .with_open_time(OpenTime::fixed(arguments.open_for.as_std()));
    for client in sim.experiment.spec.observe.clients.clone() {
        for number in 0..arguments.clients {
            let pod = format!("{}-{number}", client.name);
            let calls = (arguments.interval.as_std(), arguments.attempts);
            sim.clients.push(Client::new(&client, &pod, settings, calls, arguments.now));
        }
    }
    Ok(sim)
}

/// Says what is new.
struct Printer {
    said: Option<(Option<Phase>, Option<String>)>,
    kills: usize,
    /// Replacements killed since the last line about them.
    replaced: usize,
    transitions: usize,
    zero: Timestamp,
}

impl Printer {
    fn line(&self, at: Timestamp, what: &str, text: &str) {
        let (day, time) = (at.to_string(), at.duration_since(self.zero).as_secs_f64());
        println!("{} {time:>+10.2}s  {what:<12}  {text}", &day[..19]);
    }

    /// The first set of a round by name, replacements by number.
    fn print_kills(&mut self, sim: &Sim, status: &ChaosExperimentStatus) {
        let run = status.run.as_ref();
        let new = &sim.killed[self.kills..];
        let of_first = |uid: &str| {
            run.is_some_and(|run| run.kills.iter().any(|kill| kill.uid == uid && kill.slot == run.first_slot))
        };
        let (first, replaced): (Vec<_>, Vec<_>) = new.iter().partition(|(uid, _)| of_first(uid));
        if let Some((_, at)) = first.first() {
            let names: Vec<_> = first.iter().map(|(uid, _)| uid.as_str()).collect();
            self.line(*at, "kill", &names.join(", "));
        }
        self.replaced += replaced.len();
        self.kills = sim.killed.len();
        if self.replaced > 0 && status.phase != Some(Phase::Killing) {
            self.line(sim.killed[self.kills - 1].1, "kill", &format!("the last of {} replacements", self.replaced));
            self.replaced = 0;
        }
    }

    fn print(&mut self, sim: &Sim, status: &ChaosExperimentStatus) {
        self.print_kills(sim, status);
        let clients = status.run.iter().flat_map(|run| &run.clients);
        let mut all: Vec<_> =
            clients.flat_map(|client| client.transitions.iter().map(move |one| (one, client))).collect();
        all.sort_by_key(|(one, _)| one.aligned_at);
        for (one, client) in all.iter().skip(self.transitions) {
            let from = one.from.map_or("start", |state| state.as_str());
            self.line(
                one.aligned_at,
                "breaker",
                &format!("{}: {from} → {} ({})", client.pod, one.to.as_str(), one.cause),
            );
        }
        self.transitions = self.transitions.max(all.len());
        let said = (status.phase, status.message.clone());
        let waits = status.phase == Some(Phase::Waiting) || self.said.as_ref().map(|said| said.0) != Some(status.phase);
        if self.said.as_ref() != Some(&said) && waits {
            let phase = status.verdict.map_or_else(
                || status.phase.map(|phase| format!("{phase:?}")).unwrap_or_default(),
                |verdict| format!("{verdict:?}").to_uppercase(),
            );
            let next = status.next_schedule_time.map(|next| format!(" (next start {next})")).unwrap_or_default();
            self.line(sim.now, &phase, &format!("{}{next}", status.message.as_deref().unwrap_or_default()));
        }
        self.said = Some(said);
    }
}
