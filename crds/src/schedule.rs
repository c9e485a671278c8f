//! When an experiment runs.

use jiff::{Timestamp, civil};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{Duration, duration};

/// CEL rule of a cron expression: five fields of numbers, names, ranges, steps and lists.
const CRON_RULE: &str =
    "self.matches('^([0-9*/,-]+) +([0-9*/,-]+) +([0-9*/,-]+) +([0-9A-Za-z*/,-]+) +([0-9A-Za-z*/,-]+)$')";

/// What the API server says to a cron expression that breaks [`CRON_RULE`].
const CRON_MESSAGE: &str = "must have the five fields minute, hour, day of month, month and day of week, such as '*/30 9-17 * * 1-5' or '0 3 * * SUN'; there is no field for seconds";

/// CEL rule of a moment. Not by `format: date-time`: for a text with a format the API server takes a list, too. The years are those
/// that the operator's clock can have.
const AT_RULE: &str = "self.matches('^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9]([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$') && timestamp(self) > timestamp('2000-01-01T00:00:00Z') && timestamp(self) < timestamp('9000-01-01T00:00:00Z')";

/// What the API server says to a moment that breaks [`AT_RULE`].
const AT_MESSAGE: &str = "must be a moment with its zone, such as 2026-12-01T09:00:00Z or 2026-12-01T10:00:00+01:00";

/// CEL rule of a date.
const DATE_RULE: &str = "self.matches('^[2-8][0-9]{3}-[0-9]{2}-[0-9]{2}$') && timestamp(self + 'T00:00:00Z') > timestamp('1999-12-31T00:00:00Z')";

/// What the API server says to a date that breaks [`DATE_RULE`].
const DATE_MESSAGE: &str = "must be a date such as 2026-12-24";

/// CEL rule of a time of the day.
const TIME_RULE: &str = "self.matches('^([01][0-9]|2[0-3]):[0-5][0-9]$')";

/// What the API server says to a time that breaks [`TIME_RULE`].
const TIME_MESSAGE: &str = "must be a time of the day from 00:00 to 23:59, such as 09:30";

/// When an experiment runs, and in how many rounds.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.cron) && has(self.at))").message("say cron or at, not both"),
    validation = Rule::new("has(self.cron) || (!has(self.timeZone) && !has(self.excluded))").message("timeZone and excluded are for cron; at has its zone in itself, such as 2026-12-01T09:00:00+01:00")
)]
pub struct Schedule {
    /// Runs again and again at these times: minute, hour, day of month, month, day of week, as in a CronJob. It never runs when it is
    /// applied. A start that falls into a run is skipped and counted in status.missedRuns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 120))]
    #[x_kube(validation = Rule::new(CRON_RULE).message(CRON_MESSAGE))]
    pub cron: Option<String>,
    /// Runs once, at this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text")]
    #[x_kube(validation = Rule::new(AT_RULE).message(AT_MESSAGE))]
    pub at: Option<Timestamp>,
    /// IANA name of the time zone of cron and excluded, such as Europe/Berlin. Where minute and hour of cron are one number each, such
    /// as 30 2, a start in the hour that is left out when clocks go forward comes right after that hour, and one in the hour that comes
    /// twice when they go back comes the first time only. With lists, ranges, steps or wildcards in either, such as 0,30 2 or 30 2,14,
    /// there is no start in the hour that is left out, and those in the hour that comes twice come both times. Default UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z][A-Za-z0-9_+/-]*$') && timestamp('2026-01-01T00:00:00Z').getFullYear(self) > 0").message("must be the IANA name of a time zone, such as UTC or Europe/Berlin"))]
    pub time_zone: Option<String>,
    /// A start that is missed by more than this, as the operator was away or halted, is skipped and counted in status.missedRuns.
    /// Between 1s and 24h. Default 60s.
    #[serde(default = "default_deadline")]
    #[x_kube(validation = Rule::new(duration::RULE).message(duration::MESSAGE),
        validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('24h')").message("must be between 1s and 24h"))]
    pub starting_deadline: Duration,
    /// Windows in which cron starts nothing. A start in one of them is no missed start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub excluded: Vec<Window>,
    /// Rounds of kills in a run. Each begins from a baseline of its own: every breaker closed again, the targets ready. Default 1,
    /// at most 10.
    #[serde(default = "default_rounds")]
    #[schemars(range(min = 1, max = 10))]
    pub rounds: u32,
    /// From the end of one round to the baseline of the next, at least. Between 0s and 1h. Default 10s.
    #[serde(default = "default_pause")]
    #[x_kube(validation = Rule::new(duration::RULE).message(duration::MESSAGE),
        validation = Rule::new("duration(self) <= duration('1h')").message("must be at most 1h"))]
    pub pause_between_rounds: Duration,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            cron: None,
            at: None,
            time_zone: None,
            starting_deadline: default_deadline(),
            excluded: vec![],
            rounds: default_rounds(),
            pause_between_rounds: default_pause(),
        }
    }
}

