//! What became of calls, counted by where they went and how they ended: both closed sets, so the number of series is
//! bounded whatever callers do. Read by the admin port.

use std::sync::atomic::{AtomicU64, Ordering};

use mesh_lattice::{CallError, Code, Reply};

use crate::telemetry::Place;

/// Every code, in the order of its declaration.
const CODES: [Code; 21] = [
    Code::Busy,
    Code::Unavailable,
    Code::NotLinked,
    Code::Denied,
    Code::UnknownTarget,
    Code::UnknownOperation,
    Code::BadParams,
    Code::TooLarge,
    Code::DeadlineExceeded,
    Code::Lost,
    Code::Gone,
    Code::ReplyLost,
    Code::Cancelled,
    Code::Trap,
    Code::CpuLimit,
    Code::MemoryLimit,
    Code::NoAnswer,
    Code::Unsupported,
    Code::Unauthenticated,
    Code::Backend,
    Code::Internal,
];

/// The counters of one place.
#[derive(Debug, Default)]
struct Counts {
    open: AtomicU64,
    ok: AtomicU64,
    errors: [AtomicU64; CODES.len()],
}

/// The counters of a router.
#[derive(Debug, Default)]
pub struct Counters {
    caller: Counts,
    remote: Counts,
    callee: Counts,
}

/// A call that has not ended; one that is dropped was cancelled.
pub(super) struct Open<'a>(Option<&'a Counts>);

impl Open<'_> {
    pub(super) fn end(mut self, result: &Result<Reply, CallError>) {
        if let Some(counts) = self.0.take() {
            counts.end(result.as_ref().map(drop).map_err(|error| error.code));
        }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(counts) = self.0.take() {
            counts.end(Err(Code::Cancelled));
        }
    }
}

impl Counts {
    fn end(&self, result: Result<(), Code>) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        let counter = match result {
            Ok(()) => Some(&self.ok),
            Err(code) => self.errors.get(code as usize),
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Counters {
    pub(super) fn begin(&self, place: Place) -> Open<'_> {
        let counts = self.of(place);
        counts.open.fetch_add(1, Ordering::Relaxed);
        Open(Some(counts))
    }

    fn of(&self, place: Place) -> &Counts {
        match place {
            Place::Caller => &self.caller,
            Place::Remote => &self.remote,
            Place::Callee => &self.callee,
        }
    }

    /// Calls that have not been answered yet.
    #[must_use]
    pub fn open(&self, place: Place) -> u64 {
        self.of(place).open.load(Ordering::Relaxed)
    }

    /// How calls ended: `ok` or the code's text, and how many did.
    pub fn ended(&self, place: Place) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.of(place);
        let errors = CODES.iter().zip(&counts.errors).map(|(code, count)| (code.as_str(), count));
        std::iter::once(("ok", &counts.ok)).chain(errors).map(|(code, count)| (code, count.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_its_own_counter() {
        for (place, code) in CODES.iter().enumerate() {
            assert_eq!(*code as usize, place, "{code}");
        }
        let counters = Counters::default();
        counters.begin(Place::Remote).end(&Err(CallError::new(Code::Trap, "")));
        drop(counters.begin(Place::Remote));
        let ended: Vec<_> = counters.ended(Place::Remote).filter(|(_, count)| *count > 0).collect();
        assert_eq!(ended, [("cancelled", 1), ("trap", 1)]);
        assert_eq!(counters.open(Place::Remote), 0);
    }
}
