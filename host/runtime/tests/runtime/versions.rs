//! Versions of one interface beside each other: every release of WASI 0.2, both drafts of key-value, the last bus.

use std::sync::Arc;

use mesh_lattice::{
    CallError, Code, Reply, Serve,
    wit::{
        self, Outcome,
        keyvalue::{CasError, Error, KeyResponse2, Values, operation},
    },
};
use mesh_runtime::Actor;
use serde::Serialize;
use serde_bytes::ByteBuf;

use crate::{
    guests::{alone, config, engine, get, guest, patched, read, release, text},
    peer::Peer,
};

const STORE: &str = "wasi:keyvalue/store@0.2.0-draft2";
const ATOMICS: &str = "wasi:keyvalue/atomics@0.2.0-draft2";

fn ok<T: Serialize>(value: T) -> Result<Reply, CallError> {
    Ok(Reply::wire(wit::to_wire(&Outcome::<T, Error>::Ok(value)).unwrap()))
}

async fn later(peer: Arc<Peer>) -> Arc<Actor> {
    engine(true).actor(&guest("later"), config("later"), peer).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_of_the_latest_release_of_wasi_0_2_runs() {
    let actor = alone(&engine(true), "wasi_0_2_12").await;
    let exports: Vec<_> = actor.exports().iter().map(ToString::to_string).collect();
    assert_eq!(exports, ["wasi:http/incoming-handler@0.2.12"]);
    assert_eq!(text(&actor, "/").await, "0.2.12");
}

/// The releases that crates have been made of, but for 0.2.2 and 0.2.12, on which the other guests stand.
const RELEASED: [u32; 5] = [0, 1, 3, 4, 9];

#[tokio::test(flavor = "multi_thread")]
async fn guests_of_every_crate_of_a_release_run_beside_each_other() {
    let engine = engine(true);
    for patch in RELEASED {
        let actor = engine.actor(&release(patch), config("release"), Peer::nobody()).await.unwrap();
        let exports: Vec<_> = actor.exports().iter().map(ToString::to_string).collect();
        assert_eq!(exports, [format!("wasi:http/incoming-handler@0.2.{patch}")]);
        assert_eq!(text(&actor, "/a").await, format!("0.2.{patch} /a"));
    }
}

/// What these guests use differs between the releases in its name alone.
#[tokio::test(flavor = "multi_thread")]
async fn guests_of_the_releases_in_between_run_too() {
    let engine = engine(true);
    let (short, long) = (("hello", "@0.2.2"), ("wasi_0_2_12", "@0.2.12"));
    for (patch, (name, made)) in [(5, short), (6, short), (7, short), (8, short), (10, long), (11, long)] {
        let version = format!("@0.2.{patch}");
        let actor = engine
            .actor(&patched(name, "wasi:http/", made, &version), config("hello"), Peer::nobody())
            .await
            .unwrap_or_else(|error| panic!("{version}: {error}"));
        let exports: Vec<_> = actor.exports().iter().map(ToString::to_string).collect();
        assert_eq!(exports, [format!("wasi:http/incoming-handler{version}")]);
        assert_eq!(read(actor.serve(get("/")).await.unwrap()).await.0, 200, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_later_draft_counts_with_a_sign_and_says_which_draft_it_is() {
    let peer = Peer::answering(|_| ok(-3i64));
    assert_eq!(text(&*later(peer.clone()).await, "/").await, "Ok(-3)");
    let asked = &peer.asked()[0];
    assert_eq!((asked.interface.as_str(), asked.operation.as_str()), (ATOMICS, operation::INCREMENT));
    let params = wit::from_wire::<(ByteBuf, String, i64)>(&asked.params).unwrap();
    assert_eq!(params, (ByteBuf::from("counts"), "n".into(), -3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_goes_on_with_the_handle_that_came_back() {
    let peer = Peer::answering(|asked| match asked.operation.as_str() {
        operation::CAS_NEW => ok(ByteBuf::from(*b"first")),
        operation::CAS_CURRENT => ok(Some(ByteBuf::from(*b"abc"))),
        operation::SWAP if asked.params.windows(5).any(|part| part == b"first") => {
            let changed = Outcome::<(), _>::Err(CasError::CasFailed(ByteBuf::from(*b"second")));
            Ok(Reply::wire(wit::to_wire(&changed).unwrap()))
        }
        _ => ok(()),
    });
    assert_eq!(text(&*later(peer.clone()).await, "/swap").await, "abcx after 2");
    let asked = peer.asked();
    let swaps: Vec<_> = asked.iter().filter(|asked| asked.operation == operation::SWAP).collect();
    let params = |at: usize| wit::from_wire::<(ByteBuf, ByteBuf)>(&swaps[at].params).unwrap();
    assert_eq!(params(0), (ByteBuf::from(*b"first"), ByteBuf::from(*b"abcx")));
    assert_eq!(params(1), (ByteBuf::from(*b"second"), ByteBuf::from(*b"abcx")));
    assert!(swaps.iter().all(|asked| asked.interface == ATOMICS) && swaps.len() == 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_that_fails_is_an_error_that_the_guest_can_read() {
    for (code, expected) in [(Code::Denied, "Error::AccessDenied"), (Code::Busy, "Error::Other(\"busy: no\")")] {
        let peer = Peer::answering(move |asked| match asked.operation.as_str() {
            operation::SWAP => Err(CallError::new(code, "no")),
            operation::CAS_NEW => ok(ByteBuf::from(*b"handle")),
            _ => ok(None::<ByteBuf>),
        });
        assert_eq!(text(&*later(peer).await, "/swap").await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_of_the_later_draft_are_text_and_the_rest_is_the_same() {
    let peer = Peer::answering(|asked| match asked.operation.as_str() {
        operation::GET_MANY => ok::<Values>(vec![Some(("a".into(), ByteBuf::from([1]))), None]),
        operation::LIST_KEYS => ok(KeyResponse2 { keys: vec!["k".into()], cursor: Some("8".into()) }),
        operation::EXISTS => ok(true),
        _ => ok(()),
    });
    let actor = later(peer.clone()).await;
    assert_eq!(text(&actor, "/list").await, "true [Some((\"a\", [1])), None] [\"k\"] Some(\"8\")");
    let asked = peer.asked();
    let listed = asked.iter().find(|asked| asked.operation == operation::LIST_KEYS).unwrap();
    assert_eq!(listed.interface, STORE);
    assert_eq!(wit::from_wire::<(ByteBuf, Option<String>)>(&listed.params).unwrap().1.as_deref(), Some("7"));
    assert!(asked.iter().all(|asked| asked.interface.ends_with("@0.2.0-draft2")), "{asked:?}");
}

/// Each side has its own spelling of what many values are, and understands the other's.
#[tokio::test(flavor = "multi_thread")]
async fn many_values_are_read_in_both_spellings_from_whoever_has_either() {
    let older: Values = vec![Some(("a".into(), ByteBuf::from([1]))), None, Some(("a".into(), ByteBuf::from([1])))];
    let newer = vec![("a", Some(ByteBuf::from([1]))), ("b", None), ("a", Some(ByteBuf::from([1])))];
    let (older, newer) = (ok(older).unwrap(), ok(newer).unwrap());
    let bytes = |reply: Reply| match reply.answer {
        mesh_lattice::Answer::Wire(bytes) => bytes,
        other => panic!("{other:?}"),
    };
    let (older, newer) = (bytes(older), bytes(newer));
    assert_ne!(older, newer);
    for answered in [older, newer] {
        let peer = Peer::answering(move |asked| match asked.operation.as_str() {
            operation::GET_MANY => Ok(Reply::wire(answered.clone())),
            operation::LIST_KEYS => ok(KeyResponse2 { keys: Vec::new(), cursor: None }),
            operation::EXISTS => ok(true),
            _ => ok(()),
        });
        let latest = engine(true).actor(&guest("latest"), config("latest"), peer.clone()).await.unwrap();
        assert_eq!(text(&latest, "/").await, "Ok([(\"a\", Some([1])), (\"b\", None), (\"a\", Some([1]))])");
        let listed = text(&*later(peer.clone()).await, "/list").await;
        assert_eq!(listed, "true [Some((\"a\", [1])), None, Some((\"a\", [1]))] [] None");
        assert!(peer.asked().iter().any(|asked| asked.interface == "wasi:keyvalue/batch@0.2.0-draft2"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_version_of_the_bus_says_no_as_the_one_before() {
    let answer = text(&*later(Peer::nobody()).await, "/bad-link").await;
    assert!(answer.starts_with("Err(") && answer.contains("is not a link name"), "{answer}");
}