/// A window of time. What it says must all be true of a moment for the moment to be in it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.days) || has(self.from) || has(self.to) || has(self.firstDate) || has(self.lastDate)")
    .message("an empty window would be all time; say days, from and to, or firstDate and lastDate"),
    validation = Rule::new("!has(self.firstDate) || !has(self.lastDate) || self.firstDate <= self.lastDate")
    .message("lastDate is before firstDate, and nothing would be excluded; a window may go on into the next year: firstDate: 2026-12-24, lastDate: 2027-01-01"))]
pub struct Window {
    /// Days of the week: Mon, Tue, Wed, Thu, Fri, Sat, Sun. Absent: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 7))]
    pub days: Vec<Day>,
    /// From this time of the day, such as 22:00. Absent: from midnight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text")]
    #[x_kube(validation = Rule::new(TIME_RULE).message(TIME_MESSAGE))]
    pub from: Option<TimeOfDay>,
    /// Up to this time of the day, itself not included. Earlier than from, it is that time of the next day. Absent: to midnight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text")]
    #[x_kube(validation = Rule::new(TIME_RULE).message(TIME_MESSAGE))]
    pub to: Option<TimeOfDay>,
    /// The first day, such as 2026-12-24.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text")]
    #[x_kube(validation = Rule::new(DATE_RULE).message(DATE_MESSAGE))]
    pub first_date: Option<civil::Date>,
    /// The last day, itself included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text")]
    #[x_kube(validation = Rule::new(DATE_RULE).message(DATE_MESSAGE))]
    pub last_date: Option<civil::Date>,
}

/// A day of the week.
#[allow(missing_docs, reason = "they are days")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl From<civil::Weekday> for Day {
    fn from(day: civil::Weekday) -> Self {
        match day {
            civil::Weekday::Monday => Self::Mon,
            civil::Weekday::Tuesday => Self::Tue,
            civil::Weekday::Wednesday => Self::Wed,
            civil::Weekday::Thursday => Self::Thu,
            civil::Weekday::Friday => Self::Fri,
            civil::Weekday::Saturday => Self::Sat,
            civil::Weekday::Sunday => Self::Sun,
        }
    }
}

/// A time of the day in hours and minutes: `09:30`.
///
/// ```
/// use breakwater_crds::TimeOfDay;
///
/// let noon: TimeOfDay = serde_json::from_str("\"12:00\"").unwrap();
/// assert_eq!(noon.0, jiff::civil::time(12, 0, 0, 0));
/// assert!(serde_json::from_str::<TimeOfDay>("\"24:00\"").is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOfDay(pub civil::Time);

impl Serialize for TimeOfDay {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.strftime("%H:%M"))
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = civil::Time::strptime("%H:%M", &text);
        time.map(Self).map_err(|_| serde::de::Error::custom(format!("{text:?} is not a time of the day such as 09:30")))
    }
}

/// A text whose rule says what it must be; the bound lets the API server estimate what the rule costs.
fn text(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 64, "nullable": true})
}

fn default_deadline() -> Duration {
    Duration::from_secs(60)
}

fn default_rounds() -> u32 {
    1
}

fn default_pause() -> Duration {
    Duration::from_secs(10)
}
