//! What is counted.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use mesh_provider::{Metric, MetricKind};

/// The counters of one provider.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Messages that a handler took and was content with.
    pub(crate) handled: AtomicU64,
    /// Those that it answered with its own error.
    pub(crate) refused: AtomicU64,
    /// Those whose call has no answer.
    pub(crate) failed: AtomicU64,
    /// Those that found the buffer full.
    pub(crate) full: AtomicU64,
    /// Those that were late before a handler was free, or were left when the provider stopped.
    pub(crate) late: AtomicU64,
    /// Those that the client itself dropped.
    pub(crate) lost: Arc<AtomicU64>,
    /// Handler calls that run.
    pub(crate) in_flight: AtomicU64,
    /// Messages that wait for one.
    pub(crate) pending: AtomicU64,
    /// Messages that actors published.
    pub(crate) published: AtomicU64,
    /// Requests that got what they waited for.
    pub(crate) answered: AtomicU64,
    /// Requests that did not.
    pub(crate) unanswered: AtomicU64,
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Counts as long as it is held.
pub(crate) struct Held<'a>(&'a AtomicU64);

impl<'a> Held<'a> {
    pub(crate) fn new(gauge: &'a AtomicU64) -> Self {
        count(gauge);
        Self(gauge)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counters {
    /// All of them.
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let metric = |name, kind, help, values| Metric { name, kind, help, values };
        vec![
            metric(
                "mesh_messaging_nats_handled_total",
                MetricKind::Counter,
                "Messages by what their handler made of them.",
                vec![
                    ("result=\"ok\"", read(&self.handled)),
                    ("result=\"refused\"", read(&self.refused)),
                    ("result=\"failed\"", read(&self.failed)),
                ],
            ),
            metric(
                "mesh_messaging_nats_dropped_total",
                MetricKind::Counter,
                "Messages that no handler saw.",
                vec![
                    ("reason=\"full\"", read(&self.full)),
                    ("reason=\"late\"", read(&self.late)),
                    ("reason=\"client\"", read(&self.lost)),
                ],
            ),
            metric(
                "mesh_messaging_nats_in_flight",
                MetricKind::Gauge,
                "Handler calls that run.",
                vec![("", read(&self.in_flight))],
            ),
            metric(
                "mesh_messaging_nats_pending",
                MetricKind::Gauge,
                "Messages that wait for a handler.",
                vec![("", read(&self.pending))],
            ),
            metric(
                "mesh_messaging_nats_published_total",
                MetricKind::Counter,
                "Messages that actors published.",
                vec![("", read(&self.published))],
            ),
            metric(
                "mesh_messaging_nats_requests_total",
                MetricKind::Counter,
                "Requests of actors by whether they were answered.",
                vec![("answered=\"yes\"", read(&self.answered)), ("answered=\"no\"", read(&self.unanswered))],
            ),
        ]
    }
}
