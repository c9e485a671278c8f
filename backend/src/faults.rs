//! Faults on purpose: which calls of `/data` fail or are late, so that a breaker can be tried without a cluster.

use std::{
    fmt,
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use breakwater_service::{duration, share};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The faults that are asked for; none by default. What a flag, or `PUT /faults`, does not say is none.
///
/// ```
/// use breakwater_backend::faults::Faults;
///
/// let faults: Faults = serde_json::from_str(r#"{"failRate": "10%", "latency": "200ms±50ms", "failFor": "15s"}"#).unwrap();
/// assert_eq!(faults.fail_rate.0, 0.1);
/// assert_eq!(faults.latency.unwrap().mean.as_millis(), 200);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Faults {
    /// This share of the calls is answered by 503.
    pub fail_rate: Share,
    /// Calls are answered so much later.
    pub latency: Option<Latency>,
    /// All calls are answered by 503 for so long, from when it is asked for.
    #[serde(with = "optional_duration")]
    pub fail_for: Option<Duration>,
}

/// A part of all calls, from 0 to 1. In JSON a number or a text: `0.1` or `"10%"`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share(pub f64);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        share::parse(text).map(Self)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Said {
            Number(f64),
            Text(String),
        }
        let text = match Said::deserialize(deserializer)? {
            Said::Number(number) => number.to_string(),
            Said::Text(text) => text,
        };
        text.parse().map_err(de::Error::custom)
    }
}

/// A delay around a mean, each one drawn evenly: `200ms±50ms` is from 150 to 250 ms. `+-` may be written for `±`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// The middle.
    pub mean: Duration,
    /// How far from it a delay may be; not more than the mean.
    pub spread: Duration,
}

impl FromStr for Latency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mean, spread) = text.split_once('±').or_else(|| text.split_once("+-")).unwrap_or((text, "0s"));
        let read = |text: &str| duration::parse(text.trim());
        let (Ok(mean), Ok(spread)) = (read(mean), read(spread)) else {
            return Err("write a latency with its unit, like 200ms or 200ms±50ms".to_owned());
        };
        if spread > mean {
            Err("the part after ± must not exceed the one before it".to_owned())
        } else {
            Ok(Self { mean, spread })
        }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.mean)?;
        if self.spread.is_zero() { Ok(()) } else { write!(f, "±{:?}", self.spread) }
    }
}

impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Latency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

mod optional_duration {
    use super::*;

    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        duration.map(|duration| format!("{duration:?}")).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| duration::parse(&text)).transpose().map_err(de::Error::custom)
    }
}

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// It is answered so much later.
    pub delay: Duration,
    /// It is answered by 503.
    pub fails: bool,
}

/// The faults that are in force. Times are since the start of the process, and passed in; so is chance.
#[derive(Debug, Default)]
pub struct Switches(Mutex<InForce>);

#[derive(Clone, Copy, Debug, Default)]
struct InForce {
    faults: Faults,
    since: Duration,
}

impl Switches {
    /// From `now` on these faults, in the place of those before.
    pub fn set(&self, faults: Faults, now: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = InForce { faults, since: now };
    }

    /// The faults in force `now`: [`Faults::fail_for`] is what is left of it.
    pub fn get(&self, now: Duration) -> Faults {
        let InForce { faults, since } = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = |fail_for: Duration| fail_for.checked_sub(now.saturating_sub(since)).filter(|left| !left.is_zero());
        Faults { fail_for: faults.fail_for.and_then(left), ..faults }
    }

    /// What happens to a call that comes `now`; `random` draws evenly from 0 to below 1.
    pub fn draw(&self, now: Duration, mut random: impl FnMut() -> f64) -> Fault {
        let Faults { fail_rate, latency, fail_for } = self.get(now);
        let late = |latency: Latency| latency.mean - latency.spread + (2 * latency.spread).mul_f64(random());
        Fault { delay: latency.map(late).unwrap_or_default(), fails: fail_for.is_some() || random() < fail_rate.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_read_and_nonsense_is_not() {
        let millis =
            |mean, spread| Latency { mean: Duration::from_millis(mean), spread: Duration::from_millis(spread) };
        for (text, latency) in [
            ("200ms", millis(200, 0)),
            ("200ms±50ms", millis(200, 50)),
            ("1s +- 500ms", millis(1000, 500)),
            ("50ms±50ms", millis(50, 50)),
        ] {
            assert_eq!(text.parse(), Ok(latency), "{text}");
            assert_eq!(latency.to_string().parse(), Ok(latency), "as it is written");
        }
        for (text, said) in [
            ("200", "with its unit"),
            ("±50ms", "with its unit"),
            ("1ms±", "with its unit"),
            ("1ms±2ms", "must not exceed"),
        ] {
            assert!(text.parse::<Latency>().unwrap_err().contains(said), "{text}");
        }
    }

    #[test]
    fn json_is_read_as_it_is_written_and_nonsense_is_refused() {
        let text = r#"{"failRate":0.25,"latency":"200ms±50ms","failFor":"15s"}"#;
        let faults: Faults = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&faults).unwrap(), text);
        assert_eq!(serde_json::from_str::<Faults>("{}").unwrap(), Faults::default());
        for text in [r#"{"failRate": 2}"#, r#"{"fail-rate": 0.1}"#, r#"{"latency": 200}"#, r#"{"failFor": "15"}"#, "1"]
        {
            assert!(serde_json::from_str::<Faults>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_call_fails_by_its_share_and_while_all_do_and_is_as_late_as_drawn() {
        let at = Duration::from_millis;
        let switches = Switches::default();
        let draw = |now, chance: f64| switches.draw(at(now), || chance);
        assert_eq!(draw(0, 0.0), Fault { delay: Duration::ZERO, fails: false });

        let faults = Faults { fail_rate: Share(0.1), latency: "200ms±50ms".parse().ok(), fail_for: None };
        switches.set(faults, at(0));
        for (chance, delay, fails) in [(0.0, 150, true), (0.09, 159, true), (0.1, 160, false), (0.5, 200, false)] {
            assert_eq!(draw(0, chance), Fault { delay: at(delay), fails }, "{chance}");
        }
        switches.set(Faults { fail_for: Some(at(100)), ..Faults::default() }, at(1000));
        assert!(draw(1000, 0.9).fails && draw(1099, 0.9).fails);
        assert_eq!(switches.get(at(1099)).fail_for, Some(at(1)));
        assert!(!draw(1100, 0.0).fails, "it is over");
        assert_eq!(switches.get(at(1100)), Faults::default());
    }
}
