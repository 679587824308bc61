//! What this server has seen, counted for `/metrics`: one set for all addresses of a provider, so that the number of
//! series is the same whatever is deployed and whoever connects.

use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;
use mesh_provider::{Metric, MetricKind};

/// Why a connection was closed by this side, or not taken at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Reason {
    /// A head did not come in time.
    Header = 0,
    /// A request's body stayed silent, or was too slow while others waited.
    Body = 1,
    /// Nothing was asked for too long.
    Idle = 2,
    /// The client took nothing of what it was sent.
    Write = 3,
    /// An HTTP/2 client took back too many requests.
    Resets = 4,
    /// Its place was needed, and it was the one that made least use of it.
    Evicted = 5,
    /// The server stopped, and it was not done in time.
    Drained = 6,
    /// All places were in use by requests that are being served.
    Full = 7,
    /// What it sent was no HTTP.
    Malformed = 8,
}

const CLOSED: [(Reason, &str); 9] = [
    (Reason::Header, "reason=\"header_timeout\""),
    (Reason::Body, "reason=\"body_timeout\""),
    (Reason::Idle, "reason=\"idle_timeout\""),
    (Reason::Write, "reason=\"write_timeout\""),
    (Reason::Resets, "reason=\"resets\""),
    (Reason::Evicted, "reason=\"evicted\""),
    (Reason::Drained, "reason=\"drained\""),
    (Reason::Full, "reason=\"full\""),
    (Reason::Malformed, "reason=\"malformed\""),
];

const CLASSES: [&str; 5] = ["class=\"1xx\"", "class=\"2xx\"", "class=\"3xx\"", "class=\"4xx\"", "class=\"5xx\""];

/// The counters of one provider.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    taken: AtomicU64,
    ended: AtomicU64,
    closed: [AtomicU64; CLOSED.len()],
    answered: [AtomicU64; CLASSES.len()],
}

impl Counters {
    pub(crate) fn opened(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn ended(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn closed(&self, reason: Reason) {
        if let Some(counter) = self.closed.get(reason as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(counter) = self.answered.get(class) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// As they stand now.
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (ended, taken) = (read(&self.ended), read(&self.taken));
        let closed = CLOSED.iter().zip(&self.closed).map(|((_, label), counter)| (*label, read(counter)));
        let answered = CLASSES.iter().zip(&self.answered).map(|(label, counter)| (*label, read(counter)));
        vec![
            Metric {
                name: "mesh_http_connections_open",
                kind: MetricKind::Gauge,
                help: "Connections that are open.",
                values: vec![("", taken.saturating_sub(ended))],
            },
            Metric {
                name: "mesh_http_connections_total",
                kind: MetricKind::Counter,
                help: "Connections that were taken.",
                values: vec![("", taken)],
            },
            Metric {
                name: "mesh_http_connections_closed_total",
                kind: MetricKind::Counter,
                help: "Connections that this side closed or refused, by reason.",
                values: closed.collect(),
            },
            Metric {
                name: "mesh_http_requests_total",
                kind: MetricKind::Counter,
                help: "Requests by the class of their answer's status.",
                values: answered.collect(),
            },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_and_class_has_a_counter_of_its_own() {
        let counters = Counters::default();
        for (at, (reason, _)) in CLOSED.iter().enumerate() {
            assert_eq!(*reason as usize, at);
            (0..=at).for_each(|_| counters.closed(*reason));
        }
        counters.answered(StatusCode::OK);
        counters.answered(StatusCode::SERVICE_UNAVAILABLE);
        let metrics = counters.metrics();
        let closed: Vec<_> = metrics[2].values.iter().map(|(_, value)| *value).collect();
        assert_eq!(closed, (1..=9).collect::<Vec<_>>());
        let answered: Vec<_> = metrics[3].values.iter().map(|(_, value)| *value).collect();
        assert_eq!(answered, [0, 1, 0, 0, 1]);
    }
}
