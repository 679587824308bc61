//! `wasmcloud:messaging@0.2.0` and `@0.3.0`: one form for both, so that guests and providers of either version
//! understand each other.
//!
//! A message crosses as a value, the record [`Message`]. Without content type and metadata, which only the later
//! version has, it is byte for byte the `broker-message` of the earlier one. The later version's resources never
//! cross: a `message` becomes its record, and a `client` stays with the actor, whose link says which broker it means.
//! Every function answers with `result<T, string>`; what the later version tells apart in its `error` are the codes of
//! the call: `deadline_exceeded` is a timeout, `denied` and `not_linked` a permission denied, `backend` and its like the
//! connection.
//!
//! | interface | operation | parameters | value |
//! |---|---|---|---|
//! | `consumer@0.2.0` | [`operation::PUBLISH`] | message | none |
//! | `consumer@0.2.0` | [`operation::REQUEST`] | subject, body, milliseconds | message |
//! | `producer@0.3.0` | [`operation::SEND`] | message | none |
//! | `request-reply@0.3.0` | [`operation::REQUEST`] | message, [`RequestOptions`] | list of messages |
//! | `request-reply@0.3.0` | [`operation::REPLY`] | message, its subject where the reply goes | none |
//! | `handler@0.2.0` | [`operation::HANDLE_MESSAGE`] | message | none |
//! | `incoming-handler@0.3.0` | [`operation::HANDLE`] | message | none |
//!
//! An actor that handles messages takes both of the last two, whichever it exports.

use serde::{Deserialize, Serialize};
use serde_bytes::{ByteBuf, Bytes};

use crate::invocation::{CallError, Code};

/// A message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Message {
    /// Where it goes to, or came on.
    pub subject: String,
    /// What it says.
    pub body: ByteBuf,
    /// Where an answer is waited for.
    pub reply_to: Option<String>,
    /// What the body is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// What else is said about it, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metadata: Vec<(String, String)>,
}

/// How a request is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RequestOptions {
    /// How long answers are waited for.
    pub timeout_ms: Option<u32>,
    /// How many are waited for; one where nothing is said.
    pub expected_replies: Option<u32>,
}

/// The functions, as they stand in [`crate::Invocation::operation`].
pub mod operation {
    /// `publish(message) -> result<_, string>`
    pub const PUBLISH: &str = "publish";
    /// `request(subject, body, timeout-ms) -> result<message, string>`, or
    /// `request(message, options) -> result<list<message>, string>` in `request-reply`
    pub const REQUEST: &str = "request";
    /// `send(message) -> result<_, string>`
    pub const SEND: &str = "send";
    /// `reply(message) -> result<_, string>`
    pub const REPLY: &str = "reply";
    /// `handle-message(message) -> result<_, string>`
    pub const HANDLE_MESSAGE: &str = "handle-message";
    /// `handle(message) -> result<_, string>`
    pub const HANDLE: &str = "handle";
}

/// The package.
pub const PACKAGE: &str = "wasmcloud:messaging";
/// What an actor of version 0.2 imports to send.
pub const CONSUMER: &str = "wasmcloud:messaging/consumer@0.2.0";
/// What an actor of version 0.2 exports to get messages.
pub const HANDLER: &str = "wasmcloud:messaging/handler@0.2.0";
/// What an actor of version 0.3 imports to send.
pub const PRODUCER: &str = "wasmcloud:messaging/producer@0.3.0";
/// What an actor of version 0.3 imports to send and wait for answers.
pub const REQUEST_REPLY: &str = "wasmcloud:messaging/request-reply@0.3.0";
/// What an actor of version 0.3 exports to get messages.
pub const INCOMING_HANDLER: &str = "wasmcloud:messaging/incoming-handler@0.3.0";

/// Parameters of all functions but `request`.
pub type MessageParams = (Message,);
/// Parameters of `request` in version 0.2.
pub type RequestParams = (String, ByteBuf, u32);
/// Parameters of `request` in version 0.2, borrowed by who writes them.
pub type RequestParamsRef<'a> = (&'a str, &'a Bytes, u32);
/// Parameters of `request` in version 0.3.
pub type RequestManyParams = (Message, RequestOptions);

/// What version 0.3 tells apart where a message was not sent or not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// No answer came in time.
    Timeout,
    /// The broker cannot be reached.
    Connection(String),
    /// It may not be sent.
    PermissionDenied(String),
    /// Anything else.
    Other(String),
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        match error.code {
            Code::DeadlineExceeded => Self::Timeout,
            Code::Denied | Code::NotLinked => Self::PermissionDenied(error.message),
            Code::Backend | Code::Unavailable | Code::Busy | Code::Lost | Code::ReplyLost => {
                Self::Connection(error.to_string())
            }
            _ => Self::Other(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wit::{Outcome, from_wire, to_wire};

    #[test]
    fn a_plain_message_is_the_record_of_version_0_2() {
        let message = Message { subject: "a.b".into(), body: ByteBuf::from(*b"x"), ..Default::default() };
        let wire = to_wire(&(&message,)).unwrap();
        assert_eq!(wire.as_ref(), b"\x91\x83\xa7subject\xa3a.b\xa4body\xc4\x01x\xa8reply-to\xc0");
        assert_eq!(from_wire::<MessageParams>(&wire).unwrap(), (message,));
    }

    #[test]
    fn what_only_version_0_3_says_comes_through() {
        let message = Message {
            subject: "a".into(),
            body: ByteBuf::new(),
            reply_to: Some("r".into()),
            content_type: Some("text/plain".into()),
            metadata: vec![("k".into(), "1".into()), ("k".into(), "2".into())],
        };
        let wire = to_wire(&Outcome::<_, String>::Ok(vec![message.clone()])).unwrap();
        assert_eq!(from_wire::<Outcome<Vec<Message>, String>>(&wire).unwrap(), Outcome::Ok(vec![message]));
        let options = RequestOptions { timeout_ms: Some(5), expected_replies: None };
        assert_eq!(from_wire::<RequestOptions>(&to_wire(&options).unwrap()).unwrap(), options);
    }

    #[test]
    fn each_code_has_its_place_in_the_later_version() {
        let trouble = |code| Trouble::from(CallError::new(code, "why"));
        assert_eq!(trouble(Code::DeadlineExceeded), Trouble::Timeout);
        assert_eq!(trouble(Code::NotLinked), Trouble::PermissionDenied("why".into()));
        assert_eq!(trouble(Code::Backend), Trouble::Connection("backend: why".into()));
        assert_eq!(trouble(Code::TooLarge), Trouble::Other("too_large: why".into()));
    }
}
