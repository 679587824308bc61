//! Every value type as a parameter and as a result, nested two deep: what a guest gives back is what it was given, byte
//! for byte.

mod generate;
pub(crate) mod relay;
pub(crate) mod shapes;

use std::{fs, path::PathBuf, sync::Arc};

use mesh_lattice::{
    Answer, CallError, Code, Params, Reply, Serve,
    value::{Type, Value, decode, encode},
};
use mesh_runtime::Actor;

use crate::{
    guests::{component, config, engine, get, guest},
    peer::Peer,
};
use shapes::{INTERFACE, Random, functions};

/// Values of each type.
const ROUNDS: usize = 256;

fn files() -> [(PathBuf, String); 2] {
    let guests = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests");
    [(guests.join("wit/table.wit"), generate::wit()), (guests.join("examples/table.rs"), generate::program())]
}

#[test]
#[ignore = "writes the guest"]
fn make_the_guest() {
    for (file, text) in files() {
        fs::write(file, text).unwrap();
    }
}

#[test]
fn the_guest_is_what_its_list_makes() {
    for (file, text) in files() {
        assert!(fs::read_to_string(&file).unwrap() == text, "{} is of another list", file.display());
    }
}

/// Parameters of one value.
pub(crate) fn one(ty: &Type, value: &Value) -> Vec<u8> {
    let mut out = vec![0x91];
    encode(ty, value, &mut out).unwrap();
    out
}

pub(crate) async fn call(
    server: &dyn Serve,
    interface: &str,
    operation: &str,
    params: Vec<u8>,
) -> Result<Vec<u8>, CallError> {
    let mut call = get("/");
    call.interface = interface.parse().unwrap();
    call.operation = operation.into();
    call.params = Params::Wire(params.into());
    match server.serve(call).await? {
        Reply { answer: Answer::Wire(bytes), body: None } => Ok(bytes.to_vec()),
        other => panic!("{other:?}"),
    }
}

async fn table(reuse: u32) -> Arc<Actor> {
    let config = mesh_runtime::ActorConfig { reuse, ..config("table") };
    engine(true).actor(&guest("table"), config, Peer::nobody()).await.unwrap()
}

