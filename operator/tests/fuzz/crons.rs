//! Any text as a cron expression or a time zone.

use breakwater_crds::Schedule;
use breakwater_manifests::TEXTS;
use breakwater_operator::decide::Calendar;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use crate::cases;

/// Five fields of what can stand in one, more often right than not.
fn fields() -> impl Strategy<Value = String> {
    let field = prop_oneof![
        4 => Just("*".to_string()),
        2 => (0..70u8).prop_map(|number| number.to_string()),
        2 => (0..40u8, 0..40u8).prop_map(|(from, to)| format!("{from}-{to}")),
        2 => (0..90u8).prop_map(|step| format!("*/{step}")),
        1 => (0..9u8, 0..13u8, 0..60u8).prop_map(|(one, two, step)| format!("{one},{two}-30/{step}")),
        1 => "(MON|TUE|SUN|JAN|DEC|FRI)(-(FRI|SAT|MAR))?",
        1 => "[0-9*/,A-Z#L?W-]{1,8}",
    ];
    proptest::collection::vec(field, 5).prop_map(|fields| fields.join(" "))
}

fn moments() -> impl Strategy<Value = Timestamp> {
    // Clocks go forward and back in Berlin, on Lord Howe Island by half an hour; and any second of 400 years.
    let edges = ["2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z", "2026-04-04T15:00:00Z", "2026-10-03T15:30:00Z"];
    let near = (proptest::sample::select(edges.to_vec()), -7200..7200i64)
        .prop_map(|(edge, off)| edge.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(off));
    prop_oneof![3 => near, 1 => (0..12_600_000_000_i64).prop_map(|second| Timestamp::from_second(second).unwrap())]
}

fn zones() -> impl Strategy<Value = String> {
    let known =
        ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Apia", "Africa/Casablanca"];
    prop_oneof![
        4 => proptest::sample::select(known.to_vec()).prop_map(String::from),
        1 => proptest::sample::select(TEXTS.to_vec()).prop_map(String::from),
        1 => ".{0,70}",
    ]
}

proptest! {
    #![proptest_config(cases(1500))]

    #[test]
    fn any_cron_has_a_next_start_or_is_refused_by_name(
        cron in prop_oneof![4 => fields(), 1 => ".*", 1 => proptest::sample::select(TEXTS.to_vec()).prop_map(String::from)],
        zone in zones(),
        now in moments(),
    ) {
        let schedule = Schedule { cron: Some(cron), time_zone: Some(zone), ..Schedule::default() };
        let calendar = match Calendar::of(&schedule) {
            Ok(calendar) => calendar.unwrap(),
            Err(why) => {
                prop_assert!(why.starts_with("spec.schedule.cron ") || why.starts_with("spec.schedule.timeZone "), "{}", why);
                return Ok(());
            }
        };
        let mut last = now;
        for _ in 0..3 {
            let Some(next) = calendar.after(last) else { break };
            prop_assert!(next > last, "{} is not after {}", next, last);
            last = next;
        }
        let due = calendar.due(now, last, SignedDuration::from_secs(60));
        prop_assert!(due.start.is_none_or(|start| now <= start && start <= last), "{:?}", due);
        prop_assert!(last == now || due.start == Some(last), "{:?} and not {}", due, last);
    }
}
