//! What a provider counts, for its host's `/metrics`. The host adds the label `provider`; a provider's own labels are
//! closed sets that its code names, so that nobody who calls can make the number of series grow.

/// One metric of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    /// `mesh_<kind of provider>_<what>`, with the unit, and `_total` for a counter.
    pub name: &'static str,
    /// How it moves.
    pub kind: MetricKind,
    /// What it is, for a person.
    pub help: &'static str,
    /// Its values by their labels, as they stand between the braces: `reason="full"`, or nothing.
    pub values: Vec<(&'static str, u64)>,
}

/// How a metric moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only up.
    Counter,
    /// Up and down.
    Gauge,
}

impl MetricKind {
    /// As Prometheus writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}
