//! Key-value in Redis, on a real server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a test fails by panicking and prints what it measured"
)]

mod server;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use mesh_keyvalue_redis::{KeyvalueRedisFactory, MAX_VALUE};
use mesh_lattice::{CallError, Code, Deadline, Invocation, Reply, Serve, application::Values, wit::Outcome};
use mesh_provider::{
    Context, Factory as _, Provider,
    conformance::keyvalue::{self, Backend, Client},
};
use server::RedisServer;

struct Nobody;

impl Serve for Nobody {
    fn serve(&self, _: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        Box::pin(std::future::ready(Err(CallError::new(Code::UnknownTarget, "nobody"))))
    }
}

async fn start(url: &str) -> Arc<dyn Provider> {
    let context = Context {
        lattice: Default::default(),
        name: "kv".parse().unwrap(),
        config: Values::from([("url".to_owned(), url.to_owned())]),
        data_dir: "/nowhere".into(),
        runtime_dir: "/nowhere".into(),
        calls: Arc::new(Nobody),
        default_nats: None,
        tracing: false,
    };
    KeyvalueRedisFactory::new().unwrap().start(context).await.unwrap()
}

fn backend() -> Backend {
    Backend { config: Values::new(), value_limit: MAX_VALUE }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(5))
}

/// How a call ended that brought nothing else of interest.
fn other<T: std::fmt::Debug>(called: Result<Outcome<T, mesh_lattice::wit::keyvalue::Error>, CallError>) -> String {
    match called.map_err(|error| error.code) {
        Ok(Outcome::Ok(_)) => "done".into(),
        Ok(Outcome::Err(error)) => format!("{error:?}"),
        Err(code) => code.to_string(),
    }
}

/// Returns when calls are answered again.
async fn back(client: &Client) {
    let answered = async {
        while other(client.get("n").await) != "done" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(15), answered).await.expect("it did not come back");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_key_value_as_every_backend_serves_it() {
    let server = RedisServer::start();
    let provider = start(&server.url()).await;
    keyvalue::run(Arc::clone(&provider), &backend()).await.unwrap();
    provider.health().await.unwrap();
    provider.drain(soon()).await;
    let client = Client::linked(&provider, "late", "late", &backend()).await;
    assert!(client.is_err(), "a provider that stops takes no link");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_tools_see_keys_as_they_are_and_theirs_are_listed() {
    let server = RedisServer::start();
    let provider = start(&server.url()).await;
    let client = Client::linked(&provider, "a", "", &backend()).await.unwrap();
    client.set("plain", b"1").await.unwrap();
    client.increment("count", 5).await.unwrap();
    client.opened("carts").set("k", b"2").await.unwrap();
    for (key, value) in [("plain", "1"), ("count", "5"), ("carts:k", "2")] {
        assert_eq!(server.ask::<String>(&["GET", key]), value, "{key}");
    }
    server.ask::<()>(&["SET", "theirs", "3"]);
    server.ask::<()>(&["LPUSH", "list", "x"]);
    let Outcome::Ok(page) = client.list_keys(None).await.unwrap() else { panic!("no page") };
    let keys: BTreeSet<_> = page.keys.iter().map(String::as_str).collect();
    assert_eq!(keys, BTreeSet::from(["carts:k", "count", "plain", "theirs"]), "a list is no value of key-value");
    assert_eq!(other(client.get("list").await), r#"Other("the key holds no plain value")"#);
    let Outcome::Ok(page) = client.opened("carts").list_keys(None).await.unwrap() else { panic!("no page") };
    assert_eq!(page.keys, ["k"]);
    for bucket in ["a:b", "a b", "*", "é"] {
        assert_eq!(other(client.opened(bucket).get("k").await), "NoSuchStore", "{bucket:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_go_on_where_redis_itself_cannot_add() {
    let server = RedisServer::start();
    let provider = start(&server.url()).await;
    let client = Client::linked(&provider, "a", "", &backend()).await.unwrap();
    let most = i64::MAX as u64;
    for (text, delta, sum) in [("41\n", 1, 42), (&most.to_string(), 1, most + 1), ("7", most + 8, most + 15)] {
        server.ask::<()>(&["SET", "n", text, "EX", "1000"]);
        assert_eq!(client.increment("n", delta).await.unwrap(), Outcome::Ok(sum), "{text:?} + {delta}");
        assert!(server.ask::<i64>(&["TTL", "n"]) > 0, "its time to live is kept");
    }
    assert_eq!(client.increment("new", u64::MAX).await.unwrap(), Outcome::Ok(u64::MAX));
    assert_eq!(other(client.increment("new", 1).await), r#"Other("the counter would pass 2^64 - 1")"#);
    server.ask::<()>(&["SET", "n", &u64::MAX.to_string()]);
    assert_eq!(other(client.increment("n", 1).await), r#"Other("the counter would pass 2^64 - 1")"#);
    assert_eq!(server.ask::<String>(&["GET", "n"]), u64::MAX.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_fails_calls_in_time_and_its_return_heals_them() {
    let mut server = RedisServer::start();
    let provider = start(&server.url()).await;
    let client = Client::linked(&provider, "a", "b", &backend()).await.unwrap();
    assert_eq!(other(client.increment("n", 1).await), "done");
    server.stop();
    let began = std::time::Instant::now();
    assert_eq!(other(client.increment("n", 1).await), "backend");
    assert_eq!(other(client.get("n").await), "backend");
    println!("two calls failed after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(15));
    let said = provider.health().await.unwrap_err();
    assert!(said.contains("127.0.0.1"), "{said}");

    server.restart();
    back(&client).await;
    // What failed was not done later behind the caller's back.
    assert_eq!(client.increment("n", 1).await.unwrap(), Outcome::Ok(2));
    provider.health().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_its_way_to_a_server_that_stands_still_is_not_written_when_it_goes_on() {
    let server = RedisServer::start();
    let provider = start(&server.url()).await;
    let client = Client::linked(&provider, "a", "", &backend()).await.unwrap();
    // More than the kernel holds for both ends: the rest waits until the server reads.
    let large = vec![b'x'; 16 << 20];
    assert_eq!(other(client.set("before", &large).await), "done");
    server.pause();
    assert_eq!(other(client.set("late", &large).await), "backend");
    server.go_on();
    back(&client).await;
    // What was still to come of the other connection would have come by now.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let stored = ["before", "late"].map(|key| server.ask::<u64>(&["EXISTS", key]));
    assert_eq!(stored, [1, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_can_be_made_before_its_server_is_there() {
    let provider = start("redis://:hush@127.0.0.1:1/").await;
    let client = Client::linked(&provider, "a", "b", &backend()).await.unwrap();
    let failed = client.get("k").await.unwrap_err();
    assert_eq!(failed.code, Code::Backend);
    assert!(failed.message.contains("127.0.0.1:1") && !failed.message.contains("hush"), "{}", failed.message);
    assert!(provider.health().await.unwrap_err().contains("127.0.0.1:1"));
    tokio::time::timeout(Duration::from_secs(10), provider.drain(soon())).await.unwrap();
}
