use mesh_claims::{Envelope, KeyKind, KeyPair};
use mesh_lattice::{
    application::Application,
    key::TrustKey,
    stored::{Assignment, Pin, TrustStatement},
};
use mesh_scheduler::plan;
use serde::Serialize;

use super::*;
use crate::known::Known;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A lattice whose root trusts one user and one host.
struct Rig {
    root: KeyPair,
    user: KeyPair,
    host: KeyPair,
    incarnation: Incarnation,
    revision: u64,
    stored: Vec<Entry>,
}

impl Rig {
    fn new() -> Self {
        let mut rig = Self {
            root: KeyPair::generate(KeyKind::Operator),
            user: KeyPair::generate(KeyKind::User),
            host: KeyPair::generate(KeyKind::Host),
            incarnation: Incarnation::new(),
            revision: 0,
            stored: Vec::new(),
        };
        let (user, host) = (rig.user.user_id().unwrap(), rig.host.host_id().unwrap());
        let root = KeyPair::from_seed(&rig.root.seed()).unwrap();
        let statement = TrustStatement::User { id: user.clone(), admin: false };
        rig.put(Key::Trust(TrustKey::User(user)), 1, &statement, &root);
        let statement = TrustStatement::Host { id: host.clone(), labels: None };
        rig.put(Key::Trust(TrustKey::Host(host)), 1, &statement, &root);
        rig
    }

    fn put<T: Serialize>(&mut self, key: Key, generation: u64, value: &T, signer: &KeyPair) -> Entry {
        self.revision += 1;
        let envelope = Envelope::sign(&key, self.incarnation, generation, value, signer).unwrap();
        let entry = Entry { key, envelope, revision: self.revision, at: None };
        self.stored.push(entry.clone());
        entry
    }

    fn application(&mut self, revision: u64, actors: &[&str]) {
        let actors: Vec<_> = actors
            .iter()
            .map(|actor| {
                let digest = mesh_lattice::Digest::of(actor.as_bytes());
                serde_json::json!({ "name": actor, "artifact": { "digest": digest } })
            })
            .collect();
        let application: Application =
            serde_json::from_value(serde_json::json!({ "name": "adhoc", "actors": actors })).unwrap();
        let user = KeyPair::from_seed(&self.user.seed()).unwrap();
        let pointer = AppPointer { revision, deleted: false };
        self.put(Key::AppRevision(name("adhoc"), revision), 1, &application, &user);
        self.put(Key::App(name("adhoc")), revision, &pointer, &user);
    }

    /// The user leaves, in one way or the other.
    fn part(&mut self, revoked: bool) -> Entry {
        let root = KeyPair::from_seed(&self.root.seed()).unwrap();
        let id = self.user.user_id().unwrap();
        if revoked {
            let subject = id.to_string();
            let key = Key::Trust(TrustKey::revoked(&subject).unwrap());
            self.put(key, 1, &TrustStatement::Revoked { subject }, &root)
        } else {
            self.put(Key::Trust(TrustKey::User(id)), 2, &TrustStatement::Withdrawn, &root)
        }
    }

    /// What a process makes of all that is stored which starts only now: the last value of each key, in their order.
    fn fresh(&self) -> Mirror {
        let mut mirror = Mirror::new(self.root.operator_id().unwrap(), self.incarnation);
        let last =
            |entry: &&Entry| !self.stored.iter().any(|other| other.key == entry.key && other.revision > entry.revision);
        for entry in self.stored.iter().filter(last) {
            let _ = mirror.apply(Change::Put(entry.clone()));
        }
        mirror.apply(Change::CaughtUp).unwrap();
        mirror
    }
}

fn wanted(mirror: &Mirror) -> Option<u64> {
    match mirror.world(1, &BTreeMap::new()).apps.get(&name("adhoc")) {
        Some(Desired::Wanted { revision, .. }) => Some(*revision),
        _ => None,
    }
}

