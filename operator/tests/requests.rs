//! However much there is to ask, the API server is asked so many things at a time and no more.

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, http::StatusCode, routing::get};
use breakwater_operator::{
    metrics::Metrics,
    operator::Outside,
    requests::{AT_ONCE, SILENCE_LIMIT},
};
use futures::{StreamExt, future::join_all};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Config,
    api::{DeleteParams, ListParams},
};
use tokio::{sync::Semaphore, time::timeout};

/// An API server that answers when it is let.
#[derive(Default)]
struct Server {
    under_way: AtomicUsize,
    most: AtomicUsize,
}

#[tokio::test]
async fn so_many_requests_are_under_way_and_no_more() {
    let (server, gate) = (Arc::new(Server::default()), Arc::new(Semaphore::new(0)));
    let (asked, let_through) = (server.clone(), gate.clone());
    let answer = async move || {
        let now = asked.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        asked.most.fetch_max(now, Ordering::SeqCst);
        let_through.acquire().await.unwrap().forget();
        asked.under_way.fetch_sub(1, Ordering::SeqCst);
        StatusCode::NOT_FOUND
    };
    let app = Router::new().fallback(get(answer));
    let url = format!("http://{}", common::serve(app).await);

    // The two clients of an operator, as `main` puts it together, share the places.
    let cluster = Config::new(url.parse().unwrap());
    let outside = Outside::new(cluster, Arc::new(Metrics::default()), |_| None).unwrap();
    let clients = [outside.reads, outside.effects];
    let ask = |client: &Client| {
        let pods: Api<Pod> = Api::namespaced(client.clone(), "shop");
        async move { pods.get("one").await.is_ok() }
    };
    let asks = join_all((0..4 * AT_ONCE).map(|number| ask(&clients[number % 2])));
    let all = tokio::spawn(asks);
    let full = async {
        while server.under_way.load(Ordering::SeqCst) < AT_ONCE {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), full).await.expect("all places are taken");
    gate.add_permits(4 * AT_ONCE);
    let answers = timeout(Duration::from_secs(20), all).await.expect("whoever waits has its turn").unwrap();
    assert_eq!((answers.len(), server.most.load(Ordering::SeqCst)), (4 * AT_ONCE, AT_ONCE), "all are answered");
}

#[tokio::test]
async fn an_effect_is_sent_once_whatever_is_answered() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let answer = async move || {
        count.fetch_add(1, Ordering::SeqCst);
        StatusCode::SERVICE_UNAVAILABLE
    };
    let app = Router::new().fallback(axum::routing::any(answer));
    let url = format!("http://{}", common::serve(app).await);
    let outside = Outside::new(Config::new(url.parse().unwrap()), Arc::new(Metrics::default()), |_| None).unwrap();
    let pods: Api<Pod> = Api::namespaced(outside.effects, "shop");
    pods.delete("one", &DeleteParams::default()).await.unwrap_err();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

/// As behind a connection into nowhere: the head of an answer has come, and the rest stays out.
#[tokio::test]
async fn an_answer_that_breaks_off_in_the_middle_is_not_waited_for_for_ever() {
    let (sent, mut begun) = tokio::sync::mpsc::unbounded_channel();
    let answer = async move || {
        let sent = sent.clone();
        let half = futures::stream::once(async {
            Ok::<_, std::io::Error>(r#"{"kind": "PodList", "apiVersion": "v1", "metadata"#)
        });
        let silence = futures::stream::once(async move {
            sent.send(()).unwrap();
            std::future::pending().await
        });
        Body::from_stream(half.chain(silence))
    };
    let url = format!("http://{}", common::serve(Router::new().fallback(get(answer))).await);
    let cluster = Config::new(url.parse().unwrap());
    let outside = Outside::new(cluster, Arc::new(Metrics::default()), |_| None).unwrap();
    let pods: Api<Pod> = Api::namespaced(outside.effects, "shop");
    let list = tokio::spawn(async move { pods.list(&ListParams::default()).await });
    begun.recv().await.expect("the answer has begun");
    // Nothing is to come any more: time may leap to what is waited for.
    tokio::time::pause();
    let answer = timeout(SILENCE_LIMIT * 2, list).await.expect("it is given up").unwrap();
    assert!(answer.is_err());
}
