//! What taking part in a lattice adds to the metrics: sessions, calls between hosts, the connections to NATS.

use super::Metrics;
use crate::lattice::Link;

impl Metrics {
    /// Shows the lattice as well.
    #[must_use]
    pub(crate) fn with_lattice(self, link: &Link) -> Self {
        let (remote, health) = (link.remote.clone(), link.connections.health());
        self.with(move |text| {
            let stats = remote.stats();
            text.metric("mesh_sessions", "gauge", "Sessions with other hosts.");
            text.value("mesh_sessions", "", stats.sessions);
            text.metric("mesh_nats_up", "gauge", "1 where the connection is up.");
            let (control, data) = {
                let health = health.borrow();
                (health.control_up, health.data_up)
            };
            text.value("mesh_nats_up", "connection=\"control\"", control.into());
            text.value("mesh_nats_up", "connection=\"data\"", data.into());
        })
    }
}
