//! What taking part in a lattice adds to the metrics: sessions, calls between hosts, the connections to NATS.

use mesh_transport::CallStats;

use super::{Metrics, Text};
use crate::lattice::Link;

impl Metrics {
    /// Shows the lattice as well.
    #[must_use]
    pub(crate) fn with_lattice(self, link: &Link) -> Self {
        let (remote, health) = (link.remote.clone(), link.connections.health());
        self.with(move |text| {
            let stats = remote.stats();
            between_hosts(text, &stats);
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

/// What became of the calls between this host and others.
fn between_hosts(text: &mut Text, stats: &CallStats) {
    let counters: [(&str, &str, u64); 14] = [
        ("sent", "Calls sent to other hosts.", stats.sent),
        ("resent", "Copies sent because nothing was heard of the ones before.", stats.resent),
        ("accepted", "Calls of ours of which their hosts said that they answer later.", stats.accepted),
        ("silent", "How often a call of ours met silence.", stats.silent),
        ("left", "Calls of ours that were given up at a silent host.", stats.left),
        ("lost", "Calls of ours whose host was gone with them.", stats.lost),
        ("taken", "Calls of other hosts that were begun.", stats.taken),
        ("busy", "Calls of other hosts for which there was no room.", stats.busy),
        ("late", "Calls of other hosts that came after their deadline.", stats.expired),
        ("repeated", "Calls of other hosts that came again and were answered as before.", stats.repeated),
        ("reply_lost", "Those of them whose reply was no longer kept.", stats.reply_lost),
        ("refused", "Calls of other hosts that may not be made here.", stats.refused),
        ("cancelled", "Calls of other hosts that their callers cancelled.", stats.cancelled),
        ("dropped", "Frames dropped because the outbox was full.", stats.dropped),
    ];
    for (name, help, value) in counters {
        let name = format!("mesh_remote_calls_{name}_total");
        text.metric(&name, "counter", help);
        text.value(&name, "", value);
    }
    text.metric(
        "mesh_nats_overflowed_total",
        "counter",
        "Messages dropped because this process did not take them in time.",
    );
    text.value("mesh_nats_overflowed_total", "", stats.overflowed);
    text.metric("mesh_remote_calls_open", "gauge", "Calls between hosts that are open, streams included.");
    text.value("mesh_remote_calls_open", "direction=\"out\"", stats.open_out);
    text.value("mesh_remote_calls_open", "direction=\"in\"", stats.open_in);
}
