//! What a person does with a lattice that is well.

use std::process::Stdio;

use mesh_lattice::{
    Digest,
    application::Application,
    key::Key,
    stored::{AppPointer, OwnerRecord},
};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::fixture::Lattice;

async fn application(lattice: &Lattice) -> Application {
    let name = "adhoc".parse().unwrap();
    let pointer = lattice.state.entry(&Key::App(name)).await.unwrap().unwrap();
    let pointer: AppPointer = rmp_serde::from_slice(&pointer.envelope.payload).unwrap();
    let key = Key::AppRevision("adhoc".parse().unwrap(), pointer.revision);
    rmp_serde::from_slice(&lattice.state.entry(&key).await.unwrap().unwrap().envelope.payload).unwrap()
}

async fn owner(lattice: &Lattice, name: &str) -> Option<String> {
    let entry = lattice.state.entry(&Key::Owner(name.parse().unwrap())).await.unwrap()?;
    let record: OwnerRecord = rmp_serde::from_slice(&entry.envelope.payload).unwrap();
    record.app.map(|app| app.to_string())
}

#[tokio::test]
async fn an_actor_is_started_changed_scaled_and_stopped() {
    let lattice = Lattice::start().await;
    let file = lattice.artifact("counter", &["wasi:cli/environment@0.2.3", "wasi:keyvalue/store@0.2.0-draft"], None);
    let started = lattice.json(&["start", "actor", &file, "--limit", "memory=32MiB", "--config", "a=b"]).await;
    assert_eq!(started, json!({ "kind": "actor", "name": "counter", "app": "adhoc", "result": "created" }));
    assert_eq!(lattice.json(&["start", "actor", &file, "--config", "a=b"]).await["result"], "unchanged");
    assert_eq!(lattice.json(&["get", "actors"]).await[0]["config"], json!({ "a": "b" }));
    assert_eq!(lattice.json(&["start", "actor", &file]).await["result"], "updated", "none is said: there is none");
    assert_eq!(lattice.json(&["start", "actor", &file]).await["result"], "unchanged");
    assert_eq!(owner(&lattice, "counter").await.as_deref(), Some("adhoc"));

    let wanted = application(&lattice).await.actors.remove(0);
    assert_eq!(wanted.artifact.digest, Digest::of(&std::fs::read(&file).unwrap()));
    assert_eq!(wanted.limits.memory_bytes, 32 << 20);
    assert_eq!(wanted.imports, ["wasi:keyvalue/store@0.2.0-draft".parse().unwrap()]);
    let listed = lattice.json(&["get", "actors"]).await;
    assert_eq!(listed[0]["digest"], json!(wanted.artifact.digest));
    assert_eq!(listed[0]["replicas"], json!({ "desired": 1, "ready": 0 }));

    assert_eq!(lattice.json(&["scale", "actor", "counter", "--replicas", "3"]).await["result"], "updated");
    assert_eq!(lattice.json(&["scale", "actor", "counter", "--replicas", "3"]).await["result"], "unchanged");
    let other = lattice.artifact("other", &["wasi:blobstore/container@0.2.0-draft"], None);
    assert_eq!(lattice.json(&["start", "actor", &other, "--name", "counter"]).await["result"], "updated");
    let changed = application(&lattice).await.actors.remove(0);
    assert_ne!(changed.artifact.digest, wanted.artifact.digest);
    assert_eq!(
        (changed.limits, changed.replicas, changed.config),
        (wanted.limits, mesh_lattice::application::Replicas::Count(3), wanted.config)
    );
    assert_eq!(changed.imports, ["wasi:blobstore/container@0.2.0-draft".parse().unwrap()]);

    assert_eq!(lattice.json(&["stop", "actor", "counter"]).await["result"], "removed");
    assert_eq!(owner(&lattice, "counter").await, None);
    assert_eq!(lattice.json(&["get", "actors"]).await, json!([]));
    lattice.fails(&["stop", "actor", "counter"], 3, &["counter"]).await;
    lattice.fails(&["scale", "actor", "counter", "--replicas", "1"], 3, &["counter"]).await;
    let digest = wanted.artifact.digest.to_string();
    assert_eq!(lattice.json(&["start", "actor", &digest, "--name", "again"]).await["result"], "created");
    let absent = Digest::of(b"absent").to_string();
    lattice.fails(&["start", "actor", &absent, "--name", "absent"], 3, &[&absent]).await;
}

