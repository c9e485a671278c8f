//! What an experiment expects of the breakers.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{Duration, State, duration};

/// What must happen for the verdict Passed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.sequence.size() >= 3 && self.sequence[0] == 'Closed' && self.sequence[self.sequence.size() - 1] == 'Closed' && 'Open' in self.sequence")
    .message("expect.sequence must begin and end with Closed and have Open in between; for a breaker that must not open say staysClosed: true"),
    validation = Rule::new("self.sequence.all(state, state in ['Closed', 'Open', 'HalfOpen'])")
    .message("expect.sequence can have Closed, Open and HalfOpen; a breaker that is forced open or disabled by hand makes a run Inconclusive"))]
pub struct Expect {
    /// The breakers must stay Closed all the time that observe.duration says. The other expectations do not count then.
    #[serde(default)]
    pub stays_closed: bool,
    /// Each breaker opens within this time from the first kill of a round; between 1s and 1h. Default 30s.
    #[serde(default = "default_opens_within")]
    #[x_kube(validation = Rule::new(duration::RULE).message(duration::MESSAGE),
        validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('1h')").message("must be between 1s and 1h"))]
    pub opens_within: Duration,
    /// Each breaker is closed again within this time from the end of the hold, or from the first kill where nothing is held;
    /// between 1s and 1h. Default 60s.
    #[serde(default = "default_closes_within")]
    #[x_kube(validation = Rule::new(duration::RULE).message(duration::MESSAGE),
        validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('1h')").message("must be between 1s and 1h"))]
    pub closes_within: Duration,
    /// The states that each breaker goes through, in order; HalfOpen, Open, HalfOpen in between counts as one HalfOpen.
    /// Default [Closed, Open, HalfOpen, Closed].
    #[serde(default = "default_sequence")]
    #[schemars(length(min = 1, max = 16))]
    pub sequence: Vec<State>,
    /// How often a breaker may fall back from HalfOpen to Open. Default 5.
    #[serde(default = "default_max_flaps")]
    #[schemars(range(min = 0, max = 1000))]
    pub max_flaps: u32,
    /// How many attempts may fail or be refused by the breaker at each client replica, from the baseline to the end of the run.
    /// Absent: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub errors_at_most: Option<u32>,
}

impl Default for Expect {
    fn default() -> Self {
        Self {
            stays_closed: false,
            opens_within: default_opens_within(),
            closes_within: default_closes_within(),
            sequence: default_sequence(),
            max_flaps: default_max_flaps(),
            errors_at_most: None,
        }
    }
}

fn default_opens_within() -> Duration {
    Duration::from_secs(30)
}

fn default_closes_within() -> Duration {
    Duration::from_secs(60)
}

fn default_sequence() -> Vec<State> {
    vec![State::Closed, State::Open, State::HalfOpen, State::Closed]
}

fn default_max_flaps() -> u32 {
    5
}
