//! What is logged of requests that have no answer: the client hears a code, the log has the rest under the same id. A
//! full actor says so to every request that it turns away, and a broken one fails each: that is news only so often.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::HeaderValue;
use mesh_lattice::{CallError, CallId, Monotonic, Name};

/// Lines in a second.
const MOST: u64 = 10;

/// Counts lines of the second that it is in.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    second: AtomicU64,
    lines: AtomicU64,
}

impl Journal {
    /// A call failed.
    pub(crate) fn failed(&self, id: CallId, request_id: &HeaderValue, target: &Name, error: &CallError) {
        if error.code.nothing_done() {
            tracing::debug!(call = %id, ?request_id, %target, %error, "a request has no answer");
            return;
        }
        let (may, left_out) = self.line(Monotonic::now());
        if left_out > 0 {
            tracing::info!(left_out, "more requests had no answer than were logged");
        }
        if may {
            tracing::info!(call = %id, ?request_id, %target, %error, "a request has no answer");
        }
    }

    /// Whether one more line may be written, and how many were left out of the second before.
    fn line(&self, now: Monotonic) -> (bool, u64) {
        let second = now.0 / 1_000_000;
        let mut left_out = 0;
        if self.second.swap(second, Relaxed) != second {
            left_out = self.lines.swap(0, Relaxed).saturating_sub(MOST);
        }
        (self.lines.fetch_add(1, Relaxed) < MOST, left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_failures_is_ten_lines_and_a_number() {
        let journal = Journal::default();
        let at = |second: u64| Monotonic(second * 1_000_000);
        let written = (0..25).filter(|_| journal.line(at(1)).0).count();
        assert_eq!(written, 10);
        assert_eq!(journal.line(at(2)), (true, 15));
        assert_eq!(journal.line(at(2)), (true, 0));
    }
}
