//! The lattice that scenarios break: an HTTP server on a first host that stays, and what it calls on the others.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tokio::time::sleep;

use crate::{
    fault::{Namespace, Proxy},
    lattice::{Joined, Lattice, READY_WITHIN, Store, free_address},
    ledger::{Effect, Ledger, listed},
    load::{
        self,
        open::{Measured, Open, Window},
    },
    wait::eventually,
};

/// For so long a system is asked for all that it can do.
const CAPACITY_FOR: Duration = Duration::from_secs(3);
/// What is answered so for so long has recovered.
const STEADY_FOR: Duration = Duration::from_millis(500);
/// Requests at the same time that find out a capacity.
pub const CROWD: usize = 32;

/// A lattice with a front.
#[derive(Debug)]
pub struct World {
    /// The lattice; its first host serves HTTP.
    pub lattice: Lattice,
    /// Hosts that came from elsewhere.
    pub joined: Vec<Joined>,
    /// How they came.
    pub proxies: Vec<Proxy>,
    /// Where they are.
    pub spaces: Vec<Namespace>,
}

impl World {
    /// One host, with more on it than others will have: what is wanted later goes to the host with least.
    ///
    /// # Errors
    ///
    /// Where it does not come up.
    pub async fn front() -> Result<Self> {
        let lattice = Lattice::builder().hosts(1).start().await?;
        let all = ["web", "ballast-1", "ballast-2"];
        for web in all {
            lattice.ok(["start", "provider", "http-server", "--name", web, "--replicas", "1"]).await?;
        }
        for web in all {
            lattice.until_running(web, 1).await?;
        }
        Ok(Self { lattice, joined: Vec::new(), proxies: Vec::new(), spaces: Vec::new() })
    }

    /// An actor behind the front's HTTP server, on this many hosts. What is wanted while there is one host runs there.
    ///
    /// # Errors
    ///
    /// Where it does not become ready.
    pub async fn actor(&self, actor: &str, replicas: usize, more: &[&str], link: &[&str]) -> Result<SocketAddr> {
        let file = self.lattice.signed(actor).await?;
        let (file, replicas_text) = (file.to_string_lossy(), replicas.to_string());
        let mut start = vec!["start", "actor", &file, "--name", actor, "--replicas", &replicas_text];
        start.extend(more);
        self.lattice.ok(start).await?;
        let address = free_address()?;
        let listen = format!("listen={address}");
        let mut put = vec!["link", "put", "web", actor, "wasi:http/incoming-handler", "--source-config", &listen];
        put.extend(link);
        self.lattice.ok(put).await?;
        Ok(address)
    }

    /// Another actor behind the same address, at a path of its own.
    ///
    /// # Errors
    ///
    /// Where it does not become ready.
    pub async fn also(&self, address: SocketAddr, actor: &str, path: &str) -> Result<()> {
        let file = self.lattice.signed(actor).await?;
        self.lattice.ok(["start", "actor", &file.to_string_lossy(), "--name", actor]).await?;
        let (listen, path) = (format!("listen={address}"), format!("path={path}"));
        let put = ["link", "put", "web", actor, "wasi:http/incoming-handler", "--source-config", &listen];
        self.lattice.ok(put.into_iter().chain(["--source-config", &path])).await?;
        self.lattice.until_ready(actor, 1).await?;
        Ok(())
    }

    /// The ledger on this many hosts but the first, with its store, ready for requests.
    ///
    /// # Errors
    ///
    /// Where it does not become ready, or is on the first host.
    pub async fn ledger(&self, store: Store, replicas: usize, deadline: Duration) -> Result<SocketAddr> {
        let timeout = format!("timeout_ms={}", deadline.as_millis());
        let address =
            self.actor("ledger", replicas, &["--limit", "concurrency=256"], &["--source-config", &timeout]).await?;
        self.lattice.key_value("kv", store, "ledger").await?;
        self.lattice.until_ready("ledger", replicas).await?;
        self.lattice.until_answering(address, "/").await?;
        let first = self.lattice.host_id(0)?;
        for (kind, name) in [("actors", "ledger"), ("providers", "kv")] {
            let one = self.lattice.get_one(kind, name).await?;
            let hosts = one.get("hosts").and_then(|hosts| hosts.as_array()).context("no hosts")?;
            ensure!(
                hosts.iter().all(|host| host.get("id").is_some_and(|id| *id != *first)),
                "{name} is on the first host: {one}"
            );
        }
        Ok(address)
    }

