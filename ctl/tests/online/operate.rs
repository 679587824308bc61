//! Waiting, hosts, contexts and explanations: what an operator types every day.

use mesh_lattice::{key::Key, stored::NodeRecord};
use serde_json::Value;

use super::fixture::{Folder, Lattice};

#[tokio::test]
async fn one_waits_for_one_thing_by_its_id_or_its_name() {
    let lattice = Lattice::start().await;
    let file = lattice.artifact("counter", &[], None);
    let ran = lattice.run(&["start", "actor", &file, "--wait=200ms"]).await;
    assert!(ran.code == 6 && ran.stderr.contains("`meshctl wait actor/counter` waits again"), "{ran:?}");
    lattice.fails(&["wait", "actor/counter", "--limit", "300ms"], 6, &["actor counter is not ready", "0 of 1"]).await;
    lattice.fails(&["wait", "actor", "counter", "--for", "gone", "--limit", "300ms"], 6, &["it is still there"]).await;
    lattice.fails(&["wait", "actor/nobody", "--limit", "300ms"], 6, &["nothing of that name"]).await;
    assert_eq!(lattice.json(&["wait", "actor", "nobody", "--for", "gone"]).await["id"], "actor/nobody");
    assert_eq!(lattice.ok(&["wait", "host/host-1"]).await, "host/host-1 is ready\n");
    lattice.ok(&["link", "put", "counter", "kv", "wasi:keyvalue"]).await;
    lattice.ok(&["wait", "link/counter/kv", "--for", "pending"]).await;
    lattice.ok(&["scale", "actor", "counter", "--replicas", "0"]).await;
    lattice.ok(&["wait", "actor/counter"]).await;
    for wrong in
        [&["wait", "counter"][..], &["wait", "actor/a.b"], &["wait", "link/a/b", "--for", "running"], &["wait"]]
    {
        assert_eq!(lattice.run(wrong).await.code, 2, "{wrong:?}");
    }
}

#[tokio::test]
async fn people_cordon_label_and_drain_hosts() {
    let lattice = Lattice::start().await;
    let id = lattice.json(&["get", "hosts"]).await[0]["id"].as_str().unwrap().to_owned();
    let stored = || async {
        let entry = lattice.state.entry(&Key::Node(id.parse().unwrap())).await.unwrap().unwrap();
        mesh_lattice::value::read::<NodeRecord>(&entry.envelope.payload).unwrap()
    };
    assert_eq!(lattice.ok(&["cordon", "host-1"]).await, "host host-1 updated\n");
    assert_eq!(lattice.ok(&["cordon", &id]).await, "host host-1 unchanged\n");
    assert!(stored().await.cordoned);
    lattice.ok(&["uncordon", "host-1"]).await;
    assert_eq!(stored().await, NodeRecord::default());
    lattice.ok(&["label", "host-1", "zone=edge", "site=a", "rack-"]).await;
    lattice.ok(&["label", "host-1", "site-"]).await;
    let node = stored().await;
    let labels: Vec<String> = node.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let removed: Vec<_> = node.removed_labels.iter().map(ToString::to_string).collect();
    assert_eq!((labels, removed), (vec!["zone=edge".to_owned()], vec!["rack".to_owned(), "site".to_owned()]));
    lattice.ok(&["drain", "host-1"]).await;
    let node = stored().await;
    assert!(node.cordoned && !node.drain, "an empty host is cordoned then: {node:?}");
    lattice.fails(&["drain", "nobody"], 3, &["nobody"]).await;
    lattice.fails(&["label", "host-1", "zone"], 2, &["KEY=VALUE"]).await;
}

#[tokio::test]
async fn lattices_are_kept_by_name_and_one_is_used_where_nothing_else_is_said() {
    let lattice = Lattice::start().await;
    let (elsewhere, server) = (Folder::new(), lattice.server.url.clone());
    let ok = async |arguments: &[&str]| {
        let ran = elsewhere.run(arguments).await;
        assert_eq!(ran.code, 0, "{arguments:?}: {ran:?}");
        ran.stdout
    };
    let code = async |arguments: &[&str]| elsewhere.run(arguments).await.code;
    elsewhere.write("admin.nk", lattice.admin.seed());
    assert_eq!(code(&["context", "set", "far"]).await, 2, "a context needs a server");
    assert_eq!(ok(&["context", "set", "far", "--server", &server, "--key", "admin.nk"]).await, "context far created\n");
    assert_eq!(ok(&["context", "set", "far", "--server", &server]).await, "context far unchanged\n");
    assert_eq!(code(&["get", "hosts", "--timeout", "300ms"]).await, 5, "it is not used yet");
    assert!(ok(&["get", "hosts", "--context", "far"]).await.contains("host-1"));
    ok(&["context", "use", "far"]).await;
    assert!(ok(&["get", "hosts"]).await.contains("host-1"));
    let all: Value = serde_json::from_str(&ok(&["context", "list", "-o", "json"]).await).unwrap();
    assert_eq!((&all[0]["name"], &all[0]["current"], &all[0]["server"]), (&"far".into(), &true.into(), &server.into()));
    assert!(all[0]["key"].as_str().unwrap().starts_with('/'), "it is found from everywhere: {all}");
    assert!(ok(&["context", "show"]).await.contains("admin.nk"));
    // Where a development lattice is near, that one is meant.
    lattice.folder.write("mesh/context", "nowhere");
    lattice.ok(&["get", "hosts"]).await;
    ok(&["context", "rm", "far"]).await;
    assert_eq!(code(&["get", "hosts", "--timeout", "300ms"]).await, 5);
    for command in ["use", "rm", "show"] {
        assert_eq!(code(&["context", command, "far"]).await, 3, "{command}");
    }
    assert_eq!(code(&["context", "set", "../x", "--server", "nats://a"]).await, 2);
}

#[tokio::test]
async fn where_a_call_goes_is_explained() {
    let lattice = Lattice::start().await;
    let file = lattice.artifact("counter", &[], None);
    lattice.ok(&["start", "actor", &file]).await;
    let put = "meshctl link put counter TARGET wasi:keyvalue";
    lattice.fails(&["explain", "counter", "wasi:keyvalue"], 3, &["no link", put]).await;
    lattice.ok(&["link", "put", "counter", "kv", "wasi:keyvalue"]).await;
    let ways = lattice.json(&["explain", "counter", "wasi:keyvalue/store"]).await;
    assert_eq!((&ways[0]["link"]["target"], &ways[0]["served_by"]), (&"kv".into(), &serde_json::json!([])));
    let table = lattice.ok(&["explain", "counter", "wasi:keyvalue"]).await;
    assert!(table.contains("kv") && table.contains("pending") && table.contains("there is no host"), "{table}");
    lattice.fails(&["explain", "nobody", "wasi:keyvalue"], 3, &["nobody"]).await;
    assert_eq!(lattice.json(&["events", "counter"]).await[0]["count"], 7);
}
