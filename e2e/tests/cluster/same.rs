//! The API server in process, on which the fault tests stand, answers as the real one does: the same random requests are sent to
//! both, and what they answer is compared.
//!
//! `BREAKWATER_LONG=1` tries 2000 sequences; `BREAKWATER_SEED=7` one of them.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use breakwater_crds::ChaosExperiment;
use breakwater_e2e::{bare, wait::until};
use breakwater_fake_apiserver::{FakeApiServer, Kind, http::Request};
use fastrand::Rng;
use futures::{AsyncBufReadExt, StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use kube::{Client, client::Body};
use serde_json::{Value, json};

const KINDS: [(&str, &str); 3] =
    [("api/v1", "pods"), ("apis/chaos.breakwater.dev/v1alpha1", "chaosexperiments"), ("api/v1", "configmaps")];
/// Objects of a kind in one sequence.
const NAMES: usize = 2;

/// A request, without what only one server knows: uids and versions.
#[derive(Clone, Debug)]
struct Step {
    verb: &'static str,
    kind: usize,
    name: usize,
    /// Which of the versions seen is meant, from the newest.
    version: usize,
    /// What distinguishes requests of one verb.
    flavour: u8,
}

impl Step {
    fn random(random: &mut Rng) -> Self {
        let verbs = [
            "create", "create", "get", "list", "page", "page", "page", "label", "json", "replace", "replace", "status",
            "status", "delete", "delete", "delete", "evict", "finalize",
        ];
        Self {
            verb: random.choice(verbs).unwrap_or("get"),
            kind: random.usize(0..KINDS.len()),
            name: random.usize(0..NAMES),
            version: if random.u8(0..3) == 0 { random.usize(0..4) } else { 0 },
            flavour: random.u8(..),
        }
    }
}

/// One of the two servers, with what a client of it has seen.
struct Side {
    client: Client,
    namespace: String,
    prefix: String,
    seen: BTreeMap<(usize, usize), Vec<Value>>,
    /// Of the lists that are read in pages: the version, and where the next page begins.
    open: BTreeMap<usize, (Value, String)>,
    /// Uids and versions are told by the order in which they were first seen.
    names: BTreeMap<String, usize>,
}

impl Side {
    fn new(client: Client, seed: u64, namespace: &str) -> Self {
        let prefix = format!("s{seed}");
        let (seen, open, names) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { client, namespace: namespace.into(), prefix, seen, open, names }
    }

    fn name(&self, number: usize) -> String {
        format!("{}-{number}", self.prefix)
    }

    fn path(&self, kind: usize, rest: &str) -> String {
        let (api, plural) = KINDS[kind];
        format!("/{api}/namespaces/{}/{plural}{rest}", self.namespace)
    }

    async fn send(&self, method: &str, path: &str, content: &str, body: &Value) -> Result<(u16, Value)> {
        let body = if body.is_null() { vec![] } else { serde_json::to_vec(body)? };
        let request = Request::builder().method(method).uri(path).header("content-type", content);
        let request = request.header("accept", "application/json").body(Body::from(body))?;
        let response = self.client.send(request).await?;
        let code = response.status().as_u16();
        let bytes = response.into_body().collect_bytes().await?;
        Ok((code, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    }

    async fn take(&mut self, step: &Step) -> Result<Value> {
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
            "label" => self.send("PATCH", &one, merge, &label).await?,
            "json" => {
                let steps = json!([{"op": "test", "path": "/metadata/labels/n", "value": "1"},
                    {"op": "replace", "path": "/metadata/labels/n", "value": number.to_string()}]);
                self.send("PATCH", &one, "application/json-patch+json", &steps).await?
            }
            "replace" => {
                let mut next = base;
                next["metadata"]["labels"] = json!({"n": number.to_string(), "of": self.prefix});
                match kind {
                    1 if next["spec"].is_object() => next["spec"]["historyLimit"] = json!(number),
                    2 => next["data"] = json!({"n": number.to_string()}),
                    _ => {}
                }
                self.send("PUT", &one, json, &next).await?
            }
            "status" if kind == 1 => {
                let mut next = base;
                next["status"] =
                    json!({"message": number.to_string(), "runs": 0, "missedRuns": 0, "historyDropped": 0});
                next["spec"]["historyLimit"] = json!(7);
                self.send("PUT", &format!("{one}/status"), json, &next).await?
            }
            "finalize" if kind != 0 => {
                let finalizers = if number == 0 { json!(["example.com/hold"]) } else { Value::Null };
                self.send("PATCH", &one, merge, &json!({"metadata": {"finalizers": finalizers}})).await?
            }
            "evict" if kind == 0 => {
                let body = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name},
                    "deleteOptions": options(&base, step.flavour)});
                self.send("POST", &format!("{one}/eviction"), json, &body).await?
            }
            _ => self.send("DELETE", &one, json, &options(&base, step.flavour)).await?,
        };
        if answer["metadata"]["resourceVersion"].is_string() && answer["metadata"]["name"] == json!(name) {
            self.seen.entry((kind, step.name)).or_default().push(answer.clone());
        }
        Ok(json!({"code": code, "answer": self.plain(&answer)}))
    }

    /// The next page of a list, or the first one of a new list; all pages of one list show the same version.
    async fn page(&mut self, kind: usize) -> Result<Value> {
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

    /// All that was told of a kind since a version, up to the object that ends the sequence. Nothing, where the server has forgotten
    /// the version in the meantime, as one may at any time.
    async fn watched(&mut self, kind: usize, since: &str) -> Result<Option<Vec<Value>>> {
        let last = format!("{}-end", self.prefix);
        self.send("POST", &self.path(kind, ""), "application/json", &object(kind, &last, 0)).await?;
        let query = format!("?watch=true&resourceVersion={since}&timeoutSeconds=30&labelSelector=of={}", self.prefix);
        let request =
            Request::builder().uri(self.path(kind, &query)).header("accept", "application/json").body(vec![])?;
        let mut lines = self.client.request_stream(request).await?.lines();
        let mut told = vec![];
        while let Some(line) = lines.try_next().await? {
            let event: Value = serde_json::from_str(&line)?;
            let ends = event["object"]["metadata"]["name"] == json!(last);
            if event["object"]["reason"] == "Expired" {
                return Ok(None);
            }
            told.push(json!({"type": event["type"], "object": self.plain(&event["object"])}));
            if ends {
                return Ok(Some(told));
            }
        }
        anyhow::bail!("the watch ended before {last} was told: {told:?}")
    }

    /// What a collection says to a query; of a watch all that it tells.
    async fn ask(&mut self, kind: usize, query: &str) -> Result<Value> {
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
    async fn release(&self) -> Result<()> {
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
    fn plain(&mut self, answer: &Value) -> Value {
        if let Some(items) = answer["items"].as_array() {
            return items.iter().map(|item| self.plain(item)).collect();
        }
        if answer["kind"] == "Status" {
            return json!({"status": answer["status"], "reason": answer["reason"], "code": answer["code"]});
        }
        let metadata = &answer["metadata"];
        let (uid, version) = (self.alias(&metadata["uid"]), self.alias(&metadata["resourceVersion"]));
        json!({
            "name": metadata["name"], "uid": uid, "version": version, "labels": metadata["labels"],
            "generation": metadata["generation"], "finalizers": metadata["finalizers"],
            "ending": metadata["deletionTimestamp"].is_string(), "grace": metadata["deletionGracePeriodSeconds"],
            "limit": answer["spec"]["historyLimit"], "data": answer["data"], "message": answer["status"]["message"],
            "phase": if answer["spec"]["containers"].is_array() { answer["status"]["phase"].clone() } else { Value::Null },
        })
    }

    fn alias(&mut self, value: &Value) -> Value {
        let Some(text) = value.as_str() else { return Value::Null };
        let next = self.names.len();
        json!(*self.names.entry(text.into()).or_insert(next))
    }
}

/// Deletes with right, wrong and no preconditions, and with more or less time.
fn options(base: &Value, flavour: u8) -> Value {
    let mut options = json!({});
    match flavour % 4 {
        0 => options["preconditions"] = json!({"uid": "11111111-2222-3333-4444-555555555555"}),
        1 => {
            options["preconditions"] =
                json!({"uid": base["metadata"]["uid"], "resourceVersion": base["metadata"]["resourceVersion"]});
        }
        2 => options["preconditions"] = json!({"resourceVersion": base["metadata"]["resourceVersion"]}),
        _ => {}
    }
    match flavour / 4 % 4 {
        0 => options["gracePeriodSeconds"] = json!(0),
        1 => options["gracePeriodSeconds"] = json!(20),
        _ => {}
    }
    options
}

fn object(kind: usize, name: &str, flavour: u8) -> Value {
    let (prefix, _) = name.rsplit_once('-').unwrap_or((name, ""));
    let metadata = json!({"name": name, "labels": {"n": "1", "of": prefix}});
    match kind {
        // No scheduler looks at it, and its node is none, which the pod collector only acts on after 40 s: nobody else writes to it.
        0 => {
            let node = if flavour.is_multiple_of(2) { json!(format!("no-node-of-{prefix}")) } else { Value::Null };
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {
                "nodeName": node, "schedulerName": "none", "terminationGracePeriodSeconds": 10,
                "automountServiceAccountToken": false,
                "containers": [{"name": "main", "image": "none", "securityContext": {"allowPrivilegeEscalation": false,
                    "runAsNonRoot": true, "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}}]}})
        }
        1 => {
            json!({"apiVersion": "chaos.breakwater.dev/v1alpha1", "kind": "ChaosExperiment", "metadata": metadata, "spec": {
            "historyLimit": 5, "suspend": true, "target": {"selector": {"matchLabels": {"app": "none"}}, "pods": {"all": {}}},
            "kill": {"holdFor": "5s"},
            "observe": {"clients": [{"name": "client", "selector": {"matchLabels": {"app": "none"}}, "port": 8080, "breaker": "b"}]}}})
        }
        _ => json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"n": "0"}}),
    }
}

/// One sequence on both servers; nothing of it is held on to afterwards.
async fn compare(seed: u64, client: &Client, namespace: &str) -> Result<usize> {
    let real = Side::new(client.clone(), seed, namespace);
    let compared = played(seed, client, namespace).await;
    real.release().await?;
    compared
}

async fn sides(seed: u64, real: &Client, namespace: &str) -> Result<(FakeApiServer, Side, Side)> {
    let server = FakeApiServer::new(&[Kind::custom::<ChaosExperiment>()], || Timestamp::UNIX_EPOCH);
    let real = Side::new(real.clone(), seed, namespace);
    let fake = Side::new(Client::new(server.service("test"), namespace), seed, namespace);
    fake.send("POST", "/api/v1/namespaces", "application/json", &json!({"metadata": {"name": namespace}})).await?;
    Ok((server, real, fake))
}

async fn played(seed: u64, real: &Client, namespace: &str) -> Result<usize> {
    let (_, mut real, mut fake) = sides(seed, real, namespace).await?;
    let mut since = vec![];
    for side in [&real, &fake] {
        let (_, list) = side.send("GET", &side.path(2, "?limit=1"), "application/json", &Value::Null).await?;
        since.push(list["metadata"]["resourceVersion"].as_str().context("a list has a version")?.to_string());
    }
    let mut random = Rng::with_seed(seed);
    let steps: Vec<_> = (0..random.usize(10..=50)).map(|_| Step::random(&mut random)).collect();
    for (number, step) in steps.iter().enumerate() {
        let (wanted, got) = (real.take(step).await?, fake.take(step).await?);
        let before = &steps[..number];
        ensure!(
            wanted == got,
            "seed {seed}, step {number} {step:?}\n  real: {wanted}\n  fake: {got}\n  before: {before:?}"
        );
    }
    for (kind, (_, plural)) in KINDS.iter().enumerate() {
        let wanted = real.watched(kind, &since[0]).await.with_context(|| format!("seed {seed}, real"))?;
        let got = fake.watched(kind, &since[1]).await.with_context(|| format!("seed {seed}, fake"))?;
        // What one has not been told has no number in the order of what was seen: nothing further can be compared.
        let (Some(wanted), Some(got)) = (wanted, got) else { break };
        let lines = |told: &[Value]| told.iter().map(|line| format!("    {line}\n")).collect::<String>();
        ensure!(
            wanted == got,
            "seed {seed}, watch on {}\n  real:\n{}  fake:\n{}  {steps:?}",
            plural,
            lines(&wanted),
            lines(&got)
        );
    }
    Ok(steps.len())
}

fn is_long() -> bool {
    std::env::var_os("BREAKWATER_LONG").is_some_and(|value| value == "1")
}

#[tokio::test]
async fn both_servers_answer_the_same() {
    bare("same", async |client, namespace| -> Result<()> {
        let one = std::env::var("BREAKWATER_SEED").ok().and_then(|seed| seed.parse().ok());
        let seeds = one.map_or(1..=if is_long() { 2000 } else { 60 }, |seed: u64| seed..=seed);
        let compared: Vec<_> =
            stream::iter(seeds).map(|seed| compare(seed, &client, namespace)).buffer_unordered(4).collect().await;
        let differ: Vec<_> =
            compared.iter().filter_map(|one| one.as_ref().err()).map(|error| format!("{error:#}")).collect();
        let (first, requests) = (differ.iter().take(5), compared.iter().flatten().sum::<usize>());
        ensure!(
            differ.is_empty(),
            "{} sequences differ:\n{}",
            differ.len(),
            first.cloned().collect::<Vec<_>>().join("\n\n")
        );
        println!("{} sequences, {requests} requests: no difference", compared.len());
        Ok(())
    })
    .await;
}

/// The compaction of the real server's store: every five minutes, of what is five minutes old.
const FORGETS: Duration = Duration::from_secs(11 * 60);

/// What no server has any more, or not yet, or never.
#[tokio::test]
async fn both_servers_refuse_the_same_versions() {
    bare("versions", async |client, namespace| -> Result<()> {
        let (server, mut real, mut fake) = sides(0, &client, namespace).await?;
        let mut next = vec![];
        for side in [&mut real, &mut fake] {
            for name in 0..NAMES {
                let body = object(1, &side.name(name), 0);
                side.send("POST", &side.path(1, ""), "application/json", &body).await?;
            }
            side.page(1).await?;
            next.push(format!("?limit=1&continue={}", side.open[&1].1));
            // Since then there is a newer version.
            side.send("DELETE", &side.path(1, &format!("/{}", side.name(0))), "application/json", &Value::Null).await?;
        }
        server.state().store.compact();
        for query in [
            "?limit=1&continue=nowhere",
            "?limit=1&continue=nowhere&resourceVersion=1",
            "?limit=x",
            // No definition was there at the first version.
            "?watch=true&resourceVersion=1&timeoutSeconds=5",
            "?watch=true&resourceVersion=999999999999&timeoutSeconds=1",
        ] {
            let (wanted, got) = (real.ask(1, query).await?, fake.ask(1, query).await?);
            ensure!(wanted == got, "{query}\n  real: {wanted}\n  fake: {got}");
        }
        if is_long() {
            let got = fake.ask(1, &next[1]).await?;
            ensure!(got["code"] == 410, "fake: {got}");
            until("the next page is forgotten", FORGETS, async || {
                let wanted = real.ask(1, &next[0]).await?;
                ensure!(wanted == got, "real: {wanted}, fake: {got}");
                Ok(Some(()))
            })
            .await?;
        }
        Ok(())
    })
    .await;
}
