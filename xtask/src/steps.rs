//! Named steps, each with its time, and a table of them at the end.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::wait::{Stopwatch, short};

/// The steps of one command so far.
#[derive(Default)]
pub struct Steps(Vec<Step>);

struct Step {
    name: String,
    time: Duration,
    outcome: Outcome,
}

/// How a step went; the worst is the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Ok,
    NotChecked,
    Failed,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotChecked => "not checked",
            Self::Failed => "FAILED",
        }
    }
}

impl Steps {
    /// Announces a step, runs it and notes its time.
    pub fn run<T>(&mut self, name: &str, step: impl FnOnce() -> Result<T>) -> Result<T> {
        self.note(name, step, |_| true)
    }

    /// The same with a step that gives false where it cannot check anything: that is told, and fails nobody.
    pub fn check(&mut self, name: &str, step: impl FnOnce() -> Result<bool>) -> Result<()> {
        self.note(name, step, |checked| *checked).map(drop)
    }

    fn note<T>(&mut self, name: &str, step: impl FnOnce() -> Result<T>, checked: impl FnOnce(&T) -> bool) -> Result<T> {
        println!("\n==> {name}");
        let watch = Stopwatch::start();
        let result = step();
        let time = watch.elapsed();
        let outcome = match result.as_ref().map(checked) {
            Ok(true) => Outcome::Ok,
            Ok(false) => Outcome::NotChecked,
            Err(_) => Outcome::Failed,
        };
        println!("    {name}: {} ({})", outcome.word(), short(time));
        self.0.push(Step { name: name.to_owned(), time, outcome });
        result.with_context(|| name.to_owned())
    }

    /// Whether no step failed or could check nothing.
    pub fn all_ok(&self) -> bool {
        self.worst() == Outcome::Ok
    }

    fn worst(&self) -> Outcome {
        self.0.iter().map(|step| step.outcome).max().unwrap_or(Outcome::Ok)
    }

    /// What was done, how it went and how long it took.
    pub fn table(&self) -> String {
        let width = self.0.iter().map(|step| step.name.chars().count()).max().unwrap_or(0).max("all".len());
        let total: Duration = self.0.iter().map(|step| step.time).sum();
        let row = |name: &str, time, outcome| format!("  {name:width$}  {:>12}  {outcome}\n", short(time));
        let mut table: String = self.0.iter().map(|step| row(&step.name, step.time, step.outcome.word())).collect();
        let all = match self.worst() {
            Outcome::NotChecked => "ok, but not all is checked",
            worst => worst.word(),
        };
        table += &row("all", total, all);
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_what_failed() {
        let step =
            |name: &str, millis, outcome| Step { name: name.to_owned(), time: Duration::from_millis(millis), outcome };
        let steps = Steps(vec![step("format", 1_500, Outcome::Ok), step("lint", 75_000, Outcome::Failed)]);
        assert_eq!(
            steps.table(),
            "  format         1.5 s  ok\n  lint      1 min 15 s  FAILED\n  all       1 min 16 s  FAILED\n"
        );
    }

    #[test]
    fn what_could_not_be_checked_fails_nobody_and_is_told() {
        let mut steps = Steps::default();
        steps.check("here", || Ok(true)).unwrap();
        assert!(steps.all_ok());
        steps.check("elsewhere", || Ok(false)).unwrap();
        assert!(!steps.all_ok());
        let table = steps.table();
        let ends: Vec<_> = table.lines().map(|line| line.rsplit("  ").next().unwrap_or_default()).collect();
        assert_eq!(ends, ["ok", "not checked", "ok, but not all is checked"]);
    }

    #[test]
    fn a_step_that_failed_is_named_and_noted() {
        let mut steps = Steps::default();
        let error = steps.run("lint", || -> Result<()> { anyhow::bail!("two warnings") }).unwrap_err();
        assert_eq!(format!("{error:#}"), "lint: two warnings");
        assert_eq!(steps.0[0].outcome, Outcome::Failed);
    }
}
