//! One call along a link, its answer, its errors, and the one trait of everything that can be called.
//!
//! ```text
//! guest import ─► adapter ─► router ─┬─► local actor          same process
//!                                    ├─► built-in provider    same process
//!                                    └─► remote host          NATS, directed at one boot of one host
//! ```
//!
//! Each arrow is [`Serve::serve`]. What crosses it inside one process is the same [`Invocation`] that crosses a
//! network as frames; only an HTTP request keeps its parsed head in memory ([`Params::Http`]), because turning
//! headers into MessagePack and back would cost more than the rest of a local call.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::{BodyExt as _, combinators::UnsyncBoxBody};
use serde::{Deserialize, Serialize};

use crate::{
    clock::Deadline,
    handle::{Origin, Pin},
    id::CallId,
    interface::Interface,
    name::{LinkName, Name},
};

/// A byte stream that belongs to a call: frames of data, and trailers where the interface has them. It ends, or it
/// fails with the error of its call; its end is never implied by silence.
pub type Body = UnsyncBoxBody<Bytes, CallError>;

/// A body with these bytes.
#[must_use]
pub fn full_body(bytes: Bytes) -> Body {
    http_body_util::Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// A body without bytes.
#[must_use]
pub fn empty_body() -> Body {
    http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Caller {
    /// An actor or a provider, by its name in the lattice.
    #[serde(rename = "n")]
    Named(Name),
    /// A person with a user key, who needs no link.
    #[serde(rename = "o")]
    Operator(crate::id::UserId),
}

impl Caller {
    /// The caller's name; `None` for an operator.
    #[must_use]
    pub fn name(&self) -> Option<&Name> {
        match self {
            Self::Named(name) => Some(name),
            Self::Operator(_) => None,
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => name.fmt(f),
            Self::Operator(user) => write!(f, "operator {user}"),
        }
    }
}

/// A W3C trace context, as it stands in the header `traceparent` (and `tracestate`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceContext {
    /// `00-<trace id>-<span id>-<flags>`.
    #[serde(rename = "p")]
    pub traceparent: Arc<str>,
    /// What vendors add, where there is any.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<Arc<str>>,
}

/// The parameters of a call.
#[derive(Debug)]
pub enum Params {
    /// A MessagePack array in declared order: see [`crate::value`].
    Wire(Bytes),
    /// The head of an HTTP request to `wasi:http/incoming-handler`, kept parsed inside one process.
    Http(Box<http::request::Parts>),
}

/// One call along a link.
pub struct Invocation {
    /// Never run twice by whoever took it.
    pub id: CallId,
    /// Who calls: the word of the host that it runs on.
    pub caller: Caller,
    /// Which of the caller's links for this interface.
    pub link: LinkName,
    /// Who is called. `None` until the router found it by the link; a provider with several targets under one link
    /// name says which.
    pub target: Option<Name>,
    /// The interface as the caller spells it.
    pub interface: Interface,
    /// The function, or `resource.function`, as WIT spells it: `get`, `[method]bucket.get`.
    pub operation: Arc<str>,
    /// What it is called with.
    pub params: Params,
    /// Bytes that stream to the callee beside the parameters.
    pub body: Option<Body>,
    /// The time to the head of the reply.
    pub deadline: Deadline,
    /// The trace that this call belongs to.
    pub trace: Option<TraceContext>,
    /// Where it has to be made, where it carries a handle that was minted there.
    pub pin: Option<Pin>,
    /// The boot of the host that it came from, where that is another one.
    pub from: Option<Origin>,
}

impl fmt::Debug for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invocation")
            .field("id", &self.id)
            .field("caller", &self.caller)
            .field("link", &self.link)
            .field("target", &self.target)
            .field("interface", &self.interface)
            .field("operation", &self.operation)
            .finish_non_exhaustive()
    }
}

/// What came back: the head of the answer.
#[derive(Debug)]
pub enum Answer {
    /// The function's result as MessagePack; nil where it returns nothing.
    Wire(Bytes),
    /// The head of an HTTP response, kept parsed inside one process.
    Http(Box<http::response::Parts>),
}