#[tokio::test]
async fn providers_and_links_are_put_and_taken_away() {
    let lattice = Lattice::start().await;
    lattice.ok(&["start", "provider", "keyvalue-redb", "--name", "kv"]).await;
    lattice.ok(&["start", "provider", "http-server", "--name", "web", "--everywhere"]).await;
    assert_eq!(lattice.json(&["start", "provider", "keyvalue-redb", "--name", "kv"]).await["result"], "unchanged");
    lattice.fails(&["start", "provider", "http-server", "--name", "kv"], 2, &["keyvalue-redb"]).await;
    let configured = ["start", "provider", "keyvalue-redb", "--name", "kv", "--config", "bucket=b"];
    assert_eq!(lattice.json(&configured).await["result"], "updated");
    assert_eq!(lattice.json(&["get", "providers", "kv"]).await[0]["config"], json!({ "bucket": "b" }));
    assert!(lattice.ok(&["get", "providers", "-o", "wide"]).await.contains("bucket=b"));
    assert!(lattice.ok(&["describe", "provider", "kv"]).await.contains("bucket:"));
    assert_eq!(lattice.json(&configured[..5]).await["result"], "updated", "none is said: there is none");
    assert_eq!(lattice.json(&["get", "providers", "kv"]).await[0]["config"], json!({}));
    let providers = application(&lattice).await.providers;
    assert!(providers.iter().any(|kv| kv.local_state && kv.interfaces == ["wasi:keyvalue".parse().unwrap()]));

    let put = ["link", "put", "counter", "kv", "wasi:keyvalue", "--target-config", "bucket=b"];
    assert_eq!(lattice.json(&put).await["result"], "created");
    assert_eq!(lattice.json(&put).await["result"], "unchanged");
    let changed = ["link", "put", "counter", "kv", "wasi:keyvalue", "--target-config", "bucket=c", "--idempotent"];
    assert_eq!(lattice.json(&changed).await["result"], "updated");
    assert_eq!(application(&lattice).await.links.len(), 1);
    let links = lattice.json(&["get", "links"]).await;
    assert_eq!((&links[0]["source"], &links[0]["state"]), (&json!("counter"), &json!("pending")));
    assert_eq!(links[0]["target_config"], json!({ "bucket": "c" }));
    assert!(lattice.ok(&["get", "links", "-o", "wide"]).await.contains("bucket=c"));
    assert_eq!(lattice.json(&["describe", "link", "counter", "kv"]).await.as_array().unwrap().len(), 1);
    lattice.fails(&["describe", "link", "kv", "counter"], 3, &["kv -> counter"]).await;
    lattice.fails(&["describe", "provider", "kv", "counter"], 2, &["only a link has"]).await;
    lattice.fails(&["link", "del", "counter", "kv", "wasi:blobstore"], 3, &["wasi:blobstore"]).await;
    lattice.ok(&["link", "del", "counter", "kv", "wasi:keyvalue"]).await;
    assert_eq!(lattice.json(&["get", "links"]).await, json!([]));
    lattice.ok(&["stop", "provider", "kv"]).await;
    assert_eq!(lattice.json(&["get", "providers"]).await[0]["name"], "web");
}

