use std::sync::Arc;

use mesh_claims::{Envelope, KeyKind, KeyPair};
use mesh_lattice::{application::Link, control, name::LinkName};
use serde_bytes::ByteBuf;

use super::{testing::*, *};

#[test]
fn an_application_and_its_next_revision_are_taken() {
    let rig = Rig::new();
    let mut next = app("adhoc", &["counter", "hello"]);
    next.providers.push(provider("kv", "keyvalue-nats", false));
    next.links.push(link("counter", "kv"));
    let commit = rig.apply("adhoc", &next);
    assert_eq!(rig.judge(&commit).unwrap().len(), commit.writes.len());
}

impl Rig {
    /// The user is trusted no more, and another one is in his place.
    fn succeeded(mut self, gone: TrustStatement) -> (Self, KeyPair) {
        let next = KeyPair::generate(KeyKind::User);
        let id = next.user_id().unwrap();
        let old = self.user.user_id().unwrap();
        let gone_key = match &gone {
            TrustStatement::Revoked { subject } => TrustKey::revoked(subject).unwrap(),
            _ => TrustKey::User(old),
        };
        let next_key = TrustKey::User(id.clone());
        for (key, statement) in [(gone_key, gone), (next_key, TrustStatement::User { id, admin: false })] {
            let key = Key::Trust(key);
            let envelope = Envelope::sign(&key, self.world.incarnation, 2, &statement, &self.root).unwrap();
            self.trust.apply(&key, &envelope).unwrap();
            self.mirror.apply(mesh_transport::Change::Put(Entry { key, envelope, revision: 20, at: None })).unwrap();
        }
        let old = std::mem::replace(&mut self.user, next);
        (self, old)
    }
}

#[test]
fn what_a_departed_user_wrote_can_be_written_over_and_taken_over_but_not_stolen() {
    for revoked in [false, true] {
        let rig = Rig::new();
        let gone = match revoked {
            true => TrustStatement::Revoked { subject: rig.user.public() },
            false => TrustStatement::Withdrawn,
        };
        let (rig, old) = rig.succeeded(gone);
        let key = Key::AppRevision(name("adhoc"), 1);
        assert_eq!(rig.mirror.instead(&key).unwrap().envelope.signer, old.public());
        rig.judge(&rig.apply("adhoc", &app("adhoc", &["counter", "hello"]))).unwrap();
        rig.refuse(&rig.apply("other", &app("other", &["counter"])), ControlCode::Conflict, "belongs to");
        let taken = rig.stored.values().map(|entry| {
            let envelope = entry.envelope.take_over(&entry.envelope, &rig.user);
            let (key, expected) = (entry.key.to_string(), entry.revision);
            control::Write { key, expected, envelope: ByteBuf::from(envelope.encode()) }
        });
        let taken = Commit { writes: taken.collect() };
        assert_eq!(rig.judge(&taken).unwrap().len(), 3);
        let again = Rig { user: old, ..rig };
        let own = again.stored.get(&key).unwrap();
        let write = control::Write {
            key: key.to_string(),
            expected: own.revision,
            envelope: ByteBuf::from(own.envelope.take_over(&own.envelope, &again.user).encode()),
        };
        again.refuse(&Commit { writes: vec![write] }, ControlCode::Refused, "app.adhoc.1");
    }
}

#[test]
fn a_written_revision_is_not_changed_by_signing_it_again() {
    let rig = Rig::new();
    let key = Key::AppRevision(name("adhoc"), 1);
    let other = rig.write(&key, &app("adhoc", &["counter", "other"]));
    rig.refuse(&Commit { writes: vec![other] }, ControlCode::Conflict, "there already");
}

#[test]
fn an_earlier_revision_is_wanted_by_writing_it_again_and_judged_again() {
    let mut rig = Rig::new();
    rig.accept("adhoc", &app("adhoc", &["counter", "hello"]));
    let back = |rig: &Rig| rig.write(&Key::App(name("adhoc")), &AppPointer { revision: 1, deleted: false });
    rig.refuse(
        &Commit { writes: vec![back(&rig)] },
        ControlCode::Invalid,
        "revision 1 of application adhoc is an earlier",
    );
    rig.judge(&rig.apply("adhoc", &app("adhoc", &["counter"]))).unwrap();
    let never = rig.write(&Key::App(name("adhoc")), &AppPointer { revision: 9, deleted: false });
    rig.refuse(&Commit { writes: vec![never] }, ControlCode::Invalid, "no revision 9");
    let deleted = rig.write(&Key::App(name("adhoc")), &AppPointer { revision: 2, deleted: true });
    rig.judge(&Commit { writes: vec![deleted] }).unwrap();
}

