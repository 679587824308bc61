//! A lattice on a nats-server that asks for everything: TLS on both sides, credentials, a JetStream domain. The host and
//! `meshctl` work on it as on any other, and neither gets in with less.

mod server;

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result};
use mesh_claims::{
    KeyKind, KeyPair,
    sign::{self, SignOptions},
};
use mesh_lattice::{
    LatticeName,
    key::{Key, TrustKey},
    stored::TrustStatement,
};
use mesh_tests::{guest, lattice::READY_WITHIN, wait::eventually};
use mesh_transport::{ConnectConfig, Connections, Position, State, StateConfig, connect::Tls};
use serde_json::Value;

use server::{DOMAIN, Secured};

/// One run of `meshctl`: its code, its data, its talk.
type Ran = (i32, String, String);

#[tokio::test]
async fn a_lattice_behind_tls_credentials_and_a_domain_works_and_lets_nobody_in_with_less() -> Result<()> {
    let secured = Secured::start().await?;
    let host = found(&secured).await.with_context(|| secured.log())?;
    let mut meshd = start(&secured)?;
    let done = judge(&secured, &host).await.with_context(|| secured.log());
    meshd.kill()?;
    meshd.wait()?;
    done
}

async fn judge(secured: &Secured, host: &KeyPair) -> Result<()> {
    let all = [&tls(secured)[..], &creds(secured), &domain()].concat();
    eventually("the host is ready", READY_WITHIN, || async {
        let (code, out, err) = meshctl(secured, &all, &["get", "hosts", "-o", "json"]).await?;
        anyhow::ensure!(code == 0, "{err}");
        let hosts: Value = serde_json::from_str(&out)?;
        anyhow::ensure!(hosts[0]["id"] == host.public().as_str() && hosts[0]["state"] == "ready", "{hosts}");
        Ok(Some(()))
    })
    .await?;
    let (whole, other_name) = (tls(secured), secured.url.replace("127.0.0.1", "localhost"));
    let named = |name: String| ["--server".to_owned(), name];
    let less: [(&str, Vec<String>, i32, &str); 5] = [
        ("without its authority", [&creds(secured)[..], &domain()].concat(), 4, "--tls-ca"),
        ("by another name", [&all[..], &named(other_name)].concat(), 4, "--server by a name"),
        ("without a certificate", [&whole[..2], &creds(secured), &domain()].concat(), 4, "--tls-cert"),
        ("without credentials", [&whole[..], &domain()].concat(), 4, "--creds"),
        ("in another domain", [&whole[..], &creds(secured), &["--js-domain".into(), "leaf".into()]].concat(), 5, ""),
    ];
    for (what, flags, expected, hint) in less {
        let (code, out, err) = meshctl(secured, &flags, &["get", "hosts"]).await?;
        println!("{what}: exit {code}: {}", err.trim());
        assert!(code == expected && out.is_empty() && err.contains(hint), "{what}: {code} {err}");
        assert!(!err.contains("meshctl up"), "{what}: {err}");
    }
    let hello = secured.file("hello.wasm");
    let run = |arguments: Vec<String>| {
        let all = all.clone();
        async move {
            let (code, out, err) =
                meshctl(secured, &all, &arguments.iter().map(String::as_str).collect::<Vec<_>>()).await?;
            anyhow::ensure!(code == 0, "{arguments:?}: {code} {err}");
            Ok::<_, anyhow::Error>(out)
        }
    };
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    run(words(&format!("start actor {hello} --name hello --wait"))).await?;
    let said = run(words("call hello http GET /")).await?;
    println!("hello says {}", said.trim());
    assert!(!said.trim().is_empty());
    run(words("config put shared a=b")).await?;
    eventually("it is told of", READY_WITHIN, || async {
        let told: Value = serde_json::from_str(&run(words("get events hello -o json")).await?)?;
        let ready = told.as_array().is_some_and(|events| events.iter().any(|event| event["kind"] == "actor_ready"));
        anyhow::ensure!(ready, "{told}");
        Ok(Some(()))
    })
    .await?;

    run(words("context set far")).await?;
    let (code, out, err) = plain(secured, &["get", "actors", "--context", "far"]).await?;
    assert!(code == 0 && out.contains("hello"), "{code} {err}");
    Ok(())
}

