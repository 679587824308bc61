//! A host that is enrolled and lies about who calls: refused where the call arrives, counted, and written to the audit
//! log. What it may say, it may say: the same key makes one honest call.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use futures::future::BoxFuture;
use mesh_claims::KeyPair;
use mesh_lattice::{
    Answer, BootId, CallError, CallId, Caller, Code, Deadline, HostId, Invocation, LinkName, Params, Reply, Serve,
    frame::Call,
};
use mesh_tests::{http, lattice::Lattice, wait::eventually};
use mesh_transport::{AdmitCall, CallsConfig, ConnectConfig, Connections, PeerPolicy, Remote, calls};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Believes everybody and serves nothing.
struct Liar;

impl PeerPolicy for Liar {
    fn is_enrolled(&self, _: &HostId) -> bool {
        true
    }
}

impl AdmitCall for Liar {
    fn admit(&self, _: &HostId, _: &Call) -> Result<(), CallError> {
        Err(CallError::new(Code::Denied, "not here"))
    }
}

impl Serve for Liar {
    fn serve(&self, _: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        Box::pin(async { Err(CallError::new(Code::Denied, "not here")) })
    }
}

/// A call of `caller` to the actor `hello`.
fn as_caller(caller: Caller) -> Result<Invocation> {
    let request = ::http::Request::builder().uri("http://example.com/").body(())?;
    Ok(Invocation {
        id: CallId::new(),
        caller,
        link: LinkName::default(),
        target: Some("hello".parse()?),
        interface: "wasi:http/incoming-handler@0.2.2".parse()?,
        operation: "handle".into(),
        params: Params::Http(Box::new(request.into_parts().0)),
        body: None,
        deadline: Deadline::after(Duration::from_secs(20)),
        trace: None,
        pin: None,
        from: None,
    })
}

async fn refused(remote: &Remote, host: &HostId, caller: Caller) -> Result<String> {
    let (begun, mut tick) = (Instant::now(), tokio::time::interval(Duration::from_millis(50)));
    loop {
        tick.tick().await;
        let answer = remote.call(host, as_caller(caller.clone())?).await;
        let error = answer.err().with_context(|| format!("{caller} was believed"))?;
        if error.code == Code::Denied {
            return Ok(error.message);
        }
        // Its placement might not have been heard of yet: for a moment nothing is taken, and nothing is denied.
        let waited = begun.elapsed();
        anyhow::ensure!(error.code == Code::Unavailable && waited < Duration::from_secs(5), "{caller}: {error}");
    }
}

/// What `/metrics` says of one reason.
async fn counted(lattice: &Lattice, reason: &str) -> Result<u64> {
    let metrics = http::get(lattice.admin(0)?, "/metrics").await?;
    let line = format!("mesh_refusals_total{{refused=\"call\",reason=\"{reason}\"}} ");
    let text = metrics.text();
    Ok(text.lines().find_map(|each| each.strip_prefix(&line)?.parse().ok()).unwrap_or(0))
}

#[tokio::test]
async fn an_enrolled_host_speaks_for_nobody_but_those_placed_on_it_along_their_links() -> Result<()> {
    let lattice = Lattice::builder().hosts(2).start().await?;
    for actor in ["hello", "echo"] {
        let file = lattice.signed(actor).await?;
        lattice.ok(["start", "actor", &file.to_string_lossy(), "--name", actor, "--replicas", "2"]).await?;
    }
    let address = lattice.serve("hello").await?;
    lattice.until_ready("hello", 2).await?;
    lattice.until_ready("echo", 2).await?;
    lattice.until_answering(address, "/").await?;

    // Whoever has the second host's key is the second host, as far as anybody can tell.
    let seed = std::fs::read_to_string(lattice.file("keys").join("host-2.nk"))?;
    let key = KeyPair::from_seed(seed.trim())?;
    let (first, second) = (lattice.host_id(0)?.parse()?, lattice.host_id(1)?);
    anyhow::ensure!(key.public() == second, "the key of another host");
    let config = ConnectConfig::new(lattice.says("server")?, lattice.says("lattice")?.parse()?);
    let connections = Connections::open(config).await?;
    connections.up(Duration::from_secs(10)).await?;
    let calling = CallsConfig::new(Arc::new(key), BootId::new());
    let (remote, inbound) = calls(&connections, calling, Arc::new(Liar)).await?;
    let (cancel, mut running) = (CancellationToken::new(), JoinSet::new());
    running.spawn(inbound.run(Arc::new(Liar), Arc::new(Liar), cancel.clone()));

    eventually("its honest call is answered", Duration::from_secs(30), || async {
        let reply = remote.call(&first, as_caller(Caller::Named("web-hello".parse()?))?).await?;
        let Answer::Http(head) = reply.answer else { anyhow::bail!("not an HTTP answer") };
        Ok((head.status == 200).then_some(()))
    })
    .await
    .with_context(|| lattice.logs())?;

    let (before_placed, before_linked) =
        (counted(&lattice, "not_placed").await?, counted(&lattice, "not_linked").await?);
    refused(&remote, &first, Caller::Named("counter".parse()?)).await?;
    let user = KeyPair::from_seed(std::fs::read_to_string(lattice.says("key")?)?.trim())?;
    refused(&remote, &first, Caller::Operator(user.user_id().context("not a user's key")?)).await?;
    let unlinked = refused(&remote, &first, Caller::Named("echo".parse()?)).await?;
    assert!(unlinked.contains("no link"), "{unlinked}");
    assert!(counted(&lattice, "not_placed").await? >= before_placed + 2, "each refusal is counted");
    assert_eq!(counted(&lattice, "not_linked").await? - before_linked, 1);

    let log = std::fs::read_to_string(lattice.file("logs").join("host-1.log"))?;
    for reason in ["not_placed", "not_linked"] {
        let line = log.lines().find(|line| line.contains("audit") && line.contains(reason));
        println!("{}", line.with_context(|| format!("no audit line says {reason}:\n{log}"))?);
    }
    cancel.cancel();
    while running.join_next().await.is_some() {}
    Ok(())
}
