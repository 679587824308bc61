//! `wasmcloud:messaging` handlers of an actor, in either version. A message is one value on the wire, so an actor takes
//! it under the name of both versions' handlers, whichever of them it exports.

use mesh_lattice::{
    CallError, Code, Interface, Invocation, Params, Reply,
    wit::{
        self, Outcome,
        messaging::{Message, MessageParams, PACKAGE, operation},
    },
};
use wasmtime::{
    Store,
    component::{self, InstancePre},
};

use crate::{instance::Instance, outbound::Outbound, state::State};

mod v2 {
    wasmtime::component::bindgen!({
        path: "../../interfaces/wit",
        world: "mesh:interfaces/messaging-v2-handler",
        exports: { default: async },
        with: { "wasmcloud:messaging/types": crate::imports::messaging::v2::types },
    });
}

mod v3 {
    wasmtime::component::bindgen!({
        path: "../../interfaces/wit",
        world: "mesh:interfaces/messaging-v3-handler",
        exports: { default: async },
        with: { "wasmcloud:messaging/types": crate::imports::messaging::v3::types },
    });
}

/// The interface and the operation of each version.
const HANDLERS: [(&str, &str); 2] = [("handler", operation::HANDLE_MESSAGE), ("incoming-handler", operation::HANDLE)];

/// Where an actor's handler is.
pub(crate) enum Handler {
    V2(v2::MessagingV2HandlerIndices),
    V3(v3::MessagingV3HandlerIndices),
}

impl Handler {
    /// That of an actor which exports these interfaces; the earlier version, where it has both.
    pub(crate) fn of<'a>(
        pre: &InstancePre<State>,
        exports: impl Iterator<Item = &'a Interface>,
    ) -> wasmtime::Result<Option<Self>> {
        let mut found = None;
        for export in exports.filter(|export| export.package() == PACKAGE) {
            match (export.interface(), export.version()) {
                ("handler", Some("0.2.0")) => {
                    return v2::MessagingV2HandlerIndices::new(pre).map(|indices| Some(Self::V2(indices)));
                }
                ("incoming-handler", Some("0.3.0")) => {
                    found = Some(Self::V3(v3::MessagingV3HandlerIndices::new(pre)?));
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// Lets the guest handle a message, to its end.
    pub(crate) async fn handle(
        &self,
        store: &mut Store<State>,
        instance: &component::Instance,
        message: Message,
    ) -> wasmtime::Result<Outcome<(), String>> {
        Ok(match self {
            Self::V2(indices) => {
                let handler = indices.load(&mut *store, instance)?;
                handler.wasmcloud_messaging0_2_0_handler().call_handle_message(store, &message.into()).await?.into()
            }
            Self::V3(indices) => {
                let handler = indices.load(&mut *store, instance)?;
                let message = store.data_mut().receive_message(message)?;
                let handled = handler.wasmcloud_messaging0_3_0_incoming_handler().call_handle(store, message).await?;
                handled.map_err(String::from).into()
            }
        })
    }
}

/// Whether a call is for a handler, of whichever version.
pub(crate) fn are_meant(invocation: &Invocation) -> bool {
    let meant = (invocation.interface.interface(), invocation.operation.as_ref());
    HANDLERS.contains(&meant) && invocation.interface.package() == PACKAGE
}

/// Lets the guest handle one message, to the end of the call.
pub(crate) async fn run(outbound: Outbound, message: Message) -> Result<Reply, CallError> {
    let mut instance = Instance::for_call(outbound);
    let result = instance.take_message(message).await;
    wit::to_wire(&instance.end(result)?).map(Reply::wire)
}

/// The message that a call brings.
pub(crate) fn message(params: &Params) -> Result<Message, CallError> {
    match params {
        Params::Wire(bytes) => wit::from_wire::<MessageParams>(bytes).map(|(message,)| message),
        Params::Http(_) => Err(CallError::new(Code::BadParams, "an HTTP request where a message is asked for")),
    }
}
