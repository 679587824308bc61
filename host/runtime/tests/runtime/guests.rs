//! Guests, signed by an issuer that is trusted here, and engines to run them.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use mesh_claims::{
    Admission, Component, Envelope, KeyKind, KeyPair, Trust, Verified,
    sign::{self, SignOptions},
    verify,
};
use mesh_lattice::{
    Answer, Body, CallError, Caller, Deadline, Incarnation, Invocation, LinkName, Params, Reply, Serve,
    id::CallId,
    key::{Key, TrustKey},
    stored::TrustStatement,
};
use mesh_runtime::{Actor, ActorConfig, Engine, EngineConfig};

use crate::peer::Peer;

/// The guests that are used here. Others are those of the scenarios; that each is used somewhere is a check of the
/// repository.
const GUESTS: [&str; 33] = [
    "accounts",
    "courier",
    "custom",
    "echo",
    "endless",
    "exit",
    "fields",
    "flood",
    "handles",
    "hello",
    "helps",
    "hog",
    "keeper",
    "late_trap",
    "later",
    "latest",
    "modern",
    "older",
    "outgoing",
    "print",
    "recurse",
    "reused",
    "silent",
    "sleepy",
    "spin",
    "table",
    "tasks",
    "tomorrow",
    "trap",
    "visits",
    "wasi_0_2_12",
    "wasi_0_3",
    "wasi_0_3_hostile",
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests")
}

/// Builds all guests, once.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build(&source(), "--examples").join("examples"))
}

/// Builds the package in this folder; where its programs are. Cargo would wait for ever for the target directory that it
/// was started with.
fn build(package: &Path, what: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("guests");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", what, "--target", "wasm32-wasip2", "--manifest-path"])
        .arg(package.join("Cargo.toml"))
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .unwrap();
    assert!(status.success(), "{} does not build", package.display());
    target.join("wasm32-wasip2/release")
}

/// The guest that stands on the crate of this release of WASI, `0.2.N`.
pub(crate) fn release(patch: u32) -> Verified<Component> {
    let name = format!("0_2_{patch}");
    let programs = build(&source().join("../releases").join(&name), "--lib");
    verified(&std::fs::read(programs.join(format!("release_{name}.wasm"))).unwrap())
}

#[test]
fn every_guest_that_is_used_here_is_a_program() {
    use std::collections::BTreeSet;

    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()
    };
    let programs: BTreeSet<String> = std::fs::read_dir(source().join("examples")).unwrap().map(name).collect();
    let missing: Vec<_> = GUESTS.iter().filter(|&&guest| !programs.contains(guest)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The component of a guest.
pub(crate) fn guest(name: &str) -> Verified<Component> {
    assert!(GUESTS.contains(&name), "{name} is no guest");
    verified(&std::fs::read(built().join(format!("{name}.wasm"))).unwrap())
}

/// A guest of which every name that begins with `prefix` and ends with one version ends with another, of the same length.
pub(crate) fn patched(name: &str, prefix: &str, version: &str, other: &str) -> Verified<Component> {
    assert_eq!(version.len(), other.len());
    let mut wasm = std::fs::read(built().join(format!("{name}.wasm"))).unwrap();
    let named = |at: usize, wasm: &[u8]| {
        let path = wasm[at..].iter().position(|byte| *byte == b'@').unwrap_or(0);
        wasm[at..].starts_with(prefix.as_bytes()) && wasm[at + path..].starts_with(version.as_bytes())
    };
    for at in 0..wasm.len() {
        if named(at, &wasm) {
            let from = at + wasm[at..].iter().position(|byte| *byte == b'@').unwrap();
            wasm[from..from + other.len()].copy_from_slice(other.as_bytes());
        }
    }
    verified(&wasm)
}

/// A component from its text.
pub(crate) fn component(text: &str) -> Verified<Component> {
    verified(&wat::parse_str(text).unwrap())
}

fn verified(wasm: &[u8]) -> Verified<Component> {
    static ISSUER: OnceLock<(KeyPair, Trust)> = OnceLock::new();
    let (issuer, trust) = ISSUER.get_or_init(|| {
        let (root, issuer) = (KeyPair::generate(KeyKind::Operator), KeyPair::generate(KeyKind::Account));
        let mut trust = Trust::new(root.operator_id().unwrap());
        let id = issuer.account_id().unwrap();
        let key = Key::Trust(TrustKey::Issuer(id.clone()));
        let statement = TrustStatement::Issuer { id };
        trust.apply(&key, &Envelope::sign(&key, Incarnation::new(), 1, &statement, &root).unwrap()).unwrap();
        (issuer, trust)
    });
    let options = SignOptions::new(KeyPair::generate(KeyKind::Actor));
    let signed = sign::component(wasm, issuer, &options).unwrap();
    verify::component(signed.into(), None, trust, 1_800_000_000, Admission::New).unwrap()
}

/// An engine of its own, so that what it counts is what the test did.
pub(crate) fn engine(pooling: bool) -> Engine {
    Engine::new(EngineConfig { pooling, instances: 200, ..EngineConfig::default() }).unwrap()
}

pub(crate) fn config(name: &str) -> ActorConfig {
    ActorConfig::new(name.parse().unwrap())
}

/// An actor that has nobody to call.
pub(crate) async fn alone(engine: &Engine, guest: &str) -> Arc<Actor> {
    let name = guest.replace('_', "-");
    engine.actor(&self::guest(guest), config(&name), Peer::nobody()).await.unwrap()
}

/// A GET request.
pub(crate) fn get(path: &str) -> Invocation {
    request(http::Request::get(path).header("host", "example.com").body(None).unwrap())
}

pub(crate) fn request(request: http::Request<Option<Body>>) -> Invocation {
    let (parts, body) = request.into_parts();
    Invocation {
        id: CallId::new(),
        caller: Caller::Named("edge".parse().unwrap()),
        link: LinkName::default(),
        target: None,
        interface: "wasi:http/incoming-handler@0.2.0".parse().unwrap(),
        operation: "handle".into(),
        params: Params::Http(Box::new(parts)),
        body,
        deadline: Deadline::after(Duration::from_secs(30)),
        trace: None,
        pin: None,
        from: None,
    }
}

/// The status and the whole body of an answer.
pub(crate) async fn read(reply: Reply) -> (u16, Bytes) {
    let status = match &reply.answer {
        Answer::Http(parts) => parts.status.as_u16(),
        Answer::Wire(_) => panic!("an answer as bytes"),
    };
    (status, all(reply.body).await.unwrap())
}

pub(crate) async fn all(body: Option<Body>) -> Result<Bytes, CallError> {
    match body {
        Some(body) => Ok(body.collect().await?.to_bytes()),
        None => Ok(Bytes::new()),
    }
}

/// What a guest answers to a GET request, as text.
pub(crate) async fn text(actor: &Actor, path: &str) -> String {
    let (status, body) = read(actor.serve(get(path)).await.unwrap()).await;
    assert_eq!(status, 200);
    String::from_utf8(body.to_vec()).unwrap()
}

/// Waits until `done`, for ten seconds at most.
pub(crate) async fn eventually(what: &str, done: impl Fn() -> bool) {
    let waiting = async {
        let mut pause = tokio::time::interval(Duration::from_millis(2));
        while !done() {
            pause.tick().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), waiting).await.is_ok(), "never: {what}");
}