#[tokio::test]
async fn changes_at_the_same_time_are_all_done() {
    let lattice = Lattice::start().await;
    let targets: Vec<String> = (0..5).map(|n| format!("t{n}")).collect();
    let runs = targets.iter().map(|target| {
        let name = target.as_str();
        lattice.folder.command(&["link", "put", "counter", name, "a:b", "--name", name]).output()
    });
    for output in futures::future::join_all(runs).await {
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(application(&lattice).await.links.len(), targets.len());
}

#[tokio::test]
async fn shared_configuration_is_put_listed_and_deleted() {
    let lattice = Lattice::start().await;
    assert_eq!(lattice.json(&["config", "put", "shared", "a=1", "b=2"]).await["result"], "created");
    assert_eq!(lattice.json(&["config", "put", "shared", "a=1", "b=2"]).await["result"], "unchanged");
    assert_eq!(lattice.json(&["config", "put", "shared", "a=2"]).await["result"], "updated");
    assert_eq!(lattice.json(&["get", "config"]).await, json!([{ "name": "shared", "values": { "a": "2" } }]));
    assert_eq!(lattice.json(&["config", "del", "shared"]).await["result"], "removed");
    assert_eq!(lattice.json(&["get", "config"]).await, json!([]));
    lattice.fails(&["config", "del", "shared"], 3, &["shared"]).await;
    lattice.fails(&["config", "put", "shared", "a=1", "a=2"], 2, &["twice"]).await;
}

#[tokio::test]
async fn watching_shows_what_changes() {
    let lattice = Lattice::start().await;
    lattice.ok(&["config", "put", "one", "a=1"]).await;
    let mut command = lattice.folder.command(&["get", "config", "-w", "-o", "json"]);
    let mut watching = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut next = async || -> serde_json::Value {
        let line = tokio::time::timeout(std::time::Duration::from_secs(15), lines.next_line()).await.unwrap();
        serde_json::from_str(&line.unwrap().unwrap()).unwrap()
    };
    assert_eq!(next().await["name"], "one");
    lattice.ok(&["config", "put", "two", "a=1"]).await;
    assert_eq!(next().await["name"], "two");
    lattice.ok(&["config", "put", "one", "a=2"]).await;
    assert_eq!(next().await, json!({ "name": "one", "values": { "a": "2" } }));
    watching.kill().await.unwrap();
}

#[tokio::test]
async fn tables_are_for_people_and_describe_says_what_happened() {
    let lattice = Lattice::start().await;
    let file = lattice.artifact("counter", &[], None);
    lattice.ok(&["start", "actor", &file, "--replicas", "2"]).await;
    let table = lattice.ok(&["get", "actors"]).await;
    assert!(table.starts_with("NAME") && table.contains("0/2"), "{table}");
    let hosts = lattice.ok(&["get", "hosts"]).await;
    assert!(hosts.contains("host-1") && hosts.contains("ready") && !hosts.contains("VERSION"), "{hosts}");
    assert!(lattice.ok(&["get", "hosts", "-o", "wide"]).await.contains("VERSION"));
    assert!(lattice.ok(&["get", "hosts", "-o", "yaml"]).await.contains("name: host-1"));
    assert_eq!(lattice.json(&["get", "hosts", "host-1"]).await.as_array().unwrap().len(), 1);
    let told = lattice.ok(&["describe", "actor", "counter"]).await;
    assert!(told.contains("actor_started: it runs") && told.contains("(7 times since 2026-09-21"), "{told}");
    assert!(told.trim_end().ends_with(')'), "it ends with what happened lately: {told}");
    assert!(!told.contains('\x1b'), "what comes from elsewhere does not move the cursor: {told:?}");
    assert_eq!(lattice.json(&["describe", "actor", "counter"]).await[0]["events"][0]["kind"], "actor_started");
    assert_eq!(lattice.json(&["get", "events"]).await[0]["subject"], "counter");
    lattice.fails(&["describe", "actor", "nobody"], 3, &["nobody"]).await;
    lattice.fails(&["get", "actors", "nobody"], 3, &["nobody"]).await;
}

#[tokio::test]
async fn the_context_is_found_from_below_its_folder_and_flags_win() {
    let lattice = Lattice::start().await;
    let below = lattice.folder.path("a/b");
    std::fs::create_dir_all(&below).unwrap();
    let mut command = lattice.folder.command(&["get", "hosts"]);
    assert!(command.current_dir(&below).output().await.unwrap().status.success());
    let nowhere = format!("nats://127.0.0.1:{}", super::fixture::free_port());
    lattice.fails(&["get", "hosts", "--server", &nowhere], 5, &[&nowhere]).await;
    lattice.fails(&["get", "hosts", "--context", "nobody"], 3, &["nobody"]).await;
    lattice.fails(&["get", "hosts", "--context", "../x"], 2, &["../x"]).await;
    lattice.folder.write("mesh/contexts/there.json", super::fixture::text(&lattice.folder.path(".mesh/lattice.json")));
    lattice.ok(&["get", "hosts", "--context", "there"]).await;
    let (server, key) = (lattice.server.url.clone(), lattice.folder.path("admin.nk"));
    let by_hand = ["--server", &server, "--key", key.to_str().unwrap(), "config", "put", "a", "b=c"];
    lattice.ok(&by_hand).await;
}
