//! The closed set of reasons to say no: what programs decide by and what tests assert.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why an artifact, a statement or a stored value is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// It carries no claims where claims have to be.
    Unsigned,
    /// It is not of the form that it should have.
    Malformed,
    /// It is not what was signed.
    Tampered,
    /// It was signed for a time that is over.
    Expired,
    /// It was signed for a time that is still to come.
    NotYetValid,
    /// Nobody whom the lattice trusts for this signed it.
    UnknownIssuer,
    /// A key of another kind stands where this one should.
    WrongKind,
    /// A revocation stands against it.
    Revoked,
}

impl RefusalCode {
    /// The code as it stands in JSON, events and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Malformed => "malformed",
            Self::Tampered => "tampered",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::UnknownIssuer => "unknown_issuer",
            Self::WrongKind => "wrong_kind",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal: a code for programs, a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// What programs decide by.
    pub code: RefusalCode,
    /// What a person reads.
    pub message: String,
}

impl Refusal {
    /// A refusal of this code.
    pub fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::new(RefusalCode::Malformed, message)
    }

    pub(crate) fn tampered(message: impl Into<String>) -> Self {
        Self::new(RefusalCode::Tampered, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_reads_the_same_in_json_and_in_text() {
        for code in [
            RefusalCode::Unsigned,
            RefusalCode::Malformed,
            RefusalCode::Tampered,
            RefusalCode::Expired,
            RefusalCode::NotYetValid,
            RefusalCode::UnknownIssuer,
            RefusalCode::WrongKind,
            RefusalCode::Revoked,
        ] {
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{code}\""));
        }
    }
}
