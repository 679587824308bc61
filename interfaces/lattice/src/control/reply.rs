//! The one answer to a control request: what was asked for, or why it was not done.

use serde::{Deserialize, Serialize};

/// The one answer to a control request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlReply<T> {
    /// Done.
    Ok(T),
    /// Not done.
    Error(ControlError),
}

/// Why a control request was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct ControlError {
    /// What programs decide by.
    pub code: ControlCode,
    /// What a person reads.
    pub message: String,
    /// What the person can do next, where we know it.
    #[serde(default)]
    pub hint: String,
}

/// The kinds of [`ControlError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlCode {
    /// The request cannot be read, or asks for what cannot be.
    Invalid,
    /// There is nothing of that name.
    NotFound,
    /// Somebody else changed it first: read again, decide again.
    Conflict,
    /// A signature, an authority or a revocation stands against it.
    Refused,
    /// The host cannot reach what it needs.
    Unavailable,
    /// A defect on our side.
    Internal,
}
