//! Actors that send each other messages over NATS, one built with the published crate for version 0.2 and one for
//! version 0.3, each on two hosts: who asks gets an answer from either, and a message is handled once.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use mesh_tests::{
    http,
    lattice::{Lattice, READY_WITHIN},
    wait::eventually,
};

const MESSAGES: usize = 40;

/// Two actors and what they need, each reachable over HTTP.
struct Post {
    lattice: Lattice,
    courier: SocketAddr,
    modern: SocketAddr,
}

async fn post() -> Result<Post> {
    let lattice = Lattice::builder().hosts(2).start().await?;
    lattice.ok(["start", "provider", "messaging-nats", "--name", "broker", "--everywhere"]).await?;
    lattice.ok(["start", "provider", "keyvalue-nats", "--name", "kv"]).await?;
    let mut addresses = Vec::new();
    for (actor, handler, link) in [
        ("courier", "wasmcloud:messaging/handler", "counts"),
        ("modern", "wasmcloud:messaging/incoming-handler", "default"),
    ] {
        let file = lattice.signed(actor).await?;
        let file = file.to_string_lossy();
        lattice.ok(["start", "actor", &file, "--name", actor, "--replicas", "2", "--config", "greeting=hi"]).await?;
        let bucket = format!("bucket={actor}");
        lattice.ok(["link", "put", actor, "kv", "wasi:keyvalue", "--name", link, "--target-config", &bucket]).await?;
        lattice.ok(["link", "put", actor, "broker", "wasmcloud:messaging"]).await?;
        let subscriptions = format!("subscriptions={actor}.>");
        lattice.ok(["link", "put", "broker", actor, handler, "--source-config", &subscriptions]).await?;
        addresses.push(lattice.serve(actor).await?);
        lattice.until_ready(actor, 2).await?;
    }
    lattice.until_running("broker", 2).await?;
    let [courier, modern] = addresses[..] else { anyhow::bail!("two addresses") };
    lattice.until_answering(courier, "/").await?;
    lattice.until_answering(modern, "/").await?;
    Ok(Post { lattice, courier, modern })
}

impl Post {
    async fn text(&self, address: SocketAddr, path: &str) -> Result<String> {
        let answer = http::get(address, path).await?;
        ensure!(answer.status == 200, "{path}: {}", answer.text());
        Ok(answer.text())
    }

    async fn until(&self, address: SocketAddr, path: &str, expected: &str) -> Result<Duration> {
        let what = format!("{path} says {expected:?}");
        let ((), after) = eventually(&what, READY_WITHIN, || async {
            let text = self.text(address, path).await?;
            ensure!(text == expected, "{text}");
            Ok(Some(()))
        })
        .await
        .map_err(|error| error.context(self.lattice.logs()))?;
        Ok(after)
    }

    /// Each asks the other.
    async fn ask_both_ways(&self) -> Result<Duration> {
        let one = self.until(self.courier, "/request/modern.ask/tea", "modern tea true None").await?;
        let other = self.until(self.modern, "/request/courier.ask/tea", "hi tea").await?;
        Ok(one.max(other))
    }

    /// Publishes messages that are all different to both, from both, and waits until each was handled.
    async fn publish_and_count(&self, round: &str) -> Result<()> {
        let ways = [(self.courier, "modern", self.modern), (self.modern, "courier", self.courier)];
        for (from, to, _) in ways {
            for number in 0..MESSAGES {
                let said = self.text(from, &format!("/publish/{to}.jobs/{round}-{number}")).await?;
                ensure!(said == "Ok(())", "{said}");
            }
        }
        for (_, _, reader) in ways {
            for number in 0..MESSAGES {
                self.until(reader, &format!("/handled/{round}-{number}"), "1").await?;
            }
        }
        // Counted once more, when all is quiet: nothing came twice.
        for (_, _, reader) in ways {
            for number in 0..MESSAGES {
                let count = self.text(reader, &format!("/handled/{round}-{number}")).await?;
                ensure!(count == "1", "{round}-{number} was handled {count} times");
            }
        }
        Ok(())
    }

    async fn counted(&self, name: &str, labels: &str) -> Result<Vec<u64>> {
        let mut hosts = Vec::new();
        for host in [0, 1] {
            hosts.push(self.lattice.metric(host, &format!("mesh_messaging_nats_{name}"), labels).await?);
        }
        Ok(hosts)
    }
}

#[tokio::test]
async fn actors_of_both_versions_of_messaging_reach_each_other_and_a_message_is_handled_once() -> Result<()> {
    let post = post().await?;
    post.ask_both_ways().await?;
    post.publish_and_count("first").await?;
    let handled = post.counted("handled_total", "result=\"ok\"").await?;
    println!("handled on each host: {handled:?}");
    assert!(handled.iter().all(|count| *count > 0), "one host did everything: {handled:?}");
    let refused = post.text(post.modern, "/publish/courier.jobs/refuse").await?;
    assert_eq!(refused, "Ok(())", "who publishes does not hear of the handler");
    eventually("a refusal is counted", READY_WITHIN, || async {
        Ok((post.counted("handled_total", "result=\"refused\"").await?.iter().sum::<u64>() == 1).then_some(()))
    })
    .await?;

    let mut server = post.lattice.server()?;
    server.kill().await?;
    // What is written before a connection is known to be gone is lost without a word: core NATS promises no more.
    eventually("publishing fails", READY_WITHIN, || async {
        let said = post.text(post.courier, "/publish/courier.jobs/unheard").await?;
        Ok(said.starts_with("Err(").then_some(()))
    })
    .await?;
    let failed = post.text(post.courier, "/publish/courier.jobs/lost").await?;
    assert!(failed.starts_with("Err("), "{failed}");
    assert_eq!(post.text(post.courier, "/").await?, "a visitor", "HTTP goes on");
    server.start().await?;
    let recovered = post.ask_both_ways().await?;
    println!("both ask each other again {recovered:?} after NATS listened again");
    post.publish_and_count("second").await?;
    assert_eq!(post.text(post.courier, "/handled/lost").await?, "", "what failed was not sent later");
    assert_eq!(post.counted("dropped_total", "").await?.iter().sum::<u64>(), 0);
    Ok(())
}

#[tokio::test]
async fn an_actor_cannot_reach_the_traffic_of_hosts_through_its_broker() -> Result<()> {
    let post = post().await?;
    // What is refused never leaves; what is not does: the same actor, along the same link.
    post.ask_both_ways().await?;
    for subject in ["mesh.default.ctl.apply", "$JS.API.STREAM.NAMES", "$SYS.REQ.SERVER.PING", "_INBOX.guess"] {
        let text = post.text(post.courier, &format!("/publish/{subject}/x")).await?;
        assert!(text.contains("denied"), "{subject}: {text}");
        let text = post.text(post.modern, &format!("/request/{subject}/x")).await?;
        assert!(text.contains("PermissionDenied"), "{subject}: {text}");
    }
    for subject in [">", "mesh.>", "*"] {
        let config = format!("subscriptions={subject}");
        let arguments = ["link", "put", "broker", "courier", "wasmcloud:messaging/handler", "--source-config", &config];
        let ran = post.lattice.meshctl(arguments).await?;
        assert_ne!(ran.code, 0, "{subject}: {ran}");
    }
    post.ask_both_ways().await?;
    Ok(())
}
