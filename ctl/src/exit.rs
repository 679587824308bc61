//! How a failed command ends: an exit code for scripts, a sentence and a hint for people.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | failed |
//! | 2 | wrong usage or invalid input |
//! | 3 | not found |
//! | 4 | refused: trust, policy, permission |
//! | 5 | the lattice cannot be reached |
//! | 6 | timed out |

use std::process::ExitCode;

use mesh_claims::{Refusal, RefusalCode, surface::NotAComponent};

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Failed = 1,
    Invalid = 2,
    NotFound = 3,
    Refused = 4,
}

/// A failure whose exit code is known where it happens.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    hint: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: String::new() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Exit::Invalid, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, message)
    }

    /// What the person can do next.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: hint.into(), ..self }
    }
}

/// The exit code of an error: that of the first of its causes that has one.
pub(crate) fn code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(error.chain().find_map(known).unwrap_or(Exit::Failed) as u8)
}

fn known(cause: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    if let Some(failure) = cause.downcast_ref::<Failure>() {
        return Some(failure.exit);
    }
    if let Some(refusal) = cause.downcast_ref::<Refusal>() {
        return Some(if refusal.code == RefusalCode::Malformed { Exit::Invalid } else { Exit::Refused });
    }
    cause.downcast_ref::<NotAComponent>().map(|_| Exit::Invalid)
}

/// What the person can do next, where one of the causes knows it.
pub(crate) fn hint(error: &anyhow::Error) -> Option<&str> {
    let hints = error.chain().filter_map(|cause| cause.downcast_ref::<Failure>());
    hints.map(|failure| failure.hint.as_str()).find(|hint| !hint.is_empty())
}
