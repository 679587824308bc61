//! The receiving end of one stream.
//!
//! The receiver says how far the sender may send ("up to byte n") and moves that on as the bytes are *consumed*. What
//! all streams of a host may still be sent comes out of one [`Budget`]: beyond it nats-server would close the
//! connection of a process that stands still. The reader fills it, [`super::received`] empties it.
//!
//! ```text
//! receiving: open ─► ended (all bytes are there) │ failed (gap, too much, abort, idle) ─► read to the end
//! ```

#[cfg(any(test, fuzzing))]
pub(super) mod model;

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use mesh_lattice::{
    frame::StreamEnd,
    invocation::{CallError, Code},
    wit::http,
};
use parking_lot::Mutex;

use super::credit::Budget;

/// What one stream may have outstanding at most.
const WINDOW: u64 = 1 << 20;

/// Pieces smaller than this are put together while they wait, so that many small ones cost no more than few large.
const SMALL: usize = 4 * 1024;

/// The receiving end as the reader sees it.
pub(super) struct Receiver {
    state: Mutex<State>,
    budget: Arc<Budget>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Bytes>,
    /// Small pieces that came last.
    tail: BytesMut,
    received: u64,
    consumed: u64,
    granted: u64,
    end: Option<Result<http::Fields, CallError>>,
    waker: Option<Waker>,
    /// Nobody reads any more: what still comes is thrown away.
    abandoned: bool,
}

impl Receiver {
    /// `granted` has been taken from the budget already.
    pub(super) fn new(budget: &Arc<Budget>, granted: u64) -> Arc<Self> {
        let state = State { granted, ..State::default() };
        Arc::new(Self { state: Mutex::new(state), budget: Arc::clone(budget) })
    }

    /// Takes the bytes at `offset`; a gap or more than was granted ends the stream.
    pub(super) fn push(&self, offset: u64, bytes: Bytes) {
        let mut state = self.state.lock();
        if state.end.is_some() || state.abandoned {
            return;
        }
        let end = offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if offset != state.received {
            state.finish(Err(CallError::new(Code::Lost, "a part of the stream is missing")), &self.budget);
        } else if end > state.granted {
            state
                .finish(Err(CallError::new(Code::TooLarge, "the stream's sender sent more than it may")), &self.budget);
        } else {
            state.received = end;
            state.keep(bytes);
        }
        state.wake();
    }

    pub(super) fn end(&self, end: StreamEnd) {
        let mut state = self.state.lock();
        let missing = state.received != end.length;
        let missing = missing.then(|| CallError::new(Code::Lost, "the end of the stream is missing"));
        state.finish(missing.map_or(Ok(end.trailers), Err), &self.budget);
        state.wake();
    }

