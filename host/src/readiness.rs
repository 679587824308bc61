//! Why this host is not ready, if it is not: one reason for each concern, set by whoever owns the concern and read by
//! the admin port.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use serde::Serialize;

/// What can stand against a host's readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Concern {
    /// It has not been told what to run yet.
    NothingKnown,
    /// Its NATS connections are not up.
    Disconnected,
    /// The lattice's state is missing or was made anew.
    StateStale,
    /// Its key is not enrolled.
    NotEnrolled,
    /// Something that it runs alone is not ready.
    Work,
    /// It is stopping.
    Draining,
}

/// The reasons that stand now.
#[derive(Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<Concern, String>>>);

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// What programs match.
    pub code: Concern,
    /// What a person reads.
    pub message: String,
}

impl Readiness {
    /// Says why a concern stands against readiness, or that it does not.
    pub fn set(&self, concern: Concern, reason: Option<String>) {
        let mut reasons = self.0.lock();
        let before = reasons.get(&concern);
        if before == reason.as_ref() {
            return;
        }
        match reason {
            Some(reason) => {
                tracing::warn!(?concern, "not ready: {reason}");
                reasons.insert(concern, reason);
            }
            None => {
                tracing::info!(?concern, "no longer stands against readiness");
                reasons.remove(&concern);
            }
        }
    }

    /// The reasons that stand; none where the host is ready.
    #[must_use]
    pub fn reasons(&self) -> Vec<Reason> {
        self.0.lock().iter().map(|(code, message)| Reason { code: *code, message: message.clone() }).collect()
    }
}
