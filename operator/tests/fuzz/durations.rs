//! Any text as a duration.

use breakwater_crds::Duration;
use proptest::prelude::*;

use crate::cases;

proptest! {
    #![proptest_config(cases(4000))]

    #[test]
    fn any_text_is_a_duration_or_is_refused_in_words(text in prop_oneof![".*", "[0-9hmsµ. +-]{0,24}", "[0-9]{15,40}[hms]"]) {
        match text.parse::<Duration>() {
            Ok(duration) => {
                prop_assert_eq!(duration.to_string().parse::<Duration>(), Ok(duration), "{}", text);
                // No moment is too late to count from.
                prop_assert!(duration.after(jiff::Timestamp::MAX) == jiff::Timestamp::MAX);
            }
            Err(error) => prop_assert!(error.to_string().contains("such as 500ms") && error.to_string().len() < 1000),
        }
    }

    /// What the rule of the definition lets pass can be read.
    #[test]
    fn what_the_api_server_takes_is_read(text in "([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,5}s)?([0-9]{1,5}ms)?") {
        prop_assert_eq!(text.parse::<Duration>().is_ok(), !text.is_empty(), "{}", text);
    }

    #[test]
    fn milliseconds_go_there_and_back(millis in any::<u64>()) {
        let duration = Duration::from_millis(millis);
        prop_assert_eq!(duration.to_string().parse::<Duration>(), Ok(duration));
    }
}
