//! What actors send.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use mesh_lattice::{
    Code,
    wit::{
        Outcome,
        messaging::{Message, RequestOptions},
    },
};
use mesh_nats::testing::NatsServer;

use crate::fixture::{Actors, Sender, message, start, subscribe};

const REQUEST_REPLY: &str = "wasmcloud:messaging/request-reply@0.3.0";

/// A server, and an actor that sends; the provider lives as long as it.
async fn sender() -> (NatsServer, Sender) {
    let server = NatsServer::start();
    let provider = start(server.dir(), &server.url(), &Actors::willing()).await;
    let sender = Sender::linked(&provider, "sender").await;
    (server, sender)
}

/// Answers every request on `subject` with what it was asked, twice said, until the test ends.
async fn echo(server: &NatsServer, subject: &'static str) -> tokio::task::JoinHandle<()> {
    let client = server.client().await;
    let mut requests = client.subscribe(subject).await.unwrap();
    client.flush().await.unwrap();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let text = [&request.payload[..], &request.payload[..]].concat();
            client.publish(request.reply.unwrap(), text.into()).await.unwrap();
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_actor_publishes_others_read_with_its_headers() {
    let (server, sender) = sender().await;
    let client = server.client().await;
    let mut read = client.subscribe("out.>").await.unwrap();
    client.flush().await.unwrap();
    let mut said = message("out.a", b"tea");
    said.reply_to = Some("answers".into());
    said.content_type = Some("text/plain".into());
    said.metadata = vec![("k".into(), "1".into())];
    let done: Outcome<(), String> = sender.call("wasmcloud:messaging/producer@0.3.0", "send", &(&said,)).await.unwrap();
    assert_eq!(done, Outcome::Ok(()));
    let came = tokio::time::timeout(Duration::from_secs(10), read.next()).await.unwrap().unwrap();
    assert_eq!((came.subject.as_str(), &came.payload[..]), ("out.a", &b"tea"[..]));
    assert_eq!(came.reply.unwrap().as_str(), "answers");
    let headers = came.headers.unwrap();
    assert_eq!(headers.get("k").unwrap().as_str(), "1");
    assert_eq!(headers.get("Content-Type").unwrap().as_str(), "text/plain");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_answered_or_says_why_not_in_time() {
    let (server, sender) = sender().await;
    let echo = echo(&server, "echo").await;
    let Outcome::Ok(answer) = sender.request("echo", b"ab", 5_000).await.unwrap() else { panic!("refused") };
    assert_eq!(answer.body.as_slice(), b"abab");
    let nobody = sender.request("nobody", b"", 5_000).await.unwrap();
    assert!(matches!(&nobody, Outcome::Err(text) if text.contains("nobody listens on nobody")), "{nobody:?}");

    let client = server.client().await;
    let _silent = client.subscribe("silent").await.unwrap();
    client.flush().await.unwrap();
    let began = Instant::now();
    assert_eq!(sender.request("silent", b"", 100).await.unwrap_err().code, Code::DeadlineExceeded);
    println!("a request of 100 ms ended after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(5));
    echo.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn several_replies_are_waited_for_and_what_came_is_given() {
    let (server, sender) = sender().await;
    let echoes = [echo(&server, "many").await, echo(&server, "many").await];
    let ask = async |subject: &str, expected: u32, timeout: u32| {
        let options = RequestOptions { timeout_ms: Some(timeout), expected_replies: Some(expected) };
        sender.call::<_, Vec<Message>>(REQUEST_REPLY, "request", &(message(subject, b"x"), options)).await
    };
    let count = |replies| match replies {
        Ok(Outcome::Ok(replies)) => Vec::len(&replies),
        other => panic!("{other:?}"),
    };
    assert_eq!(count(ask("many", 2, 5_000).await), 2);
    assert_eq!(count(ask("many", 1, 5_000).await), 1);
    assert_eq!(count(ask("many", 3, 300).await), 2, "the third never comes");
    let nobody = ask("nobody", 2, 5_000).await.unwrap();
    assert!(matches!(&nobody, Outcome::Err(text) if text.contains("nobody listens")), "{nobody:?}");
    assert!(matches!(ask("many", 1_001, 10).await.unwrap(), Outcome::Err(_)));
    echoes.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread")]
async fn subjects_of_the_mesh_and_of_nats_are_out_of_reach() {
    let (server, sender) = sender().await;
    let client = server.client().await;
    let mut all = client.subscribe(">").await.unwrap();
    client.flush().await.unwrap();
    let reserved = ["mesh.default.ctl.apply", "$JS.API.STREAM.NAMES", "$SYS.REQ.SERVER.PING", "_INBOX.a", "mesh"];
    for subject in reserved {
        assert_eq!(sender.publish(&message(subject, b"x")).await.unwrap_err().code, Code::Denied, "{subject}");
        assert_eq!(sender.request(subject, b"x", 100).await.unwrap_err().code, Code::Denied, "{subject}");
        let mut replied = message("free", b"x");
        replied.reply_to = Some(subject.into());
        assert_eq!(sender.publish(&replied).await.unwrap_err().code, Code::Denied, "{subject}");
    }
    for subject in ["", "a b", "a\r\nPUB mesh.x 0\r\n", "a.*", ">"] {
        assert!(matches!(sender.publish(&message(subject, b"x")).await, Ok(Outcome::Err(_))), "{subject:?}");
    }
    let mut traced = message("free", b"x");
    traced.metadata = vec![("Nats-Trace-Dest".into(), "mesh.default.ctl.apply".into())];
    assert!(matches!(sender.publish(&traced).await, Ok(Outcome::Err(_))));
    assert_eq!(sender.publish(&message("free", b"the control")).await.unwrap(), Outcome::Ok(()));
    let first = tokio::time::timeout(Duration::from_secs(10), all.next()).await.unwrap().unwrap();
    assert_eq!((first.subject.as_str(), &first.payload[..]), ("free", &b"the control"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_above_the_servers_limit_is_an_error_and_costs_no_connection() {
    let (_server, sender) = sender().await;
    let most = vec![0; 1 << 20];
    assert_eq!(sender.publish(&message("a", &most)).await.unwrap(), Outcome::Ok(()));
    let more = vec![0; (1 << 20) + 1];
    let error = sender.publish(&message("a", &more)).await.unwrap_err();
    assert_eq!(error.code, Code::TooLarge);
    assert!(error.message.contains("1048577") && error.message.contains("1048576"), "{error}");
    assert_eq!(sender.request("a", &more, 100).await.unwrap_err().code, Code::TooLarge);
    let mut with_headers = message("a", &most);
    with_headers.content_type = Some("x".into());
    assert_eq!(sender.publish(&with_headers).await.unwrap_err().code, Code::TooLarge);
    let began = Instant::now();
    assert_eq!(sender.publish(&message("a", b"small")).await.unwrap(), Outcome::Ok(()));
    assert!(began.elapsed() < Duration::from_secs(1), "the connection was lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_link_sends_nothing_and_a_handler_needs_subjects() {
    let server = NatsServer::start();
    let provider = start(server.dir(), &server.url(), &Actors::willing()).await;
    let stranger = Sender::stranger(&provider, "stranger");
    assert_eq!(stranger.publish(&message("a", b"")).await.unwrap_err().code, Code::Denied);
    assert_eq!(stranger.request("a", b"", 10).await.unwrap_err().code, Code::Denied);
    assert!(subscribe(&provider, "worker", &[]).await.unwrap_err().reason().contains("subscriptions"));
    for subject in [">", "*.a", "mesh.>", "$JS.>", "_INBOX.>"] {
        assert!(subscribe(&provider, "worker", &[("subscriptions", subject)]).await.is_err(), "{subject}");
    }
    let sender = Sender::linked(&provider, "sender").await;
    let unknown = sender.call::<_, ()>("wasmcloud:messaging/consumer@0.2.0", "subscribe", &("a",)).await;
    assert_eq!(unknown.unwrap_err().code, Code::UnknownOperation);
    let wrong = sender.call::<_, ()>("wasmcloud:messaging/consumer@0.2.0", "publish", &(7,)).await;
    assert_eq!(wrong.unwrap_err().code, Code::BadParams);
}
