//! Trust as its statements stand: who counts, who does not, and what cannot be played back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout, reason = "tests")]

use mesh_claims::{Envelope, KeyKind, KeyPair, RefusalCode, Trust, authority};
use mesh_lattice::{
    Digest,
    id::Incarnation,
    key::{Key, TrustKey},
    name::Labels,
    stored::TrustStatement,
};

struct World {
    root: KeyPair,
    incarnation: Incarnation,
    trust: Trust,
}

impl World {
    fn new() -> Self {
        let (root, incarnation) = (KeyPair::generate(KeyKind::Operator), Incarnation::new());
        let trust = Trust::of_incarnation(root.operator_id().unwrap(), incarnation);
        Self { root, incarnation, trust }
    }

    fn signed(&self, key: &Key, generation: u64, statement: &TrustStatement, signer: &KeyPair) -> Envelope {
        Envelope::sign(key, self.incarnation, generation, statement, signer).unwrap()
    }

    fn say(
        &mut self,
        key: TrustKey,
        generation: u64,
        statement: &TrustStatement,
        signer: &KeyPair,
    ) -> Result<(), RefusalCode> {
        let key = Key::Trust(key);
        let envelope = self.signed(&key, generation, statement, signer);
        self.trust.apply(&key, &envelope).map_err(|refusal| refusal.code)
    }

    fn user(&mut self, user: &KeyPair, admin: bool, generation: u64, signer: &KeyPair) -> Result<(), RefusalCode> {
        let id = user.user_id().unwrap();
        self.say(TrustKey::User(id.clone()), generation, &TrustStatement::User { id, admin }, signer)
    }

    fn host(&mut self, host: &KeyPair, signer: &KeyPair) -> Result<(), RefusalCode> {
        let id = host.host_id().unwrap();
        self.say(TrustKey::Host(id.clone()), 1, &TrustStatement::Host { id, labels: None }, signer)
    }

    fn revoke(&mut self, subject: &str, signer: &KeyPair) -> Result<(), RefusalCode> {
        let statement = TrustStatement::Revoked { subject: subject.into() };
        self.say(TrustKey::revoked(subject).unwrap(), 1, &statement, signer)
    }

    fn withdraw(&mut self, key: TrustKey, signer: &KeyPair) -> Result<(), RefusalCode> {
        self.say(key, 9, &TrustStatement::Withdrawn, signer)
    }
}

fn key(kind: KeyKind) -> KeyPair {
    KeyPair::generate(kind)
}

#[test]
fn the_root_and_the_admins_that_it_names_make_statements_and_nobody_else() {
    let mut world = World::new();
    let root = world.root.clone();
    let (admin, user, host) = (key(KeyKind::User), key(KeyKind::User), key(KeyKind::Host));
    world.user(&admin, true, 1, &root).unwrap();
    world.user(&user, false, 1, &admin).unwrap();
    assert_eq!(world.host(&host, &user), Err(RefusalCode::UnknownIssuer));
    assert_eq!(world.host(&host, &host), Err(RefusalCode::WrongKind));
    assert_eq!(world.host(&host, &key(KeyKind::Operator)), Err(RefusalCode::UnknownIssuer));
    assert!(!world.trust.is_host(&host.host_id().unwrap()));
    world.host(&host, &admin).unwrap();
    assert!(world.trust.is_host(&host.host_id().unwrap()));
    assert!(world.trust.is_user(&user.user_id().unwrap()) && !world.trust.is_admin(&user.user_id().unwrap()));
}

#[test]
fn an_admin_makes_no_admin_and_touches_none() {
    let mut world = World::new();
    let root = world.root.clone();
    let (one, two, friend) = (key(KeyKind::User), key(KeyKind::User), key(KeyKind::User));
    world.user(&one, true, 1, &root).unwrap();
    world.user(&two, true, 1, &root).unwrap();
    assert_eq!(world.user(&friend, true, 1, &one), Err(RefusalCode::UnknownIssuer));
    assert_eq!(world.revoke(&two.public(), &one), Err(RefusalCode::UnknownIssuer));
    assert_eq!(world.user(&two, false, 2, &one), Err(RefusalCode::UnknownIssuer));
    assert_eq!(world.withdraw(TrustKey::User(two.user_id().unwrap()), &one), Err(RefusalCode::UnknownIssuer));
    assert_eq!(world.revoke(&root.public(), &one), Err(RefusalCode::UnknownIssuer));
    assert!(world.trust.is_admin(&two.user_id().unwrap()));
    assert!(!world.trust.is_revoked(&root.public()));
}

