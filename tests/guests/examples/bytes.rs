//! Gives back what it is called with.

#![allow(unsafe_op_in_unsafe_fn, reason = "the bindings are of an older edition")]

#[rustfmt::skip]
mod bindings {
    wit_bindgen::generate!({ path: "wit/bytes.wit", world: "server" });
}

use bindings::exports::bench::bytes::echo::{Guest, Parcel};

struct Bytes;

impl Guest for Bytes {
    fn same(data: Vec<u8>) -> Vec<u8> {
        data
    }

    fn wrapped(parcel: Parcel) -> Result<Parcel, String> {
        Ok(parcel)
    }
}

bindings::export!(Bytes with_types_in bindings);
