//! Publish, request and reply: what actors call.
//!
//! A call waits for a connection for two seconds at most. A request waits for its answer as long as it says, where it
//! says nothing as long as its caller does, and never longer than that. What could not be sent fails with a code:
//! `denied` for a subject that is not for actors, `too_large`, `backend` where NATS is away, `deadline_exceeded` where
//! no answer came. The interface's own error, in words, is for what only the caller can mend.

use std::time::Duration;

use async_nats::{
    HeaderMap, PublishErrorKind, Request, RequestErrorKind, StatusCode,
    client::{PublishError, RequestError},
};
use bytes::Bytes;
use futures::StreamExt as _;
use mesh_lattice::{
    CallError, Code, Deadline, Invocation, Params, Reply, TraceContext,
    wit::{
        Outcome, from_wire,
        messaging::{Message, MessageParams, RequestManyParams, RequestParams, operation},
        to_wire,
    },
};
use mesh_nats::{Connection, within};
use serde::Serialize;

use crate::{
    counters::{Counters, count},
    message::{headers, received},
    subject::{BadSubject, publishable},
};

/// The most answers that one request can wait for.
const MOST_REPLIES: u32 = 1_000;

/// The most bytes that the answers to one request may have together.
const MOST_BYTES: usize = 16 << 20;

/// Why a message did not go out, or nothing came back.
enum Failure {
    /// In the interface's own words.
    Said(String),
    /// As the call's own failure.
    Call(CallError),
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Said(message)
    }
}

impl From<BadSubject> for Failure {
    fn from(error: BadSubject) -> Self {
        match error {
            BadSubject::Form(_) => Self::Said(error.to_string()),
            BadSubject::Reserved(_) => Self::Call(CallError::new(Code::Denied, error.to_string())),
        }
    }
}

fn backend(error: impl std::fmt::Display) -> Failure {
    Failure::Call(CallError::new(Code::Backend, error.to_string()))
}

/// One call of an actor.
pub(crate) struct Sending<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) counters: &'a Counters,
    pub(crate) deadline: Deadline,
    pub(crate) trace: Option<TraceContext>,
}

/// Serves one invocation of an interface that sends.
///
/// # Errors
///
/// `unknown_operation`, `bad_params`, and what sending fails with.
pub(crate) async fn serve(
    connection: &Connection,
    counters: &Counters,
    invocation: Invocation,
) -> Result<Reply, CallError> {
    let Params::Wire(params) = &invocation.params else {
        return Err(CallError::new(Code::BadParams, "messaging takes no HTTP request"));
    };
    let sending = Sending { connection, counters, deadline: invocation.deadline, trace: invocation.trace };
    match (invocation.interface.interface(), invocation.operation.as_ref()) {
        ("consumer", operation::PUBLISH) | ("producer", operation::SEND) | ("request-reply", operation::REPLY) => {
            let (message,): MessageParams = from_wire(params)?;
            answer(sending.publish(message).await)
        }
        ("consumer", operation::REQUEST) => {
            let (subject, body, timeout_ms): RequestParams = from_wire(params)?;
            let message = Message { subject, body, ..Message::default() };
            answer(sending.counted(sending.request(message, Some(timeout_ms)).await))
        }
        ("request-reply", operation::REQUEST) => {
            let (message, options): RequestManyParams = from_wire(params)?;
            let replies = match options.expected_replies {
                None | Some(0 | 1) => sending.request(message, options.timeout_ms).await.map(|reply| vec![reply]),
                Some(many) => sending.request_many(message, options.timeout_ms, many).await,
            };
            answer(sending.counted(replies))
        }
        (interface, operation) => {
            Err(CallError::new(Code::UnknownOperation, format!("messaging has no function {interface}#{operation}")))
        }
    }
}

fn answer<T: Serialize>(result: Result<T, Failure>) -> Result<Reply, CallError> {
    let outcome: Outcome<T, String> = match result {
        Ok(value) => Outcome::Ok(value),
        Err(Failure::Said(message)) => Outcome::Err(message),
        Err(Failure::Call(error)) => return Err(error),
    };
    to_wire(&outcome).map(Reply::wire)
}