#[test]
fn what_an_admin_granted_falls_with_him_and_what_the_root_granted_stays() {
    for by_revocation in [true, false] {
        let mut world = World::new();
        let root = world.root.clone();
        let (admin, his, hers) = (key(KeyKind::User), key(KeyKind::Host), key(KeyKind::Host));
        world.user(&admin, true, 1, &root).unwrap();
        world.host(&his, &admin).unwrap();
        world.host(&hers, &root).unwrap();
        assert_eq!(world.trust.list().len(), 3);
        if by_revocation {
            world.revoke(&admin.public(), &root).unwrap();
        } else {
            world.withdraw(TrustKey::User(admin.user_id().unwrap()), &root).unwrap();
        }
        assert!(!world.trust.is_host(&his.host_id().unwrap()));
        assert!(world.trust.is_host(&hers.host_id().unwrap()));
        assert!(!world.trust.is_user(&admin.user_id().unwrap()));
        let refused = if by_revocation { RefusalCode::Revoked } else { RefusalCode::UnknownIssuer };
        assert_eq!(world.host(&key(KeyKind::Host), &admin), Err(refused));
    }
}

#[test]
fn a_revocation_beats_the_grant_and_only_the_root_takes_it_back() {
    let mut world = World::new();
    let root = world.root.clone();
    let (admin, host) = (key(KeyKind::User), key(KeyKind::Host));
    let id = host.host_id().unwrap();
    world.user(&admin, true, 1, &root).unwrap();
    world.host(&host, &root).unwrap();
    world.revoke(&host.public(), &admin).unwrap();
    assert!(!world.trust.is_host(&id) && world.trust.is_revoked(&host.public()));
    let key = TrustKey::revoked(&host.public()).unwrap();
    assert_eq!(world.withdraw(key.clone(), &admin), Err(RefusalCode::UnknownIssuer));
    assert!(!world.trust.is_host(&id));
    world.withdraw(key, &root).unwrap();
    assert!(world.trust.is_host(&id));
}

#[test]
fn digests_and_keys_of_every_kind_can_be_revoked() {
    let mut world = World::new();
    let root = world.root.clone();
    let kinds = [KeyKind::Account, KeyKind::Host, KeyKind::Actor, KeyKind::Provider, KeyKind::User];
    let keys = kinds.map(|kind| KeyPair::generate(kind).public());
    for subject in keys.into_iter().chain([Digest::of(b"artifact").to_string()]) {
        assert!(!world.trust.is_revoked(&subject));
        world.revoke(&subject, &root).unwrap();
        assert!(world.trust.is_revoked(&subject), "{subject}");
    }
    assert!(world.trust.is_revoked(&Digest::of(b"artifact").to_string()));
    assert!(!world.trust.is_revoked(&Digest::of(b"another").to_string()));
}

#[test]
fn an_old_statement_cannot_be_played_back() {
    let mut world = World::new();
    let root = world.root.clone();
    let user = key(KeyKind::User);
    let id = user.user_id().unwrap();
    world.user(&user, true, 1, &root).unwrap();
    world.user(&user, false, 2, &root).unwrap();
    assert_eq!(world.user(&user, true, 1, &root), Err(RefusalCode::Tampered));
    assert_eq!(world.user(&user, true, 2, &root), Err(RefusalCode::Tampered), "the same generation, other content");
    assert_eq!(world.user(&user, false, 2, &root), Ok(()), "the same again");
    assert!(world.trust.is_user(&id) && !world.trust.is_admin(&id));
    world.withdraw(TrustKey::User(id.clone()), &root).unwrap();
    assert_eq!(world.user(&user, false, 3, &root), Err(RefusalCode::Tampered));
    assert!(!world.trust.is_user(&id));
}

#[test]
fn a_statement_of_another_life_of_the_state_or_under_another_key_is_refused() {
    let mut world = World::new();
    let (one, two) = (key(KeyKind::Host).host_id().unwrap(), key(KeyKind::Host).host_id().unwrap());
    let place = Key::Trust(TrustKey::Host(one.clone()));
    let statement = TrustStatement::Host { id: one, labels: None };
    let earlier = Envelope::sign(&place, Incarnation::new(), 1, &statement, &world.root).unwrap();
    assert_eq!(world.trust.apply(&place, &earlier).unwrap_err().code, RefusalCode::Tampered);
    let elsewhere = Key::Trust(TrustKey::Host(two.clone()));
    let moved = world.signed(&place, 1, &statement, &world.root);
    assert_eq!(world.trust.apply(&elsewhere, &moved).unwrap_err().code, RefusalCode::Tampered);
    let lying = world.signed(&elsewhere, 1, &statement, &world.root);
    assert_eq!(world.trust.apply(&elsewhere, &lying).unwrap_err().code, RefusalCode::Malformed);
    assert_eq!(world.trust.apply(&Key::Leader, &moved).unwrap_err().code, RefusalCode::Malformed);
    assert_eq!(world.trust.apply(&place, &moved), Ok(()));
}

#[test]
fn the_order_in_which_statements_come_does_not_matter() {
    let mut world = World::new();
    let root = world.root.clone();
    let (admin, host, user) = (key(KeyKind::User), key(KeyKind::Host), key(KeyKind::User));
    assert_eq!(world.host(&host, &admin), Err(RefusalCode::UnknownIssuer));
    assert_eq!(world.user(&user, false, 1, &admin), Err(RefusalCode::UnknownIssuer));
    world.user(&admin, true, 1, &root).unwrap();
    assert!(world.trust.is_host(&host.host_id().unwrap()));
    assert!(world.trust.is_user(&user.user_id().unwrap()));
}