#[test]
fn a_name_belongs_to_one_application() {
    let rig = Rig::new();
    let thief = app("other", &["counter"]);
    rig.refuse(&rig.apply("other", &thief), ControlCode::Conflict, "belongs to application adhoc");
    let mut unclaimed = rig.apply("other", &app("other", &["fresh"]));
    unclaimed.writes.retain(|write| write.key != "name.fresh");
    rig.refuse(&unclaimed, ControlCode::Invalid, "without claiming");
    let mut commit = rig.apply("other", &thief);
    commit.writes.push(rig.write(&Key::Owner(name("counter")), &OwnerRecord { app: Some(name("other")) }));
    rig.refuse(&commit, ControlCode::Conflict, "belongs to application adhoc");
    let alone = Commit { writes: vec![rig.write(&Key::Owner(name("counter")), &OwnerRecord { app: None })] };
    rig.refuse(&alone, ControlCode::Conflict, "belongs to application adhoc");
}

#[test]
fn a_name_is_free_again_when_its_application_lets_it_go() {
    let rig = Rig::new();
    let mut commit = rig.apply("adhoc", &app("adhoc", &[]));
    commit.writes.push(rig.write(&Key::Owner(name("counter")), &OwnerRecord { app: None }));
    rig.judge(&commit).unwrap();
}

#[test]
fn an_old_value_cannot_be_brought_back() {
    let rig = Rig::new();
    let replayed = rig.apply("adhoc", &app("adhoc", &["counter"]));
    let mut later = Rig { user: KeyPair::from_seed(&rig.user.seed()).unwrap(), ..rig };
    later.accept("adhoc", &app("adhoc", &["counter", "hello"]));
    later.refuse(&replayed, ControlCode::Conflict, "");
    let mut forced = replayed;
    for write in &mut forced.writes {
        write.expected = later.stored.get(&Key::parse(&write.key).unwrap()).map_or(0, |entry| entry.revision);
    }
    later.refuse(&forced, ControlCode::Conflict, "does not follow");
}

#[test]
fn only_a_trusted_user_changes_anything_and_no_user_writes_for_hosts() {
    let rig = Rig::new();
    let stranger = Rig { user: KeyPair::generate(KeyKind::User), ..Rig::new() };
    let commit = Commit {
        writes: vec![control::Write {
            envelope: ByteBuf::from(
                Envelope::sign(&Key::Config(name("a")), rig.world.incarnation, 1, &Values::new(), &stranger.user)
                    .unwrap()
                    .encode(),
            ),
            ..rig.write(&Key::Config(name("a")), &Values::new())
        }],
    };
    rig.refuse(&commit, ControlCode::Refused, "config.a");
    let leader = Commit { writes: vec![rig.write(&Key::Leader, &1)] };
    rig.refuse(&leader, ControlCode::Refused, "written by hosts");
    let issuer = KeyPair::generate(KeyKind::Account).account_id().unwrap();
    let trust = Commit {
        writes: vec![rig.write(&Key::Trust(TrustKey::Issuer(issuer.clone())), &TrustStatement::Issuer { id: issuer })],
    };
    rig.refuse(&trust, ControlCode::Refused, "trust.issuer");
}

#[test]
fn a_value_under_a_key_that_it_was_not_signed_for_is_refused() {
    let rig = Rig::new();
    let mut write = rig.write(&Key::Config(name("a")), &Values::new());
    write.key = Key::Config(name("b")).to_string();
    rig.refuse(&Commit { writes: vec![write] }, ControlCode::Refused, "config.b");
}

#[test]
fn providers_are_known_and_local_state_is_one() {
    let rig = Rig::new();
    let mut unknown = app("adhoc", &["counter"]);
    unknown.providers.push(provider("kv", "keyvalue-floppy", false));
    rig.refuse(&rig.apply("adhoc", &unknown), ControlCode::Invalid, "keyvalue-floppy");
    let mut many = app("adhoc", &["counter"]);
    many.providers.push(Provider { replicas: Some(Replicas::Count(2)), ..provider("kv", "keyvalue-redb", true) });
    rig.refuse(&rig.apply("adhoc", &many), ControlCode::Invalid, "several stores");
}

