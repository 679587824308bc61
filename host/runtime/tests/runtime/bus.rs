//! `wasmcloud:bus` beside the choice of a link itself, which the tests of `keyvalue` cover.

use mesh_lattice::{Code, Serve};

use crate::{
    guests::{alone, config, engine, get, guest, text},
    peer::Peer,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_cannot_be_a_link_is_refused_in_the_words_of_the_interface() {
    let peer = Peer::nobody();
    let actor = engine(true).actor(&guest("visits"), config("visits"), peer.clone()).await.unwrap();
    let answer = text(&actor, "/bad-link").await;
    assert!(answer.starts_with("Err(") && answer.contains("is not a link name"), "{answer}");
    assert!(peer.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_that_cannot_refuse_ends_the_guest() {
    let actor = alone(&engine(true), "older").await;
    let error = actor.serve(get("/No-Such-Link")).await.unwrap_err();
    assert_eq!(error.code, Code::Trap);
    assert!(error.message.contains("is not a link name"), "{error}");
}
