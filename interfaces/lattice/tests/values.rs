//! The rule set of WIT values: golden vectors, a second implementation in Python, properties, bombs, and the typed
//! messages that have to be the same bytes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::process::Command;

use bytes::Bytes;
use mesh_lattice::{
    value::{DecodeError, EncodeError, MAX_DEPTH, MAX_ITEMS, Type, Value, decode, encode, skip},
    wit::{Outcome, http, keyvalue, to_wire},
};
use proptest::prelude::*;
use serde::Deserialize;
use serde_bytes::ByteBuf;
use serde_json::Value as Json;

#[derive(Deserialize)]
struct Vector {
    name: String,
    r#type: Json,
    value: Json,
    hex: String,
}

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/values.json");

fn vectors() -> Vec<Vector> {
    serde_json::from_slice(&std::fs::read(VECTORS).unwrap()).unwrap()
}

fn names(json: &Json) -> Vec<String> {
    json.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

fn parse_type(json: &Json) -> Type {
    if let Some(word) = json.as_str() {
        let simple = [
            ("bool", Type::Bool),
            ("s8", Type::S8),
            ("u8", Type::U8),
            ("s16", Type::S16),
            ("u16", Type::U16),
            ("s32", Type::S32),
            ("u32", Type::U32),
            ("s64", Type::S64),
            ("u64", Type::U64),
            ("f32", Type::F32),
            ("f64", Type::F64),
            ("char", Type::Char),
            ("string", Type::String),
            ("resource", Type::Resource),
        ];
        return simple.iter().find(|(name, _)| *name == word).unwrap().1.clone();
    }
    let (kind, inner) = json.as_object().unwrap().iter().next().unwrap();
    let maybe = |json: &Json| (!json.is_null()).then(|| Box::new(parse_type(json)));
    let pairs = || inner.as_array().unwrap().iter().map(|pair| (pair[0].as_str().unwrap().to_owned(), &pair[1]));
    match kind.as_str() {
        "list" => Type::List(Box::new(parse_type(inner))),
        "tuple" => Type::Tuple(inner.as_array().unwrap().iter().map(parse_type).collect()),
        "record" => Type::Record(pairs().map(|(name, ty)| (name, parse_type(ty))).collect()),
        "enum" => Type::Enum(names(inner)),
        "variant" => Type::Variant(pairs().map(|(name, ty)| (name, maybe(ty).map(|ty| *ty))).collect()),
        "option" => Type::Option(Box::new(parse_type(inner))),
        "result" => Type::Result { ok: maybe(&inner["ok"]), err: maybe(&inner["err"]) },
        "flags" => Type::Flags(names(inner)),
        other => panic!("{other}"),
    }
}

fn bytes(json: &Json) -> Bytes {
    data_encoding::HEXLOWER.decode(json.as_str().unwrap().as_bytes()).unwrap().into()
}

fn float(json: &Json) -> f64 {
    match json.as_str() {
        Some("-0") => -0.0,
        Some(word) => word.parse().unwrap(),
        None => json.as_f64().unwrap(),
    }
}

fn parse_value(ty: &Type, json: &Json) -> Value {
    let boxed = |ty: &Type, json: &Json| Some(Box::new(parse_value(ty, json)));
    match ty {
        Type::Bool => Value::Bool(json.as_bool().unwrap()),
        Type::S8 => Value::S8(json.as_i64().unwrap().try_into().unwrap()),
        Type::U8 => Value::U8(json.as_u64().unwrap().try_into().unwrap()),
        Type::S16 => Value::S16(json.as_i64().unwrap().try_into().unwrap()),
        Type::U16 => Value::U16(json.as_u64().unwrap().try_into().unwrap()),
        Type::S32 => Value::S32(json.as_i64().unwrap().try_into().unwrap()),
        Type::U32 => Value::U32(json.as_u64().unwrap().try_into().unwrap()),
        Type::S64 => Value::S64(json.as_i64().unwrap()),
        Type::U64 => Value::U64(json.as_u64().unwrap()),
        Type::F32 => Value::F32(float(json) as f32),
        Type::F64 => Value::F64(float(json)),
        Type::Char => Value::Char(json.as_str().unwrap().chars().next().unwrap()),
        Type::String => Value::String(json.as_str().unwrap().to_owned()),
        Type::Resource => Value::Resource(bytes(json)),
        ty if ty.is_bytes() => Value::Bytes(bytes(json)),
        Type::List(item) => Value::List(json.as_array().unwrap().iter().map(|json| parse_value(item, json)).collect()),
        Type::Tuple(types) => {
            Value::Tuple(types.iter().zip(json.as_array().unwrap()).map(|(ty, json)| parse_value(ty, json)).collect())
        }
        Type::Record(fields) => {
            Value::Record(fields.iter().map(|(name, ty)| (name.clone(), parse_value(ty, &json[name]))).collect())
        }
        Type::Enum(_) => Value::Enum(json.as_str().unwrap().to_owned()),
        Type::Variant(cases) => {
            let case = json["case"].as_str().unwrap();
            let (_, ty) = cases.iter().find(|(name, _)| name == case).unwrap();
            Value::Variant(case.to_owned(), ty.as_ref().and_then(|ty| boxed(ty, &json["value"])))
        }
        Type::Option(_) if json.is_null() => Value::Option(None),
        Type::Option(inner) => Value::Option(boxed(inner, &json["some"])),
        Type::Result { ok, err } => {
            let (name, json) = json.as_object().unwrap().iter().next().unwrap();
            let value = |ty: &Option<Box<Type>>| ty.as_ref().and_then(|ty| boxed(ty, json));
            Value::Result(if name == "ok" { Ok(value(ok)) } else { Err(value(err)) })
        }
        Type::Flags(_) => Value::Flags(names(json)),
    }
}

fn written(ty: &Type, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    encode(ty, value, &mut out).unwrap();
    out
}

#[test]
fn every_vector_is_written_and_read_as_it_stands() {
    for vector in vectors() {
        let ty = parse_type(&vector.r#type);
        let value = parse_value(&ty, &vector.value);
        let bytes = bytes(&Json::String(vector.hex));
        assert_eq!(written(&ty, &value), bytes, "{}", vector.name);
        let read = decode(&ty, &bytes).unwrap();
        assert_eq!(written(&ty, &read), bytes, "{}", vector.name);
        if !vector.name.ends_with("nan") {
            assert_eq!(read, value, "{}", vector.name);
        }
        for cut in 0..bytes.len() {
            assert!(decode(&ty, &bytes[..cut]).is_err(), "{} cut at {cut}", vector.name);
        }
        assert_eq!(decode(&ty, &[&bytes[..], &[0xc0]].concat()), Err(DecodeError::Trailing), "{}", vector.name);
    }
}

#[test]
fn a_second_implementation_reads_and_writes_the_same_bytes() {
    let reader = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/reader.py");
    let output = Command::new("python3").args(["-B", reader, VECTORS]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), format!("{} vectors", vectors().len()));
}

#[test]
fn there_is_a_vector_for_every_kind_of_type() {
    let all: String = vectors().iter().map(|vector| vector.r#type.to_string()).collect();
    for kind in [
        "bool", "s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64", "f32", "f64", "char", "string", "list", "tuple",
        "record", "enum", "variant", "option", "result", "flags", "resource",
    ] {
        assert!(all.contains(&format!("\"{kind}\"")), "{kind}");
    }
    assert!(all.contains(r#"{"option":{"option":{"option""#));
}

fn record() -> Type {
    let fields = [("name", Type::String), ("count", Type::U8), ("note", Type::Option(Box::new(Type::String)))];
    Type::Record(fields.map(|(name, ty)| (name.to_owned(), ty)).to_vec())
}

fn read(ty: &Type, value: &impl serde::Serialize) -> Result<Value, DecodeError> {
    decode(ty, &rmp_serde::to_vec_named(value).unwrap())
}

#[test]
fn a_reader_takes_what_means_the_same() {
    let expected = Value::Record(vec![
        ("name".into(), Value::String("a".into())),
        ("count".into(), Value::U8(3)),
        ("note".into(), Value::Option(None)),
    ]);
    // Another order, a field of a later version, a missing option.
    let json = serde_json::json!({ "later": { "x": [1, 2] }, "count": 3, "name": "a" });
    assert_eq!(read(&record(), &json).unwrap(), expected);
    assert_eq!(decode(&Type::U8, &[0xd3, 0, 0, 0, 0, 0, 0, 0, 7]).unwrap(), Value::U8(7));
    assert_eq!(decode(&Type::S64, &[0xcf, 0, 0, 0, 0, 0, 0, 0, 7]).unwrap(), Value::S64(7));
    assert_eq!(decode(&Type::F64, &[0x03]).unwrap(), Value::F64(3.0));
    assert_eq!(decode(&Type::F32, &[0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0]).unwrap(), Value::F32(1.5));
    assert_eq!(decode(&Type::F64, &[0xca, 0x3f, 0xc0, 0, 0]).unwrap(), Value::F64(1.5));
    let flags = Type::Flags(vec!["a".into(), "b".into()]);
    assert_eq!(read(&flags, &["b", "a"]).unwrap(), Value::Flags(vec!["a".into(), "b".into()]));
    let nan = decode(&Type::F64, &[0xcb, 0xff, 0xf8, 0, 0, 0, 0, 0, 1]).unwrap();
    assert_eq!(written(&Type::F64, &nan), [0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_reader_refuses_everything_else() {
    let option = Type::Option(Box::new(Type::Option(Box::new(Type::U8))));
    let variant = Type::Variant(vec![("a".into(), None), ("b".into(), Some(Type::U8))]);
    let result = Type::Result { ok: None, err: Some(Box::new(Type::U8)) };
    let flags = Type::Flags(vec!["a".into(), "b".into()]);
    let bytes = Type::List(Box::new(Type::U8));
    let table: Vec<(&str, Type, &[u8])> = vec![
        ("out of range", Type::U8, &[0xcd, 1, 0]),
        ("below range", Type::U8, &[0xff]),
        ("above range", Type::S8, &[0xcc, 0x80]),
        ("too large", Type::S64, &[0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ("a float for an integer", Type::U8, &[0xca, 0x3f, 0x80, 0, 0]),
        ("a float that loses", Type::F32, &[0xcb, 0x3f, 0xd5, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55]),
        ("an integer that loses", Type::F32, &[0xce, 0x01, 0x00, 0x00, 0x01]),
        ("an integer for a truth", Type::Bool, &[1]),
        ("two characters", Type::Char, b"\xa2ab"),
        ("no character", Type::Char, b"\xa0"),
        ("not UTF-8", Type::String, b"\xa2\xc3\x28"),
        ("binary for a string", Type::String, b"\xc4\x01a"),
        ("a string for bytes", bytes.clone(), b"\xa1a"),
        ("an array for bytes", bytes, b"\x91\x01"),
        ("a tuple too short", Type::Tuple(vec![Type::U8, Type::U8]), b"\x91\x01"),
        ("a tuple too long", Type::Tuple(vec![Type::U8]), b"\x92\x01\x01"),
        ("a field twice", record(), b"\x83\xa4name\xa1a\xa5count\x01\xa5count\x01"),
        ("a field missing", record(), b"\x81\xa4name\xa1a"),
        ("a field without a name", record(), b"\x81\x01\x01"),
        ("an unknown case", Type::Enum(vec!["a".into()]), b"\xa1b"),
        ("an enum by number", Type::Enum(vec!["a".into()]), b"\x00"),
        ("a payload that is missing", variant.clone(), b"\xa1b"),
        ("a payload that is too much", variant.clone(), b"\x81\xa1a\x01"),
        ("two cases", variant, b"\x82\xa1b\x01\xa1b\x01"),
        ("an option of an option bare", option.clone(), b"\x05"),
        ("an option of an option of two", option, b"\x92\x05\x05"),
        ("a result of another name", result.clone(), b"\x81\xa2no\xc0"),
        ("a result of a wrong payload", result.clone(), b"\x81\xa2ok\x01"),
        ("both results", result, b"\x82\xa2ok\xc0\xa3err\x01"),
        ("an unknown flag", flags.clone(), b"\x91\xa1c"),
        ("a flag twice", flags, b"\x92\xa1a\xa1a"),
        ("an extension", Type::U8, b"\xd4\x01\x01"),
        ("a marker that is none", Type::U8, b"\xc1"),
        ("nothing", Type::U8, b""),
    ];
    for (what, ty, bytes) in table {
        assert!(decode(&ty, bytes).is_err(), "{what}");
    }
}

#[test]
fn a_writer_refuses_what_its_reader_would() {
    let write = |ty: &Type, value: &Value| encode(ty, value, &mut Vec::new());
    let flags = Type::Flags(vec!["a".into()]);
    assert_eq!(write(&Type::U8, &Value::U16(1)), Err(EncodeError::Mismatch("u8")));
    assert_eq!(write(&flags, &Value::Flags(vec!["b".into()])), Err(EncodeError::Name("b".into())));
    assert_eq!(write(&flags, &Value::Flags(vec!["a".into(), "a".into()])), Err(EncodeError::Name("a".into())));
    let fields = vec![("name".to_owned(), Value::String(String::new()))];
    assert_eq!(write(&record(), &Value::Record(fields)), Err(EncodeError::Missing("count".into())));
    let cases = Type::Variant(vec![("a".into(), None)]);
    assert!(write(&cases, &Value::Variant("a".into(), Some(Box::new(Value::U8(1))))).is_err());
    assert!(write(&Type::Tuple(vec![Type::U8]), &Value::Tuple(vec![])).is_err());
    let bytes = Type::List(Box::new(Type::U8));
    assert!(write(&bytes, &Value::List(vec![Value::U8(1)])).is_err(), "bytes have one form only");
}

fn nested(depth: usize) -> (Type, Value) {
    (0..depth).fold((Type::U8, Value::U8(1)), |(ty, value), _| (Type::Tuple(vec![ty]), Value::Tuple(vec![value])))
}

#[test]
fn what_nests_too_deep_is_neither_written_nor_read() {
    let (ty, value) = nested(MAX_DEPTH - 1);
    let bytes = written(&ty, &value);
    assert_eq!(decode(&ty, &bytes).unwrap(), value);
    assert_eq!(skip(&bytes), Ok(bytes.len()));
    let (deeper, value) = nested(MAX_DEPTH);
    assert_eq!(encode(&deeper, &value, &mut Vec::new()), Err(EncodeError::TooDeep));
    assert_eq!(decode(&deeper, &[&[0x91], &bytes[..]].concat()), Err(DecodeError::TooDeep));
    let (abyss, _) = nested(5_000);
    assert_eq!(decode(&abyss, &[0x91; 6_000]), Err(DecodeError::TooDeep));
    std::mem::forget(abyss);
}

#[test]
fn a_bomb_is_refused_before_it_is_allocated_for() {
    let list = Type::List(Box::new(Type::String));
    let units = Type::List(Box::new(Type::Tuple(vec![])));
    assert_eq!(decode(&list, &[0xdd, 0xff, 0xff, 0xff, 0xff]), Err(DecodeError::Malformed));
    assert_eq!(decode(&units, &[0xdd, 0xff, 0xff, 0xff, 0xff, 0x90]), Err(DecodeError::Malformed));
    assert_eq!(decode(&Type::String, &[0xdb, 0xff, 0xff, 0xff, 0xff, b'a']), Err(DecodeError::Malformed));
    assert_eq!(decode(&Type::Resource, &[0xc6, 0xff, 0xff, 0xff, 0xff]), Err(DecodeError::Malformed));
    assert_eq!(decode(&record(), &[0xdf, 0xff, 0xff, 0xff, 0xff]), Err(DecodeError::Malformed));
    let mut many = vec![0xdd];
    many.extend((MAX_ITEMS as u32).to_be_bytes());
    many.extend(vec![0xc0; MAX_ITEMS]);
    assert_eq!(decode(&Type::List(Box::new(Type::Option(Box::new(Type::U8)))), &many), Err(DecodeError::TooMany));
}

fn name(text: &str, ty: Type) -> (String, Type) {
    (text.to_owned(), ty)
}

fn result(ok: Option<Type>, err: Type) -> Type {
    Type::Result { ok: ok.map(Box::new), err: Some(Box::new(err)) }
}

#[test]
fn the_typed_messages_of_keyvalue_are_the_same_bytes() {
    let bytes = || Type::List(Box::new(Type::U8));
    let text = |text: &str| Value::String(text.into());
    let some = |value: Value| Value::Option(Some(Box::new(value)));
    let ok = |value: Option<Value>| Value::Result(Ok(value.map(Box::new)));
    let error = || {
        Type::Variant(vec![
            ("no-such-store".into(), None),
            ("access-denied".into(), None),
            ("other".into(), Some(Type::String)),
        ])
    };
    let same = |typed: Bytes, ty: &Type, value: &Value| {
        assert_eq!(typed, written(ty, value), "{value:?}");
        assert_eq!(decode(ty, &typed).unwrap(), *value);
    };

    let set: keyvalue::SetParams = (ByteBuf::from(*b"bucket"), "key".into(), ByteBuf::from(vec![7; 300]));
    same(
        to_wire(&set).unwrap(),
        &Type::Tuple(vec![Type::Resource, Type::String, bytes()]),
        &Value::Tuple(vec![Value::Resource("bucket".into()), text("key"), Value::Bytes(vec![7; 300].into())]),
    );
    let get: Outcome<Option<ByteBuf>, keyvalue::Error> = Outcome::Ok(Some(ByteBuf::from(*b"v")));
    let get_type = result(Some(Type::Option(Box::new(bytes()))), error());
    same(to_wire(&get).unwrap(), &get_type, &ok(Some(some(Value::Bytes("v".into())))));
    let none: Outcome<Option<ByteBuf>, keyvalue::Error> = Outcome::Ok(None);
    same(to_wire(&none).unwrap(), &get_type, &ok(Some(Value::Option(None))));
    let done: Outcome<(), keyvalue::Error> = Outcome::Ok(());
    same(to_wire(&done).unwrap(), &result(None, error()), &ok(None));
    for (typed, case, payload) in [
        (keyvalue::Error::NoSuchStore, "no-such-store", None),
        (keyvalue::Error::AccessDenied, "access-denied", None),
        (keyvalue::Error::Other("down".into()), "other", Some(Box::new(text("down")))),
    ] {
        let typed: Outcome<(), keyvalue::Error> = Outcome::Err(typed);
        let value = Value::Result(Err(Some(Box::new(Value::Variant(case.into(), payload)))));
        same(to_wire(&typed).unwrap(), &result(None, error()), &value);
    }
    let increment: keyvalue::IncrementParams = (ByteBuf::new(), "n".into(), u64::MAX);
    same(
        to_wire(&increment).unwrap(),
        &Type::Tuple(vec![Type::Resource, Type::String, Type::U64]),
        &Value::Tuple(vec![Value::Resource(Bytes::new()), text("n"), Value::U64(u64::MAX)]),
    );
    let page = keyvalue::KeyResponse { keys: vec!["a".into(), "b".into()], cursor: Some(70_000) };
    same(
        to_wire(&page).unwrap(),
        &Type::Record(vec![
            name("keys", Type::List(Box::new(Type::String))),
            name("cursor", Type::Option(Box::new(Type::U64))),
        ]),
        &Value::Record(vec![
            ("keys".into(), Value::List(vec![text("a"), text("b")])),
            ("cursor".into(), some(Value::U64(70_000))),
        ]),
    );
    let values: keyvalue::Values = vec![None, Some(("k".into(), ByteBuf::from(*b"v")))];
    same(
        to_wire(&values).unwrap(),
        &Type::List(Box::new(Type::Option(Box::new(Type::Tuple(vec![Type::String, bytes()]))))),
        &Value::List(vec![Value::Option(None), some(Value::Tuple(vec![text("k"), Value::Bytes("v".into())]))]),
    );
}

#[test]
fn the_typed_head_of_an_http_request_is_the_same_bytes() {
    let typed = http::RequestHead {
        method: "GET".into(),
        scheme: Some("http".into()),
        authority: None,
        path_with_query: Some("/a?b".into()),
        headers: vec![("x-a".into(), ByteBuf::from(vec![0xff]))],
    };
    let option = || Type::Option(Box::new(Type::String));
    let field = Type::Tuple(vec![Type::String, Type::List(Box::new(Type::U8))]);
    let ty = Type::Record(vec![
        name("method", Type::String),
        name("scheme", option()),
        name("authority", option()),
        name("path-with-query", option()),
        name("headers", Type::List(Box::new(field))),
    ]);
    let text = |text: &str| Value::String(text.into());
    let some = |word: &str| Value::Option(Some(Box::new(text(word))));
    let value = Value::Record(vec![
        ("method".into(), text("GET")),
        ("scheme".into(), some("http")),
        ("authority".into(), Value::Option(None)),
        ("path-with-query".into(), some("/a?b")),
        ("headers".into(), Value::List(vec![Value::Tuple(vec![text("x-a"), Value::Bytes(vec![0xff].into())])])),
    ]);
    assert_eq!(to_wire(&typed).unwrap(), written(&ty, &value));
}

fn distinct(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<String>> {
    proptest::collection::btree_set("[a-z][a-z0-9-]{0,6}", count).prop_map(|names| names.into_iter().rev().collect())
}

fn any_type() -> impl Strategy<Value = Type> {
    let leaf = prop_oneof![
        proptest::sample::select(vec![
            Type::Bool,
            Type::S8,
            Type::U8,
            Type::S16,
            Type::U16,
            Type::S32,
            Type::U32,
            Type::S64,
            Type::U64,
            Type::F32,
            Type::F64,
            Type::Char,
            Type::String,
            Type::Resource,
        ]),
        distinct(1..5).prop_map(Type::Enum),
        distinct(0..20).prop_map(Type::Flags),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let maybe = proptest::option::of(inner.clone());
        prop_oneof![
            inner.clone().prop_map(|ty| Type::List(Box::new(ty))),
            inner.clone().prop_map(|ty| Type::Option(Box::new(ty))),
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Type::Tuple),
            (maybe.clone(), maybe.clone())
                .prop_map(|(ok, err)| Type::Result { ok: ok.map(Box::new), err: err.map(Box::new) }),
            (distinct(0..4), proptest::collection::vec(inner, 4))
                .prop_map(|(names, types)| Type::Record(names.into_iter().zip(types).collect())),
            (distinct(1..4), proptest::collection::vec(maybe, 4))
                .prop_map(|(names, types)| Type::Variant(names.into_iter().zip(types).collect())),
        ]
    })
}

fn any_value(ty: &Type) -> BoxedStrategy<Value> {
    let boxed = |ty: &Option<Box<Type>>| match ty {
        Some(ty) => any_value(ty).prop_map(|value| Some(Box::new(value))).boxed(),
        None => Just(None).boxed(),
    };
    let blob = || proptest::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from);
    match ty {
        Type::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Type::S8 => any::<i8>().prop_map(Value::S8).boxed(),
        Type::U8 => any::<u8>().prop_map(Value::U8).boxed(),
        Type::S16 => any::<i16>().prop_map(Value::S16).boxed(),
        Type::U16 => any::<u16>().prop_map(Value::U16).boxed(),
        Type::S32 => any::<i32>().prop_map(Value::S32).boxed(),
        Type::U32 => any::<u32>().prop_map(Value::U32).boxed(),
        Type::S64 => any::<i64>().prop_map(Value::S64).boxed(),
        Type::U64 => any::<u64>().prop_map(Value::U64).boxed(),
        Type::F32 => any::<f32>().prop_map(Value::F32).boxed(),
        Type::F64 => any::<f64>().prop_map(Value::F64).boxed(),
        Type::Char => any::<char>().prop_map(Value::Char).boxed(),
        Type::String => ".{0,40}".prop_map(Value::String).boxed(),
        Type::Resource => blob().prop_map(Value::Resource).boxed(),
        ty if ty.is_bytes() => blob().prop_map(Value::Bytes).boxed(),
        Type::List(item) => proptest::collection::vec(any_value(item), 0..5).prop_map(Value::List).boxed(),
        Type::Tuple(types) => types.iter().map(any_value).collect::<Vec<_>>().prop_map(Value::Tuple).boxed(),
        Type::Record(fields) => fields
            .iter()
            .map(|(name, ty)| (Just(name.clone()), any_value(ty)))
            .collect::<Vec<_>>()
            .prop_map(Value::Record)
            .boxed(),
        Type::Enum(cases) => proptest::sample::select(cases.clone()).prop_map(Value::Enum).boxed(),
        Type::Variant(cases) => proptest::sample::select(cases.clone())
            .prop_flat_map(move |(case, ty)| {
                boxed(&ty.map(Box::new)).prop_map(move |payload| Value::Variant(case.clone(), payload))
            })
            .boxed(),
        Type::Option(inner) => {
            proptest::option::of(any_value(inner)).prop_map(|value| Value::Option(value.map(Box::new))).boxed()
        }
        Type::Result { ok, err } => {
            prop_oneof![boxed(ok).prop_map(|ok| Value::Result(Ok(ok))), boxed(err).prop_map(|e| Value::Result(Err(e)))]
                .boxed()
        }
        Type::Flags(names) => {
            let count = names.len();
            proptest::sample::subsequence(names.clone(), 0..=count).prop_map(Value::Flags).boxed()
        }
    }
}

proptest! {
    #[test]
    fn any_value_of_any_type_is_read_back_as_itself(
        (ty, value) in any_type().prop_flat_map(|ty| (Just(ty.clone()), any_value(&ty)))
    ) {
        let bytes = written(&ty, &value);
        prop_assert_eq!(skip(&bytes), Ok(bytes.len()));
        let read = decode(&ty, &bytes).unwrap();
        prop_assert_eq!(written(&ty, &read), &bytes[..]);
        if !format!("{value:?}").contains("NaN") {
            prop_assert_eq!(read, value);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(ty in any_type(), bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(value) = decode(&ty, &bytes) {
            prop_assert_eq!(decode(&ty, &written(&ty, &value)).map(|again| written(&ty, &again)), Ok(written(&ty, &value)));
        }
    }

    #[test]
    fn a_changed_byte_is_another_value_or_none(
        (ty, value) in any_type().prop_flat_map(|ty| (Just(ty.clone()), any_value(&ty))),
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let mut bytes = written(&ty, &value);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(read) = decode(&ty, &bytes) {
            prop_assert!(encode(&ty, &read, &mut Vec::new()).is_ok());
        }
    }
}
