//! What a person hears when it does not go well.

use bytes::Bytes;
use mesh_claims::{KeyKind, KeyPair};
use mesh_lattice::{key::Key, stored::AppPointer};
use mesh_transport::{Artifacts, Position};
use serde_json::Value;

use super::fixture::{Folder, Lattice, Server, component, free_port};

#[tokio::test]
async fn what_can_never_run_is_refused_before_anything_is_stored() {
    let lattice = Lattice::start().await;
    let stranger = KeyPair::generate(KeyKind::Account);
    let unsigned = lattice.folder.write("unsigned.wasm", component(&[]));
    let text = lattice.folder.write("text.wasm", "hello");
    let future = lattice.artifact("future", &["wasi:http/client@0.4.0", "wasi:io/poll@0.2.0"], None);
    let theirs = lattice.artifact("theirs", &[], Some(&stranger));
    lattice.fails(&["start", "actor", &unsigned], 4, &["unsigned", "claims sign"]).await;
    lattice.fails(&["start", "actor", &text], 2, &["text.wasm"]).await;
    lattice.fails(&["start", "actor", &future], 2, &["wasi:http/client@0.4.0"]).await;
    lattice.fails(&["start", "actor", &theirs], 4, &["unknown_issuer", &stranger.public(), "trust add issuer"]).await;
    lattice.fails(&["start", "actor", "absent.wasm"], 2, &["absent.wasm"]).await;
    lattice.fails(&["start", "actor", "sha256:zz"], 2, &["sha256:zz", "digest"]).await;
    lattice.fails(&["start", "actor", "https://registry/a:1"], 2, &["oci://"]).await;
    lattice.fails(&["start", "actor", &theirs, "--name", "a.b"], 2, &["a.b"]).await;
    assert!(Artifacts::new(lattice.state.connections()).list().await.unwrap().is_empty());
    assert_eq!(lattice.state.list("app.>").await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_name_is_one_thing() {
    let lattice = Lattice::start().await;
    let file = lattice.artifact("counter", &[], None);
    lattice.ok(&["start", "actor", &file]).await;
    lattice.fails(&["start", "provider", "http-server", "--name", "counter"], 2, &["actor"]).await;
    lattice.ok(&["start", "provider", "http-server", "--name", "web"]).await;
    lattice.fails(&["start", "actor", &file, "--name", "web"], 2, &["provider"]).await;
    lattice.fails(&["stop", "provider", "counter"], 3, &["counter"]).await;
}

#[tokio::test]
async fn without_a_key_or_with_one_that_nobody_trusts_nothing_is_changed() {
    let lattice = Lattice::start().await;
    let stranger = KeyPair::generate(KeyKind::User);
    lattice.folder.write("stranger.nk", stranger.seed());
    let server = lattice.server.url.clone();
    lattice.fails(&["--server", &server, "config", "put", "a", "b=c"], 4, &["--key"]).await;
    let advice = format!("an admin runs `meshctl trust add user {}`", stranger.public());
    let said = lattice.run(&["config", "put", "a", "b=c", "--key", "stranger.nk"]).await;
    assert_eq!(said.code, 4, "{said:?}");
    assert!(said.stderr.contains("is not a trusted user's") && said.stderr.contains(&advice), "{said:?}");
    assert!(!said.stderr.contains("config.a"), "names of stored keys are nobody's business: {said:?}");
    lattice.fails(&["get", "hosts", "--root", "nope"], 2, &["nope"]).await;
    lattice.fails(&["config", "put", "a", "b=c", "--key", "issuer.nk"], 2, &["account"]).await;
    lattice.fails(&["config", "put", "a", "b=c", "--key", "absent.nk"], 2, &["absent.nk"]).await;
    assert_eq!(lattice.state.list("config.>").await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_stored_value_that_nobody_may_have_written_is_not_built_upon() {
    let lattice = Lattice::start().await;
    let stranger = KeyPair::generate(KeyKind::User);
    let key = Key::App("adhoc".parse().unwrap());
    let pointer = AppPointer { revision: 0, deleted: false };
    lattice.state.put_signed(&key, &pointer, Position::default(), &stranger).await.unwrap();
    lattice.fails(&["link", "put", "a", "b", "c:d"], 4, &["app.adhoc", "not believed"]).await;
}

#[tokio::test]
async fn what_others_changed_is_not_believed_where_the_root_is_not_known() {
    let lattice = Lattice::start().await;
    let user = KeyPair::generate(KeyKind::User);
    let key = lattice.folder.write("user.nk", user.seed());
    let server = lattice.server.url.clone();
    lattice.ok(&["trust", "add", "user", &user.public()]).await;
    lattice.ok(&["link", "put", "a", "b", "c:d"]).await;
    let by_hand = ["--server", server.as_str(), "--key", key.as_str()];
    let put = ["link", "put", "a", "e", "f:g"];
    lattice.fails(&[&by_hand[..], &put].concat(), 4, &["--root"]).await;
    let root = lattice.root.public();
    lattice.ok(&[&by_hand[..], &["--root", &root], &put].concat()).await;
}

#[tokio::test]
async fn waiting_ends_and_says_what_it_waited_for() {
    let lattice = Lattice::start().await;
    let file = lattice.artifact("counter", &[], None);
    let ran = lattice.run(&["start", "actor", &file, "--wait=300ms"]).await;
    assert_eq!(ran.code, 6, "{ran:?}");
    assert!(ran.stderr.contains("0 of 1") && ran.stderr.contains("describe actor counter"), "{ran:?}");
    lattice.ok(&["scale", "actor", "counter", "--replicas", "0", "--wait"]).await;
    let link = ["link", "put", "counter", "kv", "wasi:keyvalue", "--wait=300ms"];
    lattice.fails(&link, 6, &["link counter kv", "there is no host", "describe link counter kv"]).await;
    assert_eq!(lattice.json(&["get", "links"]).await[0]["state"], "pending", "it is put all the same");
    let web = ["start", "provider", "http-server", "--name", "web", "--wait=300ms"];
    lattice.fails(&web, 6, &["without --replicas or --everywhere"]).await;
    let placed = ["start", "provider", "http-server", "--name", "other", "--replicas", "1", "--wait=300ms"];
    lattice.fails(&placed, 6, &["no host has been given it yet"]).await;
}

#[tokio::test]
async fn no_server_no_jetstream_and_no_host_are_exit_5() {
    let folder = Folder::new();
    let nowhere = format!("nats://127.0.0.1:{}", free_port());
    for command in [&["get", "hosts"][..], &["config", "put", "a", "b=c"], &["doctor"], &["trust", "list"]] {
        let ran = folder.run(&[&["--server", nowhere.as_str()], command].concat()).await;
        assert_eq!(ran.code, 5, "{command:?}: {ran:?}");
        assert!(ran.stderr.contains(&nowhere) && ran.stderr.contains("meshctl up"), "{ran:?}");
    }
    let plain = Server::start(false).await;
    let ran = folder.run(&["--server", &plain.url, "doctor"]).await;
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(ran.stderr.contains("no JetStream") && ran.stderr.contains("hint"), "{ran:?}");

    let mut lattice = Lattice::start().await;
    lattice.close_desk().await;
    lattice.fails(&["get", "hosts", "--timeout", "300ms"], 5, &["no host", "meshctl up"]).await;
    let ran = folder.run(&["get", "hosts", "--timeout", "300ms"]).await;
    assert!(ran.stderr.contains("no server is named") && ran.stderr.contains("127.0.0.1:4222"), "{ran:?}");
}

fn grade<'a>(findings: &'a Value, check: &str) -> &'a str {
    let found = findings.as_array().unwrap().iter().find(|finding| finding["check"] == check);
    found.unwrap_or_else(|| panic!("{check}: {findings}"))["grade"].as_str().unwrap()
}

#[tokio::test]
async fn the_doctor_grades_what_a_lattice_stands_on() {
    let mut lattice = Lattice::start().await;
    let findings = lattice.json(&["doctor"]).await;
    for check in ["server", "version", "jetstream", "sync", "pings", "clock", "hosts", "leader", "trust", "key"] {
        assert_eq!(grade(&findings, check), "ok", "{findings}");
    }
    let (server, key) = (lattice.server.url.clone(), lattice.folder.path("admin.nk"));
    let by_hand = ["--server", &server, "--key", key.to_str().unwrap(), "doctor"];
    let findings = lattice.json(&by_hand).await;
    assert_eq!((grade(&findings, "monitor"), grade(&findings, "key")), ("warn", "warn"), "{findings}");

    lattice.close_desk().await;
    let ran = lattice.run(&["doctor", "-o", "json", "--timeout", "300ms"]).await;
    assert_eq!(ran.code, 5, "{ran:?}");
    let findings: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((grade(&findings, "server"), grade(&findings, "hosts")), ("ok", "fail"));
}

#[tokio::test]
async fn large_artifacts_go_through_the_store() {
    let lattice = Lattice::start().await;
    let mut large = component(&[]);
    large.extend(custom_section(3 << 20));
    lattice.folder.write("large.wasm", &large);
    lattice.ok(&["claims", "sign", "large.wasm", "--issuer", "issuer.nk"]).await;
    lattice.ok(&["start", "actor", "large.wasm"]).await;
    let signed = std::fs::read(lattice.folder.path("large.wasm")).unwrap();
    let stored = Artifacts::new(lattice.state.connections()).get(&mesh_lattice::Digest::of(&signed)).await.unwrap();
    assert_eq!(stored, Some(Bytes::from(signed)));
}

/// A custom section with this many bytes in it.
fn custom_section(size: usize) -> Vec<u8> {
    let section = wasm_encoder::CustomSection { name: "ballast".into(), data: vec![7; size].into() };
    let mut component = wasm_encoder::Component::new();
    component.section(&section);
    component.finish()[8..].to_vec()
}
