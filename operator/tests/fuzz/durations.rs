//! Any text as a duration.

use breakwater_crds::Duration;
use breakwater_manifests::TEXTS;
use proptest::{option, prelude::*, sample::select};

use crate::cases;

/// Nearly a duration, and more often than not one that no experiment can have.
const ALMOST: &str = "[+-]?([0-9]{1,6}([.,][0-9]{1,10})?( ?)(h|m|s|ms|us|µs|ns|d|w|y|mo),? ?){1,4}(ago)?";

proptest! {
    #![proptest_config(cases(4000))]

    #[test]
    fn any_text_is_a_duration_or_is_refused_in_words(
        text in prop_oneof![".*", "[0-9hmsµ. +-]{0,24}", "[0-9]{15,40}(h|m|s|ms)", ALMOST, ".{60,70}", select(TEXTS).prop_map(String::from)]
    ) {
        match text.parse::<Duration>() {
            Ok(duration) => {
                prop_assert_eq!(duration.to_string().parse::<Duration>(), Ok(duration), "{}", text);
                // No moment is too late to count from.
                prop_assert!(duration.after(jiff::Timestamp::MAX) == jiff::Timestamp::MAX);
            }
            Err(error) => prop_assert!(error.to_string().contains("such as 500ms") && error.to_string().len() < 1000),
        }
    }

    /// What the rule of the definition lets pass is read as what it says.
    #[test]
    fn what_the_api_server_takes_is_read(
        hours in option::of(0..100_000u64),
        minutes in option::of(0..100_000u64),
        seconds in option::of((0..100_000u64, option::of(0..1000u64))),
        millis in option::of(0..100_000u64),
    ) {
        let whole = |number: Option<u64>, unit: &str| number.map_or(String::new(), |number| format!("{number}{unit}"));
        // A fraction of seconds is the last of all.
        let millis = millis.filter(|_| seconds.is_none_or(|(_, thousandths)| thousandths.is_none()));
        let (hour, minute, milli) = (whole(hours, "h"), whole(minutes, "m"), whole(millis, "ms"));
        let second = seconds.map_or(String::new(), |(whole, thousandths)| match thousandths {
            None => format!("{whole}s"),
            Some(thousandths) => format!("{whole}.{thousandths:03}s"),
        });
        let text = format!("{hour}{minute}{second}{milli}");
        let (second, thousandths) = seconds.unwrap_or_default();
        let all = (hours.unwrap_or(0) * 3600 + minutes.unwrap_or(0) * 60 + second) * 1000;
        let says = Duration::from_millis(all + thousandths.unwrap_or(0) + millis.unwrap_or(0));
        prop_assert_eq!(text.parse::<Duration>().ok(), (!text.is_empty()).then_some(says), "{}", text);
    }

    #[test]
    fn milliseconds_go_there_and_back(millis in prop_oneof![any::<u64>(), 0..100_000u64]) {
        let duration = Duration::from_millis(millis);
        prop_assert_eq!(duration.to_string().parse::<Duration>(), Ok(duration));
        // And the longest of all can be shown.
        prop_assert!(!Duration::from_secs(millis).to_string().is_empty());
    }
}
