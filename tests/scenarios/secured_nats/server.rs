//! A nats-server that asks for TLS on both sides and for credentials that an operator's account signed, with a JetStream
//! domain of its own; and what a client of it needs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use data_encoding::BASE64URL_NOPAD;
use mesh_claims::{KeyKind, KeyPair};
use mesh_tests::{
    guest,
    lattice::{READY_WITHIN, free_address},
    wait::eventually,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The JetStream domain.
pub(super) const DOMAIN: &str = "hub";

/// The server, gone with its value.
pub(super) struct Secured {
    pub(super) dir: TempDir,
    pub(super) url: String,
    child: Child,
}

impl Secured {
    pub(super) async fn start() -> Result<Self> {
        let dir = TempDir::with_prefix("mesh-secured-")?;
        certificates(dir.path())?;
        let address = free_address()?;
        let config = format!(
            "listen: \"{address}\"\njetstream {{ store_dir: {:?}, domain: {DOMAIN}, sync_interval: always }}\n\
             tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {:?}, verify: true }}\n{}",
            dir.path().join("js"),
            dir.path().join("server.pem"),
            dir.path().join("server.key"),
            dir.path().join("ca.pem"),
            accounts(dir.path())?,
        );
        fs::write(dir.path().join("nats.conf"), config)?;
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/bin/nats-server");
        let program = if tools.exists() { tools } else { PathBuf::from("nats-server") };
        let log = fs::File::create(dir.path().join("nats.log"))?;
        // Held by this thread, so that it goes with the scenario.
        let mut command = Command::new(guest::program("meshctl")?);
        command.args(["hold", "--parent", &std::process::id().to_string(), "--"]).arg(program);
        command.arg("--config").arg(dir.path().join("nats.conf"));
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let secured = Self { dir, url: format!("nats://{address}"), child };
        let listens = || async move { Ok(tokio::net::TcpStream::connect(address).await.ok().map(drop)) };
        eventually("nats-server listens", READY_WITHIN, listens).await.with_context(|| secured.log())?;
        Ok(secured)
    }

    pub(super) fn file(&self, name: &str) -> String {
        self.dir.path().join(name).to_string_lossy().into_owned()
    }

    /// What it said.
    pub(super) fn log(&self) -> String {
        ["nats.log", "meshd.log"]
            .map(|name| fs::read_to_string(self.dir.path().join(name)).unwrap_or_default())
            .join("\n")
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An authority, and what it signed for the server and for its clients.
fn certificates(dir: &Path) -> Result<()> {
    let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    let make = |name: &str, more: &[&str]| -> Result<()> {
        let mut command = Command::new("openssl");
        command.current_dir(dir).args(["req", "-x509"]).args(curve).args(["-subj", &format!("/CN={name}")]);
        command.args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")]).args(more);
        let output = command.stdin(Stdio::null()).output().context("openssl cannot be run")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    };
    make("ca", &["-addext", "basicConstraints=critical,CA:TRUE"])?;
    let signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE", "-addext"];
    make("server", &[&signed[..], &["subjectAltName=IP:127.0.0.1"]].concat())?;
    make("client", &[&signed[..], &["extendedKeyUsage=clientAuth"]].concat())
}

/// An operator, the account of a lattice, and a user of it, whose credentials are left in `user.creds`.
fn accounts(dir: &Path) -> Result<String> {
    let key = KeyPair::generate;
    let (operator, system, account) = (key(KeyKind::Operator), key(KeyKind::Account), key(KeyKind::Account));
    let user = key(KeyKind::User);
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    });
    let plain = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
    });
    let claim = |issuer: &KeyPair, subject: &KeyPair, what: Value| token(issuer, &subject.public(), what);
    let of_account = |limits: Value| json!({ "type": "account", "version": 2, "limits": limits });
    let named = json!({ "type": "operator", "version": 2, "system_account": system.public() });
    let operator_token = claim(&operator, &operator, named)?;
    let system_token = claim(&operator, &system, of_account(plain))?;
    let account_token = claim(&operator, &account, of_account(limits))?;
    let rights = json!({ "type": "user", "version": 2, "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1 });
    let user_token = claim(&account, &user, rights)?;
    let creds = format!(
        "-----BEGIN NATS USER JWT-----\n{user_token}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        user.seed()
    );
    fs::write(dir.join("user.creds"), creds)?;
    Ok(format!(
        "operator: {operator_token}\nsystem_account: {}\nresolver: MEMORY\n\
         resolver_preload: {{ {}: {system_token}, {}: {account_token} }}\n",
        system.public(),
        system.public(),
        account.public()
    ))
}

/// A token as nats-server reads it.
fn token(issuer: &KeyPair, subject: &str, what: Value) -> Result<String> {
    let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let body = json!({
        "jti": mesh_lattice::CallId::new().0.to_string(), "iat": 1_700_000_000, "iss": issuer.public(), "sub": subject,
        "name": "test", "nats": what,
    });
    let encoded = |value: &Value| Ok::<_, anyhow::Error>(BASE64URL_NOPAD.encode(&serde_json::to_vec(value)?));
    let signed = format!("{}.{}", encoded(&header)?, encoded(&body)?);
    let signature = BASE64URL_NOPAD.encode(&issuer.sign(signed.as_bytes()));
    Ok(format!("{signed}.{signature}"))
}