#[test]
fn a_links_place_is_taken_once() {
    let mut rig = Rig::new();
    let mut twice = app("adhoc", &["counter"]);
    twice.links = vec![link("counter", "a"), link("counter", "b")];
    rig.refuse(&rig.apply("adhoc", &twice), ControlCode::Invalid, "two links");
    twice.links.truncate(1);
    rig.accept("adhoc", &twice);
    let mut other = app("other", &[]);
    other.links.push(link("counter", "c"));
    rig.refuse(&rig.apply("other", &other), ControlCode::Conflict, "already has a link");
    other.links[0].name = "second".parse::<LinkName>().unwrap();
    rig.judge(&rig.apply("other", &other)).unwrap();
}

#[test]
fn two_links_that_were_written_into_one_place_at_once_hinder_no_later_change() {
    let mut rig = Rig::new();
    let mut late = app("late", &["hello"]);
    late.links.push(link("counter", "c"));
    rig.accept("late", &late);
    // What another leader took at the same time: nothing in either commit tells of the other.
    let mut adhoc = app("adhoc", &["counter"]);
    adhoc.links.push(link("counter", "a"));
    let desired = Desired::Wanted { revision: 1, application: Arc::new(adhoc.clone()) };
    rig.world.apps.insert(name("adhoc"), desired);
    for (text, application) in [("adhoc", &mut adhoc), ("late", &mut late)] {
        application.actors[0].concurrency = 7;
        rig.judge(&rig.apply(text, application)).unwrap();
    }
    late.links.push(Link { interfaces: vec!["wasi:keyvalue/store".parse().unwrap()], ..link("counter", "d") });
    rig.refuse(&rig.apply("late", &late), ControlCode::Invalid, "two links");
}

#[test]
fn a_provider_may_have_several_targets_under_one_link_name() {
    let rig = Rig::new();
    let mut application = app("adhoc", &["counter", "hello"]);
    application.providers.push(provider("web", "http-server", false));
    application.links = vec![link("web", "counter"), link("web", "hello")];
    rig.judge(&rig.apply("adhoc", &application)).unwrap();
}

#[test]
fn a_new_link_that_never_can_work_is_refused_and_an_old_one_hinders_nobody() {
    let mut rig = Rig::new();
    let mut application = app("adhoc", &["counter"]);
    application.providers.push(provider("kv", "keyvalue-nats", false));
    application.actors[0].imports = vec!["wasi:keyvalue/store@0.2.0-draft".parse().unwrap()];
    application.links = vec![link("counter", "kv")];
    rig.accept("adhoc", &application);
    let mut wrong = application.clone();
    wrong.links.push(link("kv", "counter"));
    rig.refuse(&rig.apply("adhoc", &wrong), ControlCode::Invalid, "provider kv (keyvalue-nats) calls nothing");
    application.actors[0].imports = vec!["wasi:blobstore/blobstore@0.2.0-draft".parse().unwrap()];
    rig.judge(&rig.apply("adhoc", &application)).unwrap();
}

#[test]
fn what_others_call_is_not_taken_from_them_by_other_code() {
    let mut rig = Rig::new();
    let mut served = app("adhoc", &["counter"]);
    served.actors[0].exports = vec!["wasi:http/incoming-handler@0.2.2".parse().unwrap()];
    rig.accept("adhoc", &served);
    let mut edge = app("edge", &[]);
    edge.providers.push(provider("web", "http-server", false));
    edge.links =
        vec![Link { interfaces: vec!["wasi:http/incoming-handler".parse().unwrap()], ..link("web", "counter") }];
    rig.accept("edge", &edge);
    let mut other = served.clone();
    other.actors[0].artifact.digest = mesh_lattice::Digest::of(b"other code");
    rig.judge(&rig.apply("adhoc", &other)).unwrap();
    other.actors[0].exports = vec!["acme:greeting/greet@1.0.0".parse().unwrap()];
    rig.refuse(&rig.apply("adhoc", &other), ControlCode::Invalid, "it is a link of application edge");
}

