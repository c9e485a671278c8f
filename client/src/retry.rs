//! When an attempt is followed by another, and after how long.

use std::time::Duration;

use tower::retry::budget::{Budget as _, TpsBudget};

/// Delays before retries, with full jitter: each is drawn from `0..min(cap, base * 2^n)`.
///
/// Full jitter spreads clients that failed together best, see
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>. backon's own jitter adds up to a whole
/// delay after its cap.
///
/// ```
/// use std::time::Duration;
/// use breakwater_client::retry::FullJitter;
///
/// let [base, cap] = [100, 500].map(Duration::from_millis);
/// let longest: Vec<_> = FullJitter::new(base, cap, 4, || 1.0).map(|delay| delay.as_millis()).collect();
/// assert_eq!(longest, [100, 200, 400, 500]);
/// ```
#[derive(Clone, Debug)]
pub struct FullJitter<R> {
    ceiling: Duration,
    cap: Duration,
    retries: u32,
    random: R,
}

impl<R: FnMut() -> f64> FullJitter<R> {
    /// Delays for so many `retries`; `random` draws evenly from 0 to 1.
    pub fn new(base: Duration, cap: Duration, retries: u32, random: R) -> Self {
        Self { ceiling: base.min(cap), cap, retries, random }
    }
}

impl<R: FnMut() -> f64> Iterator for FullJitter<R> {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.retries = self.retries.checked_sub(1)?;
        let delay = self.ceiling.mul_f64((self.random)().clamp(0.0, 1.0));
        self.ceiling = self.ceiling.saturating_mul(2).min(self.cap);
        Some(delay)
    }
}

/// How long a call counts for the budget.
const BUDGET_OF: Duration = Duration::from_secs(10);

/// A retry costs so much. tower's budget takes one for each call and rounds what a retry costs down to whole calls, so that 60 % would
/// be 100 %; here a call brings its share of this. A power of two, which is exact as one divided by it.
const RETRY: u16 = 1024;

/// A budget of retries: a share of the calls of the last 10 s, and a reserve each second however few calls there are. It
/// keeps retries from multiplying the load on a backend that fails because of it; the rule is
/// [Finagle's](https://twitter.github.io/finagle/guide/Clients.html#retries), and so are the defaults.
///
/// It holds back only what is above the reserve of 10 s.
#[derive(Debug)]
pub struct Budget {
    spent_on: TpsBudget,
    a_call: u16,
}

impl Budget {
    /// A budget of this `share`, from 0 to 1, rounded up to 1/1024, with so many retries a second in `reserve`.
    pub fn new(share: f64, reserve: u32) -> Self {
        let a_call = (share.clamp(0.0, 1.0) * f64::from(RETRY)).ceil() as u16;
        Self { spent_on: TpsBudget::new(BUDGET_OF, reserve, 1.0 / f32::from(RETRY)), a_call }
    }

    /// A call is made, whatever comes of it.
    pub fn deposit(&self) {
        (0..self.a_call).for_each(|_| self.spent_on.deposit());
    }

    /// Whether there may be a retry, which is taken from it.
    pub fn withdraw(&self) -> bool {
        self.spent_on.withdraw()
    }
}

/// A retry starts only if what is left of the deadline covers its delay and a whole attempt.
pub fn fits(delay: Duration, attempt_timeout: Duration, left: Duration) -> bool {
    delay.saturating_add(attempt_timeout) <= left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_needs_room_for_a_whole_attempt() {
        for (delay, attempt, left, expected) in
            [(0, 2000, 1000, false), (100, 2000, 2999, true), (1000, 2000, 2999, false), (1000, 2000, 3000, true)]
        {
            let [delay, attempt, left] = [delay, attempt, left].map(Duration::from_millis);
            assert_eq!(fits(delay, attempt, left), expected, "{delay:?} + {attempt:?} in {left:?}");
        }
        assert!(!fits(Duration::MAX, Duration::MAX, Duration::from_secs(1)));
    }

    #[test]
    fn delays_are_even_shares_of_a_growing_ceiling() {
        let [base, cap] = [100, 300].map(Duration::from_millis);
        let millis = |random: f64| -> Vec<_> {
            FullJitter::new(base, cap, 3, || random).map(|delay| delay.as_millis()).collect()
        };
        assert_eq!(millis(0.0), [0, 0, 0]);
        assert_eq!(millis(0.5), [50, 100, 150]);
        assert_eq!(FullJitter::new(cap, base, 1, || 1.0).next(), Some(base), "the cap bounds the first delay too");
        assert_eq!(FullJitter::new(base, cap, 0, || 1.0).next(), None);
    }
}
