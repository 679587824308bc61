//! Frames as bytes and back: the three parts of one, and which header belongs to which kind.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::{Frame, MAX_HEADER};

/// Bytes that are not a frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Not `[kind, header, body]`.
    #[error("not a frame: {0}")]
    Malformed(&'static str),
    /// The header is larger than [`MAX_HEADER`].
    #[error("a header of {0} bytes is larger than allowed")]
    HeaderTooLarge(usize),
    /// The header is not that of its kind.
    #[error("the header of a frame of kind {kind} cannot be read")]
    Header {
        /// The frame's kind.
        kind: u8,
        /// What is wrong with it.
        #[source]
        source: crate::value::ReadError,
    },
}

pub(super) mod kind {
    pub(in crate::frame) const HELLO: u8 = 1;
    pub(in crate::frame) const CALL: u8 = 2;
    pub(in crate::frame) const ACCEPTED: u8 = 3;
    pub(in crate::frame) const BUSY: u8 = 4;
    pub(in crate::frame) const REPLY: u8 = 5;
    pub(in crate::frame) const STREAM_DATA: u8 = 6;
    pub(in crate::frame) const STREAM_CREDIT: u8 = 7;
    pub(in crate::frame) const STREAM_END: u8 = 8;
    pub(in crate::frame) const STREAM_ABORT: u8 = 9;
    pub(in crate::frame) const CANCEL: u8 = 10;
    pub(in crate::frame) const PING: u8 = 11;
    pub(in crate::frame) const PONG: u8 = 12;
    pub(in crate::frame) const DRAIN: u8 = 13;
}

impl Frame {
    /// The frame as bytes, appended to `out`.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello(header) => write(out, kind::HELLO, header, &[]),
            Self::Call(header, body) => write(out, kind::CALL, header, body),
            Self::Accepted(header) => write(out, kind::ACCEPTED, header, &[]),
            Self::Busy(header) => write(out, kind::BUSY, header, &[]),
            Self::Reply(header, body) => write(out, kind::REPLY, header, body),
            Self::StreamData(header, body) => write(out, kind::STREAM_DATA, header, body),
            Self::StreamCredit(header) => write(out, kind::STREAM_CREDIT, header, &[]),
            Self::StreamEnd(header) => write(out, kind::STREAM_END, header, &[]),
            Self::StreamAbort(header) => write(out, kind::STREAM_ABORT, header, &[]),
            Self::Cancel(header) => write(out, kind::CANCEL, header, &[]),
            Self::Ping(header) => write(out, kind::PING, header, &[]),
            Self::Pong(header) => write(out, kind::PONG, header, &[]),
            Self::Drain => write(out, kind::DRAIN, &Empty {}, &[]),
            Self::Unknown(kind) => write(out, *kind, &Empty {}, &[]),
        }
    }

    /// The frame as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.encode_into(&mut out);
        out
    }

    /// Reads a frame. The body shares the memory of `bytes`.
    ///
    /// # Errors
    ///
    /// Where `bytes` are not one frame and nothing else.
    pub fn decode(bytes: &Bytes) -> Result<Self, FrameError> {
        let RawFrame { kind, header, body } = RawFrame::split(bytes)?;
        Ok(match kind {
            kind::HELLO => Self::Hello(read(kind, header)?),
            kind::CALL => Self::Call(read(kind, header)?, body),
            kind::ACCEPTED => Self::Accepted(read(kind, header)?),
            kind::BUSY => Self::Busy(read(kind, header)?),
            kind::REPLY => Self::Reply(read(kind, header)?, body),
            kind::STREAM_DATA => Self::StreamData(read(kind, header)?, body),
            kind::STREAM_CREDIT => Self::StreamCredit(read(kind, header)?),
            kind::STREAM_END => Self::StreamEnd(read(kind, header)?),
            kind::STREAM_ABORT => Self::StreamAbort(read(kind, header)?),
            kind::CANCEL => Self::Cancel(read(kind, header)?),
            kind::PING => Self::Ping(read(kind, header)?),
            kind::PONG => Self::Pong(read(kind, header)?),
            kind::DRAIN => Self::Drain,
            other => Self::Unknown(other),
        })
    }
}

#[derive(Serialize)]
struct Empty {}

/// A frame whose header has not been read yet.
struct RawFrame<'a> {
    kind: u8,
    header: &'a [u8],
    body: Bytes,
}

impl<'a> RawFrame<'a> {
    fn split(bytes: &'a Bytes) -> Result<Self, FrameError> {
        let [0x93, rest @ ..] = bytes.as_ref() else {
            return Err(FrameError::Malformed("not an array of three"));
        };
        let (kind, rest) = match rest {
            [0xcc, kind, rest @ ..] => (*kind, rest),
            [kind @ 0..=0x7f, rest @ ..] => (*kind, rest),
            _ => return Err(FrameError::Malformed("its kind is not a small number")),
        };
        let length = crate::value::skip(rest).map_err(|_| FrameError::Malformed("its header is cut off"))?;
        if length > MAX_HEADER {
            return Err(FrameError::HeaderTooLarge(length));
        }
        let (header, rest) = rest.split_at_checked(length).ok_or(FrameError::Malformed("its header is cut off"))?;
        let (length, rest) = match rest {
            [0xc4, length, rest @ ..] => (usize::from(*length), rest),
            [0xc5, a, b, rest @ ..] => (usize::from(u16::from_be_bytes([*a, *b])), rest),
            [0xc6, a, b, c, d, rest @ ..] => (u32::from_be_bytes([*a, *b, *c, *d]) as usize, rest),
            _ => return Err(FrameError::Malformed("its body is not bytes")),
        };
        if rest.len() != length {
            return Err(FrameError::Malformed("its body is not as long as it says"));
        }
        Ok(Self { kind, header, body: bytes.slice(bytes.len() - length..) })
    }
}

fn read<T: DeserializeOwned>(kind: u8, header: &[u8]) -> Result<T, FrameError> {
    crate::value::read(header).map_err(|source| FrameError::Header { kind, source })
}

pub(super) fn write<T: Serialize>(out: &mut Vec<u8>, kind: u8, header: &T, body: &[u8]) {
    out.reserve(body.len() + 192);
    out.push(0x93);
    if kind < 0x80 {
        out.push(kind);
    } else {
        out.extend([0xcc, kind]);
    }
    let encoded = header.serialize(&mut rmp_serde::Serializer::new(&mut *out).with_struct_map());
    debug_assert!(encoded.is_ok(), "every header is a struct of plain fields, written to memory");
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    match length {
        0..=0xff => out.extend([0xc4, length as u8]),
        0x100..=0xffff => {
            out.push(0xc5);
            out.extend((length as u16).to_be_bytes());
        }
        _ => {
            out.push(0xc6);
            out.extend(length.to_be_bytes());
        }
    }
    out.extend_from_slice(body);
}
