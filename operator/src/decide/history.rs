//! What is remembered of runs that have ended.

use breakwater_crds::{
    ChaosExperimentSpec, ChaosExperimentStatus, Duration, MAX_PAST_MESSAGE, PastRun, Run, Spread, Statistics, Verdict,
};
use jiff::Timestamp;

use super::{judge::Ending, plus, record};

/// A run has ended: its verdict is the experiment's, and it goes into the history.
pub fn close(
    status: &mut ChaosExperimentStatus,
    run: Run,
    ending: &Ending,
    spec: &ChaosExperimentSpec,
    now: Timestamp,
) {
    let summary = record::summary(&run);
    status.verdict = Some(ending.verdict);
    status.reason = Some(ending.reason);
    status.message = Some(ending.message.clone());
    status.summary = Some(summary.clone());
    status.history.push(PastRun {
        id: run.id,
        number: run.number,
        scheduled_at: run.scheduled_at,
        started_at: run.started_at,
        completed_at: now,
        verdict: ending.verdict,
        reason: ending.reason,
        message: record::readable(&ending.message, MAX_PAST_MESSAGE),
        summary,
    });
    status.run = Some(run);
    trim(status, spec);
}

/// Keeps as many runs as the spec says, and the figures over them.
pub fn trim(status: &mut ChaosExperimentStatus, spec: &ChaosExperimentSpec) {
    let surplus = status.history.len().saturating_sub(spec.history_limit as usize);
    status.history.drain(..surplus);
    status.history_dropped = plus(status.history_dropped, surplus as u64);
    status.statistics = statistics(&status.history);
}

fn statistics(history: &[PastRun]) -> Option<Statistics> {
    let real: Vec<_> = history.iter().filter(|run| run.verdict != Verdict::DryRun).collect();
    let count = |runs: usize| u32::try_from(runs).unwrap_or(u32::MAX);
    let passed = count(real.iter().filter(|run| run.verdict == Verdict::Passed).count());
    let runs = count(real.len());
    (runs > 0).then(|| Statistics {
        runs,
        passed,
        pass_rate: Some(passed * 100 / runs),
        time_to_open: spread(real.iter().filter_map(|run| run.summary.time_to_open).collect()),
        time_to_close: spread(real.iter().filter_map(|run| run.summary.time_to_close).collect()),
    })
}

fn spread(mut times: Vec<Duration>) -> Option<Spread> {
    times.sort();
    let worst = *times.last()?;
    Some(Spread { runs: u32::try_from(times.len()).unwrap_or(u32::MAX), median: times[(times.len() - 1) / 2], worst })
}
