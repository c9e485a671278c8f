//! How a target's breaker behaves.

use std::{
    num::{NonZeroU16, NonZeroU64},
    time::Duration,
};

use breakwater_breaker::{HalfOpen, OpenTime, Percent, Policy, Rates, Settings, SlowCalls, Unit, Window};
use breakwater_service::duration;
use clap::{Args, ValueEnum};

use super::{Contradiction, target::above_zero};
use crate::caller::Plan;

/// How a target's breaker behaves. Each of these is a flag, and a key of the file.
#[derive(Args, Clone, Debug)]
pub struct BreakerSettings {
    /// What opens the breaker
    #[arg(long, env = "CLIENT_POLICY", value_enum, default_value = "consecutive-failures")]
    pub policy: PolicyKind,

    /// --policy consecutive-failures: this many failed attempts in a row open it
    #[arg(long, env = "CLIENT_FAILURE_THRESHOLD", default_value = "3")]
    pub failure_threshold: NonZeroU64,

    /// --policy rates: how far back is looked, so many attempts or so long a time, like 100 or 30s [default: 100]
    #[arg(long, env = "CLIENT_WINDOW", value_parser = window)]
    pub window: Option<Window>,

    /// --policy rates: fewer attempts in the window are not judged [default: 100]
    #[arg(long, env = "CLIENT_MINIMUM_CALLS")]
    pub minimum_calls: Option<NonZeroU64>,

    /// --policy rates: this part of failed attempts opens it [default: 50%]
    #[arg(long, env = "CLIENT_FAILURE_RATE", value_parser = percent)]
    pub failure_rate: Option<Percent>,

    /// --policy rates: an attempt that takes longer is slow [default: none is]
    #[arg(long, env = "CLIENT_SLOW_CALL", value_parser = above_zero)]
    pub slow_call: Option<Duration>,

    /// --policy rates: this part of slow attempts opens it [default: 100%]
    #[arg(long, env = "CLIENT_SLOW_CALL_RATE", value_parser = percent)]
    pub slow_call_rate: Option<Percent>,

    /// How long it stays open before trial attempts
    #[arg(long, env = "CLIENT_OPEN_FOR", default_value = "10s", value_parser = above_zero)]
    pub open_for: Duration,

    /// Doubles the open time with each trial that failed, up to this [default: it is always the same]
    #[arg(long, env = "CLIENT_OPEN_FOR_LONGEST", value_parser = duration::parse)]
    pub open_for_longest: Option<Duration>,

    /// Draws each open time anew, up to this part shorter [default: it is not drawn]
    #[arg(long, env = "CLIENT_OPEN_FOR_JITTER", value_parser = percent)]
    pub open_for_jitter: Option<Percent>,

    /// How many trial attempts decide whether it closes
    #[arg(long, env = "CLIENT_HALF_OPEN_CALLS", default_value = "1")]
    pub half_open_calls: NonZeroU16,

    /// How long trial attempts may take before it opens again
    #[arg(long, env = "CLIENT_HALF_OPEN_WAIT", default_value = "60s", value_parser = above_zero)]
    pub half_open_wait: Duration,
}

/// What opens a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PolicyKind {
    /// So many failures in a row
    ConsecutiveFailures,
    /// Too large a part of the newest attempts failed, or was slow
    Rates,
}

