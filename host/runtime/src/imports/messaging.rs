//! `wasmcloud:messaging`, versions 0.2 and 0.3, as calls along a link. Both become the same messages on the wire, so
//! that it does not matter to either end which version the other one speaks.

pub(crate) mod v2;
pub(crate) mod v3;

use std::sync::{Arc, LazyLock};

use mesh_lattice::{
    CallError, Interface,
    name::BadName,
    wit::{
        Outcome,
        messaging::{self as wire, operation},
    },
};
use serde::{Serialize, de::DeserializeOwned};
use wasmtime::component::Linker;

use crate::{outbound::Outbound, state::State};

/// The interfaces as guests spell them.
pub(crate) struct Spelled {
    consumer: Interface,
    producer: Interface,
    request_reply: Interface,
}

impl Spelled {
    pub(crate) fn new() -> Result<Self, BadName> {
        Ok(Self {
            consumer: wire::CONSUMER.parse()?,
            producer: wire::PRODUCER.parse()?,
            request_reply: wire::REQUEST_REPLY.parse()?,
        })
    }
}

/// A function's name, shared by all calls of it.
type Operation = LazyLock<Arc<str>>;

static PUBLISH: Operation = LazyLock::new(|| operation::PUBLISH.into());
static REQUEST: Operation = LazyLock::new(|| operation::REQUEST.into());
static SEND: Operation = LazyLock::new(|| operation::SEND.into());
static REPLY: Operation = LazyLock::new(|| operation::REPLY.into());

pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    v2::add(linker)?;
    v3::add(linker)
}

impl Outbound {
    async fn messaging<P: Serialize, R: DeserializeOwned>(
        &self,
        interface: fn(&Spelled) -> &Interface,
        operation: &Operation,
        params: &P,
    ) -> Result<Outcome<R, String>, CallError> {
        self.call_wit(interface(&self.shared.messaging), Arc::clone(operation), params).await
    }
}
