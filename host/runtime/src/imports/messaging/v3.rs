//! `wasmcloud:messaging@0.3.0`: messages, clients and options are resources of the host.
//!
//! A client is a name that the guest gave: which broker it means is for the actor's link to say, so connecting calls
//! nobody. What a message holds counts as memory of the guest that holds it.

use mesh_lattice::{
    CallError,
    wit::{
        Outcome,
        messaging::{self as wire, Trouble},
    },
};
use serde_bytes::ByteBuf;
use wasmtime::component::{Linker, Resource};

use super::{REPLY, REQUEST, SEND};
use crate::{failure::TooMuch, linker::Own, state::State};

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../interfaces/wit",
        world: "mesh:interfaces/messaging-v3-imports",
        imports: {
            "wasmcloud:messaging/producer.send": async | trappable,
            "wasmcloud:messaging/request-reply.request": async | trappable,
            "wasmcloud:messaging/request-reply.reply": async | trappable,
            default: trappable,
        },
        with: {
            "wasmcloud:messaging/types.client": super::Client,
            "wasmcloud:messaging/types.message": super::Message,
            "wasmcloud:messaging/request-reply.request-options": super::Options,
        },
    });
}

#[expect(unreachable_pub, reason = "other bindings re-export it")]
pub use bindings::wasmcloud::messaging0_3_0::types;
use bindings::wasmcloud::messaging0_3_0::{producer, request_reply};
use types::Error;

/// A client: nothing but a handle.
#[expect(unreachable_pub, reason = "the bindings re-export it")]
pub struct Client;

/// A message that a guest holds.
#[expect(unreachable_pub, reason = "the bindings re-export it")]
pub struct Message {
    message: wire::Message,
    /// Whether it came from somewhere: one that the guest made has no topic.
    received: bool,
}

/// How a request is to be made.
#[expect(unreachable_pub, reason = "the bindings re-export it")]
#[derive(Default)]
pub struct Options(wire::RequestOptions);

pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    types::add_to_linker::<State, Own>(linker, |state| state)?;
    producer::add_to_linker::<State, Own>(linker, |state| state)?;
    request_reply::add_to_linker::<State, Own>(linker, |state| state)
}

/// Bytes that a message takes.
fn size(message: &wire::Message) -> usize {
    let metadata: usize = message.metadata.iter().map(|(key, value)| pair(key, value)).sum();
    let texts = [Some(&message.subject), message.reply_to.as_ref(), message.content_type.as_ref()];
    let texts: usize = texts.into_iter().flatten().map(String::len).sum();
    message.body.len() + metadata + texts
}

/// Bytes that one of its metadata takes, with what lies around it.
fn pair(key: &str, value: &str) -> usize {
    key.len() + value.len() + size_of::<(String, String)>()
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Timeout => Self::Timeout,
            Trouble::Connection(why) => Self::Connection(why),
            Trouble::PermissionDenied(why) => Self::PermissionDenied(why),
            Trouble::Other(why) => Self::Other(why),
        }
    }
}

/// What the handler of version 0.3 says, in the one sentence that crosses.
impl From<Error> for String {
    fn from(error: Error) -> Self {
        match error {
            Error::Timeout => "timeout".into(),
            Error::Connection(why) => format!("connection: {why}"),
            Error::PermissionDenied(why) => format!("permission denied: {why}"),
            Error::Other(why) => why,
        }
    }
}

fn said<T>(result: Result<Outcome<T, String>, CallError>) -> Result<T, Error> {
    match result {
        Ok(Outcome::Ok(value)) => Ok(value),
        Ok(Outcome::Err(message)) => Err(Error::Other(message)),
        Err(error) => Err(Trouble::from(error).into()),
    }
}

impl State {
    fn hold_bytes(&mut self, bytes: usize) -> wasmtime::Result<()> {
        if self.usage.hold(bytes) { Ok(()) } else { Err(TooMuch("a message").into()) }
    }

    fn hold_message(&mut self, message: wire::Message, received: bool) -> wasmtime::Result<Resource<Message>> {
        self.hold_bytes(size(&message))?;
        Ok(self.table.push(Message { message, received })?)
    }

    /// A message that comes to the guest.
    pub(crate) fn receive_message(&mut self, message: wire::Message) -> wasmtime::Result<Resource<Message>> {
        self.hold_message(message, true)
    }

    fn take_message(&mut self, message: Resource<Message>) -> wasmtime::Result<wire::Message> {
        let Message { message, .. } = self.table.delete(message)?;
        self.usage.release(size(&message));
        Ok(message)
    }

    /// Changes a message and counts what it takes then.
    fn change(&mut self, message: &Resource<Message>, change: impl FnOnce(&mut wire::Message)) -> wasmtime::Result<()> {
        let message = &mut self.table.get_mut(message)?.message;
        let before = size(message);
        change(message);
        let after = size(message);
        self.usage.release(before);
        self.hold_bytes(after)
    }
}

impl types::Host for State {}

impl types::HostClient for State {
    fn connect(&mut self, _: String) -> wasmtime::Result<Result<Resource<Client>, Error>> {
        Ok(Ok(self.table.push(Client)?))
    }

