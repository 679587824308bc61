//! Manifests: applied once and then unchanged, all that is wrong said before anything changes, and of two people one told of
//! the other.

use std::process::Stdio;

use mesh_lattice::{key::Key, stored::OwnerRecord};
use mesh_transport::Artifacts;
use serde_json::{Value, json};

use super::fixture::Lattice;

const SHOP: &str = "
apiVersion: mesh/v1
kind: Application
metadata: { name: shop }
spec:
  actors:
    - name: cart
      artifact: cart.wasm
      replicas: ${replicas:-1}
      config: { token: \"${token:-one}\" }
      links: [ { to: kv, interfaces: [ \"wasi:keyvalue\" ], config: { bucket: carts } } ]
  providers:
    - { name: kv, use: keyvalue-nats }
";

/// A lattice and the manifest of a shop, whose artifact lies beside it.
async fn shop() -> (Lattice, String) {
    let lattice = Lattice::start().await;
    lattice.artifact("cart", &[], None);
    let file = lattice.folder.write("shop.yaml", SHOP);
    (lattice, file)
}

fn actions(rows: &Value) -> Vec<(&str, &str, &str)> {
    fn text<'a>(row: &'a Value, field: &str) -> &'a str {
        row[field].as_str().unwrap()
    }
    rows.as_array().unwrap().iter().map(|row| (text(row, "kind"), text(row, "name"), text(row, "action"))).collect()
}

async fn artifacts(lattice: &Lattice) -> usize {
    Artifacts::new(lattice.state.connections()).list().await.unwrap().len()
}

#[tokio::test]
async fn what_is_applied_twice_is_unchanged_and_writes_and_uploads_nothing() {
    let (lattice, file) = shop().await;
    let before = lattice.last_sequence().await;
    let dry = lattice.json(&["apply", "-f", &file, "--dry-run"]).await;
    let all = [
        ("app", "shop", "created"),
        ("actor", "cart", "created"),
        ("provider", "kv", "created"),
        ("link", "cart -> kv", "created"),
    ];
    assert_eq!(actions(&dry), all);
    assert_eq!((lattice.last_sequence().await, artifacts(&lattice).await), (before, 0), "a dry run leaves nothing");
    assert_eq!(actions(&lattice.json(&["diff", "-f", &file]).await), all);
    assert_eq!((lattice.last_sequence().await, artifacts(&lattice).await), (before, 0), "nor does a diff");

    let applied = lattice.json(&["apply", "-f", &file]).await;
    assert_eq!((actions(&applied), &applied[0]["revision"]), (all.to_vec(), &json!(1)), "{applied}");
    let (sequence, stored) = (lattice.last_sequence().await, artifacts(&lattice).await);
    assert_eq!(stored, 1);
    let again = lattice.json(&["apply", "-f", &file]).await;
    assert_eq!(actions(&again), [("app", "shop", "unchanged")]);
    assert_eq!((lattice.last_sequence().await, artifacts(&lattice).await), (sequence, stored));

    let changed = lattice.json(&["diff", "-f", &file, "--set", "replicas=3", "--set", "token=two"]).await;
    assert_eq!(actions(&changed), [("app", "shop", "updated"), ("actor", "cart", "updated")]);
    let fields = &changed[1]["fields"];
    assert!(fields.to_string().contains("(hidden)") && !fields.to_string().contains("two"), "{fields}");
    assert!(
        fields.as_array().unwrap().contains(&json!({ "field": "replicas", "before": "1", "after": "3" })),
        "{fields}"
    );
    let text = lattice.ok(&["diff", "-f", &file, "--set", "replicas=3"]).await;
    assert!(text.contains("~ actor cart") && text.contains("replicas 1 → 3"), "{text}");
    assert_eq!(lattice.last_sequence().await, sequence);
}

#[tokio::test]
async fn several_files_a_folder_and_standard_input_are_read_and_deleted_again() {
    let (lattice, _) = shop().await;
    let store = |name: &str| {
        SHOP.split("  actors:").next().unwrap().replace("shop", name)
            + &format!("  providers: [ {{ name: {name}-kv, use: keyvalue-nats }} ]\n")
    };
    for name in ["one", "two"] {
        lattice.folder.write(&format!("all/{name}.yaml"), store(name));
    }
    lattice.folder.write("all/README.md", "no manifest");
    let folder = lattice.folder.path("all");
    let folder = folder.to_str().unwrap();
    let applied = lattice.json(&["apply", "-f", folder, "-f", "shop.yaml"]).await;
    let apps = |rows: &Value| rows.as_array().unwrap().iter().filter(|row| row["kind"] == "app").count();
    assert_eq!(apps(&applied), 3, "{applied}");
    let mut command = lattice.folder.command(&["apply", "-f", "-", "-o", "json"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stdin, store("three").as_bytes()).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(actions(&rows)[0], ("app", "three", "created"));
    let deleted = lattice.json(&["delete", "-f", folder]).await;
    assert_eq!(actions(&deleted)[0], ("app", "one", "removed"));
    let again = lattice.json(&["delete", "-f", folder]).await;
    assert_eq!(actions(&again), [("app", "one", "unchanged"), ("app", "two", "unchanged")]);
    assert_eq!(lattice.json(&["get", "apps"]).await.as_array().unwrap().len(), 2);
    let owner = lattice.state.entry(&Key::Owner("one-kv".parse().unwrap())).await.unwrap().unwrap();
    assert_eq!(rmp_serde::from_slice::<OwnerRecord>(&owner.envelope.payload).unwrap().app, None);
    let none = lattice.folder.path("none");
    std::fs::create_dir(&none).unwrap();
    lattice.fails(&["apply", "-f", none.to_str().unwrap()], 2, &["no manifest"]).await;
    lattice.fails(&["apply"], 2, &["-f FILE"]).await;
}

#[tokio::test]
async fn all_that_is_wrong_with_all_files_is_said_and_nothing_changes() {
    let (lattice, file) = shop().await;
    lattice.ok(&["start", "provider", "keyvalue-nats", "--name", "taken"]).await;
    let stranger = mesh_claims::KeyPair::generate(mesh_claims::KeyKind::Account);
    lattice.artifact("stranger", &[], Some(&stranger));
    lattice.artifact("poking", &["wasi:keyvalue/store@0.2.0-draft"], None);
    lattice.folder.write("unsigned.wasm", super::fixture::component(&[]));
    let sequence = lattice.last_sequence().await;
    // Another application that is right, and then wrong in one way after the other.
    let other = SHOP.replace("shop", "wrong").replace("name: cart", "name: basket").replace("kv", "baskets");
    for (from, to, code, words) in [
        ("cart.wasm", "absent.wasm", 2, "absent.wasm"),
        ("cart.wasm", "unsigned.wasm", 4, "claims sign"),
        ("cart.wasm", "stranger.wasm", 4, "trust add issuer"),
        ("to: baskets", "to: baskits", 2, "baskits"),
        ("cart.wasm", "poking.wasm", 2, "poke of wasi:keyvalue/store@0.2.0-draft is not served"),
        ("name: baskets,", "name: taken,", 2, "taken"),
        ("replicas:", "replikas:", 2, "did you mean"),
    ] {
        assert!(other.contains(from), "{from}");
        let wrong = lattice.folder.write("wrong.yaml", other.replace(from, to));
        for command in [&["apply"][..], &["apply", "--dry-run"], &["diff"]] {
            let ran = lattice.run(&[command, &["-f", &file, "-f", &wrong]].concat()).await;
            assert_eq!(ran.code, code, "{to}: {ran:?}");
            assert!(ran.stderr.contains(words) && ran.stderr.contains("wrong"), "{to}: {ran:?}");
        }
    }
    let twice = ["apply", "-f", &lattice.folder.write("a.yaml", "a: 1"), "-f", &lattice.folder.write("b.yaml", "b: [")]
        .map(str::to_owned);
    let twice: Vec<&str> = twice.iter().map(String::as_str).collect();
    lattice.fails(&twice, 2, &["a.yaml", "b.yaml"]).await;
    assert_eq!((lattice.last_sequence().await, artifacts(&lattice).await), (sequence, 0), "nothing was written");
    let right = lattice.folder.write("wrong.yaml", &other);
    lattice.ok(&["apply", "-f", &file, "-f", &right]).await;
}

#[tokio::test]
async fn of_two_people_the_second_is_told_what_the_first_one_did() {
    let (lattice, file) = shop().await;
    lattice.ok(&["apply", "-f", &file]).await;
    // The second person's artifact takes its time: he has read what is there, and waits.
    let pipe = lattice.folder.path("pipe.wasm");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let slow = lattice.folder.write("slow.yaml", SHOP.replace("cart.wasm", "pipe.wasm").replace("${replicas:-1}", "5"));
    let mut command = lattice.folder.command(&["apply", "-f", &slow]);
    let second = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Opened for writing once he reads it.
    let bytes = std::fs::read(lattice.folder.path("cart.wasm")).unwrap();
    let opened = tokio::task::spawn_blocking(move || std::fs::OpenOptions::new().write(true).open(pipe).unwrap());
    let mut opened = tokio::time::timeout(std::time::Duration::from_secs(30), opened).await.unwrap().unwrap();
    lattice.ok(&["apply", "-f", &file, "--set", "replicas=3"]).await;
    let sequence = lattice.last_sequence().await;
    tokio::task::spawn_blocking(move || std::io::Write::write_all(&mut opened, &bytes).unwrap()).await.unwrap();
    let output = second.wait_with_output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    for words in ["somebody else changed it from revision 1 to 2", "~ actor cart", "replicas 1 → 3", "meshctl diff"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(lattice.last_sequence().await, sequence, "nothing was merged or written over");
}
