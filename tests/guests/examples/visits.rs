//! An actor as people write them with the published crate: http, keyvalue, config, logging and bus.

use wasmcloud_component::{
    http, info,
    wasi::{
        config,
        keyvalue::{atomics, batch, store},
    },
    wasmcloud::bus::lattice::{self, CallTargetInterface},
};

struct Visits;

http::export!(Visits);

impl http::Server for Visits {
    fn handle(request: http::IncomingRequest) -> http::Result<http::Response<impl http::OutgoingBody>> {
        let answer = match request.uri().path() {
            "/links" => links(),
            "/batch" => batches(),
            "/all" => everything(),
            "/choose" => choose(),
            "/rules" => rules(),
            "/again" => again(),
            "/forgets" => {
                std::mem::forget(store::open("counts").map(|bucket| bucket.get("touched")));
                "forgot".into()
            }
            "/bad-link" => format!("{:?}", lattice::set_link_name("No Such Link", vec![store_interface()])),
            _ => visits(),
        };
        info!(context: "visits", "answered {answer}");
        Ok(http::Response::new(answer))
    }
}

fn visits() -> String {
    let bucket = store::open("counts").unwrap();
    let greeting = config::store::get("greeting").unwrap().unwrap_or_else(|| "hello".into());
    match atomics::increment(&bucket, "visits", 1) {
        Ok(count) => format!("{greeting} {count}"),
        Err(error) => format!("{error:?}"),
    }
}

fn store_interface() -> CallTargetInterface {
    CallTargetInterface::new("wasi", "keyvalue", "store")
}

/// Chooses another link and calls nothing.
fn choose() -> String {
    lattice::set_link_name("cache", vec![store_interface()]).unwrap();
    "chosen".into()
}

/// Reads along the default link, then along another, then along the default again.
fn links() -> String {
    let bucket = store::open("").unwrap();
    let get = || bucket.get("key").unwrap();
    let first = get();
    lattice::set_link_name("cache", vec![store_interface()]).unwrap();
    let second = get();
    lattice::set_link_name("default", vec![store_interface()]).unwrap();
    let third = get();
    format!("{first:?} {second:?} {third:?}")
}

/// What is refused is said by the first operation.
fn rules() -> String {
    let nowhere = store::open("nowhere").unwrap().get("k");
    let secret = store::open("counts").unwrap().get("secret");
    let (one, two) = (store::open("counts").unwrap(), store::open("counts").unwrap());
    one.set("k", b"v").unwrap();
    two.exists("k").unwrap();
    two.exists("k").unwrap();
    let touched = |bucket: &store::Bucket| String::from_utf8(bucket.get("touched").unwrap().unwrap()).unwrap();
    format!("{nowhere:?} {secret:?} {} {}", touched(&one), touched(&two))
}

/// A bucket is a name: it goes on where what stood behind it has ended.
fn again() -> String {
    let bucket = store::open("counts").unwrap();
    let before = atomics::increment(&bucket, "again", 1).unwrap();
    let trapped = bucket.set("trap", b"").is_err();
    let after = atomics::increment(&bucket, "again", 1).unwrap();
    format!("{before} {trapped} {after} {:?}", bucket.get("touched").unwrap())
}

fn batches() -> String {
    let bucket = store::open("b").unwrap();
    batch::set_many(&bucket, &[("a".into(), vec![1]), ("b".into(), vec![2])]).unwrap();
    let values = batch::get_many(&bucket, &["a".into(), "c".into()]).unwrap();
    batch::delete_many(&bucket, &["a".into()]).unwrap();
    format!("{values:?}")
}

fn everything() -> String {
    let bucket = store::open("all").unwrap();
    bucket.set("k", &[0; 100_000]).unwrap();
    let exists = bucket.exists("k").unwrap();
    let keys = bucket.list_keys(Some(7)).unwrap();
    bucket.delete("k").unwrap();
    let config = config::store::get_all().unwrap();
    format!("{exists} {:?} {:?} {config:?}", keys.keys, keys.cursor)
}
