//! What a request asks for, by its method, path and query.

use axum::http::{Method, Uri, request::Parts};

use crate::{failure::Failure, kind::Kind, select::Selector};

/// A request, understood.
#[derive(Clone, Debug)]
pub struct Route {
    /// What is to be done.
    pub verb: Verb,
    /// Index of the kind.
    pub kind: usize,
    /// The namespace; empty for all, or where there is none.
    pub namespace: String,
    /// The object's name; empty for the collection.
    pub name: String,
    /// `status`, `eviction`, or empty.
    pub subresource: String,
    /// The answer is to have metadata alone.
    pub metadata_only: bool,
    /// Nothing is to be written.
    pub dry_run: bool,
    /// Which objects.
    pub selector: Selector,
    query: Vec<(String, String)>,
}

/// What is to be done.
#[allow(missing_docs, reason = "they are the words of the API server's audit log")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
}

impl Route {
    /// Understands a request.
    ///
    /// # Errors
    /// Where there is no such thing.
    pub fn parse(kinds: &[Kind], parts: &Parts) -> Result<Self, Failure> {
        let path = Path::parse(kinds, &parts.uri)
            .ok_or_else(|| Failure::new(404, "NotFound", "the server could not find the requested resource"))?;
        let query = query(&parts.uri);
        let value = |key: &str| query.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value);
        let verb = match (&parts.method, path.name.is_empty()) {
            (&Method::GET, true) if value("watch") == "true" || value("watch") == "1" => Verb::Watch,
            (&Method::GET, true) => Verb::List,
            (&Method::GET, false) => Verb::Get,
            (&Method::POST, true) => Verb::Create,
            (&Method::POST, false) if path.subresource == "eviction" => Verb::Create,
            (&Method::PUT, false) => Verb::Update,
            (&Method::PATCH, false) => Verb::Patch,
            (&Method::DELETE, false) => Verb::Delete,
            _ => {
                return Err(Failure::new(
                    405,
                    "MethodNotAllowed",
                    "the server does not allow this method on the requested resource",
                ));
            }
        };
        let accept = parts.headers.get("accept").and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        Ok(Self {
            verb,
            selector: Selector::parse(value("labelSelector"), value("fieldSelector"))?,
            metadata_only: accept.contains("as=PartialObjectMetadata"),
            dry_run: value("dryRun") == "All",
            kind: path.kind,
            namespace: path.namespace,
            name: path.name,
            subresource: path.subresource,
            query,
        })
    }

    /// A parameter of the query; empty if it is not there.
    pub fn parameter(&self, name: &str) -> &str {
        self.query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

struct Path {
    kind: usize,
    namespace: String,
    name: String,
    subresource: String,
}

impl Path {
    fn parse(kinds: &[Kind], uri: &Uri) -> Option<Self> {
        let mut parts = uri.path().split('/').filter(|part| !part.is_empty()).peekable();
        let group = match parts.next()? {
            "api" => "",
            "apis" => parts.next()?,
            _ => return None,
        };
        let version = parts.next()?;
        let mut rest: Vec<_> = parts.collect();
        let namespace = if rest.len() > 2 && rest[0] == "namespaces" && rest[2] != "status" {
            let namespace = rest[1].to_string();
            rest.drain(..2);
            namespace
        } else {
            String::new()
        };
        let (plural, name, subresource) = (rest.first()?, rest.get(1), rest.get(2));
        let is_it = |kind: &Kind| (kind.group, kind.version, kind.plural) == (group, version, plural);
        let kind = kinds.iter().position(is_it)?;
        let subresource = subresource.copied().unwrap_or_default();
        let known = match subresource {
            "" => true,
            "status" => kinds[kind].has_status(),
            "eviction" => kinds[kind].origin == crate::kind::Origin::Pod,
            _ => false,
        };
        let text = |part: Option<&&str>| part.map(ToString::to_string).unwrap_or_default();
        (known && rest.len() <= 3).then(|| Self { kind, namespace, name: text(name), subresource: subresource.into() })
    }
}

fn query(uri: &Uri) -> Vec<(String, String)> {
    let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (plain(key), plain(value)))
        .collect()
}

/// Undoes the encoding of a query.
fn plain(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
                continue;
            }
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(first),
        }
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
