//! Any selector: what the operator asks the API server for is what it checks a victim by, and what was meant.

use breakwater_fake_apiserver::Selector;
use breakwater_operator::observe::selector;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::{api::ListParams, core::SelectorExt};
use proptest::{collection::btree_map, prelude::*};
use serde_json::json;

use crate::{cases, sim::selects};

fn words() -> impl Strategy<Value = String> {
    proptest::sample::select(vec!["app", "tier", "a", "b", "example.com/app", "in", "notin", "a.b_c-d", "1"])
        .prop_map(String::from)
}

fn selectors() -> impl Strategy<Value = LabelSelector> {
    let operators = proptest::sample::select(vec!["In", "NotIn", "Exists", "DoesNotExist"]);
    let expression =
        (words(), operators, proptest::collection::vec(words(), 1..4)).prop_map(|(key, operator, values)| {
            let values = operator.ends_with("In").then_some(values);
            LabelSelectorRequirement { key, operator: operator.into(), values }
        });
    (btree_map(words(), words(), 0..3), proptest::collection::vec(expression, 0..3)).prop_map(
        |(labels, expressions)| LabelSelector { match_labels: Some(labels), match_expressions: Some(expressions) },
    )
}

proptest! {
    #![proptest_config(cases(4000))]

    #[test]
    fn both_sides_select_the_same(asked in selectors(), labels in btree_map(words(), words(), 0..5)) {
        let empty = asked.match_labels.as_ref().is_none_or(|all| all.is_empty())
            && asked.match_expressions.as_ref().is_none_or(|all| all.is_empty());
        let Ok(ours) = selector(&asked) else {
            prop_assert!(empty, "{asked:?} is refused");
            return Ok(());
        };
        prop_assert!(!empty, "an empty selector would mean every pod");
        let text = ListParams::default().labels_from(&ours).label_selector.unwrap();
        let theirs = Selector::parse(&text, "").unwrap();
        let pod = json!({"metadata": {"labels": labels}});
        let wanted = selects(&asked, &labels);
        prop_assert_eq!((ours.matches(&labels), theirs.matches(&pod)), (wanted, wanted), "{} on {}", text, pod);
    }

    #[test]
    fn any_selector_is_taken_or_refused_in_words(key in ".{0,80}", value in ".{0,80}", operator in prop_oneof!["In|NotIn|Exists", ".{0,9}"]) {
        let requirement = LabelSelectorRequirement { key: key.clone(), operator, values: Some(vec![value.clone()]) };
        let asked = LabelSelector { match_labels: Some([(key, value)].into()), match_expressions: Some(vec![requirement]) };
        if let Err(why) = selector(&asked) {
            prop_assert!(why.contains("selector"), "{}", why);
        }
    }
}
