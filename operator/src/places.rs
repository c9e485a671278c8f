//! How many questions to client replicas are under way for the experiments of one namespace.
//!
//! Of what is sent to the operator each takes room, up to an answer's limit and as much as its head may have, for as long as the sender
//! likes. Whose clients are slow or hostile waits for itself: others have places of their own.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::Semaphore;

/// Questions of one namespace at a time. Healthy replicas answer in milliseconds: this is enough for thousands a second. A hundred
/// that never answer are still asked more often than the time after which they count as silent.
pub const QUESTIONS: usize = 32;

/// The places of all namespaces; those of one that nobody asks for any more are forgotten.
#[derive(Debug, Default)]
pub struct Places(Mutex<HashMap<String, Weak<Semaphore>>>);

impl Places {
    /// Those of a namespace.
    pub fn of(&self, namespace: &str) -> Arc<Semaphore> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = all.get(namespace).and_then(Weak::upgrade) {
            return places;
        }
        all.retain(|_, places| places.strong_count() > 0);
        let places = Arc::new(Semaphore::new(QUESTIONS));
        all.insert(namespace.to_owned(), Arc::downgrade(&places));
        places
    }
}