impl Sending<'_> {
    fn counted<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        count(if result.is_ok() { &self.counters.answered } else { &self.counters.unanswered });
        result
    }

    async fn publish(&self, message: Message) -> Result<(), Failure> {
        if let Some(reply_to) = &message.reply_to {
            // Whoever answers there does it with rights of his own.
            publishable(reply_to)?;
        }
        let headers = self.ready(&message).await?;
        self.send(message, headers).await?;
        within(self.deadline, self.connection.client().flush()).await.map_err(backend)?.map_err(backend)?;
        count(&self.counters.published);
        Ok(())
    }

    /// The headers of a message that may go out, once there is a connection.
    async fn ready(&self, message: &Message) -> Result<HeaderMap, Failure> {
        publishable(&message.subject)?;
        let headers = headers(message, self.trace.as_ref())?;
        self.connection.connected(self.deadline).await.map_err(backend)?;
        Ok(headers)
    }

    async fn send(&self, message: Message, headers: HeaderMap) -> Result<(), Failure> {
        let client = self.connection.client();
        let (length, payload) = (message.body.len(), Bytes::from(message.body.into_vec()));
        let sent = async {
            match (message.reply_to, headers.is_empty()) {
                (None, true) => client.publish(message.subject, payload).await,
                (None, false) => client.publish_with_headers(message.subject, headers, payload).await,
                (Some(reply), true) => client.publish_with_reply(message.subject, reply, payload).await,
                (Some(reply), false) => {
                    client.publish_with_reply_and_headers(message.subject, reply, headers, payload).await
                }
            }
        };
        let sent = within(self.deadline, sent).await.map_err(backend)?;
        sent.map_err(|error: PublishError| match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => self.too_large(length),
            PublishErrorKind::InvalidSubject => Failure::Said(error.to_string()),
            PublishErrorKind::Send => backend(error),
        })
    }

    fn too_large(&self, length: usize) -> Failure {
        let most = self.connection.max_payload();
        let message = format!("a message of {length} bytes and its headers, where the server takes {most} in all");
        Failure::Call(CallError::new(Code::TooLarge, message))
    }

    /// How long an answer is waited for.
    fn patience(&self, timeout_ms: Option<u32>) -> Duration {
        let said = timeout_ms.filter(|millis| *millis > 0).map(|millis| Duration::from_millis(millis.into()));
        said.unwrap_or(Duration::MAX).min(self.deadline.remaining())
    }

    async fn request(&self, message: Message, timeout_ms: Option<u32>) -> Result<Message, Failure> {
        let headers = self.ready(&message).await?;
        let (subject, length) = (message.subject, message.body.len());
        let patience = self.patience(timeout_ms);
        let request = Request::new().payload(message.body.into_vec().into()).timeout(None);
        let request = if headers.is_empty() { request } else { request.headers(headers) };
        let asked = self.connection.client().send_request(subject.clone(), request);
        let asked = tokio::time::timeout(patience, asked).await.map_err(|_| no_answer(&subject))?;
        match asked {
            Ok(reply) => Ok(received(reply).0),
            Err(error) => Err(self.not_answered(&subject, length, &error)),
        }
    }

    fn not_answered(&self, subject: &str, length: usize, error: &RequestError) -> Failure {
        match error.kind() {
            RequestErrorKind::TimedOut => no_answer(subject),
            RequestErrorKind::NoResponders => nobody_there(subject),
            RequestErrorKind::MaxPayloadExceeded => self.too_large(length),
            RequestErrorKind::InvalidSubject => Failure::Said(error.to_string()),
            RequestErrorKind::Other => backend(error),
        }
    }

    /// What came until all have answered or the time is up; nothing at all is a failure.
    async fn request_many(
        &self,
        message: Message,
        timeout_ms: Option<u32>,
        replies: u32,
    ) -> Result<Vec<Message>, Failure> {
        if replies > MOST_REPLIES {
            return Err(Failure::Said(format!("more than {MOST_REPLIES} replies are expected")));
        }
        let headers = self.ready(&message).await?;
        let (subject, patience) = (message.subject.clone(), self.patience(timeout_ms));
        let client = self.connection.client();
        let inbox = client.new_inbox();
        let mut answers =
            within(self.deadline, client.subscribe(inbox.clone())).await.map_err(backend)?.map_err(backend)?;
        self.send(Message { reply_to: Some(inbox), ..message }, headers).await?;
        let until = tokio::time::Instant::now() + patience;
        let wanted = usize::try_from(replies).unwrap_or(usize::MAX);
        let (mut came, mut bytes) = (Vec::new(), 0_usize);
        while came.len() < wanted {
            let Ok(Some(reply)) = tokio::time::timeout_at(until, answers.next()).await else { break };
            if reply.status == Some(StatusCode::NO_RESPONDERS) {
                return Err(nobody_there(&subject));
            }
            bytes = bytes.saturating_add(reply.length);
            if bytes > MOST_BYTES {
                let message = format!("the answers have more than {MOST_BYTES} bytes together");
                return Err(Failure::Call(CallError::new(Code::TooLarge, message)));
            }
            came.push(received(reply).0);
        }
        if came.is_empty() { Err(no_answer(&subject)) } else { Ok(came) }
    }
}

fn no_answer(subject: &str) -> Failure {
    Failure::Call(CallError::new(Code::DeadlineExceeded, format!("no answer came in time from {subject}")))
}

fn nobody_there(subject: &str) -> Failure {
    Failure::Said(format!("nobody listens on {subject}"))
}