fn tls(secured: &Secured) -> [String; 6] {
    let file = |name| secured.file(name);
    let flag = |name: &str| name.to_owned();
    [flag("--tls-ca"), file("ca.pem"), flag("--tls-cert"), file("client.pem"), flag("--tls-key"), file("client.key")]
}

fn creds(secured: &Secured) -> [String; 2] {
    ["--creds".to_owned(), secured.file("user.creds")]
}

fn domain() -> [String; 2] {
    ["--js-domain".to_owned(), DOMAIN.to_owned()]
}

/// Makes the state, with one user, one issuer and one host, and a signed actor; the host's key.
async fn found(secured: &Secured) -> Result<KeyPair> {
    let [_, ca, _, cert, _, key] = tls(secured).map(std::path::PathBuf::from);
    let config = ConnectConfig {
        creds: Some(secured.file("user.creds").into()),
        js_domain: Some(DOMAIN.to_owned()),
        tls: Tls { ca: Some(ca), cert: Some(cert), key: Some(key) },
        ..ConnectConfig::new(secured.url.clone(), LatticeName::default())
    };
    let connections = Connections::connect(config).await?;
    let key = KeyPair::generate;
    let (root, user, issuer, host) =
        (key(KeyKind::Operator), key(KeyKind::User), key(KeyKind::Account), key(KeyKind::Host));
    let state = State::create(&connections, StateConfig::default(), &root).await?;
    let ids = (user.user_id(), issuer.account_id(), host.host_id());
    let (Some(user_id), Some(issuer_id), Some(host_id)) = ids else { anyhow::bail!("a key is not of its kind") };
    for (key, statement) in [
        (TrustKey::User(user_id.clone()), TrustStatement::User { id: user_id, admin: true }),
        (TrustKey::Issuer(issuer_id.clone()), TrustStatement::Issuer { id: issuer_id }),
        (TrustKey::Host(host_id.clone()), TrustStatement::Host { id: host_id, labels: None }),
    ] {
        state.put_signed(&Key::Trust(key), &statement, Position::default(), &root).await?;
    }
    let signed =
        sign::component(&fs::read(guest::unsigned("hello")?)?, &issuer, &SignOptions::new(key(KeyKind::Actor)))?;
    fs::write(secured.file("hello.wasm"), signed)?;
    fs::write(secured.file("trust.toml"), format!("root = {:?}\n", root.public()))?;
    for (name, pair) in [("user.nk", &user), ("root.nk", &root), ("host.nk", &host)] {
        private(&secured.file(name), &pair.seed())?;
    }
    Ok(host)
}

fn private(path: &str, text: &str) -> Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}

fn start(secured: &Secured) -> Result<Child> {
    let log = fs::File::create(secured.file("meshd.log"))?;
    // Held by this thread, so that it goes with the scenario.
    let mut command = Command::new(guest::program("meshctl")?);
    command.args(["hold", "--parent", &std::process::id().to_string(), "--"]).arg(guest::program("meshd")?);
    command.args(["--server", &secured.url, "--name", "secured", "--dir", &secured.file("host")]);
    command.args(["--host-key", &secured.file("host.nk"), "--trust", &secured.file("trust.toml")]);
    command.args(tls(secured)).args(creds(secured)).args(domain());
    Ok(command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?)
}

async fn meshctl(secured: &Secured, flags: &[String], arguments: &[&str]) -> Result<Ran> {
    let (key, root) = (secured.file("user.nk"), secured.file("root.nk"));
    let known = ["--key", &key, "--root", &root, "--server", &secured.url];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    // A server may be named once.
    let known = if flags.contains(&"--server") { &known[..4] } else { &known[..] };
    plain(secured, &[arguments, known, &flags].concat()).await
}

async fn plain(secured: &Secured, arguments: &[&str]) -> Result<Ran> {
    let mut command = tokio::process::Command::new(guest::program("meshctl")?);
    for name in ["MESH_SERVER", "MESH_CREDS", "MESH_KEY", "MESH_LATTICE", "MESH_CONTEXT", "MESH_ROOT"] {
        command.env_remove(name);
    }
    command.env("XDG_CONFIG_HOME", secured.dir.path()).current_dir(secured.dir.path());
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(READY_WITHIN * 2, command.output()).await.context("meshctl does not end")??;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr)))
}
