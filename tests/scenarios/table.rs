//! Every value type between two hosts: an actor here imports what an actor there exports, and all that passes through
//! both, over a real nats-server, comes back byte for byte. The list of types is that of the tests of the engine.

#[path = "../../host/runtime/tests/runtime/table/relay.rs"]
mod relay;
#[path = "../../host/runtime/tests/runtime/table/shapes.rs"]
mod shapes;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, future::BoxFuture, stream};
use mesh_claims::{
    Admission, Component, Envelope, KeyKind, KeyPair, Trust, Verified,
    sign::{self, SignOptions},
    verify,
};
use mesh_lattice::{
    Answer, BootId, CallError, CallId, Caller, Code, Deadline, HostId, Incarnation, Invocation, LinkName, Params,
    Reply, Serve,
    frame::Call,
    key::{Key, TrustKey},
    stored::TrustStatement,
    value::{Type, Value, encode},
};
use mesh_runtime::{Actor, ActorConfig, Engine, EngineConfig};
use mesh_tests::{guest, lattice::Lattice};
use mesh_transport::{AdmitCall, CallsConfig, ConnectConfig, Connections, PeerPolicy, Remote, calls};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use shapes::{INTERFACE, Random, functions};

/// Values of each type.
const ROUNDS: usize = 256;
/// Calls that are open at once.
const AT_ONCE: usize = 48;

/// A host that trusts every other one: who may call whom is not what this is about.
struct Trusting;

impl PeerPolicy for Trusting {
    fn is_enrolled(&self, _: &HostId) -> bool {
        true
    }
}

impl AdmitCall for Trusting {
    fn admit(&self, _: &HostId, _: &Call) -> Result<(), CallError> {
        Ok(())
    }
}

/// Nobody is called here.
struct Nobody;

impl Serve for Nobody {
    fn serve(&self, _: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        Box::pin(async { Err(CallError::new(Code::NotLinked, "there is no link")) })
    }
}

/// What the relay calls: the other host.
struct Elsewhere {
    remote: Remote,
    host: HostId,
}

impl Serve for Elsewhere {
    fn serve(&self, mut call: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        Box::pin(async move {
            call.target = Some("table".parse().map_err(|_| CallError::new(Code::Internal, "not a name"))?);
            self.remote.call(&self.host, call).await
        })
    }
}

fn verified(wasm: &[u8]) -> Result<Verified<Component>> {
    let (root, issuer) = (KeyPair::generate(KeyKind::Operator), KeyPair::generate(KeyKind::Account));
    let mut trust = Trust::new(root.operator_id().context("not a root")?);
    let id = issuer.account_id().context("not an issuer")?;
    let key = Key::Trust(TrustKey::Issuer(id.clone()));
    trust.apply(&key, &Envelope::sign(&key, Incarnation::new(), 1, &TrustStatement::Issuer { id }, &root)?)?;
    let signed = sign::component(wasm, &issuer, &SignOptions::new(KeyPair::generate(KeyKind::Actor)))?;
    Ok(verify::component(signed.into(), None, &trust, 1_800_000_000, Admission::New)?)
}

async fn actor(name: &str, wasm: &[u8], calls: Arc<dyn Serve>) -> Result<Arc<Actor>> {
    let engine = Engine::new(EngineConfig::default())?;
    let config = ActorConfig { reuse: 10_000, ..ActorConfig::new(name.parse()?) };
    Ok(engine.actor(&verified(wasm)?, config, calls).await?)
}

/// Parameters of one value.
fn one(ty: &Type, value: &Value) -> Result<Vec<u8>> {
    let mut out = vec![0x91];
    encode(ty, value, &mut out)?;
    Ok(out)
}

async fn comes_back(relay: &Actor, operation: Arc<str>, params: Vec<u8>) -> Result<()> {
    let invocation = Invocation {
        id: CallId::new(),
        caller: Caller::Named("edge".parse()?),
        link: LinkName::default(),
        target: None,
        interface: INTERFACE.parse()?,
        operation: Arc::clone(&operation),
        params: Params::Wire(params.clone().into()),
        body: None,
        deadline: Deadline::after(Duration::from_secs(30)),
        trace: None,
        pin: None,
        from: None,
    };
    let Reply { answer: Answer::Wire(result), .. } = relay.serve(invocation).await.context(operation.to_string())?
    else {
        anyhow::bail!("{operation} answered with HTTP");
    };
    ensure!(params.get(1..) == Some(result.as_ref()), "{operation}: {params:02x?} became {result:02x?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_every_type_cross_to_another_host_and_back() -> Result<()> {
    let lattice = Lattice::builder().start().await?;
    let (cancel, mut running) = (CancellationToken::new(), JoinSet::new());
    let mut remotes = Vec::new();
    let table = actor("table", &std::fs::read(guest::unsigned("table")?)?, Arc::new(Nobody)).await?;
    for serve in [Arc::clone(&table) as Arc<dyn Serve>, Arc::new(Nobody)] {
        // A lattice beside the one that brought the server up.
        let config = ConnectConfig::new(lattice.says("server")?, "table".parse()?);
        let connections = Connections::open(config).await?;
        connections.up(Duration::from_secs(10)).await?;
        let key = KeyPair::generate(KeyKind::Host);
        let host = key.host_id().context("not a host's key")?;
        let calling = CallsConfig::new(Arc::new(key), BootId::new());
        let (remote, inbound) = calls(&connections, calling, Arc::new(Trusting)).await?;
        running.spawn(inbound.run(serve, Arc::new(Trusting), cancel.clone()));
        remotes.push((remote, host));
    }
    let [(serving, host), (remote, _)] = remotes.try_into().map_err(|_| anyhow::anyhow!("two hosts"))?;
    let text = relay::text(&functions());
    let relay = actor("relay", &wat::parse_str(text)?, Arc::new(Elsewhere { remote, host })).await?;

    let mut random = Random(0x5851_f42d_4c95_7f2d);
    let mut all = Vec::new();
    for (name, ty) in functions() {
        let name: Arc<str> = name.into();
        for _ in 0..ROUNDS {
            all.push((Arc::clone(&name), one(&ty, &random.value(&ty))?));
        }
    }
    let (count, begun) = (all.len(), Instant::now());
    let mut back = stream::iter(all).map(|(name, params)| comes_back(&relay, name, params)).buffer_unordered(AT_ONCE);
    while let Some(result) = back.next().await {
        result.with_context(|| lattice.logs())?;
    }
    drop(back);
    println!("{count} values there and back in {:?}", begun.elapsed());
    assert_eq!(table.stats().calls, count as u64, "each of them was asked for there");
    assert_eq!(table.stats().errors + relay.stats().errors, 0);
    drop(serving);
    cancel.cancel();
    while running.join_next().await.is_some() {}
    Ok(())
}