/// Every function with as many values, and how many calls that were.
async fn all_come_back(server: &dyn Serve) -> usize {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut calls = 0;
    for (name, ty) in functions() {
        for _ in 0..ROUNDS {
            let params = one(&ty, &random.value(&ty));
            let result = call(server, INTERFACE, &name, params.clone()).await;
            let result = result.unwrap_or_else(|error| panic!("{name}: {error}\n{params:02x?}"));
            assert_eq!(result, params[1..], "{name}");
            calls += 1;
        }
    }
    calls
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_comes_back_whatever_its_type() {
    println!("{} calls", all_come_back(&*table(10_000).await).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_comes_back_through_an_actor_that_imports_it() {
    let table = table(10_000).await;
    let relay = component(&relay::text(&functions()));
    let config = mesh_runtime::ActorConfig { reuse: 10_000, ..config("relay") };
    let relay = engine(true).actor(&relay, config, table).await.unwrap();
    assert_eq!(relay.imports().iter().map(ToString::to_string).collect::<Vec<_>>(), [INTERFACE]);
    println!("{} calls of calls", all_come_back(&*relay).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_of_the_root_is_called_by_the_name_of_the_root() {
    let table = table(1).await;
    let exports: Vec<_> = table.exports().iter().map(ToString::to_string).collect();
    assert_eq!(exports, ["root:component/root", INTERFACE]);
    let params = one(&Type::String, &Value::String("here".into()));
    assert_eq!(call(&*table, "root:component/root", "root-id", params.clone()).await.unwrap(), params[1..]);
}

/// A call without an answer is an error where the function has a place for any sentence, and the guest's end elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_fails_is_an_error_of_its_function_or_the_end_of_the_guest() {
    let string = || Some(Box::new(Type::String));
    let variant = |name: &str| Type::Variant(vec![("full".into(), None), (name.into(), Some(Type::String))]);
    let result = |err| Type::Result { ok: Some(Box::new(Type::U8)), err };
    let functions = [
        ("text".to_owned(), result(string())),
        ("other".to_owned(), result(Some(Box::new(variant("other"))))),
        ("upstream".to_owned(), result(Some(Box::new(variant("upstream"))))),
        ("silent".to_owned(), result(None)),
        ("plain".to_owned(), Type::U8),
    ];
    let relay = component(&relay::text(&functions));
    let seven = |ty: &Type| match ty {
        Type::U8 => Value::U8(7),
        _ => Value::Result(Ok(Some(Box::new(Value::U8(7))))),
    };
    let answering =
        |answer: Result<&'static [u8], CallError>| Peer::answering(move |_| answer.clone().map(Reply::wire));
    for (peer, code) in [
        (answering(Err(CallError::new(Code::NotLinked, "there is no link"))), "not_linked: there is no link"),
        (answering(Err(CallError::new(Code::Lost, "it went"))), "lost: it went"),
        (answering(Ok(b"\xcd\x01\x00")), "bad_params: the answer: "),
    ] {
        let relay = engine(false).actor(&relay, config("relay"), peer).await.unwrap();
        for (name, ty) in &functions {
            let answer = call(&*relay, INTERFACE, name, one(ty, &seven(ty))).await;
            match name.as_str() {
                "text" | "other" => {
                    let answer = decode(ty, &answer.unwrap()).unwrap();
                    let text = match &answer {
                        Value::Result(Err(Some(error))) => match &**error {
                            Value::Variant(case, Some(text)) if case == "other" => &**text,
                            error => error,
                        },
                        other => panic!("{name}: {other:?}"),
                    };
                    assert!(matches!(text, Value::String(text) if text.starts_with(code)), "{name}: {text:?}");
                }
                _ => {
                    let error = answer.unwrap_err();
                    assert_eq!(error.code, Code::Trap, "{name}");
                    assert!(error.message.contains(&format!("{INTERFACE}#{name} failed: {code}")), "{error}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_call_of_it_is_refused_with_its_code() {
    let table = table(1).await;
    let refused = |interface: &'static str, operation: &'static str, params: &'static [u8]| {
        let table = Arc::clone(&table);
        async move { call(&*table, interface, operation, params.to_vec()).await.unwrap_err().code }
    };
    assert_eq!(call(&*table, INTERFACE, "id-u8", vec![0x91, 7]).await.unwrap(), [7], "it does answer");
    for (what, code, interface, operation, params) in [
        ("another interface", Code::UnknownOperation, "mesh:table/other@1.0.0", "id-u8", b"\x91\x07".as_slice()),
        ("another version", Code::UnknownOperation, "mesh:table/values@1.0.1", "id-u8", b"\x91\x07"),
        ("no such function", Code::UnknownOperation, INTERFACE, "id-u9", b"\x91\x07"),
        ("out of range", Code::BadParams, INTERFACE, "id-u8", b"\x91\xcd\x01\x00"),
        ("of another type", Code::BadParams, INTERFACE, "id-u8", b"\x91\xa1x"),
        ("too few", Code::BadParams, INTERFACE, "id-u8", b"\x90"),
        ("too many", Code::BadParams, INTERFACE, "id-u8", b"\x92\x07\x07"),
        ("cut off", Code::BadParams, INTERFACE, "id-string", b"\x91\xa5abc"),
        ("bytes behind", Code::BadParams, INTERFACE, "id-u8", b"\x91\x07\x07"),
        ("a length that lies", Code::BadParams, INTERFACE, "id-list-u16", b"\x91\xdd\xff\xff\xff\xff\x01"),
        ("no such case", Code::BadParams, INTERFACE, "id-color", b"\x91\xa5green"),
        ("half a character", Code::BadParams, INTERFACE, "id-char", b"\x91\xa2ab"),
        ("nothing", Code::BadParams, INTERFACE, "id-u8", b""),
    ] {
        assert_eq!(refused(interface, operation, params).await, code, "{what}");
    }
    let unversioned = call(&*table, "mesh:table/values", "id-u8", vec![0x91, 7]).await;
    assert_eq!(unversioned.unwrap(), [7], "a name without a version fits every version");
    let large = one(&Type::List(Box::new(Type::U8)), &Value::Bytes(vec![7; 17 << 20].into()));
    assert_eq!(call(&*table, INTERFACE, "id-list-u8", large).await.unwrap_err().code, Code::TooLarge);
    assert_eq!(table.stats().errors, 14, "each of them is counted");
}
