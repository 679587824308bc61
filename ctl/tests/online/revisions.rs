//! Applications as a whole: their history, going back, deleting; and all desired state as files.

use mesh_lattice::{key::Key, stored::OwnerRecord};
use serde_json::{Value, json};

use super::fixture::Lattice;

/// Three revisions of `adhoc`: a provider, a second one, the first one changed.
async fn three(lattice: &Lattice) {
    lattice.ok(&["start", "provider", "keyvalue-nats", "--name", "kv", "--config", "bucket=one"]).await;
    lattice.ok(&["start", "provider", "http-server", "--name", "web", "--everywhere"]).await;
    lattice.ok(&["start", "provider", "keyvalue-nats", "--name", "kv", "--config", "bucket=two"]).await;
}

async fn history(lattice: &Lattice) -> Vec<Value> {
    lattice.json(&["rollout", "history", "app", "adhoc"]).await.as_array().unwrap().clone()
}

async fn owner(lattice: &Lattice, name: &str) -> Option<String> {
    let entry = lattice.state.entry(&Key::Owner(name.parse().unwrap())).await.unwrap()?;
    let record: OwnerRecord = rmp_serde::from_slice(&entry.envelope.payload).unwrap();
    record.app.map(|app| app.to_string())
}

#[tokio::test]
async fn history_says_who_signed_what_when_and_what_it_changed() {
    let lattice = Lattice::start().await;
    lattice.fails(&["rollout", "history", "app", "adhoc"], 3, &["adhoc"]).await;
    three(&lattice).await;
    let history = history(&lattice).await;
    let changes: Vec<&str> = history.iter().map(|revision| revision["change"].as_str().unwrap()).collect();
    assert_eq!(changes, ["provider kv added", "provider web added", "provider kv: config.bucket one → two"]);
    assert_eq!(history[2]["revision"], 3);
    assert_eq!(history.iter().map(|revision| revision["wanted"] == true).collect::<Vec<_>>(), [false, false, true]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    for revision in &history {
        assert_eq!(revision["signer"], lattice.admin.public());
        assert!(now.abs_diff(revision["at"].as_u64().unwrap()) < 600, "{revision}");
    }
    let table = lattice.ok(&["rollout", "history", "app", "adhoc"]).await;
    assert!(table.contains("3 (wanted)") && table.contains(" UTC "), "{table}");
    let status = lattice.json(&["rollout", "status", "app", "adhoc"]).await;
    assert_eq!((&status["revision"], status["parts"].as_array().unwrap().len()), (&json!(3), 2), "{status}");
    lattice.fails(&["rollout", "status", "app", "nobody"], 3, &["nobody"]).await;
}

#[tokio::test]
async fn undo_writes_an_earlier_revision_again_as_the_newest() {
    let lattice = Lattice::start().await;
    three(&lattice).await;
    let undone = lattice.json(&["rollout", "undo", "app", "adhoc"]).await;
    assert_eq!((&undone["action"], &undone["revision"]), (&json!("updated"), &json!(4)), "{undone}");
    assert_eq!(lattice.json(&["get", "providers", "kv"]).await[0]["config"]["bucket"], "one");
    let undone = lattice.json(&["rollout", "undo", "app", "adhoc", "--to", "1"]).await;
    assert_eq!(undone["revision"], 5);
    assert_eq!(lattice.json(&["get", "providers"]).await.as_array().unwrap().len(), 1);
    assert_eq!(owner(&lattice, "web").await, None, "what is not wanted any more has its name free");
    let again = lattice.json(&["rollout", "undo", "app", "adhoc", "--to", "1"]).await;
    assert_eq!((&again["action"], &again["revision"]), (&json!("unchanged"), &json!(5)));
    assert_eq!(history(&lattice).await.len(), 5, "nothing was taken out of the history");
    lattice.fails(&["rollout", "undo", "app", "adhoc", "--to", "9"], 3, &["1, 2, 3, 4, 5"]).await;
    lattice.fails(&["rollout", "undo", "app", "nobody"], 3, &["nobody"]).await;
}

#[tokio::test]
async fn a_deleted_application_hands_its_names_back_and_can_be_brought_back() {
    let lattice = Lattice::start().await;
    three(&lattice).await;
    let deleted = lattice.json(&["delete", "app", "adhoc", "--wait"]).await;
    assert_eq!((&deleted[0]["kind"], &deleted[0]["action"]), (&json!("app"), &json!("removed")));
    assert_eq!(lattice.json(&["get", "apps"]).await, json!([]));
    assert_eq!((owner(&lattice, "kv").await, owner(&lattice, "web").await), (None, None));
    lattice.fails(&["delete", "app", "adhoc"], 3, &["adhoc"]).await;
    let undone = lattice.json(&["rollout", "undo", "app", "adhoc"]).await;
    assert_eq!((&undone["action"], &undone["revision"]), (&json!("created"), &json!(4)));
    assert_eq!(owner(&lattice, "kv").await.as_deref(), Some("adhoc"));
    assert_eq!(lattice.json(&["get", "providers", "kv"]).await[0]["config"]["bucket"], "two");
}

#[tokio::test]
async fn an_export_is_imported_where_the_root_vouches_for_it_and_elsewhere_on_ones_own_word() {
    let lattice = Lattice::start().await;
    let file = lattice.artifact("counter", &[], None);
    lattice.ok(&["start", "actor", &file]).await;
    three(&lattice).await;
    lattice.ok(&["config", "put", "shared", "a=1"]).await;
    let folder = lattice.folder.path("kept");
    let folder = folder.to_str().unwrap();
    let exported = lattice.json(&["state", "export", folder]).await;
    assert_eq!(exported["artifacts"], 1, "{exported}");
    lattice.fails(&["state", "export", folder], 4, &["there already"]).await;

    // Into the same lattice: nothing differs, and then what was changed is put back.
    let sequence = lattice.last_sequence().await;
    let unchanged = lattice.json(&["state", "import", folder]).await;
    assert!(unchanged.as_array().unwrap().iter().all(|done| done["action"] == "unchanged"), "{unchanged}");
    assert_eq!(lattice.last_sequence().await, sequence, "and no key was written");
    lattice.ok(&["config", "put", "shared", "a=2"]).await;
    lattice.ok(&["delete", "app", "adhoc"]).await;
    lattice.ok(&["state", "import", folder]).await;
    assert_eq!(lattice.json(&["get", "config"]).await[0]["values"]["a"], "1");
    assert_eq!(lattice.json(&["get", "actors"]).await[0]["name"], "counter");

    // Into a lattice of another root.
    let other = Lattice::start().await;
    other.fails(&["state", "import", folder], 4, &["another root", "--adopt"]).await;
    assert_eq!(other.json(&["get", "apps"]).await, json!([]));
    let adopted = other.json(&["state", "import", folder, "--adopt"]).await;
    let kinds: Vec<&str> = adopted.as_array().unwrap().iter().map(|done| done["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["issuer", "config", "app"], "no host and no user of another root: {adopted}");
    assert_eq!(other.json(&["get", "actors"]).await[0]["name"], "counter");
    let again = other.json(&["state", "import", folder, "--adopt"]).await;
    assert!(again.as_array().unwrap().iter().all(|done| done["action"] == "unchanged"), "{again}");
}

#[tokio::test]
async fn an_import_brings_back_no_trust_that_was_taken_away_and_believes_no_stranger() {
    let lattice = Lattice::start().await;
    lattice.ok(&["start", "provider", "keyvalue-nats", "--name", "kv"]).await;
    let folder = lattice.folder.path("kept");
    let folder = folder.to_str().unwrap();
    lattice.ok(&["state", "export", folder]).await;
    let issuer = lattice.issuer.public();
    lattice.ok(&["trust", "remove", "issuer", &issuer]).await;
    lattice.ok(&["state", "import", folder]).await;
    let trusted = lattice.json(&["trust", "list", "issuer"]).await;
    assert_eq!(trusted, json!([]), "what was withdrawn since stays withdrawn");

    // Signed by somebody whom the root never named.
    let stranger =
        lattice.folder.write("stranger.nk", mesh_claims::KeyPair::generate(mesh_claims::KeyKind::User).seed());
    let forged = lattice.folder.path("forged");
    let forged = forged.to_str().unwrap();
    lattice.ok(&["state", "export", forged, "--key", &stranger]).await;
    lattice.fails(&["state", "import", forged], 4, &["no user of that lattice"]).await;
}
