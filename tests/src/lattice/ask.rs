//! What a lattice says when it is asked, and waiting until it says what is meant.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Lattice, READY_WITHIN, free_address};
use crate::{http, sample::metric, wait::eventually};

/// What serves the counter's bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// JetStream: beside each counter, all of them on one bucket.
    Nats,
    /// A file on one host.
    Redb,
    /// A redis-server.
    Redis {
        /// Where it listens, on loopback.
        port: u16,
    },
}

impl Lattice {
    /// What `get KIND` lists.
    ///
    /// # Errors
    ///
    /// Where it fails, or does not print a list.
    pub async fn get(&self, kind: &str) -> Result<Vec<Value>> {
        let text = self.ok(["get", kind, "-o", "json"]).await?;
        serde_json::from_str(&text).with_context(|| format!("`get {kind} -o json` printed {text:?}"))
    }

    /// The one of this name (or id) among what `get KIND` lists.
    ///
    /// # Errors
    ///
    /// Where it fails or there is none.
    pub async fn get_one(&self, kind: &str, name: &str) -> Result<Value> {
        let all = self.get(kind).await?;
        let found = all.iter().find(|one| is(one, "name", name) || is(one, "id", name)).cloned();
        found.with_context(|| format!("`get {kind}` lists no {name}: {all:?}"))
    }

    /// Waits until an actor is ready on this many hosts, no more and no less.
    ///
    /// # Errors
    ///
    /// Where that does not happen.
    pub async fn until_ready(&self, actor: &str, hosts: usize) -> Result<Duration> {
        let what = format!("{actor} is ready on {hosts} hosts");
        let ((), after) = eventually(&what, READY_WITHIN, || async {
            let actor = self.get_one("actors", actor).await?;
            let ready = actor.pointer("/replicas/ready").and_then(Value::as_u64);
            anyhow::ensure!(ready == u64::try_from(hosts).ok(), "{actor}");
            Ok(Some(()))
        })
        .await
        .with_context(|| self.logs())?;
        Ok(after)
    }

    /// Waits until a provider runs on this many hosts.
    ///
    /// # Errors
    ///
    /// Where that does not happen.
    pub async fn until_running(&self, provider: &str, hosts: usize) -> Result<()> {
        let what = format!("{provider} runs on {hosts} hosts");
        eventually(&what, READY_WITHIN, || async {
            let provider = self.get_one("providers", provider).await?;
            let all = provider.get("hosts").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let running = all.iter().filter(|host| is(host, "state", "running")).count();
            anyhow::ensure!(running == hosts && all.len() == hosts, "{provider}");
            Ok(Some(()))
        })
        .await
        .with_context(|| self.logs())?;
        Ok(())
    }

    /// An HTTP server for an actor on an address of its own, everywhere.
    ///
    /// # Errors
    ///
    /// Where it cannot be started.
    pub async fn serve(&self, actor: &str) -> Result<SocketAddr> {
        let address = free_address()?;
        let web = format!("web-{actor}");
        self.ok(["start", "provider", "http-server", "--name", &web, "--everywhere"]).await?;
        self.listen(&web, actor, address).await?;
        Ok(address)
    }

    /// A value of a host's `/metrics`, the host counted from 0; 0 where it has none of these labels.
    ///
    /// # Errors
    ///
    /// Where the host does not say.
    pub async fn metric(&self, host: usize, name: &str, labels: &str) -> Result<u64> {
        let page = http::get(self.admin(host)?, "/metrics").await?.text();
        Ok(metric(&page, name, labels).unwrap_or_default())
    }

    /// Links an HTTP server to an actor.
    ///
    /// # Errors
    ///
    /// Where it cannot be linked.
    pub async fn listen(&self, web: &str, actor: &str, address: SocketAddr) -> Result<()> {
        let listen = format!("listen={address}");
        self.ok(["link", "put", web, actor, "wasi:http/incoming-handler", "--source-config", &listen]).await?;
        Ok(())
    }

    /// The counter on this many hosts, with a store and an HTTP server, ready for its first request.
    ///
    /// # Errors
    ///
    /// Where it does not become ready.
    pub async fn counter(&self, store: Store, replicas: usize) -> Result<SocketAddr> {
        let file = self.signed("counter").await?;
        let file = file.to_string_lossy();
        self.ok(["start", "actor", &file, "--name", "counter", "--replicas", &replicas.to_string()]).await?;
        self.key_value("kv", store, "counter").await?;
        let address = self.serve("counter").await?;
        self.until_ready("counter", replicas).await?;
        self.until_answering(address, "/ready").await?;
        Ok(address)
    }

    /// A key-value provider for an actor, in a bucket of the actor's name.
    ///
    /// # Errors
    ///
    /// Where it cannot be started or linked.
    pub async fn key_value(&self, name: &str, store: Store, actor: &str) -> Result<()> {
        let kind = match store {
            Store::Nats => "keyvalue-nats",
            Store::Redb => "keyvalue-redb",
            Store::Redis { .. } => "keyvalue-redis",
        };
        let bucket = format!("bucket={actor}");
        let mut start = vec!["start".to_owned(), "provider".into(), kind.into(), "--name".into(), name.into()];
        if let Store::Redis { port } = store {
            start.extend(["--config".into(), format!("url=redis://127.0.0.1:{port}/")]);
        }
        self.ok(start).await?;
        self.ok(["link", "put", actor, name, "wasi:keyvalue", "--target-config", &bucket]).await?;
        Ok(())
    }

    /// Waits until a request is answered with 200.
    ///
    /// # Errors
    ///
    /// Where that does not happen.
    pub async fn until_answering(&self, address: SocketAddr, path: &str) -> Result<Duration> {
        let what = format!("http://{address}{path} answers with 200");
        let ((), after) = eventually(&what, READY_WITHIN, || async {
            let answer = http::get(address, path).await?;
            anyhow::ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
            Ok(Some(()))
        })
        .await
        .with_context(|| self.logs())?;
        Ok(after)
    }
}

fn is(one: &Value, field: &str, text: &str) -> bool {
    one.get(field).and_then(Value::as_str) == Some(text)
}
