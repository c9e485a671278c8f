//! One of the two servers.

use std::{collections::BTreeMap, io};

use anyhow::Result;
use breakwater_fake_apiserver::http::Request;
use breakwater_operator::underway::UNDER_WAY;
use futures::{AsyncBufReadExt, Stream, TryStreamExt};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{
    DEPLOYMENTS, EXPERIMENTS, KINDS, PODS,
    objects::{object, options, restart, status},
    step::Step,
};

/// What a watch tells, once it has ended: nothing, where the server has forgotten the version from which it began, as one may at any time.
pub type Told = JoinHandle<Result<Option<Vec<Value>>>>;

/// One of the two servers, with what a client of it has seen.
pub struct Side {
    client: Client,
    /// Where its objects are.
    pub namespace: String,
    prefix: String,
    seen: BTreeMap<(usize, usize), Vec<Value>>,
    /// Of the lists that are read in pages: the version, and where the next page begins.
    pub open: BTreeMap<usize, (Value, String)>,
    /// Uids and versions are told by the order in which they were first seen.
    names: BTreeMap<String, usize>,
}

impl Side {
    /// Nothing has been asked yet.
    pub fn new(client: Client, seed: u64, namespace: &str) -> Self {
        let prefix = format!("s{seed}");
        let (seen, open, names) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { client, namespace: namespace.into(), prefix, seen, open, names }
    }

    /// An object's name; sequences share none.
    pub fn name(&self, number: usize) -> String {
        format!("{}-{number}", self.prefix)
    }

    /// Of the collection of a kind, and what comes after.
    pub fn path(&self, kind: usize, rest: &str) -> String {
        let (api, plural) = KINDS[kind];
        format!("/{api}/namespaces/{}/{plural}{rest}", self.namespace)
    }

