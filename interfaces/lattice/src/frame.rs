//! Calls and their answers as bytes.
//!
//! A frame is MessagePack: `[kind: u8, header: map by short field name, body: bin]`. There is one format for every
//! carrier: a NATS message, where a session seals it, and a Unix socket.
//!
//! Unknown header fields are skipped, so a later version may add some; a frame of an unknown kind is read as
//! [`Frame::Unknown`] and answered `unsupported`. A header is at most [`MAX_HEADER`] bytes, and a length is compared
//! with the bytes that are there before anything is allocated.
//!
//! ```text
//! caller                                  callee
//!   Call ────────────────────────────────►   admitted?
//!        ◄──────────────────────────────── Busy         no room, nothing done
//!        ◄──────────────────────────────── Reply        ready within 25 ms
//!        ◄──────────────────────────────── Accepted     otherwise, and the Reply later
//!   Call ────────────────────────────────►   the same id again, after silence: answered as before, never run twice
//!   StreamData, StreamEnd, StreamAbort ◄──► both ways, each under StreamCredit of its receiver
//!   Cancel ──────────────────────────────►   stops the work
//!   Ping ◄─────────────────────────────────► Pong       while calls are open
//!        ◄──────────────────────────────── Drain        take new calls elsewhere
//! ```

mod codec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    clock::{Deadline, Monotonic},
    id::{BootId, CallId, HostId},
    interface::Interface,
    invocation::{CallError, Caller, TraceContext},
    name::{LatticeName, LinkName, Name},
};
pub use codec::FrameError;

/// The protocol versions that this build speaks, lowest and highest.
pub const VERSIONS: (u16, u16) = (1, 2);

/// From this version on several sealed frames may travel in one message.
pub const BUNDLES: u16 = 2;

/// Parameters, results and their like up to this many bytes travel inside the frame; more travels as a stream.
pub const INLINE_LIMIT: usize = 64 * 1024;

/// A frame of a stream carries at most this many bytes, less where a Hello allows less.
pub const STREAM_CHUNK: usize = 128 * 1024;

/// A frame's header is at most this many bytes.
pub const MAX_HEADER: usize = 64 * 1024;

/// Which of the two streams of one direction: the parameters or the result where they are too large for the frame,
/// or the body beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Lane {
    /// The parameters, or the result.
    #[serde(rename = "p")]
    Value,
    /// The body.
    #[serde(rename = "b")]
    Body,
}

/// One frame.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// Makes a session: sent and answered in the clear, signed by each side's host key.
    Hello(Box<Hello>),
    /// A new call; the body is its parameters unless they stream.
    Call(Box<Call>, Bytes),
    /// Taken; the reply comes later.
    Accepted(Accepted),
    /// No room; nothing was done.
    Busy(Busy),
    /// The answer; the body is the result unless it streams.
    Reply(Box<ReplyHead>, Bytes),
    /// Bytes of a stream.
    StreamData(StreamData, Bytes),
    /// Leave to send more.
    StreamCredit(StreamCredit),
    /// The whole stream has been sent.
    StreamEnd(Box<StreamEnd>),
    /// The stream will not be completed.
    StreamAbort(Box<StreamAbort>),
    /// The caller no longer wants the answer.
    Cancel(Cancel),
    /// Are you there?
    Ping(Ping),
    /// I am.
    Pong(Ping),
    /// Take new calls elsewhere.
    Drain,
    /// A kind of a later version.
    Unknown(u8),
}

/// Makes a session between two boots.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// Lowest and highest protocol version.
    #[serde(rename = "v")]
    pub versions: (u16, u16),
    /// The lattice.
    #[serde(rename = "l")]
    pub lattice: LatticeName,
    /// Who sends this.
    #[serde(rename = "f")]
    pub from: HostId,
    /// Its boot.
    #[serde(rename = "fb")]
    pub from_boot: BootId,
    /// Who is to read it.
    #[serde(rename = "t")]
    pub to: HostId,
    /// The boot of that host: known only in the answer.
    #[serde(rename = "tb", default, skip_serializing_if = "Option::is_none")]
    pub to_boot: Option<BootId>,
    /// The sender's ephemeral X25519 key.
    #[serde(rename = "e", with = "serde_bytes")]
    pub ephemeral: [u8; 32],
    /// In the answer: the ephemeral key that it answers.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<serde_bytes::ByteArray<32>>,
    /// The largest frame that the sender can take, in bytes.
    #[serde(rename = "m")]
    pub max_frame: u32,
    /// The sender's clock.
    #[serde(rename = "c")]
    pub clock: Monotonic,
    /// The sender's host key over everything above, see `mesh-transport`.
    #[serde(rename = "s", with = "serde_bytes")]
    pub signature: Vec<u8>,
}

