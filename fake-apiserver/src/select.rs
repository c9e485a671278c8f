//! Label and field selectors, as they stand in a request.

use serde_json::Value;

use crate::failure::Failure;

/// Which objects of a collection are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(Vec<Term>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
    Field(String, String),
    NotField(String, String),
}

impl Selector {
    /// From the parameters `labelSelector` and `fieldSelector`.
    ///
    /// # Errors
    /// Where one is none, or is of a form that the server does not know.
    pub fn parse(labels: &str, fields: &str) -> Result<Self, Failure> {
        let labels = split(labels).into_iter().map(label);
        let fields = fields.split(',').filter(|term| !term.is_empty()).map(field);
        Ok(Self(labels.chain(fields).collect::<Result<_, _>>()?))
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the object is meant.
    pub fn matches(&self, object: &Value) -> bool {
        let label = |key: &str| object["metadata"]["labels"][key].as_str();
        let is_in =
            |key: &str, values: &[String]| label(key).is_some_and(|value| values.iter().any(|one| one == value));
        self.0.iter().all(|term| match term {
            Term::In(key, values) => is_in(key, values),
            Term::NotIn(key, values) => !is_in(key, values),
            Term::Exists(key) => label(key).is_some(),
            Term::Absent(key) => label(key).is_none(),
            Term::Field(path, value) => at(object, path).as_str().unwrap_or_default() == value,
            Term::NotField(path, value) => at(object, path).as_str().unwrap_or_default() != value,
        })
    }
}

fn at<'a>(object: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(object, |inner, key| &inner[key])
}

/// At commas outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut from, mut terms) = (0_i32, 0, vec![]);
    for (index, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                terms.push(&text[from..index]);
                from = index + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[from..]);
    terms.into_iter().map(str::trim).filter(|term| !term.is_empty()).collect()
}

fn label(term: &str) -> Result<Term, Failure> {
    let listed = |values: &str| {
        let values = values.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(values.split(',').map(|value| value.trim().to_string()).collect::<Vec<_>>())
    };
    let one = |key: &str, value: &str| (key.trim().to_string(), vec![value.trim().to_string()]);
    let unknown = || Failure::bad(format!("unable to parse requirement: {term}"));
    if let Some((key, values)) = term.split_once(" notin ") {
        return Ok(Term::NotIn(key.trim().into(), listed(values).ok_or_else(unknown)?));
    }
    if let Some((key, values)) = term.split_once(" in ") {
        return Ok(Term::In(key.trim().into(), listed(values).ok_or_else(unknown)?));
    }
    if let Some((key, value)) = term.split_once("!=") {
        let (key, values) = one(key, value);
        return Ok(Term::NotIn(key, values));
    }
    if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        let (key, values) = one(key, value);
        return Ok(Term::In(key, values));
    }
    Ok(match term.strip_prefix('!') {
        Some(key) => Term::Absent(key.trim().into()),
        None => Term::Exists(term.into()),
    })
}

fn field(term: &str) -> Result<Term, Failure> {
    // Of any kind: the server does not ask which of them the kind in question has.
    let known = [
        "metadata.name",
        "metadata.namespace",
        "spec.nodeName",
        "status.phase",
        "status.run.id",
        "status.run.completedAt",
    ];
    let differs = term.split_once("!=").map(|(path, value)| (path, value, true));
    let (path, value, differs) = differs
        .or_else(|| term.split_once("==").or_else(|| term.split_once('=')).map(|(path, value)| (path, value, false)))
        .filter(|(path, ..)| known.contains(path))
        .ok_or_else(|| Failure::bad(format!("field label not supported: {term}")))?;
    Ok(if differs { Term::NotField(path.into(), value.into()) } else { Term::Field(path.into(), value.into()) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selects_as_kubernetes_does() {
        let pod = json!({"metadata": {"name": "one", "labels": {"app": "backend", "tier": "1"}}});
        for (labels, fields, matches) in [
            ("", "", true),
            ("app=backend", "", true),
            ("app==backend,tier", "", true),
            ("app!=backend", "", false),
            ("none!=backend", "", true),
            ("app in (client,backend),tier notin (2, 3)", "", true),
            ("app in (client)", "", false),
            ("!none", "", true),
            ("!app", "", false),
            ("", "metadata.name=one", true),
            ("app=backend", "metadata.name=two", false),
            ("", "metadata.name!=two,status.phase=", true),
            ("", "metadata.name!=one", false),
            ("", "status.phase!=", false),
        ] {
            let selector = Selector::parse(labels, fields).unwrap();
            assert_eq!(selector.matches(&pod), matches, "{labels} {fields}");
        }
        assert!(Selector::parse("", "spec.image=none").is_err());
        assert!(Selector::parse("app in backend", "").is_err());
    }
}
