//! A nats-server, the keys of a lattice, a desk, and a folder from which `meshctl` is run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use mesh_claims::{
    KeyKind, KeyPair,
    sign::{self, SignOptions},
};
use mesh_lattice::{
    LatticeName,
    key::{Key, TrustKey},
    stored::TrustStatement,
};
use mesh_transport::{ConnectConfig, Connections, Position, State, StateConfig};
use serde_json::Value;
use tokio::{task::JoinSet, time::Instant};

use super::desk::Desk;

/// A nats-server on a random port that dies with its test.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    pub(crate) monitor: String,
    _folder: tempfile::TempDir,
}

impl Server {
    pub(crate) async fn start(jetstream: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (port, monitor) = (free_port(), free_port());
        let store = folder.path().join("js");
        let mut text = format!(
            "listen: \"127.0.0.1:{port}\"\nhttp: \"127.0.0.1:{monitor}\"\nping_interval: \"1s\"\nping_max: 2\n"
        );
        if jetstream {
            text.push_str(&format!("jetstream {{ store_dir: {store:?}, sync_interval: always }}\n"));
        }
        let config = folder.path().join("nats.conf");
        fs::write(&config, text).unwrap();
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
        eventually("the server listens", || async move {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
                && tokio::net::TcpStream::connect(("127.0.0.1", monitor)).await.is_ok()
        })
        .await;
        let (url, monitor) = (format!("nats://127.0.0.1:{port}"), format!("http://127.0.0.1:{monitor}"));
        Self { child, url, monitor, _folder: folder }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn binary() -> PathBuf {
    let tools = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.tools/bin/nats-server");
    if tools.exists() { tools } else { "nats-server".into() }
}

/// Polls until it is so; fails after 15 s.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut so: impl FnMut() -> F) {
    let until = Instant::now() + Duration::from_secs(15);
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    while Instant::now() < until {
        tick.tick().await;
        if so().await {
            return;
        }
    }
    panic!("not within 15 s: {what}");
}

/// One run of `meshctl`.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A folder from which `meshctl` is run.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_meshctl"));
        for name in ["MESH_SERVER", "MESH_CREDS", "MESH_KEY", "MESH_LATTICE", "MESH_CONTEXT", "MESH_ROOT"] {
            command.env_remove(name);
        }
        command.env("XDG_CONFIG_HOME", self.0.path()).current_dir(self.0.path()).args(arguments).kill_on_drop(true);
        command
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().await.unwrap().into()
    }
}

/// A lattice whose desk is this test's.
pub(crate) struct Lattice {
    pub(crate) folder: Folder,
    pub(crate) server: Server,
    pub(crate) state: State,
    pub(crate) root: KeyPair,
    pub(crate) admin: KeyPair,
    pub(crate) issuer: KeyPair,
    desk: JoinSet<()>,
}

impl Lattice {
    pub(crate) async fn start() -> Self {
        let server = Server::start(true).await;
        let (root, admin) = (KeyPair::generate(KeyKind::Operator), KeyPair::generate(KeyKind::User));
        let issuer = KeyPair::generate(KeyKind::Account);
        let config = ConnectConfig::new(server.url.clone(), LatticeName::default());
        let connections = Connections::connect(config).await.unwrap();
        let state = State::create(&connections, StateConfig::default(), &root).await.unwrap();
        let (user, account) = (admin.user_id().unwrap(), issuer.account_id().unwrap());
        for (key, statement) in [
            (TrustKey::User(user.clone()), TrustStatement::User { id: user, admin: true }),
            (TrustKey::Issuer(account.clone()), TrustStatement::Issuer { id: account }),
        ] {
            state.put_signed(&Key::Trust(key), &statement, Position::default(), &root).await.unwrap();
        }
        let mut desk = JoinSet::new();
        let requests = mesh_transport::control::serve(&connections).await.unwrap();
        desk.spawn(Desk::new(state.clone(), root.operator_id().unwrap()).run(requests));
        let lattice = Self { folder: Folder::new(), server, state, root, admin, issuer, desk };
        lattice.write_context();
        lattice
    }

    /// The sequence of the last write into the lattice's state: the same as before where nothing was written.
    pub(crate) async fn last_sequence(&self) -> u64 {
        let all = self.state.list(">").await.unwrap();
        all.iter().map(|entry| entry.revision).max().unwrap()
    }

    /// Nobody answers control requests any more.
    pub(crate) async fn close_desk(&mut self) {
        self.desk.shutdown().await;
    }

    fn write_context(&self) {
        let key = self.folder.write("admin.nk", self.admin.seed());
        let root = self.folder.write("root.nk", self.root.seed());
        self.folder.write("issuer.nk", self.issuer.seed());
        let context = serde_json::json!({
            "server": self.server.url, "monitor": self.server.monitor, "lattice": "default", "creds": null,
            "key": key, "root": root, "issuer": "issuer.nk", "nats_pid": 1, "hosts": [],
        });
        self.folder.write(".mesh/lattice.json", context.to_string());
    }

    /// A component with these imports, signed by the lattice's issuer unless another is named.
    pub(crate) fn artifact(&self, name: &str, imports: &[&str], issuer: Option<&KeyPair>) -> String {
        let actor = KeyPair::generate(KeyKind::Actor);
        let options = SignOptions { name: Some(name.to_owned()), ..SignOptions::new(actor) };
        let signed = sign::component(&component(imports), issuer.unwrap_or(&self.issuer), &options).unwrap();
        self.folder.write(&format!("{name}.wasm"), signed)
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        self.folder.run(arguments).await
    }

    pub(crate) async fn ok(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments).await;
        assert_eq!(ran.code, 0, "{arguments:?}: {ran:?}");
        ran.stdout
    }

    /// The data of a command that succeeds.
    pub(crate) async fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[arguments, &["-o", "json"]].concat()).await).unwrap()
    }

    /// Fails with this code, and says these words.
    pub(crate) async fn fails(&self, arguments: &[&str], code: i32, words: &[&str]) {
        let ran = self.run(arguments).await;
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        for word in words {
            assert!(ran.stderr.contains(word), "{arguments:?} does not say {word:?}: {ran:?}");
        }
        assert!(ran.stdout.is_empty(), "{arguments:?}: {ran:?}");
    }
}

/// A component that imports these interfaces, each with one function.
pub(crate) fn component(imports: &[&str]) -> Vec<u8> {
    use wasm_encoder::{
        Component, ComponentExternName, ComponentImportSection, ComponentTypeRef, ComponentTypeSection,
        ComponentValType, InstanceType,
    };
    let mut types = ComponentTypeSection::new();
    let mut instance = InstanceType::new();
    instance.ty().function().params::<[_; 0], ComponentValType>([]).result(None);
    instance.export("poke", ComponentTypeRef::Func(0));
    types.instance(&instance);
    let mut section = ComponentImportSection::new();
    for import in imports {
        section.import(ComponentExternName::from(*import), ComponentTypeRef::Instance(0));
    }
    let mut component = Component::new();
    component.section(&types).section(&section);
    component.finish()
}

pub(crate) fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}
