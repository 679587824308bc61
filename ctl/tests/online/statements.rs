//! Whom the lattice trusts, said from a terminal.

use mesh_claims::{KeyKind, KeyPair};
use mesh_lattice::Digest;
use serde_json::Value;

use super::fixture::Lattice;

fn ids(trust: &Value, kind: &str) -> Vec<String> {
    let all = trust.as_array().unwrap().iter().filter(|view| view["kind"] == kind);
    all.map(|view| view["id"].as_str().unwrap().to_owned()).collect()
}

async fn trusted(lattice: &Lattice, kind: &str) -> Vec<String> {
    ids(&lattice.json(&["trust", "list"]).await, kind)
}

#[tokio::test]
async fn statements_are_added_and_removed() {
    let lattice = Lattice::start().await;
    for (kind, key) in [("issuer", KeyKind::Account), ("host", KeyKind::Host), ("user", KeyKind::User)] {
        let id = KeyPair::generate(key).public();
        assert_eq!(lattice.json(&["trust", "add", kind, &id]).await["result"], "created");
        assert_eq!(lattice.json(&["trust", "add", kind, &id]).await["result"], "unchanged");
        assert!(trusted(&lattice, kind).await.contains(&id));
        assert_eq!(lattice.json(&["trust", "remove", kind, &id]).await["result"], "removed");
        assert!(!trusted(&lattice, kind).await.contains(&id));
        lattice.fails(&["trust", "remove", kind, &id], 3, &[&id]).await;
        assert_eq!(lattice.json(&["trust", "add", kind, &id]).await["result"], "created", "again");
        assert!(trusted(&lattice, kind).await.contains(&id));
    }
    let host = KeyPair::generate(KeyKind::Host).public();
    lattice.fails(&["trust", "add", "issuer", &host], 2, &["issuer"]).await;
    lattice.fails(&["trust", "add", "host", "host-1"], 2, &["host-1"]).await;
    lattice.fails(&["trust", "add", "host", &host, "--admin"], 2, &["users"]).await;
    lattice.fails(&["trust", "add", "host", &host, "--label", "a b=c"], 2, &["label"]).await;
}

#[tokio::test]
async fn what_is_revoked_is_trusted_no_more_until_the_root_takes_it_back() {
    let lattice = Lattice::start().await;
    let issuer = lattice.issuer.public();
    let file = lattice.artifact("counter", &[], None);
    lattice.ok(&["revoke", "issuer", &issuer]).await;
    lattice.fails(&["start", "actor", &file], 4, &["revoked", &issuer]).await;
    lattice.fails(&["trust", "remove", "revoked", &issuer], 4, &["root"]).await;
    lattice.ok(&["trust", "remove", "revoked", &issuer, "--key", "root.nk"]).await;
    lattice.ok(&["start", "actor", &file]).await;
    let host = KeyPair::generate(KeyKind::Host).public();
    lattice.ok(&["revoke", "host", &host]).await;
    let added = lattice.run(&["trust", "add", "host", &host]).await;
    assert!(added.stderr.contains("is revoked") && added.stderr.contains("trust remove revoked"), "{added:?}");
    let digest = Digest::of(&std::fs::read(&file).unwrap()).to_string();
    lattice.ok(&["revoke", "artifact", &digest]).await;
    lattice.fails(&["start", "actor", &file], 4, &["revoked"]).await;
    let host = KeyPair::generate(KeyKind::Host).public();
    lattice.fails(&["revoke", "issuer", &host], 2, &["host"]).await;
    lattice.fails(&["revoke", "artifact", "abc"], 2, &["abc"]).await;
}

#[tokio::test]
async fn only_the_root_makes_admins_and_what_they_revoked_stays_when_they_go() {
    let lattice = Lattice::start().await;
    let (admin, user) = (KeyPair::generate(KeyKind::User), KeyPair::generate(KeyKind::User));
    let (host, revoked) = (KeyPair::generate(KeyKind::Host).public(), KeyPair::generate(KeyKind::Host).public());
    lattice.folder.write("second.nk", admin.seed());
    lattice.folder.write("user.nk", user.seed());
    lattice.fails(&["trust", "add", "user", &admin.public(), "--admin"], 4, &["root"]).await;
    lattice.ok(&["trust", "add", "user", &admin.public(), "--admin", "--key", "root.nk"]).await;
    lattice.ok(&["trust", "add", "user", &user.public()]).await;
    lattice.fails(&["trust", "add", "host", &host, "--key", "user.nk"], 4, &["not an admin's", "--admin"]).await;
    lattice.ok(&["config", "put", "a", "b=c", "--key", "user.nk"]).await;

    lattice.ok(&["trust", "add", "host", &host, "--key", "second.nk"]).await;
    lattice.ok(&["revoke", "host", &revoked, "--key", "second.nk"]).await;
    lattice.ok(&["trust", "remove", "user", &admin.public(), "--key", "root.nk"]).await;
    assert!(!trusted(&lattice, "host").await.contains(&host), "what he granted falls with him");
    assert_eq!(trusted(&lattice, "revoked").await, [revoked], "what he revoked stays");
    lattice.fails(&["revoke", "host", &host, "--key", "second.nk"], 4, &["not an admin's"]).await;
}

#[tokio::test]
async fn what_a_user_wrote_stays_when_he_goes_and_is_signed_by_whoever_removes_him() {
    for revoke in [false, true] {
        let lattice = Lattice::start().await;
        let user = KeyPair::generate(KeyKind::User);
        lattice.folder.write("user.nk", user.seed());
        lattice.ok(&["trust", "add", "user", &user.public()]).await;
        let file = lattice.artifact("counter", &[], None);
        lattice.ok(&["start", "actor", &file, "--key", "user.nk"]).await;
        lattice.ok(&["config", "put", "shared", "a=1", "--key", "user.nk"]).await;
        let gone = if revoke { ["revoke", "user"] } else { ["trust", "remove"] };
        let user = user.public();
        let more: &[&str] = if revoke { &[&user] } else { &["user", &user] };
        let ran = lattice.run(&[&gone[..], more].concat()).await;
        assert!(ran.stderr.contains("4 records that this user signed last"), "{ran:?}");
        assert_eq!(lattice.json(&["get", "actors"]).await[0]["name"], "counter");
        assert_eq!(lattice.json(&["get", "config"]).await[0]["values"]["a"], "1");
        lattice.fails(&["scale", "actor", "counter", "--replicas", "2", "--key", "user.nk"], 4, &[&user]).await;
        assert_eq!(lattice.json(&["scale", "actor", "counter", "--replicas", "2"]).await["result"], "updated");
        assert_eq!(lattice.json(&["stop", "actor", "counter"]).await["result"], "removed");
    }
}
