//! Refusals, as the API server words them: a `Status` with a code, a reason and a sentence.

use serde_json::{Value, json};

use crate::kind::Kind;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The HTTP status.
    pub code: u16,
    /// The reason, in a word.
    pub reason: &'static str,
    /// The reason, in a sentence.
    pub message: String,
    /// Its cause, where it has one: a word and a sentence.
    pub cause: Option<(&'static str, String)>,
}

impl Failure {
    /// Any refusal.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), cause: None }
    }

    pub(crate) fn not_found(kind: &Kind, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} {name:?} not found", kind.qualified()))
    }

    pub(crate) fn exists(kind: &Kind, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{} {name:?} already exists", kind.qualified()))
    }

    pub(crate) fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        Self::new(409, "Conflict", format!("Operation cannot be fulfilled on {} {name:?}: {why}", kind.qualified()))
    }

    pub(crate) fn modified(kind: &Kind, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(kind, name, why)
    }

    pub(crate) fn invalid(kind: &Kind, name: &str, why: &str) -> Self {
        Self::new(422, "Invalid", format!("{} {name:?} is invalid: {why}", kind.kind))
    }

    pub(crate) fn bad(why: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", why)
    }

    pub(crate) fn expired() -> Self {
        Self::new(410, "Expired", "The resourceVersion for the provided watch is too old.")
    }

    /// The document that says so.
    pub fn document(&self) -> Value {
        let mut status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code});
        if let Some((reason, message)) = &self.cause {
            status["details"] = json!({"causes": [{"reason": reason, "message": message}]});
        }
        status
    }
}