#[test]
fn what_a_departed_user_wrote_is_gone_by_until_somebody_writes_over_it() {
    for revoked in [false, true] {
        let mut rig = Rig::new();
        rig.application(3, &["counter"]);
        let mut mirror = rig.fresh();
        assert_eq!((wanted(&mirror), mirror.doubts.len()), (Some(3), 0));
        mirror.apply(Change::Put(rig.part(revoked))).unwrap();
        assert_eq!(wanted(&mirror), Some(3), "revoked: {revoked}");
        assert_eq!(mirror.known(None).apps.len(), 1, "and its links hold");
        assert!(mirror.doubt_about(&name("adhoc"), 3).unwrap().starts_with("state_stale"));
        assert_eq!(mirror.signed_by(&rig.user.public()).len(), 2);

        // What he writes now changes nothing.
        let user = KeyPair::from_seed(&rig.user.seed()).unwrap();
        let forged = rig.put(Key::App(name("adhoc")), 9, &AppPointer { revision: 3, deleted: true }, &user);
        mirror.apply(Change::Put(forged)).unwrap_err();
        assert_eq!(wanted(&mirror), Some(3));
        assert_eq!(mirror.instead(&Key::App(name("adhoc"))).unwrap().envelope.generation, 3);

        let root = KeyPair::from_seed(&rig.root.seed()).unwrap();
        let stopped = rig.put(Key::App(name("adhoc")), 10, &AppPointer { revision: 3, deleted: true }, &root);
        mirror.apply(Change::Put(stopped)).unwrap();
        assert!(matches!(mirror.world(1, &BTreeMap::new()).apps.get(&name("adhoc")), Some(Desired::Deleted)));
        assert!(mirror.instead(&Key::App(name("adhoc"))).is_none());
    }
}

#[test]
fn a_process_that_starts_later_goes_by_what_its_host_remembers() {
    let mut rig = Rig::new();
    rig.application(3, &["counter"]);
    let known: Known = rig.fresh().known(None);
    rig.part(false);
    let mut mirror = rig.fresh();
    assert_eq!(wanted(&mirror), None);
    let apps = mirror.world(1, &BTreeMap::new()).apps;
    assert!(matches!(apps.get(&name("adhoc")), Some(Desired::Unreadable)), "it is not absent either");
    mirror.recall(&Known { incarnation: Incarnation::new(), ..known.clone() });
    assert_eq!(wanted(&mirror), None, "another life of the state is no memory");
    mirror.recall(&known);
    assert_eq!(wanted(&mirror), Some(3));
    assert!(mirror.instead(&Key::App(name("adhoc"))).is_some(), "a change can start from it");
}

#[test]
fn what_was_never_believed_is_not_taken_for_what_is_remembered() {
    let mut rig = Rig::new();
    rig.application(3, &["counter"]);
    let known: Known = rig.fresh().known(None);
    rig.part(true);
    rig.application(4, &["evil"]);
    let mut mirror = rig.fresh();
    mirror.recall(&known);
    assert_eq!(wanted(&mirror), Some(3));
    assert!(mirror.instead(&Key::App(name("adhoc"))).is_none(), "what is stored is not what was believed");
    assert!(mirror.instead(&Key::AppRevision(name("adhoc"), 4)).is_none());
}

#[test]
fn an_older_value_is_refused_and_one_that_is_not_believed_raises_no_bar() {
    let mut rig = Rig::new();
    rig.application(3, &["counter"]);
    let mut mirror = rig.fresh();
    let (user, stranger) = (KeyPair::from_seed(&rig.user.seed()).unwrap(), KeyPair::generate(KeyKind::User));
    let pointer = AppPointer { revision: 3, deleted: true };
    let old = rig.put(Key::App(name("adhoc")), 2, &pointer, &user);
    assert!(mirror.apply(Change::Put(old)).unwrap_err().contains("older generation"));
    let forged = rig.put(Key::App(name("adhoc")), u64::MAX, &pointer, &stranger);
    mirror.apply(Change::Put(forged)).unwrap_err();
    assert_eq!(wanted(&mirror), Some(3));
    let next = rig.put(Key::App(name("adhoc")), 4, &pointer, &user);
    mirror.apply(Change::Put(next)).unwrap();
    assert!(matches!(mirror.world(1, &BTreeMap::new()).apps.get(&name("adhoc")), Some(Desired::Deleted)));
}