    fn disconnect(&mut self, client: Resource<Client>) -> wasmtime::Result<Result<(), Error>> {
        self.table.get(&client)?;
        Ok(Ok(()))
    }

    fn drop(&mut self, client: Resource<Client>) -> wasmtime::Result<()> {
        self.table.delete(client)?;
        Ok(())
    }
}

impl types::HostMessage for State {
    fn new(&mut self, data: Vec<u8>) -> wasmtime::Result<Resource<Message>> {
        self.hold_message(wire::Message { body: ByteBuf::from(data), ..Default::default() }, false)
    }

    fn topic(&mut self, message: Resource<Message>) -> wasmtime::Result<Option<String>> {
        let message = self.table.get(&message)?;
        Ok(message.received.then(|| message.message.subject.clone()))
    }

    fn content_type(&mut self, message: Resource<Message>) -> wasmtime::Result<Option<String>> {
        Ok(self.table.get(&message)?.message.content_type.clone())
    }

    fn set_content_type(&mut self, message: Resource<Message>, content_type: String) -> wasmtime::Result<()> {
        self.change(&message, |message| message.content_type = Some(content_type))
    }

    fn data(&mut self, message: Resource<Message>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.table.get(&message)?.message.body.to_vec())
    }

    fn set_data(&mut self, message: Resource<Message>, data: Vec<u8>) -> wasmtime::Result<()> {
        self.change(&message, |message| message.body = ByteBuf::from(data))
    }

    fn metadata(&mut self, message: Resource<Message>) -> wasmtime::Result<Option<types::Metadata>> {
        let metadata = &self.table.get(&message)?.message.metadata;
        Ok((!metadata.is_empty()).then(|| metadata.clone()))
    }

    fn add_metadata(&mut self, message: Resource<Message>, key: String, value: String) -> wasmtime::Result<()> {
        // Counted by itself: the whole would be counted anew for each of many.
        self.hold_bytes(pair(&key, &value))?;
        self.table.get_mut(&message)?.message.metadata.push((key, value));
        Ok(())
    }

    fn set_metadata(&mut self, message: Resource<Message>, metadata: types::Metadata) -> wasmtime::Result<()> {
        self.change(&message, |message| message.metadata = metadata)
    }

    fn remove_metadata(&mut self, message: Resource<Message>, key: String) -> wasmtime::Result<()> {
        self.change(&message, |message| message.metadata.retain(|(name, _)| *name != key))
    }

    fn drop(&mut self, message: Resource<Message>) -> wasmtime::Result<()> {
        self.take_message(message).map(drop)
    }
}

impl producer::Host for State {
    async fn send(
        &mut self,
        client: Resource<Client>,
        topic: String,
        message: Resource<Message>,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.table.get(&client)?;
        let message = wire::Message { subject: topic, reply_to: None, ..self.take_message(message)? };
        let params: wire::MessageParams = (message,);
        Ok(said(self.outbound.messaging(|spelled| &spelled.producer, &SEND, &params).await))
    }
}

impl request_reply::Host for State {
    async fn request(
        &mut self,
        client: Resource<Client>,
        topic: String,
        message: Resource<Message>,
        options: Option<Resource<Options>>,
    ) -> wasmtime::Result<Result<Vec<Resource<Message>>, Error>> {
        self.table.get(&client)?;
        let options = options.map(|options| self.table.delete(options)).transpose()?.unwrap_or_default();
        let message = self.table.get(&message)?.message.clone();
        let params: wire::RequestManyParams = (wire::Message { subject: topic, reply_to: None, ..message }, options.0);
        let replies =
            self.outbound.messaging::<_, Vec<wire::Message>>(|spelled| &spelled.request_reply, &REQUEST, &params);
        Ok(match said(replies.await) {
            Ok(replies) => {
                Ok(replies.into_iter().map(|reply| self.receive_message(reply)).collect::<wasmtime::Result<_>>()?)
            }
            Err(error) => Err(error),
        })
    }

    async fn reply(
        &mut self,
        reply_to: Resource<Message>,
        message: Resource<Message>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let subject = self.table.get(&reply_to)?.message.reply_to.clone();
        let message = self.take_message(message)?;
        let Some(subject) = subject else {
            return Ok(Err(Error::Other("nobody waits for an answer to this message".into())));
        };
        let params: wire::MessageParams = (wire::Message { subject, reply_to: None, ..message },);
        Ok(said(self.outbound.messaging(|spelled| &spelled.request_reply, &REPLY, &params).await))
    }
}

impl request_reply::HostRequestOptions for State {
    fn new(&mut self) -> wasmtime::Result<Resource<Options>> {
        Ok(self.table.push(Options::default())?)
    }

    fn set_timeout_ms(&mut self, options: Resource<Options>, timeout_ms: u32) -> wasmtime::Result<()> {
        self.table.get_mut(&options)?.0.timeout_ms = Some(timeout_ms);
        Ok(())
    }

    fn set_expected_replies(&mut self, options: Resource<Options>, expected_replies: u32) -> wasmtime::Result<()> {
        self.table.get_mut(&options)?.0.expected_replies = Some(expected_replies);
        Ok(())
    }

    fn drop(&mut self, options: Resource<Options>) -> wasmtime::Result<()> {
        self.table.delete(options)?;
        Ok(())
    }
}
