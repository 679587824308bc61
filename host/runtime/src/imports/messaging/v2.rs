//! `wasmcloud:messaging/consumer@0.2.0`: every failure is a sentence.

use mesh_lattice::{
    CallError,
    wit::{
        Outcome,
        messaging::{self as wire, RequestParamsRef},
    },
};
use serde_bytes::{ByteBuf, Bytes};
use wasmtime::component::Linker;

use super::{PUBLISH, REQUEST};
use crate::{linker::Own, state::State};

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../interfaces/wit",
        world: "mesh:interfaces/messaging-v2-imports",
        imports: { default: async | trappable },
    });
}

use bindings::wasmcloud::messaging0_2_0::consumer;
#[expect(unreachable_pub, reason = "other bindings re-export it")]
pub use bindings::wasmcloud::messaging0_2_0::types;

pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    consumer::add_to_linker::<State, Own>(linker, |state| state)
}

impl From<types::BrokerMessage> for wire::Message {
    fn from(message: types::BrokerMessage) -> Self {
        let types::BrokerMessage { subject, body, reply_to } = message;
        Self { subject, body: ByteBuf::from(body), reply_to, ..Self::default() }
    }
}

impl From<wire::Message> for types::BrokerMessage {
    fn from(message: wire::Message) -> Self {
        Self { subject: message.subject, body: message.body.into_vec(), reply_to: message.reply_to }
    }
}

fn said<T>(result: Result<Outcome<T, String>, CallError>) -> Result<T, String> {
    result.map_err(|error| error.to_string())?.into()
}

impl consumer::Host for State {
    async fn request(
        &mut self,
        subject: String,
        body: Vec<u8>,
        timeout_ms: u32,
    ) -> wasmtime::Result<Result<types::BrokerMessage, String>> {
        let params: RequestParamsRef<'_> = (&subject, Bytes::new(&body), timeout_ms);
        let answer = self.outbound.messaging::<_, wire::Message>(|spelled| &spelled.consumer, &REQUEST, &params).await;
        Ok(said(answer).map(Into::into))
    }

    async fn publish(&mut self, message: types::BrokerMessage) -> wasmtime::Result<Result<(), String>> {
        let params: wire::MessageParams = (message.into(),);
        Ok(said(self.outbound.messaging(|spelled| &spelled.consumer, &PUBLISH, &params).await))
    }
}

impl types::Host for State {}
