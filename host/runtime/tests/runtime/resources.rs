//! Resources that an actor exports: handles in other hands, and what becomes of what they stand for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use mesh_lattice::{
    Answer, BootId, CallError, Caller, Code, Deadline, Params, Serve,
    handle::{Liveness, Origin},
    value::{Type, Value, decode, encode},
};
use mesh_runtime::{Actor, ActorConfig, Engine, EngineConfig};

use crate::{
    guests::{config, engine, eventually, get, guest, text},
    peer::Peer,
};

const LEDGER: &str = "acme:billing/ledger@1.2.0";
const TOTAL: &str = "[method]account.total";
const DROP: &str = "[resource-drop]account";

async fn accounts(engine: &Engine, config: ActorConfig) -> Arc<Actor> {
    engine.actor(&guest("accounts"), config, Peer::nobody()).await.unwrap()
}

async fn custom(engine: &Engine, serving: &Arc<Actor>) -> Arc<Actor> {
    engine.actor(&guest("custom"), config("custom"), Arc::clone(serving) as Arc<dyn Serve>).await.unwrap()
}

async fn nothing_is_held(accounts: &Actor) {
    eventually("nothing is held", || (accounts.stats().handles, accounts.stats().instances) == (0, 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handles_are_made_called_borrowed_given_away_and_dropped() {
    for reuse in [1, 100] {
        let engine = engine(true);
        let accounts = accounts(&engine, ActorConfig { reuse, ..config("accounts") }).await;
        let custom = custom(&engine, &accounts).await;
        for _ in 0..3 {
            assert_eq!(text(&custom, "/story").await, "Err(\"one takes no EUR\") 5 30 20 Ok(30)");
            nothing_is_held(&accounts).await;
        }
        assert_eq!(accounts.stats().errors, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guest_never_drops_ends_with_its_call_however_that_ends() {
    let engine = engine(true);
    let accounts = accounts(&engine, config("accounts")).await;
    let custom = custom(&engine, &accounts).await;
    assert_eq!(text(&custom, "/never-drops").await, "3");
    nothing_is_held(&accounts).await;
    assert_eq!(custom.serve(get("/trap-holding")).await.unwrap_err().code, Code::Trap);
    nothing_is_held(&accounts).await;
    let error = custom.serve(get("/many")).await.unwrap_err();
    assert_eq!(error.code, Code::MemoryLimit, "{error}");
    nothing_is_held(&accounts).await;
    assert_eq!(engine.memory_in_use(), 0);
}

fn named(name: &str) -> Caller {
    Caller::Named(name.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_given_no_handle_and_leaves_no_instance_behind() {
    let engine = engine(true);
    let accounts = accounts(&engine, config("accounts")).await;
    let person = Caller::Operator(mesh_lattice::id::key_text(20 << 3, &[7; 32]).parse().unwrap());
    let mut names = Vec::new();
    let ty = Type::Tuple(vec![Type::List(Box::new(Type::String))]);
    encode(&ty, &Value::Tuple(vec![Value::List(vec![Value::String("one".into())])]), &mut names).unwrap();
    for (operation, params) in [("open", names), ("[constructor]account", b"\x91\xa3one".to_vec())] {
        let refused = call_by(&accounts, person.clone(), operation, params).await.unwrap_err();
        assert!(refused.code == Code::Unsupported && refused.message.contains("a person"), "{refused}");
    }
    assert_eq!((accounts.stats().handles, accounts.stats().instances, accounts.stats().errors), (0, 0, 2));
    let balance = call_by(&accounts, person, "balance", b"\x91\xa3one".to_vec()).await;
    assert_eq!(balance.unwrap(), [3].as_slice(), "what has no handles is called");
}

/// Knows of one host whether it lives.
#[derive(Debug, Default)]
struct Neighbour {
    is_lost: AtomicBool,
    asked: AtomicUsize,
}

impl Liveness for Neighbour {
    fn lives<'a>(&'a self, _: &'a Origin) -> BoxFuture<'a, bool> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(!self.is_lost.load(Ordering::SeqCst)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_host_held_ends_and_what_others_hold_stays() {
    let neighbour = Arc::new(Neighbour::default());
    let liveness = Some(Arc::clone(&neighbour) as Arc<dyn Liveness>);
    let engine = Engine::new(EngineConfig { instances: 200, liveness, ..EngineConfig::default() }).unwrap();
    let accounts = accounts(&engine, config("accounts")).await;
    let host = mesh_lattice::id::key_text(13 << 3, &[7; 32]).parse().unwrap();
    let there = Some(Origin { host, boot: BootId::new() });
    let one = |from| call_from(&accounts, (named("edge"), from), "[constructor]account", b"\x91\xa3one".to_vec());
    one(None).await.unwrap();
    assert_eq!(neighbour.asked.load(Ordering::SeqCst), 0);
    for _ in 0..2 {
        one(there.clone()).await.unwrap();
    }
    eventually("it is asked", || neighbour.asked.load(Ordering::SeqCst) > 1).await;
    assert_eq!((accounts.stats().handles, accounts.stats().instances), (3, 3), "it lives");
    neighbour.is_lost.store(true, Ordering::SeqCst);
    eventually("what it held has ended", || (accounts.stats().handles, accounts.stats().instances) == (1, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_is_drained_as_soon_as_nobody_has_a_handle() {
    let engine = engine(true);
    let accounts = accounts(&engine, config("accounts")).await;
    let handle = open(&accounts, "edge", &["one"]).await.unwrap().remove(0);
    let begun = Instant::now();
    let draining = accounts.drain(Deadline::after(Duration::from_secs(20)));
    let dropping = call(&accounts, "edge", DROP, handles(&[&handle]));
    let (in_time, dropped) = tokio::join!(draining, dropping);
    assert!(in_time && dropped.is_ok(), "after {:?}: {dropped:?}", begun.elapsed());
}

fn handles(handles: &[&Bytes]) -> Vec<u8> {
    let types = Type::Tuple(vec![Type::Resource; handles.len()]);
    let values = handles.iter().map(|handle| Value::Resource((*handle).clone())).collect();
    let mut out = Vec::new();
    encode(&types, &Value::Tuple(values), &mut out).unwrap();
    out
}

async fn call(actor: &Actor, caller: &str, operation: &str, params: Vec<u8>) -> Result<Bytes, CallError> {
    call_by(actor, named(caller), operation, params).await
}

async fn call_by(actor: &Actor, caller: Caller, operation: &str, params: Vec<u8>) -> Result<Bytes, CallError> {
    call_from(actor, (caller, None), operation, params).await
}

async fn call_from(
    actor: &Actor,
    (caller, from): (Caller, Option<Origin>),
    operation: &str,
    params: Vec<u8>,
) -> Result<Bytes, CallError> {
    let mut call = get("/");
    (call.caller, call.from) = (caller, from);
    call.interface = LEDGER.parse().unwrap();
    call.operation = operation.into();
    call.params = Params::Wire(params.into());
    call.deadline = Deadline::after(Duration::from_secs(5));
    match actor.serve(call).await?.answer {
        Answer::Wire(bytes) => Ok(bytes),
        Answer::Http(_) => panic!("an answer as HTTP"),
    }
}

/// Accounts of one instance.
async fn open(actor: &Actor, caller: &str, names: &[&str]) -> Result<Vec<Bytes>, CallError> {
    let ty = Type::Tuple(vec![Type::List(Box::new(Type::String))]);
    let names = names.iter().map(|name| Value::String((*name).to_owned())).collect();
    let mut params = Vec::new();
    encode(&ty, &Value::Tuple(vec![Value::List(names)]), &mut params).unwrap();
    let opened = call(actor, caller, "open", params).await?;
    match decode(&Type::List(Box::new(Type::Resource)), &opened).unwrap() {
        Value::List(values) => Ok(values
            .into_iter()
            .map(|value| match value {
                Value::Resource(handle) => handle,
                other => panic!("{other:?}"),
            })
            .collect()),
        other => panic!("{other:?}"),
    }
}

/// `charge` with this currency.
fn charge(handle: &Bytes, currency: &str) -> Vec<u8> {
    let amount = Type::Record(vec![("cents".into(), Type::U64), ("currency".into(), Type::String)]);
    let fields = vec![("cents".into(), Value::U64(1)), ("currency".into(), Value::String(currency.into()))];
    let mut out = Vec::new();
    let values = Value::Tuple(vec![Value::Resource(handle.clone()), Value::Record(fields)]);
    encode(&Type::Tuple(vec![Type::Resource, amount]), &values, &mut out).unwrap();
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_is_of_use_to_whom_it_was_given_and_while_it_lives() {
    let engine = engine(true);
    let accounts = accounts(&engine, config("accounts")).await;
    let other = self::accounts(&engine, config("other")).await;
    let elsewhere = self::accounts(&self::engine(true), config("accounts")).await;
    let [one, two] = open(&accounts, "edge", &["one", "two"]).await.unwrap().try_into().unwrap();
    let [three] = open(&accounts, "edge", &["three"]).await.unwrap().try_into().unwrap();
    let total = |handle: &Bytes| call(&accounts, "edge", TOTAL, handles(&[handle]));
    assert_eq!(total(&one).await.unwrap(), [0].as_slice(), "it does answer");
    let mut forged = one.to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let (forged, provider) = (Bytes::from(forged), Bytes::from_static(b"counts"));
    let refused = |result: Result<Bytes, CallError>| {
        let error = result.unwrap_err();
        (error.code, error.message)
    };
    let expect = |what: (Code, String), code: Code, words: &str| {
        assert!(what.0 == code && what.1.contains(words), "{what:?}");
    };
    expect(refused(call(&accounts, "thief", TOTAL, handles(&[&one])).await), Code::Denied, "another caller");
    expect(refused(call(&other, "edge", TOTAL, handles(&[&one])).await), Code::Denied, "another actor");
    expect(refused(call(&elsewhere, "edge", TOTAL, handles(&[&one])).await), Code::Gone, "ended");
    expect(refused(total(&forged).await), Code::BadParams, "never minted");
    expect(refused(total(&provider).await), Code::BadParams, "never minted");
    let join = "[static]account.join";
    expect(refused(call(&accounts, "edge", join, handles(&[&one, &three])).await), Code::BadParams, "several");
    expect(refused(call(&accounts, "edge", join, handles(&[&one, &one])).await), Code::Gone, "ended");
    assert_eq!(total(&one).await.unwrap(), [0].as_slice(), "a refused call takes nothing away");

    assert_eq!(call(&accounts, "edge", DROP, handles(&[&two])).await.unwrap(), [0xc0].as_slice());
    expect(refused(call(&accounts, "edge", DROP, handles(&[&two])).await), Code::Gone, "ended");
    expect(refused(total(&two).await), Code::Gone, "ended");
    let unknown = call(&accounts, "edge", "[resource-drop]other", handles(&[&one])).await;
    assert_eq!(unknown.unwrap_err().code, Code::UnknownOperation);

    let four = open(&accounts, "edge", &["four"]).await.unwrap();
    assert_eq!(
        call(&accounts, "edge", "[method]account.charge", charge(&one, "trap")).await.unwrap_err().code,
        Code::Trap
    );
    expect(refused(total(&one).await), Code::Gone, "ended");
    assert_eq!(total(&three).await.unwrap(), [0].as_slice(), "another instance lives on");
    for handle in [&three, &four[0]] {
        call(&accounts, "edge", DROP, handles(&[handle])).await.unwrap();
    }
    assert_eq!((accounts.stats().handles, accounts.stats().instances), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_instance_keeps_its_place_until_its_last_handle_goes() {
    let engine = engine(true);
    let config = ActorConfig { queue: 0, ..config("accounts").with_concurrency(1.try_into().unwrap()) };
    let accounts = accounts(&engine, config).await;
    let [one, two] = open(&accounts, "edge", &["one", "two"]).await.unwrap().try_into().unwrap();
    assert_eq!(open(&accounts, "edge", &["three"]).await.unwrap_err().code, Code::Busy);
    let charged = futures::future::join_all((0..20).map(|at| {
        let handle = if at % 2 == 0 { &one } else { &two };
        call(&accounts, "edge", "[method]account.charge", charge(handle, "CHF"))
    }));
    assert!(charged.await.into_iter().all(|charged| charged.is_ok()), "calls on handles need no other place");
    assert_eq!(call(&accounts, "edge", TOTAL, handles(&[&one])).await.unwrap(), [10].as_slice());
    call(&accounts, "edge", DROP, handles(&[&one])).await.unwrap();
    assert_eq!(open(&accounts, "edge", &["three"]).await.unwrap_err().code, Code::Busy);
    call(&accounts, "edge", DROP, handles(&[&two])).await.unwrap();
    assert_eq!(open(&accounts, "edge", &["three"]).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_has_a_bounded_number_of_handles() {
    let engine = engine(true);
    let accounts = accounts(&engine, config("accounts")).await;
    let names = vec!["x"; 256];
    let mut opened = 0;
    let refused = loop {
        match open(&accounts, "edge", &names).await {
            Ok(handles) => opened += handles.len(),
            Err(error) => break error,
        }
    };
    assert_eq!((opened, refused.code), (2048, Code::MemoryLimit), "{refused}");
    assert_eq!(accounts.stats().handles, 2048, "those that were given stay");
    assert_eq!(open(&accounts, "somebody", &["y"]).await.unwrap().len(), 1, "another caller has its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn handles_that_nobody_uses_go_after_a_while_and_all_with_their_actor() {
    let engine = engine(true);
    let accounts = accounts(&engine, config("accounts")).await;
    let handle = open(&accounts, "edge", &["one"]).await.unwrap().remove(0);
    let (since, promised) = (Instant::now(), Duration::from_secs(30));
    let mut pause = tokio::time::interval(Duration::from_millis(200));
    while accounts.stats().handles > 0 {
        assert!(since.elapsed() < promised * 3, "it is still held");
        pause.tick().await;
    }
    println!("nobody used it for {:?}", since.elapsed());
    assert_eq!(call(&accounts, "edge", TOTAL, handles(&[&handle])).await.unwrap_err().code, Code::Gone);
    nothing_is_held(&accounts).await;
    open(&accounts, "edge", &["two"]).await.unwrap();
    assert!(engine.memory_in_use() > 0);
    assert!(!accounts.drain(Deadline::after(Duration::from_millis(50))).await, "somebody has a handle");
    assert_eq!(engine.memory_in_use(), 0);
}
