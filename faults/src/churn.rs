//! Client replicas that come and go.

use std::collections::VecDeque;

use axum::http::Method;
use breakwater_fake_apiserver::FakeApiServer;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::{backend::running, clients::Clients, lab::PODS};

/// From one replica that goes to the next.
const EVERY: SignedDuration = SignedDuration::from_millis(150);

/// The replicas that are there, and how many are to be replaced.
#[derive(Default)]
pub struct Churn {
    /// So many go from now on.
    pub left: usize,
    there: VecDeque<(String, String)>,
    born: usize,
    next: Timestamp,
}

impl Churn {
    /// Another replica comes, and is ready.
    pub fn come(&mut self, server: &FakeApiServer, clients: &Clients, now: Timestamp) {
        let name = format!("client-{}", self.born);
        self.born += 1;
        let ip = format!("10.0.{}.{}", self.born / 256, self.born % 256);
        let body = json!({"metadata": {"name": name, "labels": {"app": "client"}},
            "spec": {"nodeName": "node-1", "containers": []}});
        // In a namespace that ends none comes.
        let Ok(pod) = server.call("admin", Method::POST, PODS, &body) else { return };
        let mut status = running(now);
        status["status"]["podIP"] = json!(ip);
        server.call("kubelet", Method::PATCH, &format!("{PODS}/{name}/status"), &status).expect("it is there");
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
        clients.add(&name, uid, &ip, now);
        self.there.push_back((name, uid.into()));
    }

    /// Time goes on: the oldest goes, if its time has come.
    pub fn live(&mut self, server: &FakeApiServer, clients: &Clients, now: Timestamp) {
        if self.left == 0 || now < self.next {
            return;
        }
        (self.left, self.next) = (self.left - 1, now + EVERY);
        if let Some((name, uid)) = self.there.pop_front() {
            let zero = json!({"gracePeriodSeconds": 0});
            drop(server.call("admin", Method::DELETE, &format!("{PODS}/{name}"), &zero));
            clients.remove(&uid);
        }
        self.come(server, clients, now);
    }
}