/// The answer to one call.
pub struct Reply {
    /// Its head.
    pub answer: Answer,
    /// Bytes that stream to the caller behind it.
    pub body: Option<Body>,
}

impl Reply {
    /// A reply of a result alone.
    #[must_use]
    pub fn wire(result: impl Into<Bytes>) -> Self {
        Self { answer: Answer::Wire(result.into()), body: None }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("answer", &self.answer).field("body", &self.body.is_some()).finish()
    }
}

/// Why a call has no answer: a closed set, so that programs can decide by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// No room: nothing was done; another may have room.
    Busy,
    /// The target is wanted but nowhere ready: nothing was done.
    Unavailable,
    /// No link from the caller covers this interface under this name.
    NotLinked,
    /// The callee's side refuses this caller.
    Denied,
    /// Nothing of the target's name is wanted in this lattice.
    UnknownTarget,
    /// The target does not have this function.
    UnknownOperation,
    /// The parameters are not those of the function.
    BadParams,
    /// Larger than the callee takes.
    TooLarge,
    /// The deadline passed; what was running has been stopped.
    DeadlineExceeded,
    /// The callee is gone with the call in its hands: the outcome is unknown.
    Lost,
    /// What a handle stood for has ended.
    Gone,
    /// The callee answered once and no longer has the answer: it ran, the result is unknown.
    ReplyLost,
    /// The caller went away.
    Cancelled,
    /// The guest trapped.
    Trap,
    /// The guest used up the processor time of one call.
    CpuLimit,
    /// The guest asked for more memory, tables or handles than it may have.
    MemoryLimit,
    /// The guest returned without an answer.
    NoAnswer,
    /// The frame or the version is not understood.
    Unsupported,
    /// The sender did not prove who it is.
    Unauthenticated,
    /// What the provider stands on (a database, a server) failed.
    Backend,
    /// A defect on our side.
    Internal,
}

impl Code {
    /// Whether the callee has certainly done nothing, so that the same call may go to another one.
    #[must_use]
    pub fn nothing_done(self) -> bool {
        matches!(self, Self::Busy | Self::Unavailable | Self::NotLinked | Self::UnknownTarget)
    }

    /// The code as it stands in JSON, metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
            Self::NotLinked => "not_linked",
            Self::Denied => "denied",
            Self::UnknownTarget => "unknown_target",
            Self::UnknownOperation => "unknown_operation",
            Self::BadParams => "bad_params",
            Self::TooLarge => "too_large",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Lost => "lost",
            Self::Gone => "gone",
            Self::ReplyLost => "reply_lost",
            Self::Cancelled => "cancelled",
            Self::Trap => "trap",
            Self::CpuLimit => "cpu_limit",
            Self::MemoryLimit => "memory_limit",
            Self::NoAnswer => "no_answer",
            Self::Unsupported => "unsupported",
            Self::Unauthenticated => "unauthenticated",
            Self::Backend => "backend",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A call that has no answer: a code for programs, a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{code}: {message}")]
pub struct CallError {
    /// What programs decide by.
    #[serde(rename = "c")]
    pub code: Code,
    /// What a person reads; it never carries what only the callee's operator may know.
    #[serde(rename = "m")]
    pub message: String,
}

impl CallError {
    /// An error of this code.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// Everything that can be called: the router, an actor, a provider, a remote host.
///
/// The future resolves at the head of the reply; the streams of both directions live on in the bodies. Dropping the
/// future, or the reply's body, cancels the call.
pub trait Serve: Send + Sync {
    /// Serves one call.
    fn serve(&self, invocation: Invocation) -> BoxFuture<'_, Result<Reply, CallError>>;
}

impl<S: Serve + ?Sized> Serve for Arc<S> {
    fn serve(&self, invocation: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        self.as_ref().serve(invocation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_reads_the_same_in_json_and_in_text() {
        for code in [Code::Busy, Code::NotLinked, Code::DeadlineExceeded, Code::CpuLimit, Code::Internal] {
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{code}\""));
        }
    }
}
