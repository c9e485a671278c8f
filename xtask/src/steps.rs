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
    passed: bool,
}

impl Steps {
    /// Announces a step, runs it and notes its time.
    pub fn run<T>(&mut self, name: &str, step: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("\n==> {name}");
        let watch = Stopwatch::start();
        let result = step();
        let time = watch.elapsed();
        println!("    {name}: {} ({})", if result.is_ok() { "done" } else { "FAILED" }, short(time));
        self.0.push(Step { name: name.to_owned(), time, passed: result.is_ok() });
        result.with_context(|| name.to_owned())
    }

    /// What was done, how it went and how long it took.
    pub fn table(&self) -> String {
        let width = self.0.iter().map(|step| step.name.chars().count()).max().unwrap_or(0).max("all".len());
        let total: Duration = self.0.iter().map(|step| step.time).sum();
        let row = |name: &str, time, outcome| format!("  {name:width$}  {:>12}  {outcome}\n", short(time));
        let mut table: String =
            self.0.iter().map(|step| row(&step.name, step.time, if step.passed { "ok" } else { "FAILED" })).collect();
        table += &row("all", total, if self.0.iter().all(|step| step.passed) { "ok" } else { "FAILED" });
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_what_failed() {
        let step =
            |name: &str, millis, passed| Step { name: name.to_owned(), time: Duration::from_millis(millis), passed };
        let steps = Steps(vec![step("format", 1_500, true), step("lint", 75_000, false)]);
        assert_eq!(
            steps.table(),
            "  format         1.5 s  ok\n  lint      1 min 15 s  FAILED\n  all       1 min 16 s  FAILED\n"
        );
    }
    #[test]
    fn a_step_that_failed_is_named_and_noted() {
        let mut steps = Steps::default();
        let error = steps.run("lint", || -> Result<()> { anyhow::bail!("two warnings") }).unwrap_err();
        assert_eq!(format!("{error:#}"), "lint: two warnings");
        assert!(!steps.0[0].passed);
    }
}
