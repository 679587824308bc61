//! A host that runs alone, as a person starts it: `meshd --assignment FILE`, no NATS, a signed actor, HTTP in front of
//! it and a key-value store behind it. Real processes, real files.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use mesh_claims::{
    KeyKind, KeyPair,
    sign::{self, SignOptions},
};
use serde_json::{Value, json};

/// Compiling the first actor on a busy machine is the longest of all.
const PATIENCE: Duration = Duration::from_secs(120);

/// The examples, built once into a directory of their own: a cargo that shares the directory of the one that runs it
/// would wait for it for ever.
fn examples() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("guests");
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/Cargo.toml");
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "--release", "--target", "wasm32-wasip2", "--manifest-path"])
            .arg(&manifest)
            .arg("--target-dir")
            .arg(&target)
            .status()
            .unwrap();
        assert!(status.success(), "the examples do not build; `make tools` installs the target wasm32-wasip2");
        target.join("wasm32-wasip2/release")
    })
}

/// A host's folder: its trust file, its assignment, one issuer.
struct Home {
    dir: tempfile::TempDir,
    issuer: KeyPair,
    address: SocketAddr,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (root, issuer) = (KeyPair::generate(KeyKind::Operator), KeyPair::generate(KeyKind::Account));
        let trust = format!("root = {:?}\nissuers = [{:?}]\n", root.public(), issuer.public());
        std::fs::write(dir.path().join("trust.toml"), trust).unwrap();
        Self { dir, issuer, address: free_address() }
    }

    /// A signed copy of an example.
    fn signed(&self, example: &str, by: &KeyPair) {
        let bytes = std::fs::read(examples().join(format!("{example}.wasm"))).unwrap();
        let options = SignOptions::new(KeyPair::generate(KeyKind::Actor));
        let signed = sign::component(&bytes, by, &options).unwrap();
        std::fs::write(self.dir.path().join(format!("{example}.wasm")), signed).unwrap();
    }

    /// An assignment of the counter, its store, and the web server in front of it.
    fn counter(&self, links: &[&str]) -> Value {
        let all = json!({
            "store": { "source": "counter", "target": "kv", "interfaces": ["wasi:keyvalue"] },
            "web": {
                "source": "web", "target": "counter", "interfaces": ["wasi:http/incoming-handler"],
                "source_config": [ { "values": { "listen": self.address.to_string() } } ],
            },
        });
        let links: Vec<_> = links.iter().map(|name| all[name].clone()).collect();
        json!({ "applications": [ { "application": {
            "name": "demo",
            "actors": [ { "name": "counter", "artifact": "./counter.wasm" } ],
            "providers": [
                { "name": "kv", "use": "keyvalue-redb", "interfaces": ["wasi:keyvalue"] },
                { "name": "web", "use": "http-server" },
            ],
            "links": links,
        } } ] })
    }

    fn start(&self, assignment: &Value) -> Meshd {
        let file = self.dir.path().join("assignment.json");
        std::fs::write(&file, assignment.to_string()).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_meshd"))
            .arg("--assignment")
            .arg(&file)
            .arg("--dir")
            .arg(self.dir.path())
            .arg("--runtime-dir")
            .arg(self.dir.path().join("run"))
            .args(["--admin", "127.0.0.1:0", "--drain-delay", "5s"])
            .env_remove("MESH_SERVER")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Meshd { child, admin_file: self.dir.path().join("admin") }
    }
}

/// A running meshd; it dies with its test.
struct Meshd {
    child: Child,
    admin_file: PathBuf,
}

impl Drop for Meshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.admin_file);
    }
}

impl Meshd {
    fn admin(&self) -> SocketAddr {
        let address = || std::fs::read_to_string(&self.admin_file).ok()?.trim().parse().ok();
        until("the admin port is written down", address)
    }

    fn readyz(&self) -> (u16, Value) {
        let (status, body) = until("the admin port answers", || get(self.admin(), "/readyz"));
        (status, serde_json::from_str(&body).unwrap())
    }

    fn ready(&self) {
        until("the host is ready", || (self.readyz().0 == 200).then_some(()));
    }

    fn metric(&self, line: &str) -> Option<u64> {
        let (_, body) = get(self.admin(), "/metrics")?;
        let value = body.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '))?;
        value.parse().ok()
    }

    fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    fn exit(&mut self) -> ExitStatus {
        until("it exits", || self.child.try_wait().unwrap())
    }
}

fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn until<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    let (_alive, never) = std::sync::mpsc::channel::<()>();
    loop {
        if let Some(value) = poll() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        let _ = never.recv_timeout(Duration::from_millis(25));
    }
}