#[test]
fn the_next_leader_says_himself_what_a_revoked_one_had_said() {
    let mut rig = Rig::new();
    let other = KeyPair::generate(KeyKind::Host);
    let (id, root) = (other.host_id().unwrap(), KeyPair::from_seed(&rig.root.seed()).unwrap());
    let statement = TrustStatement::Host { id: id.clone(), labels: None };
    rig.put(Key::Trust(TrustKey::Host(id.clone())), 1, &statement, &root);
    let leader = KeyPair::from_seed(&rig.host.seed()).unwrap();
    let assignment = Assignment { incarnation: rig.incarnation, term: 1, items: Vec::new() };
    rig.put(Key::Assign(id.clone()), 1, &assignment, &leader);
    rig.put(Key::Pin(name("kv")), 1, &Pin { host: id.clone() }, &leader);
    let mut mirror = rig.fresh();
    let subject = rig.host.public();
    let key = Key::Trust(TrustKey::revoked(&subject).unwrap());
    let revoked = rig.put(key, 1, &TrustStatement::Revoked { subject }, &root);
    mirror.apply(Change::Put(revoked)).unwrap();
    let world = mirror.world(2, &BTreeMap::new());
    assert_eq!(world.pins.get(&name("kv")).unwrap().host, id, "data stays where it is");
    let mut plan = plan(&world);
    mirror.confirm(&world, &mut plan);
    assert_eq!(plan.pins.get(&name("kv")).unwrap().host, id);
    assert_eq!(plan.assignments.get(&id).unwrap().term, 2);
    let before = plan.clone();
    rig.fresh().confirm(&world, &mut plan);
    assert_eq!(plan, before, "what the plan says goes first");
}

#[test]
fn revisions_are_kept_that_are_recent_or_run_or_say_how_old_a_link_is() {
    let mut rig = Rig::new();
    let (user, host) = (KeyPair::from_seed(&rig.user.seed()).unwrap(), KeyPair::from_seed(&rig.host.seed()).unwrap());
    let link = |target: &str| serde_json::json!({ "source": "counter", "target": target, "interfaces": ["a:b"] });
    for revision in 1..=30 {
        // The first link stays from the third revision on; the second is taken away and comes back at the ninth.
        let mut links = Vec::new();
        links.extend((revision >= 3).then(|| link("kv")));
        links.extend((!(6..9).contains(&revision)).then(|| link("log")));
        let application = serde_json::json!({ "name": "adhoc", "links": links });
        let application: Application = serde_json::from_value(application).unwrap();
        rig.put(Key::AppRevision(name("adhoc"), revision), 1, &application, &user);
    }
    rig.put(Key::App(name("adhoc")), 30, &AppPointer { revision: 30, deleted: false }, &user);
    let item = mesh_lattice::stored::Item {
        app: name("adhoc"),
        revision: 12,
        name: name("counter"),
        kind: mesh_lattice::stored::ItemKind::Actor,
    };
    let assignment = Assignment { incarnation: rig.incarnation, term: 1, items: vec![item] };
    rig.put(Key::Assign(rig.host.host_id().unwrap()), 1, &assignment, &host);

    let mut mirror = rig.fresh();
    let ages = mirror.known(None).apps[&name("adhoc")].links_since.clone();
    let outdated = mirror.outdated(history::KEPT);
    for key in &outdated {
        mirror.forget(key);
    }
    let known = mirror.known(None);
    let kept: Vec<u64> = known.revisions.keys().map(|(_, revision)| *revision).collect();
    assert_eq!(kept, [2, 3, 8, 9, 12].into_iter().chain(21..=30).collect::<Vec<_>>());
    assert_eq!(known.apps[&name("adhoc")].links_since, ages);
    assert!(mirror.outdated(history::KEPT).is_empty(), "nothing is left to do");

    // Whoever cannot tell which revision is wanted takes none away.
    let mut doubting = rig.fresh();
    doubting.apply(Change::Put(rig.part(true))).unwrap();
    assert!(doubting.outdated(history::KEPT).is_empty());
}