impl BreakerSettings {
    /// What each setting allows by itself, but not together with another.
    pub(super) fn contradiction(&self, plan: &Plan, attempts: u32, timeout: Duration) -> Option<Contradiction> {
        let found = |between: &[&'static str], said| Some(Contradiction { between: between.to_vec(), said });
        let Self { failure_threshold, window, minimum_calls, failure_rate, slow_call, slow_call_rate, .. } = self;
        let of_rates = [
            ("window", window.is_some()),
            ("minimum-calls", minimum_calls.is_some()),
            ("failure-rate", failure_rate.is_some()),
            ("slow-call", slow_call.is_some()),
            ("slow-call-rate", slow_call_rate.is_some()),
        ];
        let of_rates = of_rates.into_iter().find_map(|(flag, is_given)| is_given.then_some(flag));
        match (self.policy, of_rates) {
            (PolicyKind::ConsecutiveFailures, Some(flag)) => {
                return found(&[flag, "policy"], format!("--{flag} is never looked at: write --policy rates too"));
            }
            (PolicyKind::ConsecutiveFailures, None) if u64::from(attempts) >= failure_threshold.get() => {
                let enough = attempts.saturating_add(1).max(2);
                let said = format!(
                    "--attempts {attempts} must be fewer than --failure-threshold {failure_threshold}: one call alone \
                     must not open the breaker; write --attempts 1 or a threshold of {enough} or more"
                );
                return found(&["attempts", "failure-threshold"], said);
            }
            (PolicyKind::Rates, _) if u64::from(attempts) >= self.fewest_judged() => {
                let said = format!(
                    "--attempts {attempts} must be fewer than --minimum-calls and --window: one call alone must not \
                     open the breaker"
                );
                return found(&["attempts", "minimum-calls", "window"], said);
            }
            (PolicyKind::ConsecutiveFailures | PolicyKind::Rates, _) => {}
        }
        if let Some(never) = self.never_judged(plan).filter(|_| self.policy == PolicyKind::Rates) {
            Some(never)
        } else if slow_call_rate.is_some() && slow_call.is_none() {
            let said = "--slow-call-rate is never looked at: write --slow-call TIME too".to_owned();
            found(&["slow-call-rate"], said)
        } else if let Some(slow) = slow_call.filter(|slow| *slow >= timeout) {
            let said = format!(
                "--slow-call {slow:?} must be shorter than --attempt-timeout {timeout:?}: an attempt that takes longer \
                 is a failure already"
            );
            found(&["slow-call", "attempt-timeout"], said)
        } else if self.half_open_wait <= timeout {
            let said = format!(
                "--half-open-wait {:?} must be longer than --attempt-timeout {timeout:?}: a trial attempt that may yet \
                 succeed would open the breaker again",
                self.half_open_wait
            );
            found(&["half-open-wait", "attempt-timeout"], said)
        } else if let Some(longest) = self.open_for_longest.filter(|longest| *longest < self.open_for) {
            let said =
                format!("--open-for-longest {longest:?} must not be shorter than --open-for {:?}", self.open_for);
            found(&["open-for-longest", "open-for"], said)
        } else {
            None
        }
    }

    /// The least number of attempts that can open it by their rates.
    fn fewest_judged(&self) -> u64 {
        let Rates { window, minimum_calls, .. } = self.rates();
        match window {
            Window::Calls(size) => minimum_calls.get().min(size.get().into()),
            Window::Time(_) => minimum_calls.get(),
        }
    }

    /// Its window can never hold as many attempts as are judged.
    fn never_judged(&self, plan: &Plan) -> Option<Contradiction> {
        let Rates { window: Window::Time(span), minimum_calls, .. } = self.rates() else { return None };
        let ticks = span.as_nanos() / plan.interval.as_nanos().max(1) + 1;
        let most = ticks.saturating_mul(plan.attempts.into());
        let said = format!(
            "--window {span:?} holds {most} attempts at most, up to {} each --interval {:?}, and fewer than \
             --minimum-calls {minimum_calls} are not judged: the breaker would never open; write --minimum-calls {most} \
             or fewer, or a longer --window",
            plan.attempts, plan.interval
        );
        let between = vec!["minimum-calls", "window", "interval"];
        (most < minimum_calls.get().into()).then_some(Contradiction { between, said })
    }

    fn rates(&self) -> Rates {
        let default = Rates::default();
        let slow =
            |longer_than| SlowCalls { longer_than, rate: self.slow_call_rate.unwrap_or(SlowCalls::default().rate) };
        Rates {
            window: self.window.unwrap_or(default.window),
            minimum_calls: self.minimum_calls.unwrap_or(default.minimum_calls),
            failure_rate: self.failure_rate.unwrap_or(default.failure_rate),
            slow_calls: self.slow_call.map(slow),
        }
    }

    /// As the breaker has them.
    pub fn settings(&self) -> Settings {
        let policy = match self.policy {
            PolicyKind::ConsecutiveFailures => Policy::ConsecutiveFailures(self.failure_threshold),
            PolicyKind::Rates => Policy::Rates(self.rates()),
        };
        let open_time = match self.open_for_longest {
            None => OpenTime::fixed(self.open_for),
            Some(longest) => OpenTime::growing(self.open_for, longest),
        };
        Settings::default()
            .with_policy(policy)
            .with_open_time(self.open_for_jitter.map_or(open_time, |jitter| open_time.with_jitter(jitter)))
            .with_half_open(HalfOpen { calls: self.half_open_calls, wait: Some(self.half_open_wait) })
            .with_unit(Unit::Attempt)
    }
}

fn window(text: &str) -> Result<Window, String> {
    let calls = text.parse().map(Window::Calls);
    calls
        .or_else(|_| above_zero(text).map(Window::Time))
        .map_err(|_| "write a number of attempts up to 65535, like 100, or a time, like 30s".to_owned())
}

fn percent(text: &str) -> Result<Percent, String> {
    let number = text.strip_suffix('%').and_then(|number| number.trim_end().parse().ok());
    number.and_then(Percent::new).ok_or_else(|| "write a whole percentage from 1% to 100%, like 50%".to_owned())
}