/// One GET over a connection of its own; `None` where nobody answers.
fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response).ok()?;
    let text = String::from_utf8_lossy(&response);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunked(body) } else { body.to_owned() };
    Some((status, body))
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 {
            break;
        }
        whole.push_str(&rest[..size]);
        body = &rest[size + 2..];
    }
    whole
}

#[test]
fn a_signed_actor_counts_over_http_and_goes_on_after_a_restart() {
    let home = Home::new();
    home.signed("counter", &home.issuer);
    let assignment = home.counter(&["store", "web"]);
    let mut meshd = home.start(&assignment);
    meshd.ready();
    for expected in 1..=20 {
        assert_eq!(get(home.address, "/"), Some((200, format!("{expected}\n"))));
    }
    assert_eq!(get(home.address, "/other"), Some((200, "1\n".into())), "each path has its own count");
    assert_eq!(meshd.metric("mesh_actor_calls_total{actor=\"counter\"}"), Some(21));
    assert_eq!(meshd.metric("mesh_calls_total{place=\"caller\",code=\"ok\"}"), Some(42), "web and counter call");
    meshd.terminate();
    assert!(meshd.exit().success(), "SIGTERM drains and exits 0");
    assert_eq!(get(home.address, "/"), None);
    drop(meshd);

    let meshd = home.start(&assignment);
    meshd.ready();
    assert_eq!(get(home.address, "/"), Some((200, "21\n".into())));
    assert_eq!(meshd.metric("mesh_compilations_total"), Some(0), "compiled code is kept");
}

#[test]
fn an_actor_without_its_link_says_which_command_would_link_it() {
    let home = Home::new();
    home.signed("counter", &home.issuer);
    let meshd = home.start(&home.counter(&["web"]));
    let reason = until("it says why it is not ready", || {
        let (status, body) = meshd.readyz();
        let reason = body["reasons"].as_array()?.iter().find(|reason| reason["code"] == "work")?["message"].as_str()?;
        (status == 503 && reason.contains("meshctl")).then(|| reason.to_owned())
    });
    assert!(reason.contains("meshctl link put counter kv wasi:keyvalue"), "{reason}");
    assert!(reason.contains("wasi:keyvalue/atomics@0.2.0-draft"), "{reason}");
}

#[test]
fn an_actor_of_an_issuer_that_nobody_named_is_not_started() {
    let home = Home::new();
    home.signed("counter", &KeyPair::generate(KeyKind::Account));
    let meshd = home.start(&home.counter(&["store", "web"]));
    let reason = until("it says why it is not ready", || {
        let (_, body) = meshd.readyz();
        let reason = body["reasons"].as_array()?.iter().find(|reason| reason["code"] == "work")?["message"].as_str()?;
        reason.contains("issuer").then(|| reason.to_owned())
    });
    assert!(reason.contains("unknown_issuer") || reason.contains("is not trusted here"), "{reason}");
    assert_ne!(get(home.address, "/").map(|(status, _)| status), Some(200));
}

#[test]
fn what_is_wrong_with_its_files_is_said_and_nothing_starts() {
    let home = Home::new();
    let mut meshd = home.start(&json!({ "applications": 1 }));
    assert_eq!(meshd.exit().code(), Some(2));
    std::fs::remove_file(home.dir.path().join("trust.toml")).unwrap();
    let mut meshd = home.start(&json!({ "applications": [] }));
    assert_eq!(meshd.exit().code(), Some(2));
    let status = Command::new(env!("CARGO_BIN_EXE_meshd")).env_clear().stdin(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(2), "neither a server nor an assignment");
}

/// How meshd ends with these arguments, and what it says.
fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_meshd"))
        .args(arguments)
        .env_remove("MESH_SERVER")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said)
}

#[test]
fn an_assignment_that_is_not_there_is_what_is_complained_of() {
    let dir = tempfile::tempdir().unwrap();
    let (file, dir) = (dir.path().join("nofile.json"), dir.path().to_str().unwrap().to_owned());
    let (code, said) = refused(&["--assignment", file.to_str().unwrap(), "--dir", &dir]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("nofile.json") && !said.contains("trust.toml"), "{said}");
}

#[test]
fn an_admin_port_that_is_taken_is_said_and_is_the_callers_mistake() {
    let home = Home::new();
    let file = home.dir.path().join("assignment.json");
    std::fs::write(&file, json!({ "applications": [] }).to_string()).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (file, dir) = (file.to_str().unwrap(), home.dir.path().to_str().unwrap());
    let (code, said) = refused(&["--assignment", file, "--dir", dir, "--admin", &address]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("the admin port cannot be opened at") && said.contains(&address), "{said}");
}
