//! The suites that every provider of a kind passes unchanged, so that a guest cannot tell its backends apart. A
//! provider's own tests start it on its real backend and call a suite; what the suite saw is compared with the
//! transcript that is kept here, and so with every other backend.

pub mod keyvalue;

/// What a provider did otherwise than it should, for the person who reads the test's output.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

impl From<mesh_lattice::CallError> for Failure {
    fn from(error: mesh_lattice::CallError) -> Self {
        Self(format!("a call failed: {error}"))
    }
}

impl From<mesh_lattice::name::BadName> for Failure {
    fn from(error: mesh_lattice::name::BadName) -> Self {
        Self(error.to_string())
    }
}

/// Fails with `what`, unless `holds`.
pub(crate) fn check(holds: bool, what: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure(what())) }
}