#[test]
fn limits_out_of_range_are_refused() {
    let rig = Rig::new();
    let mut application = app("adhoc", &["counter"]);
    application.actors[0].concurrency = 0;
    rig.refuse(&rig.apply("adhoc", &application), ControlCode::Invalid, "concurrency");
    let mut application = app("adhoc", &["counter"]);
    application.actors[0].instances.reuse = 0;
    rig.refuse(&rig.apply("adhoc", &application), ControlCode::Invalid, "reuse");
}

#[test]
fn what_is_no_commit_is_refused() {
    let rig = Rig::new();
    rig.refuse(&Commit { writes: Vec::new() }, ControlCode::Invalid, "1 to");
    let write = rig.write(&Key::Config(name("a")), &Values::new());
    rig.refuse(&Commit { writes: vec![write.clone(), write.clone()] }, ControlCode::Invalid, "twice");
    let keyless = control::Write { key: "config.a.b".into(), ..write.clone() };
    rig.refuse(&Commit { writes: vec![keyless] }, ControlCode::Invalid, "no key");
    let garbage = control::Write { envelope: ByteBuf::from(vec![1, 2, 3]), ..write };
    rig.refuse(&Commit { writes: vec![garbage] }, ControlCode::Invalid, "no envelope");
}

#[test]
fn what_a_provider_does_not_understand_is_refused_where_it_is_said() {
    let rig = Rig::new();
    let values = |key: &str| vec![serde_json::from_value(serde_json::json!({ "values": { key: "b" } })).unwrap()];
    let with = |key: &str| {
        let mut next = app("adhoc", &["counter"]);
        next.providers.push(Provider { config: values(key), ..provider("kv", "keyvalue-nats", false) });
        next
    };
    rig.refuse(&rig.apply("adhoc", &with("bukket")), ControlCode::Invalid, "provider kv: `bukket` is not known here");
    rig.judge(&rig.apply("adhoc", &with("bucket"))).unwrap();

    let linked = |key: &str| {
        let mut next = with("bucket");
        next.links.push(Link { target_config: values(key), ..link("counter", "kv") });
        next
    };
    let refused = "link counter -> kv: kv: `bukket` is not known here, `bucket` is";
    rig.refuse(&rig.apply("adhoc", &linked("bukket")), ControlCode::Invalid, refused);
    rig.judge(&rig.apply("adhoc", &linked("bucket"))).unwrap();
    let mut shared = linked("bucket");
    shared.links[0].target_config = vec![serde_json::from_value(serde_json::json!({ "shared": "shared" })).unwrap()];
    rig.refuse(&rig.apply("adhoc", &shared), ControlCode::Invalid, "`bukket`");
    shared.links[0].target_config = vec![serde_json::from_value(serde_json::json!({ "shared": "later" })).unwrap()];
    rig.judge(&rig.apply("adhoc", &shared)).unwrap();

    let mut actor = linked("bucket");
    actor.links[0].source_config = values("bucket");
    rig.refuse(&rig.apply("adhoc", &actor), ControlCode::Invalid, "counter is an actor");
    let mut backwards = app("adhoc", &["counter"]);
    backwards.providers.push(provider("kv", "keyvalue-redb", true));
    backwards.links.push(link("kv", "counter"));
    rig.refuse(&rig.apply("adhoc", &backwards), ControlCode::Invalid, "it calls nobody");
}

#[test]
fn what_is_stored_already_does_not_stand_in_the_way_of_other_changes() {
    let mut rig = Rig::new();
    let values = || vec![serde_json::from_value(serde_json::json!({ "values": { "bukket": "b" } })).unwrap()];
    let mut stored = app("adhoc", &["counter"]);
    stored.providers.push(Provider { config: values(), ..provider("kv", "keyvalue-nats", false) });
    stored.links.push(Link { target_config: values(), ..link("counter", "kv") });
    let desired = Desired::Wanted { revision: 1, application: Arc::new(stored.clone()) };
    rig.world.apps.insert(name("adhoc"), desired);
    let owner = rig.write(&Key::Owner(name("kv")), &OwnerRecord { app: Some(name("adhoc")) });
    let entry = Entry {
        key: Key::Owner(name("kv")),
        envelope: Envelope::decode(&owner.envelope).unwrap(),
        revision: 10,
        at: None,
    };
    rig.stored.insert(entry.key.clone(), entry);
    stored.actors[0].concurrency = 7;
    rig.judge(&rig.apply("adhoc", &stored)).unwrap();
}
