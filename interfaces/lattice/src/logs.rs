//! What actors print and log, as people read it: `meshctl logs`.
//!
//! ```text
//! meshctl ── LogsRequest ──► mesh.<lattice>.h.<host>.logs ──► Logs, a page of lines
//!    └─ asks again, from the number that comes next, for as long as a person follows
//! ```
//!
//! Each host keeps the last lines of each of its actors, and numbers them. A line that an actor was not allowed to
//! print, because it had printed too much, takes a number too, and so does one that was pushed out before anybody asked: a
//! gap between two numbers is what was lost. A host keeps nothing for who follows, so that nobody who follows slowly, or is
//! gone, costs it anything.

use serde::{Deserialize, Serialize};

use crate::{
    id::{BootId, HostId},
    name::Name,
};

/// Bytes of text in one answer: it has to fit one message of any server. One line always fits.
pub const MAX_PAGE: usize = 48 << 10;

/// Asks a host for lines of an actor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogsRequest {
    /// The actor.
    pub actor: Name,
    /// The boot whose numbers `from` speaks of; another one begins at its first line.
    #[serde(default)]
    pub boot: Option<BootId>,
    /// The first number that is wanted.
    #[serde(default)]
    pub from: u64,
    /// No more than the last so many lines are wanted; all where nothing is said.
    #[serde(default)]
    pub last: Option<u32>,
}

/// Lines of an actor, oldest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Logs {
    /// The host.
    pub host: HostId,
    /// Its boot: the next one numbers anew.
    pub boot: BootId,
    /// The lines.
    pub lines: Vec<LogLine>,
    /// The number to ask from next.
    pub next: u64,
    /// Whether there are lines from there on already.
    pub more: bool,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Its number in this boot.
    pub number: u64,
    /// When it was printed, in milliseconds since 1970 on its host's clock.
    pub at: u64,
    /// Where it comes from.
    pub source: LogSource,
    /// What a guest that logs says it is about; empty where it does not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub context: String,
    /// The line; what a terminal would obey is written out in it.
    pub text: String,
}

/// Where a line comes from: one of the two streams, or the guest's own log at a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogSource {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// `wasi:logging` at trace.
    Trace,
    /// At debug.
    Debug,
    /// At info.
    Info,
    /// At warn.
    Warn,
    /// At error or critical.
    Error,
}

impl LogSource {
    /// As it stands in JSON and in columns.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}
