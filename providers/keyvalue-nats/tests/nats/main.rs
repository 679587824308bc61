//! Key-value in NATS, on a real server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a test fails by panicking and prints what it measured"
)]

use std::{path::Path, sync::Arc, time::Duration};

use futures::future::{BoxFuture, join_all};
use mesh_keyvalue_nats::{HEADROOM, KeyvalueNatsFactory};
use mesh_lattice::{CallError, Code, Deadline, Invocation, Reply, Serve, application::Values, wit::Outcome};
use mesh_nats::testing::NatsServer;
use mesh_provider::{
    Context, Factory as _, NatsDefault, Provider,
    conformance::keyvalue::{self, Backend, Client},
};

struct Nobody;

impl Serve for Nobody {
    fn serve(&self, _: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        Box::pin(std::future::ready(Err(CallError::new(Code::UnknownTarget, "nobody"))))
    }
}

async fn start(dir: &Path, url: &str, config: &[(&str, &str)]) -> Arc<dyn Provider> {
    let context = Context {
        lattice: Default::default(),
        name: "kv".parse().unwrap(),
        config: values(config),
        data_dir: dir.join("kv"),
        runtime_dir: dir.join("run"),
        calls: Arc::new(Nobody),
        default_nats: Some(NatsDefault { url: url.to_owned(), ..Default::default() }),
        tracing: false,
    };
    KeyvalueNatsFactory::new().unwrap().start(context).await.unwrap()
}

fn values(pairs: &[(&str, &str)]) -> Values {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn backend(config: &[(&str, &str)]) -> Backend {
    Backend { config: values(config), value_limit: (1 << 20) - HEADROOM }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(10))
}