    /// The hosts that serve the ledger now.
    ///
    /// # Errors
    ///
    /// Where the lattice does not say.
    pub async fn serving(&self) -> Result<Vec<String>> {
        let ledger = self.lattice.get_one("actors", "ledger").await?;
        let hosts = ledger.get("hosts").and_then(|hosts| hosts.as_array()).context("no hosts")?;
        let ready = hosts.iter().filter(|host| host.get("state").is_some_and(|state| state == "ready"));
        let mut ids: Vec<_> = ready.filter_map(|host| Some(host.get("id")?.as_str()?.to_owned())).collect();
        // The seed chooses by their order.
        ids.sort_unstable();
        ensure!(!ids.contains(&self.lattice.host_id(0)?), "the ledger has come to the first host: {ledger}");
        Ok(ids)
    }

    /// The effects as the ledger lists them, when all faults are over.
    ///
    /// # Errors
    ///
    /// Where it cannot be asked.
    pub async fn effects(&self, address: SocketAddr) -> Result<Vec<Effect>> {
        let ask = || async { Ok(Some(listed(address).await?)) };
        let (effects, _) = eventually("the ledger can be read", READY_WITHIN, ask).await?;
        Ok(effects)
    }

    /// How many ledger entries a second it can do.
    pub(super) async fn ledger_capacity(&self, address: SocketAddr, work: Duration) -> f64 {
        let ledger = Arc::new(Ledger::new('c'));
        let clerks = (0..CROWD).map(|_| ledger.clerk(address, Duration::from_secs(10), work));
        load::capacity(clerks, CAPACITY_FOR).await
    }

    /// How many requests for a path a second it can do.
    pub(super) async fn capacity(&self, address: SocketAddr, path: &str) -> f64 {
        load::capacity(load::Get::over(CROWD, address, path), CAPACITY_FOR).await
    }
}

/// What a load finds normal, from a while in which nothing is broken.
#[derive(Debug, Clone, Copy)]
pub struct Normal {
    rate: f64,
    /// 99 of 100 requests took no longer.
    pub p99: Duration,
}

impl Normal {
    /// Looks at a load for a while.
    ///
    /// # Errors
    ///
    /// Where requests fail although nothing is broken.
    pub async fn of(load: &Open, rate: f64, time: Duration) -> Result<Self> {
        sleep(time).await;
        let measured = load.so_far();
        let some: Vec<_> = measured.tally.lost.iter().take(3).collect();
        ensure!(measured.tally.failed() == 0, "errors with nothing broken: {:?} {some:?}", measured.tally.answers);
        let p99 = measured.latency(http::StatusCode::OK, 0.99).context("nothing was answered")?;
        Ok(Self { rate, p99 })
    }

    #[cfg(test)]
    pub(super) fn for_tests(p99: Duration) -> Self {
        Self { rate: 1.0, p99 }
    }

    /// What is wrong with a window: far from normal.
    pub fn is_bad(&self) -> impl Fn(&Window) -> bool + Copy + use<> {
        Measured::is_bad(self.rate, self.slow())
    }

    fn slow(&self) -> Duration {
        (self.p99 * 3).max(Duration::from_millis(250))
    }

    /// How long after `since` requests were not answered as they normally are; waits until they are, `None` where that
    /// takes longer than `within`.
    pub async fn recovery(&self, load: &Open, since: Duration, within: Duration) -> Option<Duration> {
        loop {
            // Those that are due now have had no time to be slow yet.
            let judged = load.elapsed().saturating_sub(self.slow());
            let trouble = load.so_far().trouble(since, judged, self.is_bad());
            if since + trouble + STEADY_FOR <= judged {
                return Some(trouble);
            }
            if judged > since + within {
                return None;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}
