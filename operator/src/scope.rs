//! In which namespaces experiments run.
//!
//! The chart's policy on the operator's own kills says the same to the API server: `breakwater.servesNamespace` in
//! `charts/breakwater/templates/_helpers.tpl`.

use std::collections::BTreeMap;

/// A namespace opts in by this label ...
pub const LABEL: &str = "chaos.breakwater.dev/experiments";
/// ... with this value.
pub const ALLOWED: &str = "allowed";
/// Whatever anybody says, nothing is killed here.
pub const NEVER: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// Which namespaces take part; by default every one, with or without a label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// These and no others, if any is named. To be named is to take part.
    pub named: Vec<String>,
    /// A namespace that is not named takes part only with its label.
    pub label_required: bool,
    /// The operator's own namespace: it needs its label, or to be named, even where others do not.
    pub own: Option<String>,
}

impl Scope {
    /// Whether any namespace's labels decide over it.
    pub fn follows_labels(&self) -> bool {
        self.named.is_empty() && (self.label_required || self.own.is_some())
    }

    /// Whether the labels of this namespace decide over it.
    pub fn asks_for_label(&self, namespace: &str) -> bool {
        self.named.is_empty() && (self.label_required || self.own.as_deref() == Some(namespace))
    }

    /// Why nothing is killed in a namespace that has these labels, if that is so.
    pub fn refusal(&self, namespace: &str, labels: &BTreeMap<String, String>) -> Option<String> {
        if NEVER.contains(&namespace) {
            return Some(format!("no experiment runs in {namespace}"));
        }
        if !self.named.is_empty() && !self.named.iter().any(|named| named == namespace) {
            return Some(format!("the operator runs experiments in {} only", self.named.join(", ")));
        }
        if self.asks_for_label(namespace) && labels.get(LABEL).map(String::as_str) != Some(ALLOWED) {
            return Some(format!(
                "the namespace takes no part in experiments: kubectl label namespace {namespace} {LABEL}={ALLOWED}"
            ));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_takes_part_by_its_name_or_its_label() {
        let labelled = BTreeMap::from([(LABEL.to_owned(), ALLOWED.to_owned())]);
        let otherwise = BTreeMap::from([(LABEL.to_owned(), "denied".to_owned())]);
        let plain = BTreeMap::new();
        let own = Some("harbour".to_owned());
        let named = Scope { named: vec!["shop".into(), "harbour".into()], label_required: true, own: own.clone() };
        let opted_in = Scope { named: vec![], label_required: true, own: own.clone() };
        let all = Scope { named: vec![], label_required: false, own };
        let outside = Scope { own: None, ..all.clone() };
        let follows =
            [&named, &opted_in, &all, &Scope { own: None, ..opted_in.clone() }, &outside].map(Scope::follows_labels);
        assert_eq!(follows, [false, true, true, true, false], "a watch on namespaces is for where a label decides");
        for (scope, namespace, labels, words) in [
            (&named, "shop", &plain, None),
            (&named, "harbour", &plain, None),
            (&named, "other", &labelled, Some("in shop, harbour only")),
            (&opted_in, "shop", &labelled, None),
            (&opted_in, "shop", &plain, Some("kubectl label namespace shop chaos.breakwater.dev/experiments=allowed")),
            (&opted_in, "shop", &otherwise, Some("takes no part")),
            (&opted_in, "harbour", &labelled, None),
            (&opted_in, "harbour", &plain, Some("takes no part")),
            (&all, "shop", &plain, None),
            (&all, "harbour", &plain, Some("takes no part")),
            (&all, "harbour", &labelled, None),
            (&all, "kube-system", &labelled, Some("no experiment runs in kube-system")),
            (&opted_in, "kube-node-lease", &labelled, Some("no experiment")),
        ] {
            let said = scope.refusal(namespace, labels);
            assert_eq!(said.is_some(), words.is_some(), "{namespace} {labels:?}: {said:?}");
            assert!(said.unwrap_or_default().contains(words.unwrap_or_default()), "{namespace} {labels:?}");
        }
    }
}
