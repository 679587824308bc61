//! The calls that an actor's guests broke down under, by a trap or at a limit: counted for whoever asks how the actor
//! is, with what the last of them came to.

use mesh_lattice::{CallError, Code};
use parking_lot::Mutex;

/// What is kept of what the last one came to.
const LENGTH: usize = 200;

/// How many, and what the last came to.
#[derive(Debug, Default)]
pub(crate) struct Breakdowns(Mutex<(u64, String)>);

impl Breakdowns {
    /// Keeps that a call has no answer, where that is because its guest broke down.
    pub(crate) fn note(&self, error: &CallError) {
        if matches!(error.code, Code::Trap | Code::CpuLimit | Code::MemoryLimit) {
            let last = error.to_string().chars().take(LENGTH).collect();
            let mut kept = self.0.lock();
            *kept = (kept.0.saturating_add(1), last);
        }
    }

    /// How many, and what the last came to.
    pub(crate) fn all(&self) -> (u64, String) {
        self.0.lock().clone()
    }
}
