//! What a person calls runs once, and only where a trusted user signed it: NATS credentials alone call nothing.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use mesh_claims::{Envelope, KeyKind, KeyPair};
use mesh_lattice::{
    BootId, CallId, HostId,
    operator::{self, Called, Hailed, OperatorCall},
    wit::{
        self,
        http::{HANDLE, RequestHead},
    },
};
use mesh_tests::lattice::{Lattice, Store};
use mesh_transport::{ConnectConfig, Connections, RequestError, control};
use serde_bytes::ByteBuf;

const LIMIT: Duration = Duration::from_secs(10);
/// How often what was captured is sent again.
const REPLAYS: u64 = 200;

/// Whoever holds the lattice's NATS credentials, and what he can find out with them.
struct Wire {
    connections: Connections,
    host: HostId,
    hailed: Hailed,
}

impl Wire {
    async fn tap(lattice: &Lattice) -> Result<Self> {
        let config = ConnectConfig::new(lattice.says("server")?, lattice.says("lattice")?.parse()?);
        let connections = Connections::connect(config).await?;
        let host = lattice.host_id(0)?.parse()?;
        let hailed = control::hail(&connections, &host, LIMIT).await?;
        Ok(Self { connections, host, hailed })
    }

    /// A request to the counter, whose every execution shows in its next answer.
    fn call(&self) -> Result<OperatorCall> {
        let head = RequestHead {
            method: "GET".into(),
            scheme: Some("http".into()),
            authority: Some("localhost".into()),
            path_with_query: Some("/".into()),
            headers: Vec::new(),
        };
        Ok(OperatorCall {
            id: CallId::new(),
            until: self.hailed.now.plus(Duration::from_secs(100)),
            target: "counter".parse()?,
            interface: "wasi:http/incoming-handler@0.2.0".parse()?,
            operation: HANDLE.to_owned(),
            params: ByteBuf::from(wit::to_wire(&(head,))?),
            body: None,
        })
    }

    fn sign(&self, call: &OperatorCall, boot: BootId, by: &KeyPair) -> Result<Envelope> {
        Ok(Envelope::sign(&operator::key(&self.host, boot), self.hailed.incarnation, 1, call, by)?)
    }

    async fn send(&self, bytes: Vec<u8>) -> Result<Called, RequestError> {
        control::operate(&self.connections, (&self.host, self.hailed.boot), Bytes::from(bytes), LIMIT).await
    }

    /// The count that a call of its own reads, which is one execution.
    async fn count(&self, by: &KeyPair) -> Result<u64> {
        match self.send(self.sign(&self.call()?, self.hailed.boot, by)?.encode()).await? {
            Called::Returned { body, .. } => Ok(std::str::from_utf8(&body.context("no body")?)?.trim().parse()?),
            Called::Failed(error) => Err(error.into()),
        }
    }

    async fn refused(&self, bytes: Vec<u8>) -> Result<String> {
        match self.send(bytes).await {
            Err(RequestError::Refused(refused)) => Ok(refused.message),
            other => anyhow::bail!("it was not refused: {other:?}"),
        }
    }
}

fn user(lattice: &Lattice) -> Result<KeyPair> {
    Ok(KeyPair::from_seed(std::fs::read_to_string(lattice.says("key")?)?.trim())?)
}

async fn counted(lattice: &Lattice, reason: &str) -> Result<u64> {
    lattice.metric(0, "mesh_refusals_total", &format!("refused=\"operator\",reason=\"{reason}\"")).await
}

#[tokio::test]
async fn a_persons_call_runs_once_and_nobody_elses_runs_at_all() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    lattice.counter(Store::Redb, 1).await?;
    let (wire, user) = (Wire::tap(&lattice).await?, user(&lattice)?);
    let start = wire.count(&user).await?;
    let captured = wire.sign(&wire.call()?, wire.hailed.boot, &user)?;
    assert!(matches!(wire.send(captured.encode()).await?, Called::Returned { .. }), "the control");

    for _ in 0..REPLAYS {
        assert!(wire.refused(captured.encode()).await?.contains("taken before"));
    }
    let fresh = wire.sign(&wire.call()?, wire.hailed.boot, &user)?.encode();
    for at in (0..fresh.len()).step_by(3) {
        let mut altered = fresh.clone();
        altered[at] ^= 0x01;
        wire.refused(altered).await?;
    }
    let stranger = KeyPair::generate(KeyKind::User);
    wire.refused(wire.sign(&wire.call()?, wire.hailed.boot, &stranger)?.encode()).await?;
    wire.refused(wire.sign(&wire.call()?, BootId::new(), &user)?.encode()).await?;
    let mut unsigned = wire.sign(&wire.call()?, wire.hailed.boot, &user)?;
    unsigned.signature = vec![0; 64];
    wire.refused(unsigned.encode()).await?;
    assert_eq!(wire.count(&user).await?, start + 2, "the control, and this one");

    ensure!(counted(&lattice, "replayed").await? == REPLAYS, "replays are counted");
    ensure!(counted(&lattice, "untrusted").await? > 0 && counted(&lattice, "unauthentic").await? > 2);
    let log = std::fs::read_to_string(lattice.file("logs").join("host-1.log"))?;
    for said in ["an operator calls", "replayed", "untrusted", "unauthentic"] {
        let line = log.lines().find(|line| line.contains("audit") && line.contains(said));
        println!("{}", line.with_context(|| format!("no audit line says {said}:\n{log}"))?);
    }
    Ok(())
}

#[tokio::test]
async fn a_user_who_is_revoked_calls_no_more_and_a_boot_that_is_gone_takes_nothing() -> Result<()> {
    let mut lattice = Lattice::builder().start().await?;
    lattice.counter(Store::Redb, 1).await?;
    let file = lattice.file("leaver.nk").to_string_lossy().into_owned();
    lattice.ok(["keys", "gen", "user", &file]).await?;
    let leaver = KeyPair::from_seed(std::fs::read_to_string(&file)?.trim())?;
    let refused = lattice.meshctl(["call", "counter", "http", "GET", "/", "--key", &file]).await?;
    assert_eq!(refused.code, 4, "{refused}");
    lattice.ok(["trust", "add", "user", &leaver.public()]).await?;
    let first: u64 = lattice.ok(["call", "counter", "http", "GET", "/", "--key", &file]).await?.trim().parse()?;
    lattice.ok(["revoke", "user", &leaver.public()]).await?;
    mesh_tests::wait::eventually("the host has heard of it", LIMIT, || async {
        let refused = lattice.meshctl(["call", "counter", "http", "GET", "/never", "--key", &file]).await?;
        Ok((refused.code == 4).then_some(()))
    })
    .await?;
    let second: u64 = lattice.ok(["call", "counter", "http", "GET", "/"]).await?.trim().parse()?;
    assert_eq!(second, first + 1);

    let wire = Wire::tap(&lattice).await?;
    let captured = wire.sign(&wire.call()?, wire.hailed.boot, &user(&lattice)?)?;
    assert!(matches!(wire.send(captured.encode()).await?, Called::Returned { .. }), "the control");
    lattice.end(lattice.host_pid(0)?, rustix::process::Signal::KILL).await?;
    lattice.up(1).await?;
    lattice.until_ready("counter", 1).await?;
    assert!(matches!(wire.send(captured.encode()).await, Err(RequestError::NoHost)), "its boot is gone");
    let after = Wire::tap(&lattice).await?;
    after.refused(captured.encode()).await?;
    let last: u64 = lattice.ok(["call", "counter", "http", "GET", "/"]).await?.trim().parse()?;
    assert_eq!(last, second + 2, "the control, and this one");
    Ok(())
}