    /// A request, and its answer.
    pub async fn send(&self, method: &str, path: &str, content: &str, body: &Value) -> Result<(u16, Value)> {
        let body = if body.is_null() { vec![] } else { serde_json::to_vec(body)? };
        let request = Request::builder().method(method).uri(path).header("content-type", content);
        let request = request.header("accept", "application/json").body(Body::from(body))?;
        let response = self.client.send(request).await?;
        let code = response.status().as_u16();
        let bytes = response.into_body().collect_bytes().await?;
        Ok((code, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    }

    /// Takes a step, and says of the answer what both servers should say alike.
    pub async fn take(&mut self, step: &Step) -> Result<Value> {
        if step.verb == "page" {
            return self.page(step.kind).await;
        }
        let (kind, name) = (step.kind, self.name(step.name));
        let one = self.path(kind, &format!("/{name}"));
        let seen = self.seen.get(&(kind, step.name)).cloned().unwrap_or_default();
        let base = seen.iter().rev().nth(step.version).or(seen.first()).cloned();
        let base = base.unwrap_or_else(|| object(kind, &name, step.flavour));
        let number = step.flavour % 3;
        let (json, merge) = ("application/json", "application/merge-patch+json");
        let label = json!({"metadata": {"labels": {"n": number.to_string()}}});
        let (code, answer) = match step.verb {
            "create" => self.send("POST", &self.path(kind, ""), json, &object(kind, &name, step.flavour)).await?,
            "get" => self.send("GET", &one, json, &Value::Null).await?,
            "list" => {
                let query = format!("?labelSelector=of={},n!={number}", self.prefix);
                self.send("GET", &self.path(kind, &query), json, &Value::Null).await?
            }
            "fields" => {
                let fields = match number {
                    0 if kind == EXPERIMENTS => UNDER_WAY.to_string(),
                    2 => format!("metadata.name={name}"),
                    _ => format!("metadata.name!={name}"),
                };
                // As kube writes it.
                let fields = fields.replace('!', "%21").replace('=', "%3D").replace(',', "%2C");
                let query = format!("?labelSelector=of={}&fieldSelector={fields}", self.prefix);
                self.send("GET", &self.path(kind, &query), json, &Value::Null).await?
            }
            "restart" if kind == DEPLOYMENTS => self.send("PATCH", &one, merge, &restart(&number.to_string())).await?,
            "label" | "restart" => self.send("PATCH", &one, merge, &label).await?,
            "json" => {
                let steps = json!([{"op": "test", "path": "/metadata/labels/n", "value": "1"},
                    {"op": "replace", "path": "/metadata/labels/n", "value": number.to_string()}]);
                self.send("PATCH", &one, "application/json-patch+json", &steps).await?
            }
            "replace" => {
                let mut next = base;
                next["metadata"]["labels"] = json!({"n": number.to_string(), "of": self.prefix});
                match kind {
                    EXPERIMENTS if next["spec"].is_object() => next["spec"]["historyLimit"] = json!(number),
                    // Its controller writes as well, so that nobody knows whose version is the newest.
                    DEPLOYMENTS => next["metadata"]["resourceVersion"] = Value::Null,
                    EXPERIMENTS | PODS => {}
                    _ => next["data"] = json!({"n": number.to_string()}),
                }
                self.send("PUT", &one, json, &next).await?
            }
            "status" if kind == EXPERIMENTS => {
                let mut next = base;
                next["status"] = status(step.flavour);
                next["spec"]["historyLimit"] = json!(7);
                self.send("PUT", &format!("{one}/status"), json, &next).await?
            }
            "finalize" if kind != PODS => {
                let finalizers = if number == 0 { json!(["example.com/hold"]) } else { Value::Null };
                self.send("PATCH", &one, merge, &json!({"metadata": {"finalizers": finalizers}})).await?
            }
            "evict" if kind == PODS => {
                let body = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name},
                    "deleteOptions": options(kind, &base, step.flavour)});
                self.send("POST", &format!("{one}/eviction"), json, &body).await?
            }
            _ => self.send("DELETE", &one, json, &options(kind, &base, step.flavour)).await?,
        };
        if answer["metadata"]["resourceVersion"].is_string() && answer["metadata"]["name"] == json!(name) {
            self.seen.entry((kind, step.name)).or_default().push(answer.clone());
        }
        Ok(json!({"code": code, "answer": self.plain(&answer)}))
    }

    /// The next page of a list, or the first one of a new list; all pages of one list show the same version.
    pub async fn page(&mut self, kind: usize) -> Result<Value> {
        loop {
            let opened = self.open.remove(&kind);
            let token = opened.as_ref().map_or(String::new(), |(_, token)| format!("&continue={token}"));
            let path = self.path(kind, &format!("?labelSelector=of={}&limit=1{token}", self.prefix));
            let (code, answer) = self.send("GET", &path, "application/json", &Value::Null).await?;
            let version = &answer["metadata"]["resourceVersion"];
            let same = opened.as_ref().is_none_or(|(first, _)| first == version);
            if let Some(next) = answer["metadata"]["continue"].as_str().filter(|next| !next.is_empty()) {
                self.open.insert(kind, (version.clone(), next.into()));
            }
            // Other sequences' objects may come after these; that none of them is meant shows only in the page after the last.
            if opened.is_none() || code != 200 || !answer["items"].as_array().is_none_or(Vec::is_empty) {
                return Ok(json!({"code": code, "same": same, "page": self.plain(&answer)}));
            }
        }
    }

    /// Begins a watch on a kind from a version on, which is read up to the object that ends the sequence, whether anybody waits or not.
    pub async fn watch(&self, kind: usize, since: &str) -> Result<Told> {
        let query = format!("?watch=true&resourceVersion={since}&timeoutSeconds=120&labelSelector=of={}", self.prefix);
        let request =
            Request::builder().uri(self.path(kind, &query)).header("accept", "application/json").body(vec![])?;
        let lines = self.client.request_stream(request).await?.lines();
        Ok(tokio::spawn(read(lines, self.last())))
    }

    /// What both servers should tell alike of what a watch has told.
    pub fn told(&mut self, events: &[Value]) -> Vec<Value> {
        events.iter().map(|event| json!({"type": event["type"], "object": self.plain(&event["object"])})).collect()
    }

    /// Creates the object that ends the sequence.
    pub async fn end(&self, kind: usize) -> Result<()> {
        let body = object(kind, &self.last(), 0);
        self.send("POST", &self.path(kind, ""), "application/json", &body).await.map(drop)
    }

    fn last(&self) -> String {
        format!("{}-end", self.prefix)
    }

    /// What a collection says to a query; of a watch all that it tells.
    pub async fn ask(&mut self, kind: usize, query: &str) -> Result<Value> {
        let request = Request::builder().uri(self.path(kind, query)).header("accept", "application/json");
        let response = self.client.send(request.body(Body::empty())?).await?;
        let code = response.status().as_u16();
        let bytes = response.into_body().collect_bytes().await?;
        let documents = serde_json::Deserializer::from_slice(&bytes).into_iter::<Value>();
        let told: Vec<_> = documents.collect::<Result<_, _>>()?;
        let told =
            told.iter().map(|one| json!({"type": one["type"], "object": self.plain(one.get("object").unwrap_or(one))}));
        Ok(json!({"code": code, "told": told.collect::<Vec<_>>()}))
    }

    /// Takes the finalizers off what the sequence has left, or its namespace would never be gone.
    pub async fn release(&self) -> Result<()> {
        let free = json!({"metadata": {"finalizers": null}});
        for kind in 0..KINDS.len() {
            let (_, list) = self.send("GET", &self.path(kind, ""), "application/json", &Value::Null).await?;
            let names = list["items"].as_array().into_iter().flatten();
            let held = names.filter(|item| item["metadata"]["finalizers"].is_array());
            let held = held.filter_map(|item| item["metadata"]["name"].as_str());
            for name in held.filter(|name| name.starts_with(&format!("{}-", self.prefix))) {
                self.send("PATCH", &self.path(kind, &format!("/{name}")), "application/merge-patch+json", &free)
                    .await?;
            }
        }
        Ok(())
    }

    /// What both servers should say alike.
    pub fn plain(&mut self, answer: &Value) -> Value {
        if let Some(items) = answer["items"].as_array() {
            return items.iter().map(|item| self.plain(item)).collect();
        }
        if answer["kind"] == "Status" {
            return json!({"status": answer["status"], "reason": answer["reason"], "code": answer["code"]});
        }
        let (metadata, run) = (&answer["metadata"], &answer["status"]["run"]);
        // A Deployment's controller writes versions of its own.
        let template = &answer["spec"]["template"]["metadata"];
        let uid = self.alias(&metadata["uid"]);
        let version = if template.is_null() { self.alias(&metadata["resourceVersion"]) } else { Value::Null };
        json!({
            "name": metadata["name"], "uid": uid, "version": version, "labels": metadata["labels"],
            "generation": metadata["generation"], "finalizers": metadata["finalizers"],
            "ending": metadata["deletionTimestamp"].is_string(), "grace": metadata["deletionGracePeriodSeconds"],
            "limit": answer["spec"]["historyLimit"], "data": answer["data"], "message": answer["status"]["message"],
            "phase": if answer["spec"]["containers"].is_array() { answer["status"]["phase"].clone() } else { Value::Null },
            "run": [run["id"], run["completedAt"]], "template": [template["labels"], template["annotations"]],
        })
    }

    fn alias(&mut self, value: &Value) -> Value {
        let Some(text) = value.as_str() else { return Value::Null };
        let next = self.names.len();
        json!(*self.names.entry(text.into()).or_insert(next))
    }
}

/// All lines up to the one about the last object.
async fn read(mut lines: impl Stream<Item = io::Result<String>> + Unpin, last: String) -> Result<Option<Vec<Value>>> {
    let mut told = vec![];
    while let Some(line) = lines.try_next().await? {
        let event: Value = serde_json::from_str(&line)?;
        if event["object"]["reason"] == "Expired" {
            return Ok(None);
        }
        let ends = event["object"]["metadata"]["name"] == json!(last);
        told.push(event);
        if ends {
            return Ok(Some(told));
        }
    }
    anyhow::bail!("the watch ended before {last} was told: {told:?}")
}