fn other<T>(called: Result<Outcome<T, mesh_lattice::wit::keyvalue::Error>, CallError>) -> String {
    match called.map_err(|error| error.code) {
        Ok(Outcome::Ok(_)) => "done".into(),
        Ok(Outcome::Err(error)) => format!("{error:?}"),
        Err(code) => code.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_key_value_as_every_backend_serves_it() {
    let server = NatsServer::start();
    let provider = start(server.dir(), &server.url(), &[]).await;
    keyvalue::run(Arc::clone(&provider), &backend(&[])).await.unwrap();
    provider.health().await.unwrap();
    provider.drain(soon()).await;
    let client = Client::linked(&provider, "late", "late", &backend(&[])).await;
    assert!(client.is_err(), "a provider that stops takes no link");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_providers_count_one_counter_exactly() {
    let server = NatsServer::start();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let provider = start(server.dir(), &server.url(), &[]).await;
        clients.push(Client::linked(&provider, "counter", "shared", &backend(&[])).await.unwrap());
    }
    let began = std::time::Instant::now();
    let count = |client: Client| async move {
        for _ in 0..250 {
            assert!(matches!(client.increment("hits", 1).await.unwrap(), Outcome::Ok(_)));
        }
    };
    join_all((0..8).map(|at| count(clients[at % 2].clone()))).await;
    println!("2,000 increments by two providers in {:?}", began.elapsed());
    assert_eq!(clients[0].increment("hits", 0).await.unwrap(), Outcome::Ok(2_000));
    let raw = server.bucket("shared").await.get("hits").await.unwrap().unwrap();
    assert_eq!(&raw[..], b"2000", "other tools read it");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_tools_see_keys_as_they_are_and_theirs_are_listed() {
    let server = NatsServer::start();
    let provider = start(server.dir(), &server.url(), &[]).await;
    let client = Client::linked(&provider, "a", "mixed", &backend(&[])).await.unwrap();
    client.set("plain.key", b"1").await.unwrap();
    client.set("with space", b"2").await.unwrap();
    let bucket = server.bucket("mixed").await;
    assert_eq!(bucket.get("plain.key").await.unwrap().unwrap(), "1");
    bucket.put("theirs", "3".into()).await.unwrap();
    bucket.put("=m=theirs", "4".into()).await.unwrap();
    let Outcome::Ok(mut page) = client.list_keys(None).await.unwrap() else { panic!("no page") };
    page.keys.sort();
    assert_eq!(page.keys, ["=m=theirs", "plain.key", "theirs", "with space"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_buckets_of_the_mesh_are_out_of_reach() {
    let server = NatsServer::start();
    server.make_bucket("MESH_default").await.put("k", "v".into()).await.unwrap();
    let provider = start(server.dir(), &server.url(), &[]).await;
    assert!(Client::linked(&provider, "a", "MESH_default", &backend(&[])).await.is_err());
    let client = Client::linked(&provider, "a", "mine", &backend(&[])).await.unwrap().opened("MESH_default");
    assert_eq!(other(client.get("k").await), "AccessDenied");
    assert_eq!(other(client.set("k", b"x").await), "AccessDenied");
    assert_eq!(other(client.list_keys(None).await), "AccessDenied");
    for bucket in ["a.b", "a b", "$KV", ">", "*", "é"] {
        assert_eq!(other(client.opened(bucket).get("k").await), "NoSuchStore", "{bucket:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_made_only_where_that_is_allowed() {
    let server = NatsServer::start();
    let provider = start(server.dir(), &server.url(), &[("enable_bucket_auto_create", "false")]).await;
    let client = Client::linked(&provider, "a", "absent", &backend(&[])).await.unwrap();
    assert_eq!(other(client.set("k", b"v").await), "NoSuchStore");
    assert_eq!(other(client.open("").await), "NoSuchStore");
    server.make_bucket("absent").await;
    assert_eq!(other(client.set("k", b"v").await), "done");
    assert_eq!(other(client.open("").await), "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_listed_with_history_too() {
    let server = NatsServer::start();
    let bucket = server.make_bucket_with_history("old", 5).await;
    for value in ["1", "2", "3"] {
        bucket.put("a", value.into()).await.unwrap();
        bucket.put("b", value.into()).await.unwrap();
    }
    bucket.delete("b").await.unwrap();
    let provider = start(server.dir(), &server.url(), &[]).await;
    let client = Client::linked(&provider, "a", "old", &backend(&[])).await.unwrap();
    let Outcome::Ok(page) = client.list_keys(None).await.unwrap() else { panic!("no page") };
    assert_eq!((page.keys, page.cursor), (vec!["a".to_owned()], None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_fails_calls_in_time_and_its_return_heals_them() {
    let mut server = NatsServer::start();
    let provider = start(server.dir(), &server.url(), &[]).await;
    let client = Client::linked(&provider, "a", "b", &backend(&[])).await.unwrap();
    assert_eq!(other(client.increment("n", 1).await), "done");
    server.stop();
    let began = std::time::Instant::now();
    assert_eq!(other(client.increment("n", 1).await), "backend");
    assert_eq!(other(client.get("n").await), "backend");
    println!("two calls failed after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(15));
    assert!(provider.health().await.is_err());

    server.restart();
    let back = async {
        while other(client.get("n").await) != "done" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(15), back).await.expect("it did not come back");
    // What failed was not done later behind the caller's back.
    assert_eq!(client.increment("n", 1).await.unwrap(), Outcome::Ok(2));
    provider.health().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_can_be_made_before_its_server_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let provider = start(dir.path(), "nats://127.0.0.1:1", &[]).await;
    let client = Client::linked(&provider, "a", "b", &backend(&[])).await.unwrap();
    assert_eq!(other(client.get("k").await), "backend");
    assert!(provider.health().await.unwrap_err().contains("127.0.0.1:1"));
    tokio::time::timeout(Duration::from_secs(10), provider.drain(soon())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_link_connects_with_its_own_credentials() {
    let user = nkeys::KeyPair::new_user();
    let server = NatsServer::start_for(&user.public_key());
    let provider = start(server.dir(), &server.url(), &[]).await;
    let stranger = Client::linked(&provider, "stranger", "b", &backend(&[])).await.unwrap();
    let seed = user.seed().unwrap();
    let friend = Client::linked(&provider, "friend", "b", &backend(&[("client_seed", &seed)])).await.unwrap();
    assert_eq!(other(friend.set("k", b"v").await), "done");
    assert_eq!(other(stranger.get("k").await), "backend");
}
