//! Signed artifacts, whole and mutated, against the code that runs here and against the published crate that signs
//! the artifacts which exist already.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout, reason = "tests")]

use mesh_claims::{
    Admission, Envelope, KeyKind, KeyPair, RefusalCode, Trust,
    sign::{self, SignOptions},
    verify,
};
use mesh_lattice::{
    Digest,
    id::Incarnation,
    key::{Key, TrustKey},
    stored::TrustStatement,
};

const NOW: u64 = 1_790_000_000;
const DAY: u64 = 86_400;

/// A component of a nested module with a code section, a data section and a few sections of its own.
fn component() -> Vec<u8> {
    let body: Vec<u8> = (0..240_u32).flat_map(|n| [0x41, (n % 60) as u8, 0x1a]).chain([0x0b]).collect();
    let mut function = wasm_encoder::Function::new([]);
    function.raw(body);
    let mut types = wasm_encoder::TypeSection::new();
    types.ty().function([], []);
    let mut functions = wasm_encoder::FunctionSection::new();
    functions.function(0);
    let mut code = wasm_encoder::CodeSection::new();
    code.function(&function);
    let mut module = wasm_encoder::Module::new();
    module.section(&types).section(&functions).section(&code);
    module.section(&wasm_encoder::CustomSection { name: "producers".into(), data: vec![0].into() });
    let mut component = wasm_encoder::Component::new();
    component.section(&wasm_encoder::ModuleSection(&module));
    component.section(&wasm_encoder::CustomSection { name: "note".into(), data: b"something".into() });
    component.finish()
}

fn custom(name: &str, data: &[u8]) -> Vec<u8> {
    let mut component = wasm_encoder::Component::new();
    component.section(&wasm_encoder::CustomSection { name: name.into(), data: data.into() });
    component.finish()[8..].to_vec()
}

struct World {
    issuer: KeyPair,
    actor: KeyPair,
    root: KeyPair,
    trust: Trust,
    incarnation: Incarnation,
}

impl World {
    fn new() -> Self {
        let (root, issuer) = (KeyPair::generate(KeyKind::Operator), KeyPair::generate(KeyKind::Account));
        let trust = Trust::new(root.operator_id().unwrap());
        let actor = KeyPair::generate(KeyKind::Actor);
        let mut world = Self { issuer, actor, root, trust, incarnation: Incarnation::new() };
        let id = world.issuer.account_id().unwrap();
        world.state(TrustKey::Issuer(id.clone()), &TrustStatement::Issuer { id });
        world
    }

    fn state(&mut self, key: TrustKey, statement: &TrustStatement) {
        let key = Key::Trust(key);
        let envelope = Envelope::sign(&key, self.incarnation, 1, statement, &self.root).unwrap();
        self.trust.apply(&key, &envelope).unwrap();
    }

    fn revoke(&mut self, subject: &str) {
        self.state(TrustKey::revoked(subject).unwrap(), &TrustStatement::Revoked { subject: subject.into() });
    }

    fn options(&self) -> SignOptions {
        SignOptions {
            name: Some("counter".into()),
            revision: 7,
            version: Some("1.2.3".into()),
            tags: vec!["a".into()],
            not_before: Some(NOW - DAY),
            expires: Some(NOW + DAY),
            issued_at: NOW - DAY,
            ..SignOptions::new(self.actor.clone())
        }
    }

    fn signed(&self) -> Vec<u8> {
        sign::component(&component(), &self.issuer, &self.options()).unwrap()
    }

    fn admit(&self, bytes: &[u8], admission: Admission) -> Result<(), RefusalCode> {
        let verified = verify::component(bytes.to_vec().into(), None, &self.trust, NOW, admission);
        verified.map(|_| ()).map_err(|refusal| refusal.code)
    }

    fn code(&self, bytes: &[u8]) -> RefusalCode {
        self.admit(bytes, Admission::New).unwrap_err()
    }
}

