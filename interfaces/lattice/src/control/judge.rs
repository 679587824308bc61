//! A commit that is judged and not written: what would be said of it, and what it would do.

use serde::{Deserialize, Serialize};

use crate::{id::HostId, name::Name, stored::ItemKind};

/// The commit may be written, as things stand.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Judged {
    /// The host that judged it.
    pub by: HostId,
    /// What would become of the actors and providers of the applications in it, and of others that it touches.
    pub effects: Vec<Effect>,
}

/// What would become of an actor or a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// Which of the two it is.
    pub kind: ItemKind,
    /// Its name.
    pub name: Name,
    /// The application that wants it, or wanted it last.
    pub app: Name,
    /// On how many hosts it is wanted then.
    pub wanted: u32,
    /// Where it starts.
    #[serde(default)]
    pub starts: Vec<HostId>,
    /// Where it stops.
    #[serde(default)]
    pub stops: Vec<HostId>,
    /// Where it runs on, started anew: an actor beside the one before, a provider after it.
    #[serde(default)]
    pub restarts: Vec<HostId>,
    /// How many links it is told, told otherwise or loses, where it runs on as it is.
    #[serde(default)]
    pub relinks: u32,
    /// Why it would run on fewer hosts than wanted; empty where it would not.
    #[serde(default)]
    pub reason: String,
}

impl Effect {
    /// Whether any host does anything.
    #[must_use]
    pub fn happens(&self) -> bool {
        self.relinks > 0 || [&self.starts, &self.stops, &self.restarts].iter().any(|hosts| !hosts.is_empty())
    }
}