/// A new call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The call.
    #[serde(rename = "i")]
    pub id: CallId,
    /// Who calls: the word of the calling host.
    #[serde(rename = "c")]
    pub caller: Caller,
    /// Along which link.
    #[serde(rename = "l")]
    pub link: LinkName,
    /// Who is called.
    #[serde(rename = "t")]
    pub target: Name,
    /// On what.
    #[serde(rename = "w")]
    pub interface: Interface,
    /// The function.
    #[serde(rename = "o")]
    pub operation: String,
    /// When it was sent, by the sender's clock.
    #[serde(rename = "s")]
    pub sent: Monotonic,
    /// When its answer stops being of use, by the sender's clock.
    #[serde(rename = "d")]
    pub deadline: Deadline,
    /// The callee begins this copy no later than this, by the callee's own clock: one that was held up on its way does
    /// not run long after its caller gave the call up.
    #[serde(rename = "y", default, skip_serializing_if = "Option::is_none")]
    pub start_by: Option<Monotonic>,
    /// The parameters' length, where they stream.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub value_bytes: Option<u64>,
    /// Whether a body streams beside the parameters.
    #[serde(rename = "b", default, skip_serializing_if = "is_false")]
    pub body: bool,
    /// The last so many bytes of this frame's body are the whole body beside the parameters: it does not stream.
    #[serde(rename = "z", default, skip_serializing_if = "Option::is_none")]
    pub whole_body: Option<u32>,
    /// What each stream of the reply may send before the first credit, in bytes.
    #[serde(rename = "r", default)]
    pub reply_credit: u64,
    /// The trace that it belongs to.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// How full a host's target is: what the next choice between two hosts is made by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Load(pub u16);

/// Taken; the reply comes later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The call.
    #[serde(rename = "i")]
    pub id: CallId,
}

/// No room; nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Busy {
    /// The call.
    #[serde(rename = "i")]
    pub id: CallId,
    /// How full the target is.
    #[serde(rename = "q", default)]
    pub load: Load,
    /// No copy of this call was taken, and none will be, not even one that is still on its way.
    #[serde(rename = "f", default, skip_serializing_if = "is_false")]
    pub firm: bool,
}

/// The head of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplyHead {
    /// The call.
    #[serde(rename = "i")]
    pub id: CallId,
    /// Why there is no result, where there is none.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub error: Option<CallError>,
    /// The result's length, where it streams.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub value_bytes: Option<u64>,
    /// Whether a body streams behind the result.
    #[serde(rename = "b", default, skip_serializing_if = "is_false")]
    pub body: bool,
    /// The last so many bytes of this frame's body are the whole body behind the result: it does not stream.
    #[serde(rename = "z", default, skip_serializing_if = "Option::is_none")]
    pub whole_body: Option<u32>,
    /// How full the target is.
    #[serde(rename = "q", default)]
    pub load: Load,
}

/// Bytes of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamData {
    /// The call.
    #[serde(rename = "i")]
    pub id: CallId,
    /// Which stream of it.
    #[serde(rename = "n")]
    pub lane: Lane,
    /// The place of the first byte: a gap is an abort.
    #[serde(rename = "o")]
    pub offset: u64,
}

/// Leave to send up to byte `upto` of a stream. Cumulative: a repeated or overtaken one does no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamCredit {
    /// The call.
    #[serde(rename = "i")]
    pub id: CallId,
    /// Which stream of it.
    #[serde(rename = "n")]
    pub lane: Lane,
    /// The place behind the last byte that may be sent.
    #[serde(rename = "u")]
    pub upto: u64,
}

/// The whole stream has been sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamEnd {
    /// The call.
    #[serde(rename = "i")]
    pub id: CallId,
    /// Which stream of it.
    #[serde(rename = "n")]
    pub lane: Lane,
    /// How long it was.
    #[serde(rename = "o")]
    pub length: u64,
    /// HTTP trailers, name and value.
    #[serde(rename = "t", default, skip_serializing_if = "Vec::is_empty")]
    pub trailers: Vec<(String, serde_bytes::ByteBuf)>,
}

/// The stream will not be completed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamAbort {
    /// The call.
    #[serde(rename = "i")]
    pub id: CallId,
    /// Which stream of it.
    #[serde(rename = "n")]
    pub lane: Lane,
    /// Why.
    #[serde(rename = "e")]
    pub error: CallError,
}

