//! The receiving end beside a model of it, both driven by a script of bytes: random ones in the tests, a fuzzer's own
//! otherwise. What comes out is the stream as it was sent up to its first fault, and nothing of the budget is lost.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use mesh_lattice::{
    frame::{Lane, StreamEnd},
    id::CallId,
    invocation::{CallError, Code},
};

use super::{Piece, Receiver, WINDOW};
use crate::calls::credit::Budget;

/// Sent at once where the most that may be sent is more than that.
const MUCH: u64 = 9_000;

/// What the receiver should be.
#[derive(Default)]
struct Model {
    received: u64,
    delivered: u64,
    granted: u64,
    ended: Option<bool>,
    /// Nobody reads any more.
    abandoned: bool,
}

/// The byte at this place of the stream.
fn byte_at(place: u64) -> u8 {
    place.wrapping_mul(31).wrapping_add(place >> 8).to_le_bytes()[0]
}

fn piece(offset: u64, length: u64) -> Bytes {
    (offset..offset.saturating_add(length)).map(byte_at).collect()
}

/// Three bytes are one step: what happens, and how much of it.
pub(crate) fn drive(script: &[u8]) {
    let budget = Arc::new(Budget::default());
    let receiver = Receiver::new(&budget, 0);
    let mut model = Model::default();
    for step in script.chunks_exact(3).take(2_000) {
        if let [what, high, low] = *step {
            model.step(&receiver, what % 9, u64::from(u16::from_be_bytes([high, low])));
            assert_eq!(budget.outstanding(), model.outstanding(), "no more is held than may come or wait");
        }
    }
    drop(receiver);
    assert_eq!(budget.outstanding(), 0, "what was granted is given back");
}

impl Model {
    /// What may come or waits to be read; once there is an end, nothing comes.
    fn outstanding(&self) -> u64 {
        match self.ended {
            _ if self.abandoned => 0,
            None => self.granted - self.delivered,
            Some(true) => self.received - self.delivered,
            Some(false) => 0,
        }
    }

    fn step(&mut self, receiver: &Receiver, what: u8, amount: u64) {
        match what {
            0 => self.push(receiver, self.received, amount % MUCH),
            1 => self.push(receiver, amount, amount % 7),
            2 => self.push(receiver, self.received, (self.granted - self.received).min(MUCH) + amount % 3),
            3 => self.grant(receiver),
            4 | 5 => self.poll(receiver),
            8 if amount.is_multiple_of(16) => {
                receiver.abandon();
                self.abandoned = true;
            }
            6 => self.end(receiver, if amount.is_multiple_of(2) { self.received } else { amount }),
            _ if amount.is_multiple_of(16) => {
                receiver.fail(CallError::new(Code::Cancelled, "the sender gave up"));
                self.ended.get_or_insert(false);
            }
            _ => self.grant(receiver),
        }
    }

    fn push(&mut self, receiver: &Receiver, offset: u64, length: u64) {
        receiver.push(offset, piece(offset, length));
        if self.ended.is_some() || self.abandoned {
            return;
        }
        if offset == self.received && offset + length <= self.granted {
            self.received += length;
        } else {
            self.ended = Some(false);
        }
    }

    fn end(&mut self, receiver: &Receiver, length: u64) {
        receiver.end(StreamEnd { id: CallId(uuid::Uuid::nil()), lane: Lane::Body, length, trailers: Vec::new() });
        self.ended.get_or_insert(length == self.received);
    }

    fn grant(&mut self, receiver: &Receiver) {
        if self.abandoned {
            return;
        }
        if let Some(upto) = receiver.grant() {
            assert!(self.ended.is_none(), "nobody sends any more");
            assert!(upto > self.granted && upto - self.delivered <= WINDOW, "{upto}");
            self.granted = upto;
        }
    }

    fn poll(&mut self, receiver: &Receiver) {
        if self.abandoned {
            return;
        }
        match receiver.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Piece::Bytes(bytes)) => {
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                assert!(length > 0 && self.delivered + length <= self.received, "{length} bytes");
                assert_ne!(self.ended, Some(false), "what failed gives nothing more");
                assert!(bytes == piece(self.delivered, length), "other bytes at {}", self.delivered);
                self.delivered += length;
            }
            Poll::Ready(Piece::End(_)) => assert_eq!((self.ended, self.delivered), (Some(true), self.received)),
            Poll::Ready(Piece::Failed(_)) => assert_eq!(self.ended, Some(false)),
            Poll::Pending => assert_eq!((self.ended, self.delivered), (None, self.received)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_honest_stream_comes_out_whole() {
        let mut script = Vec::new();
        for _ in 0..200 {
            script.extend([3, 0, 0, 0, 0x10, 0x07, 4, 0, 0]);
        }
        script.extend([6, 0, 0, 4, 0, 0]);
        drive(&script);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_comes_the_receiver_is_what_its_model_is(script in prop::collection::vec(any::<u8>(), 0..600)) {
            drive(&script);
        }
    }
}
