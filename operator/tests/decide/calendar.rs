//! Cron, time zones and excluded windows.

use breakwater_crds::Schedule;
use breakwater_operator::decide::{Calendar, Due, MISSED_AT_MOST};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use crate::cases;

fn schedule(yaml: &str) -> Schedule {
    serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"))
}

fn calendar(yaml: &str) -> Calendar {
    Calendar::of(&schedule(yaml)).unwrap().expect("it has a cron")
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The next starts after a moment.
fn starts(yaml: &str, from: &str, count: usize) -> Vec<String> {
    let (calendar, mut moment) = (calendar(yaml), at(from));
    let next = || {
        moment = calendar.after(moment)?;
        Some(moment.to_string())
    };
    std::iter::from_fn(next).take(count).collect()
}

#[test]
fn starts_are_what_cron_says_in_its_zone() {
    for (yaml, from, expected) in [
        ("cron: '*/30 9-17 * * 1-5'", "2026-11-27T17:29:59Z", vec!["2026-11-27T17:30:00Z", "2026-11-30T09:00:00Z"]),
        (
            "cron: '0 9 * * *'\ntimeZone: Europe/Berlin",
            "2026-12-01T00:00:00Z",
            vec!["2026-12-01T08:00:00Z", "2026-12-02T08:00:00Z"],
        ),
        ("cron: '0 0 1 JAN *'", "2026-12-01T00:00:00Z", vec!["2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z"]),
        ("cron: '0 3 * * SUN'", "2026-11-24T00:00:00Z", vec!["2026-11-29T03:00:00Z", "2026-12-06T03:00:00Z"]),
        ("cron: '0 0 29 2 *'", "2026-12-01T00:00:00Z", vec!["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]),
        // Clocks go forward at 02:00 on 28 March 2027 in Berlin: 02:30 is not there, and its start comes right after the hour.
        (
            "cron: '30 2 * * *'\ntimeZone: Europe/Berlin",
            "2027-03-27T12:00:00Z",
            vec!["2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z"],
        ),
        // A wildcard hour simply has no such hour.
        (
            "cron: '30 * * * *'\ntimeZone: Europe/Berlin",
            "2027-03-28T00:00:00Z",
            vec!["2027-03-28T00:30:00Z", "2027-03-28T01:30:00Z"],
        ),
        // Clocks go back at 03:00 on 31 October 2027: 02:30 comes twice, and a start at a fixed hour once.
        (
            "cron: '30 2 * * *'\ntimeZone: Europe/Berlin",
            "2027-10-30T12:00:00Z",
            vec!["2027-10-31T00:30:00Z", "2027-11-01T01:30:00Z"],
        ),
        (
            "cron: '30 * * * *'\ntimeZone: Europe/Berlin",
            "2027-10-31T00:00:00Z",
            vec!["2027-10-31T00:30:00Z", "2027-10-31T01:30:00Z"],
        ),
        // Half an hour back, in Lord Howe.
        (
            "cron: '45 1 * * *'\ntimeZone: Australia/Lord_Howe",
            "2027-04-02T20:00:00Z",
            vec!["2027-04-03T14:45:00Z", "2027-04-04T15:15:00Z"],
        ),
    ] {
        assert_eq!(starts(yaml, from, expected.len()), expected, "{yaml} from {from}");
    }
}

/// Berlin's clocks go forward at 02:00 on 28 March 2027 (01:00 UTC), and back at 03:00 on 31 October 2027 (01:00 UTC).
#[test]
fn only_a_cron_of_one_time_a_day_makes_up_for_a_left_out_hour_and_passes_over_its_repetition() {
    for (cron, spring, autumn) in [
        (
            "30 2 * * *",
            vec!["2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z"],
            vec!["2027-10-31T00:30:00Z", "2027-11-01T01:30:00Z"],
        ),
        (
            "0,30 2 * * *",
            vec!["2027-03-29T00:00:00Z", "2027-03-29T00:30:00Z"],
            vec![
                "2027-10-31T00:00:00Z",
                "2027-10-31T00:30:00Z",
                "2027-10-31T01:00:00Z",
                "2027-10-31T01:30:00Z",
                "2027-11-01T01:00:00Z",
            ],
        ),
        (
            "*/15 2 * * *",
            vec!["2027-03-29T00:00:00Z", "2027-03-29T00:15:00Z"],
            vec![
                "2027-10-31T00:00:00Z",
                "2027-10-31T00:15:00Z",
                "2027-10-31T00:30:00Z",
                "2027-10-31T00:45:00Z",
                "2027-10-31T01:00:00Z",
                "2027-10-31T01:15:00Z",
                "2027-10-31T01:30:00Z",
                "2027-10-31T01:45:00Z",
                "2027-11-01T01:00:00Z",
            ],
        ),
        (
            "30 2,14 * * *",
            vec!["2027-03-28T12:30:00Z", "2027-03-29T00:30:00Z"],
            vec!["2027-10-31T00:30:00Z", "2027-10-31T01:30:00Z", "2027-10-31T13:30:00Z", "2027-11-01T01:30:00Z"],
        ),
        (
            "30 1-3 * * *",
            vec!["2027-03-28T00:30:00Z", "2027-03-28T01:30:00Z", "2027-03-28T23:30:00Z"],
            vec![
                "2027-10-30T23:30:00Z",
                "2027-10-31T00:30:00Z",
                "2027-10-31T01:30:00Z",
                "2027-10-31T02:30:00Z",
                "2027-11-01T00:30:00Z",
            ],
        ),
    ] {
        let yaml = format!("cron: '{cron}'\ntimeZone: Europe/Berlin");
        for (from, expected) in [("2027-03-27T16:00:00Z", spring), ("2027-10-30T16:00:00Z", autumn)] {
            assert_eq!(starts(&yaml, from, expected.len()), expected, "{cron} from {from}");
        }
    }
}

#[test]
fn nothing_starts_in_an_excluded_window() {
    for (excluded, from, expected) in [
        ("{days: [Sat, Sun]}", "2026-11-27T23:30:00Z", "2026-11-30T00:00:00Z"),
        ("{from: '22:00', to: '06:00'}", "2026-11-27T21:00:00Z", "2026-11-28T06:00:00Z"),
        // A window over midnight is of the day on which it begins.
        ("{days: [Fri], from: '22:00', to: '06:00'}", "2026-11-27T21:00:00Z", "2026-11-28T06:00:00Z"),
        ("{days: [Sat], from: '22:00', to: '06:00'}", "2026-11-27T21:00:00Z", "2026-11-27T22:00:00Z"),
        ("{from: '12:00', to: '14:00'}", "2026-11-27T11:00:00Z", "2026-11-27T14:00:00Z"),
        ("{firstDate: 2026-12-24, lastDate: 2027-01-01}", "2026-12-23T23:00:00Z", "2027-01-02T00:00:00Z"),
        ("{firstDate: 2026-12-24, from: '18:00'}", "2026-12-24T17:00:00Z", "2026-12-25T00:00:00Z"),
        ("{lastDate: 2026-12-24}", "2026-11-01T00:00:00Z", "2026-12-25T00:00:00Z"),
        ("{days: [Sat]}, {days: [Sun]}, {days: [Mon], to: '08:00'}", "2026-11-27T23:30:00Z", "2026-11-30T08:00:00Z"),
    ] {
        let yaml = format!("cron: '0 * * * *'\nexcluded: [{excluded}]");
        assert_eq!(starts(&yaml, from, 1), [expected], "{excluded}");
    }
    let local = "cron: '0 * * * *'\ntimeZone: Asia/Tokyo\nexcluded: [{days: [Sat, Sun]}]";
    assert_eq!(starts(local, "2026-11-27T14:30:00Z", 1), ["2026-11-29T15:00:00Z"], "a weekend in Tokyo");
}

#[test]
fn a_schedule_that_never_comes_has_no_start() {
    for yaml in ["cron: '0 0 30 2 *'", "cron: '* * * * *'\nexcluded: [{days: [Mon, Tue, Wed, Thu, Fri, Sat, Sun]}]"] {
        assert_eq!(calendar(yaml).after(at("2026-12-01T00:00:00Z")), None, "{yaml}");
    }
}

#[test]
fn what_is_no_schedule_is_said_in_words() {
    for (yaml, words) in [
        ("cron: '61 * * * *'", "cron"),
        ("cron: '* * * * * *'", "cron"),
        ("cron: '@daily'", "cron"),
        ("cron: '17-9 * * * *'", "cron"),
        ("cron: '0 * * * *'\ntimeZone: Europe/Berlinn", "Europe/Berlinn"),
    ] {
        match Calendar::of(&schedule(yaml)) {
            Err(error) => assert!(error.contains(words), "{yaml}: {error}"),
            Ok(_) if yaml.contains('@') || yaml.contains("17-9") => {}
            Ok(_) => panic!("{yaml} is taken"),
        }
    }
}

#[test]
fn of_several_missed_starts_the_newest_is_made_up_for_within_the_deadline() {
    let every_minute = calendar("cron: '* * * * *'");
    let due = |calendar: &Calendar, next: &str, now: &str, seconds| {
        calendar.due(at(next), at(now), SignedDuration::from_secs(seconds))
    };
    let (next, none) = ("2026-12-01T09:00:00Z", None);
    for (now, deadline, start, missed) in [
        ("2026-12-01T08:59:59Z", 60, none, 0),
        ("2026-12-01T09:00:00Z", 60, Some("2026-12-01T09:00:00Z"), 0),
        ("2026-12-01T09:00:59.9Z", 60, Some("2026-12-01T09:00:00Z"), 0),
        ("2026-12-01T09:03:10Z", 60, Some("2026-12-01T09:03:00Z"), 3),
        ("2026-12-01T09:03:10Z", 5, none, 4),
    ] {
        let expected = Due { start: start.map(at), missed };
        assert_eq!(due(&every_minute, next, now, deadline), expected, "at {now} with {deadline} s");
    }
    // A year away.
    let year = due(&every_minute, next, "2027-12-01T09:00:10Z", 60);
    assert_eq!(year, Due { start: Some(at("2027-12-01T09:00:00Z")), missed: MISSED_AT_MOST });
    // What is excluded is not missed.
    let nights = calendar("cron: '0 * * * *'\nexcluded: [{from: '10:00', to: '08:00'}]");
    let due = due(&nights, next, "2026-12-02T09:30:00Z", 3600);
    assert_eq!(due, Due { start: Some(at("2026-12-02T09:00:00Z")), missed: 2 });
}

proptest! {
    #![proptest_config(cases(300))]

    /// Whatever the windows: a start is outside of them, on the minute, and after the moment asked for; and it is the one that a
    /// walk over all minutes finds.
    #[test]
    fn the_next_start_is_the_first_minute_that_fits(
        minute in prop_oneof![Just("*"), Just("*/15"), Just("7")],
        hour in prop_oneof![Just("*"), Just("9-17"), Just("*/6")],
        windows in proptest::collection::vec((0..24i8, 0..24i8, proptest::sample::subsequence(vec!["Mon", "Tue", "Wed", "Thu", "Fri"], 0..3)), 0..3),
        hours in 0..24 * 7i64,
    ) {
        let excluded = windows.iter().map(|(from, to, days)| {
            let days = if days.is_empty() { String::new() } else { format!(", days: [{}]", days.join(", ")) };
            format!("{{from: '{from:02}:00', to: '{to:02}:00'{days}}}")
        });
        let yaml = format!("cron: '{minute} {hour} * * *'\nexcluded: [{}]", excluded.collect::<Vec<_>>().join(", "));
        let from = at("2026-12-01T00:00:30Z") + SignedDuration::from_hours(hours);
        let next = calendar(&yaml).after(from);
        let plain = calendar(&format!("cron: '{minute} {hour} * * *'"));
        let inside = |moment: Timestamp| windows.iter().any(|(from, to, days)| {
            let zoned = moment.to_zoned(jiff::tz::TimeZone::UTC);
            let (hour, day) = (zoned.hour(), zoned.date());
            let of = |day: jiff::civil::Date| days.is_empty() || days.iter().any(|name| day.strftime("%a").to_string() == *name);
            if from < to { hour >= *from && hour < *to && of(day) }
            else { hour >= *from && of(day) || hour < *to && of(day.yesterday().unwrap()) }
        });
        let mut expected = plain.after(from);
        for _ in 0..60 * 24 * 9 {
            match expected { Some(moment) if inside(moment) => expected = plain.after(moment), _ => break }
        }
        prop_assert_eq!(next.is_some_and(|next| !inside(next) && next > from), next.is_some());
        if expected.is_some_and(|moment| !inside(moment)) { prop_assert_eq!(next, expected, "{}", yaml); }
    }
}
