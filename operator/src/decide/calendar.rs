//! When a schedule starts a run. Pure: time zones come from the bundled database, the moment from the caller.

use breakwater_crds::{Day, Schedule, Window};
use croner::{Cron, parser::CronParser, parser::Seconds, parser::Year};
use jiff::{SignedDuration, Timestamp, Zoned, civil, tz::TimeZone};

/// Starts that are counted as missed in one go: a year of missed minutes must not cost half a million steps.
pub const MISSED_AT_MOST: u64 = 1000;

/// Windows that are stepped over in search of the next start. With at most 16 windows of a day or more this is over a year.
const STEPS: usize = 10_000;

/// The times of a cron expression in its zone, without those in excluded windows.
pub struct Calendar {
    cron: Cron,
    zone: TimeZone,
    excluded: Vec<Window>,
}

/// What a schedule's starts up to now come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// The start that is due: the newest one, if it is not older than the deadline.
    pub start: Option<Timestamp>,
    /// Starts that are not made up for; at most [`MISSED_AT_MOST`].
    pub missed: u64,
}

impl Calendar {
    /// The calendar of a schedule; `None` if it has no cron.
    ///
    /// # Errors
    /// In words, for an expression or a zone that is none: what the schema cannot refuse at apply.
    pub fn of(schedule: &Schedule) -> Result<Option<Self>, String> {
        let Some(text) = &schedule.cron else { return Ok(None) };
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|error| {
            format!("spec.schedule.cron {text:?} is no cron expression: {error}; write it as '*/30 9-17 * * 1-5'")
        })?;
        let name = schedule.time_zone.as_deref().unwrap_or("UTC");
        let zone = TimeZone::get(name).map_err(|_| {
            format!("spec.schedule.timeZone {name:?} is not known; write an IANA name such as Europe/Berlin")
        })?;
        Ok(Some(Self { cron, zone, excluded: schedule.excluded.clone() }))
    }

    /// The first start after a moment; `None` if there is none within the years that the search covers.
    pub fn after(&self, moment: Timestamp) -> Option<Timestamp> {
        let mut from = moment.to_zoned(self.zone.clone());
        for _ in 0..STEPS {
            let next = self.cron.find_next_occurrence(&from, false).ok()?;
            match self.excluded_until(&next) {
                None => return Some(next.timestamp()),
                // Its end is itself no longer excluded, so it may be the next start.
                Some(end) => from = end.checked_sub(SignedDuration::from_secs(1)).ok()?.max(next),
            }
        }
        None
    }

    /// What is to be made of the starts from `next` up to `now`, both included. In an excluded window none is made up for.
    pub fn due(&self, next: Timestamp, now: Timestamp, deadline: SignedDuration) -> Due {
        if now < next {
            return Due::default();
        }
        let oldest = now.checked_sub(deadline).unwrap_or(Timestamp::MIN).max(next);
        let excluded = self.excluded_until(&now.to_zoned(self.zone.clone())).is_some();
        let start = if excluded { None } else { self.newest(oldest, now) };
        let from = next.checked_sub(SignedDuration::from_secs(1)).unwrap_or(next).to_zoned(self.zone.clone());
        let starts = self.cron.iter_after(from).take_while(|at| at.timestamp() <= now);
        let missed = starts.filter(|at| self.excluded_until(at).is_none() && Some(at.timestamp()) != start);
        Due { start, missed: missed.take(usize::try_from(MISSED_AT_MOST).unwrap_or(0)).count() as u64 }
    }

    /// The newest start between two moments, both included.
    fn newest(&self, oldest: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let mut at = self.cron.find_previous_occurrence(&now.to_zoned(self.zone.clone()), true).ok()?;
        while at.timestamp() >= oldest {
            if self.excluded_until(&at).is_none() {
                return Some(at.timestamp());
            }
            at = self.cron.find_previous_occurrence(&at, false).ok()?;
        }
        None
    }

    /// The end of an excluded window that a moment is in.
    fn excluded_until(&self, moment: &Zoned) -> Option<Zoned> {
        let ends = self.excluded.iter().filter_map(|window| end_of(window, moment.datetime()));
        let end = ends.max()?;
        self.zone.to_zoned(end).ok()
    }
}

/// The end of the window, at the latest at the end of the day that it is of, if the moment is in it.
fn end_of(window: &Window, moment: civil::DateTime) -> Option<civil::DateTime> {
    let midnight = civil::Time::midnight();
    let from = window.from.map_or(midnight, |time| time.0);
    let to = window.to.map_or(midnight, |time| time.0);
    let (today, tomorrow, yesterday) = (moment.date(), moment.date().tomorrow().ok()?, moment.date().yesterday().ok()?);
    // A window that goes over midnight is of the day on which it begins.
    let (day, end) = match (from < to, moment.time()) {
        (true, time) if time >= from && time < to => (today, today.to_datetime(to)),
        (false, time) if time >= from => (today, tomorrow.to_datetime(to)),
        (false, time) if time < to => (yesterday, today.to_datetime(to)),
        _ => return None,
    };
    let of_day = window.days.is_empty() || window.days.contains(&Day::from(day.weekday()));
    let of_date = window.first_date.is_none_or(|first| day >= first) && window.last_date.is_none_or(|last| day <= last);
    (of_day && of_date).then_some(end)
}