#[test]
fn what_is_signed_is_admitted_with_its_claims() {
    let world = World::new();
    let signed = world.signed();
    let digest = Digest::of(&signed);
    let verified = verify::component(signed.clone().into(), Some(&digest), &world.trust, NOW, Admission::New).unwrap();
    assert_eq!((verified.digest(), verified.bytes().as_ref()), (digest, signed.as_slice()));
    let claims = verified.claims();
    assert_eq!(claims.issuer.as_str(), world.issuer.public());
    assert_eq!(claims.subject.as_str(), world.actor.public());
    assert_eq!(
        (claims.name.as_deref(), claims.revision, claims.version.as_deref()),
        (Some("counter"), 7, Some("1.2.3"))
    );
    assert_eq!((claims.not_before, claims.expires, claims.issued_at), (Some(NOW - DAY), Some(NOW + DAY), NOW - DAY));
    assert_eq!(claims.hash, Digest::of(&component()).to_string().to_uppercase());
    let other = Digest::of(b"another");
    let refused = verify::component(signed.into(), Some(&other), &world.trust, NOW, Admission::New).unwrap_err();
    assert_eq!(refused.code, RefusalCode::Tampered);
}

#[test]
fn signing_again_replaces_the_token() {
    let world = World::new();
    let other = KeyPair::generate(KeyKind::Account);
    let again = sign::component(&world.signed(), &other, &world.options()).unwrap();
    assert_eq!(verify::read(&again).unwrap().issuer.as_str(), other.public());
    let back = sign::component(&again, &world.issuer, &world.options()).unwrap();
    assert_eq!(world.admit(&back, Admission::New), Ok(()));
}

/// Every byte of the token's section in turn, and bytes all over the code.
fn mutations(signed: &[u8], section: usize) -> Vec<usize> {
    let code = (0..200).map(|n| 8 + (n * 37) % (section - 8));
    let token: Vec<usize> = (section..signed.len()).collect();
    let step = (token.len() / 290).max(1);
    // All of the section's head (its id, length and name) and a sweep over header, payload, dots and signature.
    let head = token.iter().copied().take(24);
    code.chain(head).chain(token.iter().copied().skip(24).step_by(step)).collect()
}

#[test]
fn no_mutated_artifact_is_admitted() {
    let world = World::new();
    let signed = world.signed();
    let section = component().len();
    assert_eq!(world.admit(&signed, Admission::New), Ok(()), "the artifact itself");
    let mut refused = std::collections::BTreeMap::<&str, usize>::new();
    let places = mutations(&signed, section);
    for (n, at) in places.iter().enumerate() {
        let mut bytes = signed.clone();
        bytes[*at] ^= 1 << (n % 8);
        for admission in [Admission::New, Admission::Restart] {
            let code = world.admit(&bytes, admission).expect_err(&format!("byte {at} of {}", signed.len()));
            *refused.entry(code.as_str()).or_default() += 1;
        }
    }
    println!("{} mutated artifacts refused: {refused:?}", places.len());
    assert!(places.len() >= 450, "{}", places.len());
    assert!(refused.len() >= 3, "{refused:?}");
}

#[test]
fn every_attack_on_the_claims_is_refused_by_its_code() {
    let world = World::new();
    let (signed, plain) = (world.signed(), component());
    let section = &signed[plain.len()..];
    let token = verify_token(&signed, plain.len());
    let attacker = KeyPair::generate(KeyKind::Account);
    let sign = |issuer: &KeyPair, options: &SignOptions| sign::component(&plain, issuer, options).unwrap();
    let nested = |inner: &[u8]| {
        let mut bytes = plain[..8].to_vec();
        bytes.push(4);
        leb(inner.len(), &mut bytes);
        [bytes, inner.to_vec()].concat()
    };
    let mut other = World::new().signed();
    let other_section = other.split_off(plain.len());
    let provider = SignOptions { subject: KeyPair::generate(KeyKind::Provider), ..world.options() };
    let table: Vec<(&str, Vec<u8>, RefusalCode)> = vec![
        ("not wasm", b"hello".to_vec(), RefusalCode::Malformed),
        ("nothing", Vec::new(), RefusalCode::Malformed),
        ("stripped", plain.clone(), RefusalCode::Unsigned),
        ("token twice", [&signed, section].concat(), RefusalCode::Malformed),
        ("token under both names", [&signed[..], &custom("jwt", &token)].concat(), RefusalCode::Malformed),
        ("two tokens", [&signed[..], &other_section].concat(), RefusalCode::Malformed),
        ("a token of another artifact", [&nested(&plain)[..], section].concat(), RefusalCode::Tampered),
        ("a signed component inside one without claims", nested(&signed), RefusalCode::Unsigned),
        ("more sections behind the token", [&signed[..], &custom("x", b"y")].concat(), RefusalCode::Tampered),
        ("an empty token", [&plain[..], &custom("wasmcloud_jwt", b"")].concat(), RefusalCode::Malformed),
        ("bytes behind it", [&signed[..], &[0]].concat(), RefusalCode::Malformed),
        ("cut off", signed[..signed.len() - 1].to_vec(), RefusalCode::Malformed),
        ("an issuer that is not listed", sign(&attacker, &world.options()), RefusalCode::UnknownIssuer),
        ("a provider's claims", sign(&world.issuer, &provider), RefusalCode::WrongKind),
        (
            "expired",
            sign(&world.issuer, &SignOptions { expires: Some(NOW - 31), ..world.options() }),
            RefusalCode::Expired,
        ),
        (
            "not yet valid",
            sign(&world.issuer, &SignOptions { not_before: Some(NOW + 31), ..world.options() }),
            RefusalCode::NotYetValid,
        ),
    ];
    for (what, bytes, code) in table {
        assert_eq!(world.code(&bytes), code, "{what}");
    }
    let old_name = [&plain[..], &custom("jwt", &token)].concat();
    assert_eq!(world.admit(&old_name, Admission::New), Ok(()), "the section's older name");
}