/// The caller no longer wants the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// The call.
    #[serde(rename = "i")]
    pub id: CallId,
}

/// Are you there, and what does your clock say?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// Given back in the answer.
    #[serde(rename = "n")]
    pub nonce: u64,
    /// The sender's clock.
    #[serde(rename = "c")]
    pub clock: Monotonic,
}

#[cfg(test)]
mod tests {
    use super::{
        codec::{kind, write},
        *,
    };
    use crate::invocation::Code;

    fn call() -> Call {
        Call {
            id: CallId::new(),
            caller: Caller::Named("web".parse().unwrap()),
            link: LinkName::default(),
            target: "counter".parse().unwrap(),
            interface: "wasi:http/incoming-handler@0.2.2".parse().unwrap(),
            operation: "handle".into(),
            sent: Monotonic(5),
            deadline: Deadline(Monotonic(7)),
            start_by: Some(Monotonic(6)),
            value_bytes: None,
            body: true,
            whole_body: None,
            reply_credit: 1 << 16,
            trace: None,
        }
    }

    fn frames() -> Vec<Frame> {
        let id = CallId::new();
        let error = CallError::new(Code::Trap, "unreachable");
        vec![
            Frame::Call(Box::new(call()), Bytes::from_static(b"parameters")),
            Frame::Call(Box::new(call()), Bytes::from(vec![7; 300])),
            Frame::Accepted(Accepted { id }),
            Frame::Busy(Busy { id, load: Load(3), firm: false }),
            Frame::Busy(Busy { id, load: Load(3), firm: true }),
            Frame::Reply(
                Box::new(ReplyHead {
                    id,
                    error: Some(error.clone()),
                    value_bytes: Some(1 << 40),
                    body: true,
                    whole_body: None,
                    load: Load(1),
                }),
                Bytes::from(vec![1; 70_000]),
            ),
            Frame::StreamData(StreamData { id, lane: Lane::Body, offset: 9 }, Bytes::from_static(b"x")),
            Frame::StreamCredit(StreamCredit { id, lane: Lane::Value, upto: 1 }),
            Frame::StreamEnd(Box::new(StreamEnd {
                id,
                lane: Lane::Body,
                length: 1,
                trailers: vec![("a".into(), serde_bytes::ByteBuf::from(vec![0xff]))],
            })),
            Frame::StreamAbort(Box::new(StreamAbort { id, lane: Lane::Body, error })),
            Frame::Cancel(Cancel { id }),
            Frame::Ping(Ping { nonce: 1, clock: Monotonic(2) }),
            Frame::Pong(Ping { nonce: 1, clock: Monotonic(2) }),
            Frame::Drain,
            Frame::Unknown(200),
        ]
    }

    #[test]
    fn every_frame_is_read_back_as_itself() {
        for frame in frames() {
            assert_eq!(Frame::decode(&frame.encode().into()).unwrap(), frame);
        }
    }

    #[test]
    fn a_frame_cut_anywhere_or_followed_by_anything_is_refused() {
        for frame in frames() {
            let mut bytes = frame.encode();
            for cut in 0..bytes.len().min(400) {
                assert!(Frame::decode(&Bytes::copy_from_slice(&bytes[..cut])).is_err());
            }
            bytes.push(0);
            assert!(Frame::decode(&bytes.into()).is_err());
        }
    }

    #[test]
    fn a_field_of_a_later_version_is_skipped() {
        #[derive(Serialize)]
        struct Later {
            i: CallId,
            zz: [u8; 3],
        }
        let id = CallId::new();
        let mut bytes = Vec::new();
        write(&mut bytes, kind::CANCEL, &Later { i: id, zz: [1, 2, 3] }, &[]);
        assert_eq!(Frame::decode(&bytes.into()).unwrap(), Frame::Cancel(Cancel { id }));
    }

    #[test]
    fn a_length_that_is_not_there_is_refused_before_it_is_allocated() {
        for bomb in [
            &[0x93, 2, 0xdf, 0xff, 0xff, 0xff, 0xff][..],
            &[0x93, 2, 0x80, 0xc6, 0xff, 0xff, 0xff, 0xff],
            &[0x93, 2, 0xdb, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert!(Frame::decode(&Bytes::copy_from_slice(bomb)).is_err());
        }
        let deep = [vec![0x93, 2], vec![0x91; 100_000]].concat();
        assert!(Frame::decode(&deep.into()).is_err());
    }
}
