//! A real registry, a folder from which `meshctl` is run, and a component.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use mesh_claims::{
    KeyKind, KeyPair,
    sign::{self, SignOptions},
};
use serde_json::Value;
use wasm_encoder::{Component, CustomSection};

/// How a registry lets people in.
#[derive(Default)]
pub(crate) struct Door<'a> {
    /// A file as `htpasswd -B` writes it.
    pub(crate) htpasswd: Option<&'a str>,
    /// The certificate and its key.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
}

/// A docker-registry on a free port, which dies with the test.
pub(crate) struct Registry {
    child: Child,
    pub(crate) address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Registry {
    pub(crate) fn start() -> Self {
        Self::with(&Door::default())
    }

    pub(crate) fn with(door: &Door<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut config = format!(
            "version: 0.1\nlog: {{ level: error, accesslog: {{ disabled: true }} }}\n\
             storage: {{ filesystem: {{ rootdirectory: {:?} }} }}\nhttp:\n  addr: \"0.0.0.0:{}\"\n",
            folder.path().join("images"),
            address.port()
        );
        if let Some((certificate, key)) = &door.tls {
            config.push_str(&format!("  tls: {{ certificate: {certificate:?}, key: {key:?} }}\n"));
        }
        if let Some(htpasswd) = door.htpasswd {
            let path = folder.path().join("htpasswd");
            fs::write(&path, htpasswd).unwrap();
            config.push_str(&format!("auth: {{ htpasswd: {{ realm: test, path: {path:?} }} }}\n"));
        }
        let path = folder.path().join("config.yml");
        fs::write(&path, config).unwrap();
        // `setpriv` has the kernel kill the server with the thread that started it.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "docker-registry", "serve"]).arg(path).process_group(0);
        command.env("OTEL_TRACES_EXPORTER", "none");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let registry = Self { child, address, _folder: folder };
        let until = Instant::now() + Duration::from_secs(15);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < until, "docker-registry did not start: `make tools` brings it");
            std::thread::park_timeout(Duration::from_millis(10));
        }
        registry
    }

    /// An image in it, by its name on this machine.
    pub(crate) fn image(&self, name: &str) -> String {
        format!("oci://{}/{name}", self.address)
    }

    /// One request, as any tool may send it.
    pub(crate) fn ask(&self, request: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        ask(self.address, request, headers, body)
    }

    /// Puts a blob there, and says its digest.
    pub(crate) fn put_blob(&self, repository: &str, blob: &[u8]) -> String {
        let digest = format!("sha256:{}", mesh_lattice::Digest::of(blob));
        let begun = self.ask(&format!("POST /v2/{repository}/blobs/uploads/"), &[], b"");
        let place = begun.header("location").unwrap();
        let place = place.split_once(&self.address.to_string()).unwrap().1.to_owned();
        let put =
            self.ask(&format!("PUT {place}&digest={digest}"), &[("content-type", "application/octet-stream")], blob);
        assert_eq!(put.status, 201, "{put:?}");
        digest
    }

    /// Puts an image of one layer there, as a tool of those years did.
    pub(crate) fn put_image(&self, repository: &str, tag: &str, kinds: (&str, &str), layer: &[u8]) {
        let (config, digest) = (self.put_blob(repository, b"{}"), self.put_blob(repository, layer));
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": { "mediaType": kinds.0, "digest": config, "size": 2 },
            "layers": [{ "mediaType": kinds.1, "digest": digest, "size": layer.len() }],
        });
        let body = serde_json::to_vec(&manifest).unwrap();
        let put = self.ask(&format!("PUT /v2/{repository}/manifests/{tag}"), &[("content-type", MANIFEST)], &body);
        assert_eq!(put.status, 201, "{put:?}");
    }

    pub(crate) fn manifest(&self, repository: &str, tag: &str) -> Value {
        let got = self.ask(&format!("GET /v2/{repository}/manifests/{tag}"), &[("accept", MANIFEST)], b"");
        serde_json::from_slice(&got.body).unwrap()
    }
}

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// What a server answers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<String> {
        let pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        pairs.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    }
}

fn ask(address: SocketAddr, request: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    let mut head = format!("{request} HTTP/1.0\r\nhost: {address}\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: answer[end + 4..].to_vec() }
}

/// One run of `meshctl`.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.stderr);
        serde_json::from_slice(&self.stdout).unwrap()
    }

    /// That it failed with this code and says all of this.
    pub(crate) fn failed(&self, code: i32, says: &[&str]) {
        assert_eq!(self.code, code, "{}", self.stderr);
        for word in says {
            assert!(self.stderr.contains(word), "{word:?} is missing in: {}", self.stderr);
        }
    }
}

/// A folder from which `meshctl` is run, by a person who has no files of his own.
pub(crate) struct Folder {
    folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), environment: Vec::new() }
    }

    /// The same, with this in its environment.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.path(name)).ok()
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshctl"));
        command.args(arguments).current_dir(self.folder.path()).env_clear().env("HOME", self.folder.path());
        command.env("PATH", std::env::var_os("PATH").unwrap()).envs(self.environment.iter().cloned());
        let start = Instant::now();
        let output = command.stdin(Stdio::null()).output().unwrap();
        Ran {
            code: output.status.code().unwrap(),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
            took: start.elapsed(),
        }
    }

    /// One that has to succeed.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        self.run(&[arguments, &["-o", "json"]].concat()).json()
    }
}

/// A signed component, another one for each word.
pub(crate) fn component(word: &str) -> Vec<u8> {
    let mut component = Component::new();
    component.section(&CustomSection { name: "word".into(), data: word.as_bytes().into() });
    let options = SignOptions {
        name: Some("hello".to_owned()),
        issued_at: 1_700_000_000,
        ..SignOptions::new(KeyPair::generate(KeyKind::Actor))
    };
    sign::component(&component.finish(), &KeyPair::generate(KeyKind::Account), &options).unwrap()
}
