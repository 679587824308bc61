//! Types as nobody should write them and somebody does: very wide, very deep, with names that look like something else.
//! What is given comes back through an actor that passes it on, in the code that is made for the type and in the one
//! that reads any.

use mesh_lattice::{
    Code, Reply,
    value::{Type, Value},
};
use mesh_runtime::ActorConfig;

use crate::{
    guests::{component, config, engine},
    peer::Peer,
    table::{
        call, one, relay,
        shapes::{INTERFACE, Random},
    },
};

/// Values of each type.
const ROUNDS: usize = 32;

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}{number}")).collect()
}

fn nested(depth: usize, outer: impl Fn(Type) -> Type, leaf: Type) -> Type {
    (0..depth).fold(leaf, |inner, _| outer(inner))
}

fn list(inner: Type) -> Type {
    Type::List(Box::new(inner))
}

fn types() -> Vec<(String, Type)> {
    let alternating = |number: usize| [Type::U64, Type::String, Type::Bool, list(Type::U8)][number % 4].clone();
    let record = |names: Vec<String>| {
        Type::Record(names.into_iter().enumerate().map(|(number, name)| (name, alternating(number))).collect())
    };
    let variant = |names: Vec<String>| {
        let case = |(number, name)| (name, (number % 3 != 0).then(|| alternating(number)));
        Type::Variant(names.into_iter().enumerate().map(case).collect())
    };
    let words = ["type", "x-1a", "HTTP", "a-b-c", "record", "s8", "self"].map(str::to_owned).to_vec();
    let few = |count: usize| record(names("few", count));
    [
        ("wide-record", record(names("field-f", 100))),
        ("wider-record", record(names("f", 300))),
        ("sixteen", Type::Record(names("w", 16).into_iter().map(|name| (name, Type::U8)).collect())),
        ("seventeen", Type::Record(names("w", 17).into_iter().map(|name| (name, Type::U8)).collect())),
        ("many-cases", Type::Enum(names("case-c", 300))),
        ("wide-variant", variant(names("case-c", 300))),
        ("all-flags", Type::Flags(names("flag-f", 32))),
        ("one-flag", Type::Flags(names("flag-f", 1))),
        ("nine-flags", Type::Flags(names("flag-f", 9))),
        ("wide-tuple", Type::Tuple((0..60).map(alternating).collect())),
        ("names-of-fields", record(words.clone())),
        ("names-of-cases", variant(words.clone())),
        ("names-of-flags", Type::Flags(words)),
        ("list-of-wide", list(few(40))),
        ("variant-of-wide", Type::Variant(vec![("none".into(), None), ("wide".into(), Some(few(30)))])),
        ("deep-options", nested(60, |inner| Type::Option(Box::new(inner)), Type::U8)),
        (
            "deep-results",
            nested(15, |ty| Type::Result { ok: Some(Box::new(ty)), err: Some(Box::new(Type::F32)) }, Type::S64),
        ),
        ("deep-tuples", nested(20, |inner| Type::Tuple(vec![inner]), Type::Char)),
    ]
    .map(|(name, ty)| (format!("id-{name}"), ty))
    .to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_very_wide_or_deep_or_oddly_named_comes_back() {
    let types = types();
    let echo = Peer::answering(|asked| Ok(Reply::wire(asked.params[1..].to_vec())));
    let actor = component(&relay::text(&types));
    let actor = engine(true).actor(&actor, ActorConfig { reuse: 100, ..config("relay") }, echo).await.unwrap();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for (name, ty) in &types {
        for _ in 0..ROUNDS {
            let params = one(ty, &random.value(ty));
            let result = call(&*actor, INTERFACE, name, params.clone()).await;
            let result = result.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(result, params[1..], "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_are_carried_whole() {
    let types = [("id-numbers".to_owned(), list(Type::U32)), ("id-texts".to_owned(), list(Type::String))];
    let echo = Peer::answering(|asked| Ok(Reply::wire(asked.params[1..].to_vec())));
    let actor = component(&relay::text(&types));
    let engine = engine(true);
    let actor = engine.actor(&actor, config("relay"), echo).await.unwrap();
    let [(_, numbers), (_, texts)] = &types;
    for count in [0, 1, 65_536, 200_000] {
        let value = Value::List((0..count).map(Value::U32).collect());
        let params = one(numbers, &value);
        let result = call(&*actor, INTERFACE, "id-numbers", params.clone()).await.unwrap();
        assert!(result == params[1..], "{count} numbers");
    }
    let value = Value::List(vec![Value::String(String::new()); 100_000]);
    let params = one(texts, &value);
    assert!(call(&*actor, INTERFACE, "id-texts", params.clone()).await.unwrap() == params[1..]);
    assert_eq!(call(&*actor, INTERFACE, "id-numbers", vec![0x91, 0x91, 7]).await.unwrap(), [0x91, 7]);
    assert_eq!(engine.memory_in_use(), 0, "nothing is left of it");
}

/// An actor that wants to be given handles of a resource that it imports itself.
const AUDITOR: &str = r#"(component
    (import "acme:billing/ledger@1.2.0" (instance $ledger (export "account" (type (sub resource)))))
    (alias export $ledger "account" (type $account))
    (core module $m
        (func (export "check") (param i32) (result i32) (i32.const 7))
        (func (export "count") (result i32) (i32.const 3)))
    (core instance $i (instantiate $m))
    (func $check (param "one" (borrow $account)) (result u32) (canon lift (core func $i "check")))
    (func $count (result u32) (canon lift (core func $i "count")))
    (instance $audit (export "account" (type $account)) (export "check" (func $check)) (export "count" (func $count)))
    (export "acme:audit/audit@1.0.0" (instance $audit)))"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_of_a_third_party_is_refused_with_the_reason() {
    let actor = engine(true).actor(&component(AUDITOR), config("auditor"), Peer::nobody()).await.unwrap();
    let handle = one(&Type::Resource, &Value::Resource(b"minted elsewhere"[..].into()));
    let error = call(&*actor, "acme:audit/audit@1.0.0", "check", handle).await.unwrap_err();
    assert_eq!(error.code, Code::Unsupported, "{error}");
    assert!(error.message.contains("a resource of somebody else cannot cross a link"), "{error}");
    assert_eq!(call(&*actor, "acme:audit/audit@1.0.0", "count", vec![0x90]).await.unwrap(), [3], "the rest is served");
}