/// The token as it stands in the section behind `at`.
fn verify_token(signed: &[u8], at: usize) -> Vec<u8> {
    let text = String::from_utf8_lossy(&signed[at..]).into_owned();
    text.as_bytes()[text.find("eyJ").unwrap()..].to_vec()
}

fn leb(mut number: usize, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[test]
fn a_token_re_signed_with_the_attackers_key_is_refused() {
    // The victim's subject, name and hash, the attacker's signature: with the attacker as issuer nobody trusts it,
    // with the victim as issuer it is not signed by him.
    let world = World::new();
    let attacker = KeyPair::generate(KeyKind::Account);
    let forged = sign::component(&component(), &attacker, &world.options()).unwrap();
    assert_eq!(world.code(&forged), RefusalCode::UnknownIssuer);
    let plain = component();
    let token = String::from_utf8(verify_token(&world.signed(), plain.len())).unwrap();
    let (signed, _) = token.rsplit_once('.').unwrap();
    let signature = data_encoding::BASE64URL_NOPAD.encode(&attacker.sign(signed.as_bytes()));
    let forged = [&plain[..], &custom("wasmcloud_jwt", format!("{signed}.{signature}").as_bytes())].concat();
    assert_eq!(world.code(&forged), RefusalCode::Tampered);
}

#[test]
fn clocks_that_differ_a_little_do_no_harm() {
    let world = World::new();
    for options in [
        SignOptions { expires: Some(NOW - 30), ..world.options() },
        SignOptions { not_before: Some(NOW + 30), ..world.options() },
        SignOptions { expires: None, not_before: None, ..world.options() },
        SignOptions { expires: Some(u64::MAX), not_before: Some(0), ..world.options() },
    ] {
        let signed = sign::component(&component(), &world.issuer, &options).unwrap();
        assert_eq!(world.admit(&signed, Admission::New), Ok(()), "{options:?}");
    }
}

#[test]
fn a_restart_forgives_time_and_nothing_else() {
    let world = World::new();
    for options in [
        SignOptions { expires: Some(NOW - DAY), ..world.options() },
        SignOptions { not_before: Some(NOW + DAY), ..world.options() },
    ] {
        let signed = sign::component(&component(), &world.issuer, &options).unwrap();
        assert!(world.admit(&signed, Admission::New).is_err());
        assert_eq!(world.admit(&signed, Admission::Restart), Ok(()));
    }
    let signed = world.signed();
    let subjects = [world.issuer.public(), world.actor.public(), Digest::of(&signed).to_string()];
    for subject in subjects {
        let mut world = World { trust: world.trust.clone(), ..World::new() };
        world.root = KeyPair::generate(KeyKind::Operator);
        world.trust = world_with(&world.root, &signed);
        assert_eq!(world.admit(&signed, Admission::Restart), Ok(()));
        world.revoke(&subject);
        assert_eq!(world.admit(&signed, Admission::Restart), Err(RefusalCode::Revoked), "{subject}");
        assert_eq!(world.admit(&signed, Admission::New), Err(RefusalCode::Revoked), "{subject}");
    }
}

/// Trust of `root` in the issuer of `signed`.
fn world_with(root: &KeyPair, signed: &[u8]) -> Trust {
    let mut trust = Trust::new(root.operator_id().unwrap());
    let id = verify::read(signed).unwrap().issuer;
    let key = Key::Trust(TrustKey::Issuer(id.clone()));
    let envelope = Envelope::sign(&key, Incarnation::new(), 1, &TrustStatement::Issuer { id }, root).unwrap();
    trust.apply(&key, &envelope).unwrap();
    trust
}

#[test]
fn keys_of_the_wrong_kind_sign_nothing() {
    let world = World::new();
    let user = KeyPair::generate(KeyKind::User);
    assert!(matches!(sign::component(&component(), &user, &world.options()), Err(sign::SignError::Issuer(_))));
    let options = SignOptions { subject: user, ..world.options() };
    assert!(matches!(sign::component(&component(), &world.issuer, &options), Err(sign::SignError::Subject(_))));
    assert!(matches!(sign::component(b"hello", &world.issuer, &world.options()), Err(sign::SignError::NotWasm(_))));
}

#[test]
fn what_the_published_crate_signs_is_admitted() {
    let world = World::new();
    let nkeys = |pair: &KeyPair| nkeys::KeyPair::from_seed(&pair.seed()).unwrap();
    let signed = wascap::wasm::sign_buffer_with_claims(
        "counter".into(),
        component(),
        &nkeys(&world.actor),
        &nkeys(&world.issuer),
        Some(10_000),
        Some(0),
        vec!["tag".into()],
        false,
        Some(3),
        Some("0.1.0".into()),
        Some("alias".into()),
    )
    .unwrap();
    let claims = verify::read(&signed).unwrap();
    assert_eq!((claims.name.as_deref(), claims.revision), (Some("counter"), 3));
    assert_eq!((claims.version.as_deref(), claims.call_alias.as_deref()), (Some("0.1.0"), Some("alias")));
    assert_eq!((claims.tags, claims.subject.as_str()), (vec!["tag".to_owned()], world.actor.public().as_str()));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(verify::component(signed.into(), None, &world.trust, now, Admission::New).is_ok());
}

#[test]
fn what_is_signed_here_is_accepted_by_the_published_crate() {
    let world = World::new();
    let token = wascap::wasm::extract_claims(world.signed()).unwrap().unwrap();
    assert_eq!((token.claims.issuer, token.claims.subject), (world.issuer.public(), world.actor.public()));
    let metadata = token.claims.metadata.unwrap();
    assert_eq!(
        (metadata.name.as_deref(), metadata.rev, metadata.ver.as_deref()),
        (Some("counter"), Some(7), Some("1.2.3"))
    );
    let checked = wascap::jwt::validate_token::<wascap::jwt::Component>(&token.jwt).unwrap();
    assert!(checked.signature_valid);
    assert_eq!(token.claims.expires, Some(NOW + DAY));
}

#[test]
fn both_agree_on_artifacts_whose_lengths_are_padded_or_that_nest_tokens() {
    let world = World::new();
    let plain = component();
    // The last section's length in two bytes where one would do.
    let note = custom("note", b"something");
    let mut padded = plain[..plain.len() - note.len()].to_vec();
    padded.extend([0, note[1] | 0x80, 0]);
    padded.extend(&note[2..]);
    let mut nesting = plain.clone();
    nesting.push(4);
    leb(world.signed().len(), &mut nesting);
    nesting.extend(world.signed());
    for artifact in [padded, nesting] {
        let ours = sign::component(&artifact, &world.issuer, &world.options()).unwrap();
        assert!(wascap::wasm::extract_claims(&ours).unwrap().is_some());
        assert_eq!(world.admit(&ours, Admission::New), Ok(()));
        let claims = wascap::jwt::Claims::<wascap::jwt::Component>::new(
            "counter".into(),
            world.issuer.public(),
            world.actor.public(),
            None,
            false,
            None,
            None,
            None,
        );
        let issuer = nkeys::KeyPair::from_seed(&world.issuer.seed()).unwrap();
        let theirs = wascap::wasm::embed_claims(&artifact, &claims, &issuer).unwrap();
        assert_eq!(world.admit(&theirs, Admission::New), Ok(()));
    }
}
