//! Key-value on disk, on a real disk.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking and prints what it measured")]

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::{BoxFuture, join_all};
use mesh_keyvalue_redb::{KeyvalueRedbFactory, MAX_VALUE};
use mesh_lattice::{CallError, Code, Deadline, Invocation, Reply, Serve, wit::Outcome};
use mesh_provider::{
    Context, Factory as _, Provider, StartError,
    conformance::keyvalue::{self, Backend, Client},
};

struct Nobody;

impl Serve for Nobody {
    fn serve(&self, _: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        Box::pin(std::future::ready(Err(CallError::new(Code::UnknownTarget, "nobody"))))
    }
}

async fn start(dir: &Path) -> Result<Arc<dyn Provider>, StartError> {
    let context = Context {
        lattice: Default::default(),
        name: "kv".parse().unwrap(),
        config: Default::default(),
        data_dir: dir.join("kv"),
        runtime_dir: dir.join("run"),
        calls: Arc::new(Nobody),
        default_nats: None,
        tracing: false,
    };
    KeyvalueRedbFactory::new().unwrap().start(context).await
}

fn backend() -> Backend {
    Backend { config: Default::default(), value_limit: MAX_VALUE }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(10))
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_key_value_as_every_backend_serves_it() {
    let dir = tempfile::tempdir().unwrap();
    let provider = start(dir.path()).await.unwrap();
    keyvalue::run(Arc::clone(&provider), &backend()).await.unwrap();
    provider.drain(soon()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let provider = start(dir.path()).await.unwrap();
    let client = Client::linked(&provider, "counter", "c", &backend()).await.unwrap();
    assert_eq!(client.increment("n", 41).await.unwrap(), Outcome::Ok(41));
    let refused = start(dir.path()).await.err().unwrap().to_string();
    assert!(refused.contains("cannot be opened"), "two cannot have one file: {refused}");
    provider.health().await.unwrap();
    provider.drain(soon()).await;
    assert_eq!(client.increment("n", 1).await.unwrap_err().code, Code::Unavailable);
    assert!(provider.health().await.is_err());

    let provider = start(dir.path()).await.unwrap();
    let client = Client::linked(&provider, "counter", "c", &backend()).await.unwrap();
    assert_eq!(client.increment("n", 1).await.unwrap(), Outcome::Ok(42));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_link_says_which_bucket_and_guests_may_call_it_default() {
    let dir = tempfile::tempdir().unwrap();
    let provider = start(dir.path()).await.unwrap();
    let one = Client::linked(&provider, "one", "a", &backend()).await.unwrap();
    let other = Client::linked(&provider, "other", "b", &backend()).await.unwrap();
    one.set("k", b"v").await.unwrap();
    assert_eq!(other.exists("k").await.unwrap(), Outcome::Ok(false));
    assert_eq!(one.opened("default").exists("k").await.unwrap(), Outcome::Ok(true));
    assert_eq!(other.opened("a").exists("k").await.unwrap(), Outcome::Ok(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_increments_share_a_commit() {
    let dir = tempfile::tempdir().unwrap();
    let provider = start(dir.path()).await.unwrap();
    let client = Client::linked(&provider, "counter", "c", &backend()).await.unwrap();
    let began = Instant::now();
    for _ in 0..100 {
        client.increment("alone", 1).await.unwrap();
    }
    let alone = began.elapsed() / 100;
    let began = Instant::now();
    for _ in 0..10 {
        join_all((0..100).map(|_| client.increment("together", 1)))
            .await
            .into_iter()
            .for_each(|one| drop(one.unwrap()));
    }
    let together = began.elapsed() / 1_000;
    println!("a durable increment: {alone:?} alone, {together:?} among a hundred");
    assert_eq!(client.increment("together", 0).await.unwrap(), Outcome::Ok(1_000));
}