    /// Ends the stream with `error`; whether it was still open.
    pub(super) fn fail(&self, error: CallError) -> bool {
        let mut state = self.state.lock();
        let open = state.end.is_none();
        state.finish(Err(error), &self.budget);
        state.wake();
        open
    }

    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<Piece> {
        let mut state = self.state.lock();
        if let Some(bytes) = state.next_piece() {
            state.consumed += u64::try_from(bytes.len()).unwrap_or(0);
            self.budget.give(u64::try_from(bytes.len()).unwrap_or(0));
            return Poll::Ready(Piece::Bytes(bytes));
        }
        match &state.end {
            Some(Ok(trailers)) => Poll::Ready(Piece::End(trailers.clone())),
            Some(Err(error)) => Poll::Ready(Piece::Failed(error.clone())),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// More credit, where it is time for some.
    pub(super) fn grant(&self) -> Option<u64> {
        let mut state = self.state.lock();
        if state.end.is_some() {
            return None;
        }
        let outstanding = state.granted - state.consumed;
        if outstanding > WINDOW * 3 / 4 {
            return None;
        }
        let more = self.budget.take(WINDOW - outstanding, outstanding);
        state.granted += more;
        (more > 0).then_some(state.granted)
    }

    pub(super) fn granted(&self) -> (u64, bool) {
        let state = self.state.lock();
        (state.granted, state.granted == state.received)
    }

    /// Nobody reads any more.
    pub(super) fn abandon(&self) {
        let mut state = self.state.lock();
        state.abandoned = true;
        state.discard(&self.budget);
    }
}

impl State {
    fn keep(&mut self, bytes: Bytes) {
        if bytes.len() < SMALL {
            self.tail.extend_from_slice(&bytes);
            if self.tail.len() >= SMALL {
                self.waiting.push_back(self.tail.split().freeze());
            }
        } else {
            if !self.tail.is_empty() {
                self.waiting.push_back(self.tail.split().freeze());
            }
            self.waiting.push_back(bytes);
        }
    }

    fn next_piece(&mut self) -> Option<Bytes> {
        let next = self.waiting.pop_front();
        next.or_else(|| (!self.tail.is_empty()).then(|| self.tail.split().freeze()))
    }

    /// The first end counts. What can come no more is given back at once, and with a failure what waits to be read:
    /// a reader that stands still holds on to no more than it was sent.
    fn finish(&mut self, end: Result<http::Fields, CallError>, budget: &Budget) {
        if self.end.is_some() {
            return;
        }
        if end.is_err() {
            self.discard(budget);
        } else if !self.abandoned {
            budget.give(self.granted - self.received);
            self.granted = self.received;
        }
        self.end = Some(end);
    }

    /// Nothing of it is read any more.
    fn discard(&mut self, budget: &Budget) {
        self.waiting.clear();
        self.tail.clear();
        self.settle(budget);
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Gives back what was granted and is not needed any more.
    fn settle(&mut self, budget: &Budget) {
        budget.give(self.granted - self.consumed);
        self.consumed = self.granted;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.state.get_mut().settle(&self.budget);
    }
}

/// What reading a stream gives.
pub(super) enum Piece {
    Bytes(Bytes),
    End(http::Fields),
    Failed(CallError),
}

#[cfg(test)]
mod tests {
    use futures::task::noop_waker;
    use mesh_lattice::{frame::Lane, id::CallId};

    use super::*;
    use crate::calls::credit::TOTAL;

    fn read(receiver: &Receiver) -> Vec<u8> {
        let waker = noop_waker();
        let mut context = Context::from_waker(&waker);
        let mut out = Vec::new();
        while let Poll::Ready(Piece::Bytes(bytes)) = receiver.poll(&mut context) {
            out.extend_from_slice(&bytes);
        }
        out
    }

    fn state(receiver: &Receiver) -> Option<Result<(), Code>> {
        receiver.state.lock().end.as_ref().map(|end| end.as_ref().map(|_| ()).map_err(|error| error.code))
    }

    #[test]
    fn bytes_come_out_as_they_came_in_whatever_their_sizes() {
        let budget = Arc::new(Budget::default());
        let receiver = Receiver::new(&budget, budget.take(1 << 20, 0));
        let mut sent = Vec::new();
        for size in [1, 5_000, 3, 4_095, 4_096, 7, 9_999] {
            let piece = vec![size as u8; size];
            receiver.push(sent.len() as u64, piece.clone().into());
            sent.extend(piece);
        }
        assert_eq!(read(&receiver), sent);
        drop(receiver);
        assert_eq!(budget.outstanding(), 0);
    }

    #[test]
    fn a_gap_ends_the_stream_and_so_does_more_than_was_granted() {
        let budget = Arc::new(Budget::default());
        let receiver = Receiver::new(&budget, 10);
        receiver.push(0, Bytes::from_static(b"12345"));
        receiver.push(6, Bytes::from_static(b"7"));
        assert_eq!(state(&receiver), Some(Err(Code::Lost)));
        let receiver = Receiver::new(&budget, 10);
        receiver.push(0, Bytes::from_static(b"12345678901"));
        assert_eq!(state(&receiver), Some(Err(Code::TooLarge)));
        let receiver = Receiver::new(&budget, 10);
        receiver.push(0, Bytes::from_static(b"12345"));
        let end = |length| StreamEnd { id: CallId::new(), lane: Lane::Body, length, trailers: Vec::new() };
        receiver.end(end(6));
        assert_eq!(state(&receiver), Some(Err(Code::Lost)));
        receiver.end(end(5));
        assert_eq!(state(&receiver), Some(Err(Code::Lost)), "the first end counts");
    }

    #[test]
    fn credit_is_given_as_bytes_are_consumed_and_never_beyond_the_budget() {
        let budget = Arc::new(Budget::default());
        let receivers: Vec<_> = (0..200).map(|_| Receiver::new(&budget, 0)).collect();
        for _ in 0..50 {
            for receiver in &receivers {
                receiver.grant();
            }
        }
        assert!(budget.outstanding() <= TOTAL);
        assert!(receivers.iter().all(|receiver| receiver.granted().0 <= WINDOW));
        let first = &receivers[0];
        let granted = first.granted().0;
        first.push(0, vec![0; granted as usize].into());
        assert_eq!(first.grant(), None, "nothing was consumed");
        read(first);
        assert!(first.grant().is_some_and(|upto| upto > granted));
        drop(receivers);
        assert_eq!(budget.outstanding(), 0);
    }
}
