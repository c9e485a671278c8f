//! How long a breaker stays open.

use std::time::Duration;

use crate::{clock::nanos, settings::Percent};

/// How long a breaker stays open: always the same, or twice as long with each opening that follows a failed trial, up to a
/// bound. Jitter takes a part off, so that many clients of one backend do not all try it in the same moment.
///
/// ```
/// use std::time::Duration;
/// use breakwater_breaker::{OpenTime, Percent};
///
/// let [second, minute] = [1, 60].map(Duration::from_secs);
/// let open_time = OpenTime::growing(second, minute).with_jitter(Percent::new(50).unwrap());
/// // The first opening, and those after 3 and after 100 trials in a row that failed; nothing taken off.
/// assert_eq!([0, 3, 100].map(|failed| open_time.nth(failed, 0)), [second, 8 * second, minute]);
/// // As much taken off as may be: half.
/// assert_eq!(open_time.nth(0, u64::MAX).as_millis(), 500);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenTime {
    first: Duration,
    longest: Duration,
    jitter: Option<Percent>,
}

impl OpenTime {
    /// Always `time`.
    pub const fn fixed(time: Duration) -> Self {
        Self { first: time, longest: time, jitter: None }
    }

    /// `first` after the breaker was closed, then twice as long each time, but never longer than `longest`.
    pub const fn growing(first: Duration, longest: Duration) -> Self {
        Self { first, longest, jitter: None }
    }

    /// Takes up to `jitter` off each time, evenly distributed. It is drawn from the breaker's epoch.
    pub const fn with_jitter(self, jitter: Percent) -> Self {
        Self { jitter: Some(jitter), ..self }
    }

    /// The bound, which jitter does not exceed.
    pub fn longest(&self) -> Duration {
        self.first.max(self.longest)
    }

    /// How long to stay open after `failed` trials in a row; `draw` says what is taken off, from 0 to all that may be.
    pub fn nth(&self, failed: u32, draw: u64) -> Duration {
        let factor = 2u32.checked_pow(failed).unwrap_or(u32::MAX);
        let time = self.first.saturating_mul(factor).min(self.longest());
        let Some(jitter) = self.jitter else { return time };
        // Both factors have 64 bits; of a time of more than 584 years, no more than these are taken off.
        let most = u128::from(nanos(time)) * u128::from(jitter.get()) / 100;
        let off = most * u128::from(draw) / u128::from(u64::MAX);
        time.saturating_sub(Duration::from_nanos(off as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_the_bound_and_never_overflows() {
        let open_time = OpenTime::growing(Duration::from_secs(5), Duration::from_secs(60));
        assert_eq!(
            [0, 1, 2, 3, 4, 31, 32, u32::MAX].map(|n| open_time.nth(n, 0).as_secs()),
            [5, 10, 20, 40, 60, 60, 60, 60]
        );
        assert_eq!([0, 7].map(|n| OpenTime::fixed(Duration::from_secs(5)).nth(n, 7).as_secs()), [5, 5]);
        assert_eq!(OpenTime::growing(Duration::ZERO, Duration::MAX).nth(u32::MAX, 0), Duration::ZERO);
        assert_eq!(OpenTime::growing(Duration::MAX, Duration::MAX).nth(u32::MAX, 0), Duration::MAX);
        assert_eq!(OpenTime::growing(Duration::from_secs(9), Duration::from_secs(1)).nth(3, 0).as_secs(), 9);
    }

    #[test]
    fn jitter_takes_off_no_more_than_it_says() {
        let all = OpenTime::fixed(Duration::from_secs(10)).with_jitter(Percent::new(100).unwrap());
        assert_eq!(all.nth(0, 0).as_secs(), 10);
        assert_eq!(all.nth(0, u64::MAX / 2).as_secs_f64().round(), 5.0);
        assert_eq!(all.nth(0, u64::MAX), Duration::ZERO);
        let forever = OpenTime::fixed(Duration::MAX).with_jitter(Percent::new(100).unwrap());
        assert!(forever.nth(0, u64::MAX) > Duration::ZERO);
    }
}
