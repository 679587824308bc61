//! A nats-server of its own for each test, and hosts on it.

use std::{
    collections::HashSet,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::BoxFuture;
use mesh_claims::keys::{KeyKind, KeyPair};
use mesh_lattice::{
    BootId, CallError, CallId, Caller, Deadline, HostId, Invocation, LatticeName, LinkName, Params, Reply, Serve,
    frame::Call,
};
use mesh_transport::{AdmitCall, CallsConfig, ConnectConfig, Connections, Inbound, PeerPolicy, Remote, calls};
use tokio::{sync::Notify, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::proxy::Proxy;

/// A nats-server on a random port; it keeps the port when it is started again.
pub(crate) struct Server {
    child: Option<Child>,
    dir: tempfile::TempDir,
    pub(crate) port: u16,
    extra: String,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    /// With more lines of configuration.
    pub(crate) async fn with(extra: &str) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        Self::made(port, extra).await
    }

    /// An empty one where another one was.
    pub(crate) async fn start_on(port: u16) -> Self {
        Self::made(port, "").await
    }

    async fn made(port: u16, extra: &str) -> Self {
        let mut server = Self { child: None, dir: tempfile::tempdir().unwrap(), port, extra: extra.to_owned() };
        server.run().await;
        server
    }

    /// Runs until it takes connections.
    pub(crate) async fn run(&mut self) {
        let config = self.dir.path().join("nats.conf");
        let store = self.dir.path().join("js");
        let jetstream = if self.extra.contains("jetstream") {
            String::new()
        } else {
            format!("jetstream {{ store_dir: {store:?}, sync_interval: always }}\n")
        };
        let text = format!(
            "listen: \"127.0.0.1:{}\"\nping_interval: \"1s\"\nping_max: 2\n{jetstream}{}\n",
            self.port, self.extra
        );
        std::fs::write(&config, text).unwrap();
        // `setpriv` has the kernel kill the server with the thread that started it.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(binary())
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let port = self.port;
        eventually("the server listens", || async move {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
    }

    /// Like `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) fn config(&self) -> ConnectConfig {
        ConnectConfig::new(self.url(), LatticeName::default())
    }

    /// Both connections, up.
    pub(crate) async fn connections(&self) -> Connections {
        let connections = Connections::open(self.config()).await.unwrap();
        connections.up(Duration::from_secs(10)).await.unwrap();
        connections
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until the server has taken in what this client sent before: it answers itself where nobody listens.
pub(crate) async fn settle(client: &async_nats::Client) {
    let nobody = client.request(client.new_inbox(), "".into()).await;
    assert!(nobody.is_err_and(|error| error.kind() == async_nats::RequestErrorKind::NoResponders));
}

fn binary() -> PathBuf {
    let tools = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../.tools/bin/nats-server");
    match std::env::var_os("MESH_NATS_SERVER") {
        Some(path) => path.into(),
        None if tools.exists() => tools,
        None => "nats-server".into(),
    }
}

/// Polls until it is so; fails after 15 s.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut so: impl FnMut() -> F) {
    let until = Instant::now() + Duration::from_secs(15);
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    while Instant::now() < until {
        tick.tick().await;
        if so().await {
            return;
        }
    }
    panic!("not within 15 s: {what}");
}

/// Fails instead of hanging.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(20), future).await {
        Ok(value) => value,
        Err(_) => panic!("not within 20 s: {what}"),
    }
}

/// The hosts that are enrolled, to be changed while a test runs.
#[derive(Clone, Default)]
pub(crate) struct Enrolled(Arc<Mutex<HashSet<HostId>>>);

impl Enrolled {
    pub(crate) fn add(&self, host: &HostId) {
        self.0.lock().unwrap().insert(host.clone());
    }

    pub(crate) fn remove(&self, host: &HostId) {
        self.0.lock().unwrap().remove(host);
    }
}

impl PeerPolicy for Enrolled {
    fn is_enrolled(&self, host: &HostId) -> bool {
        self.0.lock().unwrap().contains(host)
    }

    fn is_revoked(&self, host: &HostId) -> bool {
        !self.is_enrolled(host)
    }
}

/// Admits what is not called `forbidden`.
pub(crate) struct Admit;

impl AdmitCall for Admit {
    fn admit(&self, _: &HostId, call: &Call) -> Result<(), CallError> {
        if call.operation == "forbidden" {
            return Err(CallError::new(mesh_lattice::Code::Denied, "not this"));
        }
        Ok(())
    }
}

/// What a host of a test serves.
pub(crate) struct Served<F>(pub(crate) F);

impl<F> Serve for Served<F>
where
    F: Fn(Invocation) -> BoxFuture<'static, Result<Reply, CallError>> + Send + Sync,
{
    fn serve(&self, invocation: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        (self.0)(invocation)
    }
}

/// Serves with an async function.
pub(crate) fn serving<F, R>(function: F) -> Arc<dyn Serve>
where
    F: Fn(Invocation) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Reply, CallError>> + Send + 'static,
{
    Arc::new(Served(move |invocation| -> BoxFuture<'static, _> { Box::pin(function(invocation)) }))
}

/// Serves whatever comes by sending it back, parameters and body.
pub(crate) fn echo() -> Arc<dyn Serve> {
    serving(|invocation| async move {
        let Params::Wire(bytes) = invocation.params else { panic!("not a wire call") };
        Ok(Reply { answer: mesh_lattice::Answer::Wire(bytes), body: invocation.body })
    })
}

/// Answers every call, one of `wait` when it is told to.
pub(crate) fn gated() -> (Arc<dyn Serve>, Arc<Notify>) {
    let gate = Arc::new(Notify::new());
    let waiting = Arc::clone(&gate);
    let slow = serving(move |invocation| {
        let gate = Arc::clone(&waiting);
        async move {
            if invocation.operation.as_ref() == "wait" {
                gate.notified().await;
            }
            Ok(Reply::wire("done"))
        }
    });
    (slow, gate)
}

/// A host in this process; it ends with the test.
pub(crate) struct Host {
    pub(crate) id: HostId,
    pub(crate) key: Arc<KeyPair>,
    pub(crate) boot: BootId,
    pub(crate) remote: Remote,
    pub(crate) connections: Connections,
    pub(crate) cancel: CancellationToken,
    tasks: JoinSet<()>,
}

impl Host {
    pub(crate) async fn start(server: &Server, enrolled: &Enrolled, serve: Arc<dyn Serve>) -> Self {
        let key = Arc::new(KeyPair::generate(KeyKind::Host));
        Self::again(server, enrolled, serve, key, |_| {}).await
    }

    pub(crate) async fn again(
        server: &Server,
        enrolled: &Enrolled,
        serve: Arc<dyn Serve>,
        key: Arc<KeyPair>,
        change: impl FnOnce(&mut CallsConfig),
    ) -> Self {
        Self::at(server.config(), enrolled, serve, key, change).await
    }

    /// Connected through a proxy.
    pub(crate) async fn through(proxy: &Proxy, enrolled: &Enrolled, serve: Arc<dyn Serve>) -> Self {
        let key = Arc::new(KeyPair::generate(KeyKind::Host));
        Self::at(proxy.config(), enrolled, serve, key, |_| {}).await
    }

    pub(crate) async fn at(
        server: ConnectConfig,
        enrolled: &Enrolled,
        serve: Arc<dyn Serve>,
        key: Arc<KeyPair>,
        change: impl FnOnce(&mut CallsConfig),
    ) -> Self {
        let id = key.host_id().unwrap();
        enrolled.add(&id);
        let connections = Connections::open(server).await.unwrap();
        connections.up(Duration::from_secs(10)).await.unwrap();
        let boot = BootId::new();
        let mut config = CallsConfig::new(Arc::clone(&key), boot);
        change(&mut config);
        let (remote, inbound): (Remote, Inbound) =
            calls(&connections, config, Arc::new(enrolled.clone())).await.unwrap();
        let cancel = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(inbound.run(serve, Arc::new(Admit), cancel.clone()));
        Self { id, key, boot, remote, connections, cancel, tasks }
    }

    /// Ends as a killed process does: nobody is told.
    pub(crate) async fn kill(mut self) {
        self.tasks.shutdown().await;
        self.connections.close(Duration::ZERO).await;
    }

    /// Stops reading and drops the connections, as a killed process does.
    pub(crate) async fn stop(mut self) {
        self.cancel.cancel();
        while self.tasks.join_next().await.is_some() {}
        self.connections.close(Duration::from_secs(1)).await;
    }
}

/// A call with these parameters.
pub(crate) fn call(operation: &str, params: impl Into<bytes::Bytes>) -> Invocation {
    Invocation {
        id: CallId::new(),
        caller: Caller::Named("web".parse().unwrap()),
        link: LinkName::default(),
        target: Some("counter".parse().unwrap()),
        interface: "test:echo/echo".parse().unwrap(),
        operation: operation.into(),
        params: Params::Wire(params.into()),
        body: None,
        deadline: Deadline::after(Duration::from_secs(10)),
        trace: None,
        pin: None,
        from: None,
    }
}

/// The result of a call that has one.
pub(crate) fn result(reply: &Reply) -> bytes::Bytes {
    match &reply.answer {
        mesh_lattice::Answer::Wire(bytes) => bytes.clone(),
        mesh_lattice::Answer::Http(_) => panic!("an HTTP answer"),
    }
}

/// Bytes that differ everywhere.
pub(crate) fn pattern(length: usize) -> bytes::Bytes {
    let mut state = 0x9E37_79B9_7F4A_7C15u64 ^ length as u64;
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend(state.to_le_bytes());
    }
    out.truncate(length);
    out.into()
}

/// Begins a call that is still open when this returns; the set joins it.
pub(crate) fn begin(from: &Host, to: &Host, invocation: Invocation) -> JoinSet<Result<Reply, CallError>> {
    let (remote, id) = (from.remote.clone(), to.id.clone());
    let mut set = JoinSet::new();
    set.spawn(async move { remote.call(&id, invocation).await });
    set
}

/// What became of it.
pub(crate) async fn end(mut begun: JoinSet<Result<Reply, CallError>>) -> Result<Reply, CallError> {
    soon("the call that was begun", begun.join_next()).await.unwrap().unwrap()
}
