//! The server under the real client.

use breakwater_fake_apiserver::FakeApiServer;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{
        DeleteParams, EvictParams, ListParams, Patch, PatchParams, PostParams, Preconditions, WatchEvent, WatchParams,
    },
    runtime::{WatchStreamExt, watcher},
};
use serde_json::{Value, json};

async fn server() -> (FakeApiServer, Client) {
    let server = FakeApiServer::new(&[], || Timestamp::UNIX_EPOCH);
    let client = Client::new(server.service("test"), "shop");
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": "shop"}})).unwrap();
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    (server, client)
}

fn pod(name: &str, node: Option<&str>) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"app": "backend"}},
        "spec": {"nodeName": node, "containers": [], "terminationGracePeriodSeconds": 5}}))
    .unwrap()
}

#[tokio::test]
async fn a_delete_is_held_to_its_preconditions_and_grace() {
    let (_, client) = server().await;
    let pods: Api<Pod> = Api::namespaced(client, "shop");
    let made = pods.create(&PostParams::default(), &pod("one", Some("node"))).await.unwrap();
    let delete = |uid: Option<String>, version: Option<String>, grace: Option<u32>| DeleteParams {
        grace_period_seconds: grace,
        preconditions: Some(Preconditions { uid, resource_version: version }),
        ..DeleteParams::default()
    };
    for (uid, version) in [(Some("another".into()), None), (made.uid(), Some("999".into()))] {
        let refused = pods.delete("one", &delete(uid, version, None)).await.unwrap_err();
        assert!(matches!(refused, kube::Error::Api(status) if status.is_conflict()));
    }
    pods.delete("one", &delete(made.uid(), made.resource_version(), None)).await.unwrap();
    let marked = pods.get("one").await.unwrap();
    assert_eq!(marked.metadata.deletion_grace_period_seconds, Some(5));
    assert_ne!(marked.resource_version(), made.resource_version());
    pods.delete("one", &delete(made.uid(), None, Some(0))).await.unwrap();
    assert!(pods.get_opt("one").await.unwrap().is_none());
}

#[tokio::test]
async fn a_write_with_an_old_version_is_refused_and_one_that_changes_nothing_is_none() {
    let (server, client) = server().await;
    let pods: Api<Pod> = Api::namespaced(client, "shop");
    let made = pods.create(&PostParams::default(), &pod("one", None)).await.unwrap();
    let label = |value: &str| Patch::Merge(json!({"metadata": {"labels": {"more": value}}}));
    let newer = pods.patch("one", &PatchParams::default(), &label("1")).await.unwrap();
    let again = pods.patch("one", &PatchParams::default(), &label("1")).await.unwrap();
    assert_eq!(newer.resource_version(), again.resource_version());
    assert!(pods.replace("one", &PostParams::default(), &made).await.is_err());
    let log = server.state().requests.iter().map(|request| request.code).collect::<Vec<_>>();
    assert_eq!(log, [201, 201, 200, 200, 409]);
}

#[tokio::test]
async fn pages_show_one_moment_and_expire() {
    let (server, client) = server().await;
    let pods: Api<Pod> = Api::namespaced(client, "shop");
    for name in ["a", "b", "c"] {
        pods.create(&PostParams::default(), &pod(name, None)).await.unwrap();
    }
    let page = ListParams::default().labels("app=backend").limit(2);
    let first = pods.list(&page).await.unwrap();
    pods.delete("c", &DeleteParams::default()).await.unwrap();
    let token = first.metadata.continue_.unwrap();
    let second = pods.list(&page.clone().continue_token(&token)).await.unwrap();
    let names = [first.items, second.items].concat().iter().map(ResourceExt::name_any).collect::<Vec<_>>();
    assert_eq!(names, ["a", "b", "c"]);
    server.state().store.compact();
    let expired = pods.list(&page.continue_token(&token)).await.unwrap_err();
    assert!(matches!(expired, kube::Error::Api(status) if status.code == 410));
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_what_comes_goes_and_ceases_to_match_then_bookmarks_and_ends() {
    let (server, client) = server().await;
    let pods: Api<Pod> = Api::namespaced(client, "shop");
    pods.create(&PostParams::default(), &pod("old", None)).await.unwrap();
    let params = WatchParams::default().labels("app=backend").timeout(70);
    let version = server.state().store.revision().to_string();
    let watch = pods.watch(&params, &version).await.unwrap();
    pods.create(&PostParams::default(), &pod("new", None)).await.unwrap();
    let unlabel = Patch::Merge(json!({"metadata": {"labels": {"app": "other"}}}));
    pods.patch("old", &PatchParams::default(), &unlabel).await.unwrap();
    pods.delete("new", &DeleteParams::default()).await.unwrap();
    let told: Vec<_> = watch
        .map_ok(|event| match event {
            WatchEvent::Added(pod) => format!("added {}", pod.name_any()),
            WatchEvent::Modified(pod) => format!("modified {}", pod.name_any()),
            WatchEvent::Deleted(pod) => format!("deleted {}", pod.name_any()),
            WatchEvent::Bookmark(_) => "bookmark".into(),
            WatchEvent::Error(status) => status.message,
        })
        .try_collect()
        .await
        .unwrap();
    assert_eq!(told, ["added new", "deleted old", "modified new", "deleted new", "bookmark", "bookmark"]);
    server.state().store.compact();
    pods.create(&PostParams::default(), &pod("newest", None)).await.unwrap();
    let mut late = pods.watch(&params, &version).await.unwrap().boxed();
    let told = late.next().await.unwrap().unwrap();
    assert!(matches!(told, WatchEvent::Error(status) if status.code == 410));
}

#[tokio::test(start_paused = true)]
async fn a_watcher_follows_metadata_alone() {
    let (_, client) = server().await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), "shop");
    pods.create(&PostParams::default(), &pod("one", None)).await.unwrap();
    let metadata: Api<kube::api::PartialObjectMeta<Pod>> = Api::namespaced(client, "shop");
    let mut events = watcher(metadata, watcher::Config::default().any_semantic()).applied_objects().boxed();
    assert_eq!(events.next().await.unwrap().unwrap().name_any(), "one");
    pods.create(&PostParams::default(), &pod("two", None)).await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().name_any(), "two");
}

#[tokio::test]
async fn an_eviction_asks_the_budget() {
    let (server, client) = server().await;
    let pods: Api<Pod> = Api::namespaced(client, "shop");
    let call =
        |method: &str, path: &str, body: Value| server.call("test", method.parse().unwrap(), path, &body).unwrap();
    pods.create(&PostParams::default(), &pod("one", Some("node"))).await.unwrap();
    let ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    call("PATCH", "/api/v1/namespaces/shop/pods/one/status", ready);
    let budgets = "/apis/policy/v1/namespaces/shop/poddisruptionbudgets";
    let selector = json!({"matchLabels": {"app": "backend"}});
    call("POST", budgets, json!({"metadata": {"name": "budget"}, "spec": {"minAvailable": 1, "selector": selector}}));
    let refused = pods.evict("one", &EvictParams::default()).await.unwrap_err();
    assert!(matches!(refused, kube::Error::Api(status) if status.code == 429));
    call("PATCH", &format!("{budgets}/budget"), json!({"spec": {"minAvailable": 0}}));
    pods.evict("one", &EvictParams::default()).await.unwrap();
    assert!(pods.get("one").await.unwrap().metadata.deletion_timestamp.is_some());
}