#[test]
fn who_does_not_count_cannot_raise_the_bar() {
    let mut world = World::new();
    let root = world.root.clone();
    let (stranger, host) = (key(KeyKind::User), key(KeyKind::Host));
    let id = host.host_id().unwrap();
    let statement = TrustStatement::Host { id: id.clone(), labels: None };
    let place = TrustKey::Host(id.clone());
    assert_eq!(world.say(place.clone(), u64::MAX, &statement, &stranger), Err(RefusalCode::UnknownIssuer));
    world.say(place, 1, &statement, &root).unwrap();
    assert!(world.trust.is_host(&id));
}

#[test]
fn a_host_claims_only_the_labels_that_it_may() {
    let mut world = World::new();
    let root = world.root.clone();
    let labels = |pairs: &[(&str, &str)]| -> Labels {
        pairs.iter().map(|(key, value)| (key.parse().unwrap(), value.parse().unwrap())).collect()
    };
    let host = key(KeyKind::Host);
    let id = host.host_id().unwrap();
    let claimed = labels(&[("site", "a"), ("gpu", "yes")]);
    assert!(world.trust.host_labels(&id, &claimed).is_empty());
    let statement = TrustStatement::Host { id: id.clone(), labels: Some(labels(&[("site", "a"), ("gpu", "no")])) };
    world.say(TrustKey::Host(id.clone()), 1, &statement, &root).unwrap();
    assert_eq!(world.trust.host_labels(&id, &claimed), labels(&[("site", "a")]));
    let statement = TrustStatement::Host { id: id.clone(), labels: None };
    world.say(TrustKey::Host(id.clone()), 2, &statement, &root).unwrap();
    assert_eq!(world.trust.host_labels(&id, &claimed), claimed);
}

#[test]
fn each_key_is_written_by_whom_it_belongs_to() {
    let mut world = World::new();
    let root = world.root.clone();
    let (user, host, other) = (key(KeyKind::User), key(KeyKind::Host), key(KeyKind::Host));
    let (stranger, revoked) = (key(KeyKind::User), key(KeyKind::User));
    world.user(&user, false, 1, &root).unwrap();
    world.user(&revoked, false, 1, &root).unwrap();
    world.revoke(&revoked.public(), &root).unwrap();
    world.host(&host, &root).unwrap();
    let name = || "counter".parse().unwrap();
    let id = host.host_id().unwrap();
    let desired =
        [Key::Lattice, Key::App(name()), Key::AppRevision(name(), 1), Key::Owner(name()), Key::Config(name())];
    let led = [Key::Assign(id.clone()), Key::Route(name()), Key::Pin(name()), Key::Leader];
    let may = |key: &Key, signer: &KeyPair| {
        authority::may_write(key, &signer.public(), &world.trust).map_err(|refusal| refusal.code)
    };
    for key in desired.iter().chain([&Key::Node(id.clone())]) {
        assert_eq!(may(key, &user), Ok(()), "{key}");
        assert_eq!(may(key, &root), Ok(()), "{key}");
        assert_eq!(may(key, &stranger), Err(RefusalCode::UnknownIssuer), "{key}");
        assert_eq!(may(key, &revoked), Err(RefusalCode::Revoked), "{key}");
        assert_eq!(may(key, &host), Err(RefusalCode::WrongKind), "{key}");
    }
    for key in &led {
        assert_eq!(may(key, &host), Ok(()), "{key}");
        assert_eq!(may(key, &other), Err(RefusalCode::UnknownIssuer), "{key}");
        assert_eq!(may(key, &user), Err(RefusalCode::WrongKind), "{key}");
    }
    let report = Key::Observed(other.host_id().unwrap());
    assert_eq!(may(&report, &other), Ok(()), "a host that is not enrolled says what it runs, and earns nothing");
    assert_eq!(may(&report, &host), Err(RefusalCode::UnknownIssuer));
    let trust_key = Key::Trust(TrustKey::Host(id));
    assert_eq!(may(&trust_key, &root), Ok(()));
    assert_eq!(may(&trust_key, &user), Err(RefusalCode::UnknownIssuer));
    assert_eq!(authority::may_write(&Key::Leader, "nobody", &world.trust).unwrap_err().code, RefusalCode::WrongKind);
}

#[test]
fn an_issuer_that_this_machine_trusts_needs_no_statement_and_falls_by_a_revocation() {
    let mut world = World::new();
    let root = world.root.clone();
    let (issuer, other) = (key(KeyKind::Account), key(KeyKind::Account));
    world.trust = world.trust.clone().trusting_locally(issuer.account_id().unwrap());
    assert!(world.trust.is_issuer(&issuer.account_id().unwrap()));
    assert!(!world.trust.is_issuer(&other.account_id().unwrap()));
    world.revoke(&issuer.public(), &root).unwrap();
    assert!(!world.trust.is_issuer(&issuer.account_id().unwrap()));
}
