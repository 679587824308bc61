//! Sending the streams of a call: what fits travels whole inside the frame, the rest piece by piece under credit.

use std::{sync::Arc, task::Poll, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::future::poll_fn;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use mesh_lattice::{
    frame::{Frame, INLINE_LIMIT, Lane, STREAM_CHUNK, StreamAbort, StreamData, StreamEnd},
    id::CallId,
    invocation::{Body, CallError, Code},
    wit::http,
};
use tokio::time::timeout;

use super::{Node, credit::Leave};
use crate::session::{SEAL_OVERHEAD, Session};

/// Room for a frame's header and what it is sealed with.
const HEADER_ROOM: usize = 256 + SEAL_OVERHEAD;

/// What is to be sent beside the head of a call or a reply.
#[derive(Default)]
pub(super) struct Source {
    /// Parameters or a result that are too large for the frame.
    pub(super) value: Option<Bytes>,
    /// A body that did not end at once.
    pub(super) body: Option<Streaming>,
}

/// A body, and what was read of it already.
pub(super) struct Streaming {
    read: Bytes,
    trailers: Option<http::Fields>,
    rest: Option<Body>,
}

/// The part of a call or a reply that travels in its frame.
pub(super) struct Inline {
    pub(super) bytes: Bytes,
    pub(super) value_bytes: Option<u64>,
    pub(super) whole_body: Option<u32>,
}

impl Source {
    /// Divides a value and its body into what travels in the frame and what streams.
    pub(super) async fn divide(
        value: Bytes,
        body: Option<Body>,
        max_frame: usize,
    ) -> Result<(Inline, Self), CallError> {
        let room = INLINE_LIMIT.min(max_frame.saturating_sub(HEADER_ROOM + 4_096));
        let mut source = Self::default();
        let (mut bytes, mut value_bytes) = (value, None);
        if bytes.len() > room {
            value_bytes = Some(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            source.value = Some(std::mem::take(&mut bytes));
        }
        let mut whole_body = None;
        if let Some(body) = body {
            match Box::pin(ready(body, room - bytes.len())).await? {
                Ready::Whole(whole) => {
                    whole_body = u32::try_from(whole.len()).ok();
                    bytes = join(bytes, whole);
                }
                Ready::Streams(streaming) => source.body = Some(streaming),
            }
        }
        Ok((Inline { bytes, value_bytes, whole_body }, source))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.value.is_none() && self.body.is_none()
    }

    /// Sends all of it: first the value, then the body, as the other end reads them.
    pub(super) async fn send(self, sending: &Sending, leaves: &[Leave; 2]) {
        let [value_leave, body_leave] = leaves;
        if let Some(value) = self.value {
            let streaming = Streaming { read: value, trailers: None, rest: None };
            sending.stream(Lane::Value, streaming, value_leave).await;
        }
        if let Some(body) = self.body {
            sending.stream(Lane::Body, body, body_leave).await;
        }
    }
}

fn join(value: Bytes, body: Bytes) -> Bytes {
    if value.is_empty() {
        return body;
    }
    let mut both = BytesMut::with_capacity(value.len() + body.len());
    both.extend_from_slice(&value);
    both.extend_from_slice(&body);
    both.freeze()
}

enum Ready {
    Whole(Bytes),
    Streams(Streaming),
}

/// Reads what is there of a body without waiting, up to `room`.
async fn ready(mut body: Body, room: usize) -> Result<Ready, CallError> {
    let mut read = BytesMut::new();
    loop {
        let next = poll_fn(|context| {
            Poll::Ready(match std::pin::Pin::new(&mut body).poll_frame(context) {
                Poll::Ready(frame) => Some(frame),
                Poll::Pending => None,
            })
        });
        let frame = match next.await {
            Some(Some(frame)) => frame?,
            Some(None) => return Ok(Ready::Whole(read.freeze())),
            None => break,
        };
        match frame.into_data() {
            Ok(data) => read.extend_from_slice(&data),
            Err(other) => {
                let trailers = other.into_trailers().ok().map(|trailers| http::fields(&trailers));
                return Ok(Ready::Streams(Streaming { read: read.freeze(), trailers, rest: None }));
            }
        }
        if read.len() > room {
            break;
        }
    }
    Ok(Ready::Streams(Streaming { read: read.freeze(), trailers: None, rest: Some(body) }))
}

/// Where the streams of one call go.
pub(super) struct Sending {
    pub(super) node: Arc<Node>,
    pub(super) session: Arc<Session>,
    pub(super) id: CallId,
}

/// How a stream came to its end.
enum Stopped {
    /// The other end wants no more.
    Unwanted,
    /// It cannot be completed.
    Failed(CallError),
}

impl Sending {
    /// Sends one stream to its end or says that there will be none.
    async fn stream(&self, lane: Lane, streaming: Streaming, leave: &Leave) {
        match self.pieces(lane, streaming, leave).await {
            Ok(end) => {
                let _ = self.node.send(&self.session, self.id, &Frame::StreamEnd(Box::new(end)), 0).await;
            }
            Err(Stopped::Unwanted) => {}
            Err(Stopped::Failed(error)) => {
                let abort = StreamAbort { id: self.id, lane, error };
                let _ = self.node.send(&self.session, self.id, &Frame::StreamAbort(Box::new(abort)), 0).await;
            }
        }
    }

    async fn pieces(&self, lane: Lane, streaming: Streaming, leave: &Leave) -> Result<StreamEnd, Stopped> {
        let Streaming { read, trailers, rest } = streaming;
        let mut offset = 0;
        self.data(lane, read, &mut offset, leave).await?;
        let mut trailers = trailers.unwrap_or_default();
        let mut rest = rest;
        while let Some(body) = &mut rest {
            let frame = tokio::select! {
                biased;
                () = leave.closed() => return Err(Stopped::Unwanted),
                frame = timeout(self.node.idle, body.frame()) => frame.map_err(|_| stood_still(self.node.idle))?,
            };
            match frame {
                None => rest = None,
                Some(Err(error)) => return Err(Stopped::Failed(error)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.data(lane, data, &mut offset, leave).await?,
                    Err(other) => {
                        trailers = other.into_trailers().map(|map| http::fields(&map)).unwrap_or_default();
                    }
                },
            }
        }
        Ok(StreamEnd { id: self.id, lane, length: offset, trailers })
    }

    /// Sends these bytes as the receiver lets us.
    async fn data(&self, lane: Lane, mut data: Bytes, offset: &mut u64, leave: &Leave) -> Result<(), Stopped> {
        let chunk = STREAM_CHUNK.min(self.session.max_frame.saturating_sub(HEADER_ROOM)).max(1);
        while !data.is_empty() {
            let upto = timeout(self.node.idle, leave.beyond(*offset)).await;
            let upto = upto.map_err(|_| stood_still(self.node.idle))?.ok_or(Stopped::Unwanted)?;
            let may = usize::try_from(upto - *offset).unwrap_or(usize::MAX);
            let piece = data.split_to(data.len().min(may).min(chunk));
            let length = piece.len();
            let frame = Frame::StreamData(StreamData { id: self.id, lane, offset: *offset }, piece);
            self.node.send(&self.session, self.id, &frame, length).await.map_err(Stopped::Failed)?;
            *offset += u64::try_from(length).unwrap_or(0);
        }
        Ok(())
    }
}

fn stood_still(limit: Duration) -> Stopped {
    Stopped::Failed(CallError::new(Code::Lost, format!("the stream stood still for {} s", limit.as_secs_f32())))
}
