//! What arrives.

use std::{sync::atomic::Ordering, time::Duration};

use async_nats::HeaderMap;
use mesh_lattice::wit::Outcome;
use mesh_nats::testing::NatsServer;

use crate::fixture::{Actors, Handled, Sender, eventually, message, metric, soon, start, subscribe, to_handler};

#[tokio::test(flavor = "multi_thread")]
async fn a_message_becomes_a_call_of_the_handler_that_the_link_names() {
    let server = NatsServer::start();
    let actors = Actors::willing();
    let provider = start(server.dir(), &server.url(), &actors).await;
    subscribe(&provider, "two", &[("subscriptions", "orders.*")]).await.unwrap();
    let later = to_handler("three", "wasmcloud:messaging/incoming-handler", &[("subscriptions", "orders.new")]);
    provider.put_link(later).await.unwrap();

    let client = server.client().await;
    let mut headers = HeaderMap::new();
    headers.insert("Content-Type", "text/plain");
    headers.insert("shop", "7");
    // A subscription is made in the background: until it is there, what is sent goes nowhere.
    let publish = || client.publish_with_reply_and_headers("orders.new", "answers", headers.clone(), "tea".into());
    while actors.messages().len() < 2 {
        publish().await.unwrap();
        tokio::time::timeout(Duration::from_secs(10), client.flush()).await.unwrap().unwrap();
    }
    let mut expected = message("orders.new", b"tea");
    expected.reply_to = Some("answers".into());
    expected.content_type = Some("text/plain".into());
    expected.metadata = vec![("shop".into(), "7".into())];
    let handled = |target: &str, interface: &str, operation: &str| Handled {
        caller: "broker".into(),
        target: target.into(),
        interface: interface.into(),
        operation: operation.into(),
        message: expected.clone(),
    };
    let seen = actors.handled.lock().clone();
    assert!(seen.contains(&handled("two", "wasmcloud:messaging/handler@0.2.0", "handle-message")), "{seen:?}");
    assert!(seen.contains(&handled("three", "wasmcloud:messaging/incoming-handler@0.3.0", "handle")), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_of_a_provider_handle_each_message_once() {
    const MESSAGES: usize = 500;
    let server = NatsServer::start();
    let actors = Actors::willing();
    let mut replicas = Vec::new();
    for _ in 0..2 {
        let provider = start(server.dir(), &server.url(), &actors).await;
        subscribe(&provider, "worker", &[("subscriptions", "jobs")]).await.unwrap();
        replicas.push(provider);
    }
    // Each replica is there once its own sender's message has come back to one of them.
    for (at, replica) in replicas.iter().enumerate() {
        Sender::linked(replica, "probe").await.publish(&message("jobs", b"probe")).await.unwrap();
        eventually("a probe is handled", || actors.messages().len() > at).await;
    }
    let client = server.client().await;
    for number in 0..MESSAGES {
        client.publish("jobs", number.to_string().into()).await.unwrap();
    }
    client.flush().await.unwrap();
    eventually("all are handled", || actors.messages().len() >= MESSAGES + 2).await;
    for replica in &replicas {
        replica.drain(soon()).await;
    }
    let mut bodies: Vec<_> = actors.messages().into_iter().map(|message| message.body.into_vec()).collect();
    assert_eq!(bodies.len(), MESSAGES + 2);
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), MESSAGES + 1, "each number once, and the probe");
    let by: Vec<_> = replicas.iter().map(|replica| metric(replica, "handled_total", "result=\"ok\"")).collect();
    println!("{MESSAGES} messages, handled by each replica: {by:?}");
    assert!(by.iter().all(|handled| *handled > 1), "one replica did everything: {by:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_finds_neither_a_handler_nor_room_is_dropped_and_counted() {
    let server = NatsServer::start();
    let actors = Actors::blocked();
    let provider = start(server.dir(), &server.url(), &actors).await;
    let config = [("subscriptions", "jobs"), ("max_in_flight", "2"), ("max_pending", "3")];
    subscribe(&provider, "worker", &config).await.unwrap();
    let sender = Sender::linked(&provider, "sender").await;
    for _ in 0..10 {
        sender.publish(&message("jobs", b"x")).await.unwrap();
    }
    let full = || metric(&provider, "dropped_total", "reason=\"full\"");
    eventually("five are dropped", || full() == 5).await;
    assert_eq!((metric(&provider, "in_flight", ""), metric(&provider, "pending", "")), (2, 3));
    assert_eq!(actors.messages().len(), 2);
    actors.permits.add_permits(10);
    eventually("five are handled", || metric(&provider, "handled_total", "result=\"ok\"") == 5).await;
    assert_eq!((metric(&provider, "in_flight", ""), metric(&provider, "pending", ""), full()), (0, 0, 5));
    sender.publish(&message("jobs", b"x")).await.unwrap();
    eventually("there is room again", || metric(&provider, "handled_total", "result=\"ok\"") == 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_without_room_is_called_again_and_one_that_refuses_is_not() {
    let server = NatsServer::start();
    let actors = Actors::answering(Outcome::Err("no".into()), 1_000);
    actors.busy.store(3, Ordering::SeqCst);
    let provider = start(server.dir(), &server.url(), &actors).await;
    subscribe(&provider, "worker", &[("subscriptions", "jobs")]).await.unwrap();
    Sender::linked(&provider, "sender").await.publish(&message("jobs", b"x")).await.unwrap();
    eventually("it is refused", || metric(&provider, "handled_total", "result=\"refused\"") == 1).await;
    assert_eq!((actors.busy.load(Ordering::SeqCst), actors.messages().len()), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_waits_too_long_is_late() {
    let server = NatsServer::start();
    let actors = Actors::blocked();
    let provider = start(server.dir(), &server.url(), &actors).await;
    let config = [("subscriptions", "jobs"), ("max_in_flight", "1"), ("timeout_ms", "50")];
    subscribe(&provider, "worker", &config).await.unwrap();
    let sender = Sender::linked(&provider, "sender").await;
    for _ in 0..2 {
        sender.publish(&message("jobs", b"x")).await.unwrap();
    }
    eventually("one waits", || metric(&provider, "pending", "") == 1).await;
    tokio::time::timeout(Duration::from_secs(10), async {
        let began = std::time::Instant::now();
        while began.elapsed() < Duration::from_millis(60) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    actors.permits.add_permits(1);
    eventually("it is late", || metric(&provider, "dropped_total", "reason=\"late\"") == 1).await;
    assert_eq!(actors.messages().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_come_back_with_the_server() {
    let mut server = NatsServer::start();
    let actors = Actors::willing();
    let provider = start(server.dir(), &server.url(), &actors).await;
    subscribe(&provider, "worker", &[("subscriptions", "jobs")]).await.unwrap();
    let sender = Sender::linked(&provider, "sender").await;
    sender.publish(&message("jobs", b"before")).await.unwrap();
    eventually("the first is handled", || actors.messages().len() == 1).await;
    server.stop();
    let noticed = async {
        while provider.health().await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(15), noticed).await.expect("it does not notice");
    let failed = sender.publish(&message("jobs", b"meanwhile")).await.unwrap_err();
    assert_eq!(failed.code, mesh_lattice::Code::Backend);
    server.restart();
    let back = async {
        while sender.publish(&message("jobs", b"after")).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(15), back).await.expect("it did not come back");
    eventually("the last is handled", || actors.messages().last().unwrap().body.as_slice() == b"after").await;
    assert_eq!(actors.messages().len(), 2, "what failed was not sent later");
    provider.health().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_ends_subscriptions_finishes_handlers_and_lets_them_publish() {
    let server = NatsServer::start();
    let actors = Actors::blocked();
    let provider = start(server.dir(), &server.url(), &actors).await;
    let config = [("subscriptions", "jobs"), ("max_in_flight", "1")];
    subscribe(&provider, "worker", &config).await.unwrap();
    let sender = Sender::linked(&provider, "worker").await;
    for _ in 0..2 {
        sender.publish(&message("jobs", b"x")).await.unwrap();
    }
    eventually("one runs and one waits", || metric(&provider, "pending", "") == 1).await;
    let mut drain = Box::pin(provider.drain(soon()));
    assert!(futures::poll!(&mut drain).is_pending());
    assert!(sender.publish(&message("answers", b"still")).await.is_ok());
    actors.permits.add_permits(2);
    drain.await;
    assert_eq!(actors.messages().len(), 2);
    assert!(subscribe(&provider, "worker", &config).await.is_err(), "a provider that stops takes no link");
    sender.publish(&message("jobs", b"nobody reads it")).await.unwrap();
    provider.drain(soon()).await;
    assert_eq!(sender.publish(&message("a", b"")).await.unwrap_err().code, mesh_lattice::Code::Unavailable);
    assert_eq!(actors.messages().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_goes_or_changes_takes_its_subscriptions_along() {
    let server = NatsServer::start();
    let actors = Actors::willing();
    let provider = start(server.dir(), &server.url(), &actors).await;
    let sender = Sender::linked(&provider, "sender").await;
    let old = to_handler("worker", "wasmcloud:messaging/handler", &[("subscriptions", "old")]);
    let new = to_handler("worker", "wasmcloud:messaging/handler", &[("subscriptions", "new")]);
    for link in [&old, &old, &new] {
        provider.put_link(link.clone()).await.unwrap();
    }
    let subjects = || actors.messages().into_iter().map(|message| message.subject).collect::<Vec<_>>();
    // One connection keeps the order: what was not handled before this one never will be.
    let send = async |subject: &str| sender.publish(&message(subject, b"")).await.unwrap();
    send("new").await;
    eventually("the new one is read", || subjects().contains(&"new".to_owned())).await;
    let nobody = async || matches!(sender.request("old", b"", 5_000).await, Ok(Outcome::Err(text)) if text.contains("nobody listens"));
    let gone = async {
        while !nobody().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("the old subscription stays");
    provider.delete_link(&new.id()).await;
    let gone = async {
        while !matches!(sender.request("new", b"", 200).await, Ok(Outcome::Err(text)) if text.contains("nobody listens"))
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("the subscription stays");
}
