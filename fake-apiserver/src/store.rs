//! The objects, every version of them, and the order in which they came: what etcd is to the API server.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

/// An object's place: index of its kind, its namespace (empty where there is none), its name.
pub type Key = (usize, String, String);

/// What happened to an object.
#[derive(Clone, Debug)]
pub struct Change {
    /// The revision that it made.
    pub revision: u64,
    /// The object's place.
    pub key: Key,
    /// The object before; none if it was created.
    pub before: Option<Arc<Value>>,
    /// The object after. Of a deleted one, its last version with the revision of its deletion.
    pub object: Arc<Value>,
    /// It was deleted.
    pub deleted: bool,
    /// Who did it.
    pub by: Arc<str>,
}

/// All objects.
#[derive(Debug, Default)]
pub struct Store {
    objects: BTreeMap<Key, Arc<Value>>,
    changes: Vec<Change>,
    compacted: u64,
}

impl Store {
    /// The revision of the newest change. The first is 1.
    pub fn revision(&self) -> u64 {
        self.changes.len() as u64
    }

    /// The oldest revision that can still be read and watched from.
    pub fn compacted(&self) -> u64 {
        self.compacted
    }

    /// Forgets what was before now: who watches or pages from there is told 410.
    pub fn compact(&mut self) {
        self.compacted = self.revision();
    }

    /// An object as it is.
    pub fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    /// All objects of a kind, in the order of their names; in one namespace, or in all.
    pub fn list(&self, kind: usize, namespace: &str) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        let from = (kind, namespace.to_string(), String::new());
        self.objects
            .range(from..)
            .take_while(move |(key, _)| key.0 == kind)
            .filter(move |(key, _)| namespace.is_empty() || key.1 == namespace)
    }

    /// All objects as they were at a revision.
    pub fn at(&self, revision: u64) -> BTreeMap<Key, Arc<Value>> {
        let mut objects = BTreeMap::new();
        for change in self.changes.iter().take(usize::try_from(revision).unwrap_or(usize::MAX)) {
            if change.deleted {
                objects.remove(&change.key);
            } else {
                objects.insert(change.key.clone(), change.object.clone());
            }
        }
        objects
    }

    /// What happened after a revision, oldest first.
    pub fn since(&self, revision: u64) -> &[Change] {
        &self.changes[usize::try_from(revision).unwrap_or(usize::MAX).min(self.changes.len())..]
    }

    /// Puts an object there, with a new version. Says what was written.
    pub fn put(&mut self, key: Key, mut object: Value, by: &Arc<str>) -> Arc<Value> {
        let revision = self.revision() + 1;
        object["metadata"]["resourceVersion"] = json!(revision.to_string());
        let object = Arc::new(object);
        let before = self.objects.insert(key.clone(), object.clone());
        self.changes.push(Change { revision, key, before, object: object.clone(), deleted: false, by: by.clone() });
        object
    }

    /// Takes an object away.
    pub fn remove(&mut self, key: &Key, by: &Arc<str>) -> Option<Arc<Value>> {
        let before = self.objects.remove(key)?;
        let revision = self.revision() + 1;
        let mut last = Value::clone(&before);
        last["metadata"]["resourceVersion"] = json!(revision.to_string());
        let object = Arc::new(last);
        let (key, by) = (key.clone(), by.clone());
        self.changes.push(Change { revision, key, before: Some(before), object: object.clone(), deleted: true, by });
        Some(object)
    }
}
