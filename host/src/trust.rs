//! Whom this host trusts, and the one place where artifact bytes become something that may run.
//!
//! Trust begins with a file on this host that names the lattice's root; everything else are statements signed by the
//! root or by whom it names. A host that runs alone may be told issuers in the same file: the word of the machine's
//! own administrator, who could replace the program as well.

use std::{
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use mesh_claims::{Admission, Claims, Component, Refusal, Trust, Verified, verify};
use mesh_lattice::{
    Digest, Incarnation,
    id::{AccountId, OperatorId},
};
use serde::Deserialize;

/// The trust file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustFile {
    /// The lattice's root: an operator key.
    pub root: OperatorId,
    /// Issuers that this machine's administrator vouches for; only where the host runs alone.
    #[serde(default)]
    pub issuers: Vec<AccountId>,
}

/// The trust file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustFileError {
    /// It cannot be read.
    #[error("the trust file {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not what it should be. What it holds instead is not repeated: it may be a key.
    #[error("the trust file {} is not one: line {line} is not what it should be (root = \"O...\", issuers = [\"A...\"])", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where it is wrong.
        line: usize,
    },
}

impl TrustFile {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, or says something else than a root and issuers.
    pub fn read(path: &Path) -> Result<Self, TrustFileError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| TrustFileError::Unreadable { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            TrustFileError::Malformed { path: path.to_owned(), line: before.matches('\n').count() + 1 }
        })
    }

    /// Trust in the root alone, for statements of this life of the lattice's state.
    #[must_use]
    pub fn of_lattice(&self, incarnation: Incarnation) -> Trust {
        Trust::of_incarnation(self.root.clone(), incarnation)
    }

    /// Trust of a host that runs alone.
    #[must_use]
    pub fn alone(&self) -> Trust {
        self.issuers.iter().cloned().fold(Trust::new(self.root.clone()), Trust::trusting_locally)
    }
}

/// Verifies an artifact that is to run now. Nothing else in this program makes a [`Verified`].
///
/// # Errors
///
/// Every reason there is not to run it.
pub fn admit(
    bytes: Bytes,
    digest: &Digest,
    trust: &Trust,
    admission: Admission,
) -> Result<Verified<Component>, Refusal> {
    verify::component(bytes, Some(digest), trust, now(), admission)
}

/// Whether what ran with these claims may no longer: the only thing about trust that stops what runs.
#[must_use]
pub fn is_revoked(claims: &Claims, digest: &Digest, trust: &Trust) -> bool {
    [claims.issuer.as_str(), claims.subject.as_str(), &digest.to_string()]
        .iter()
        .any(|subject| trust.is_revoked(subject))
}

/// Seconds since 1970: judges claims and dates events, nothing else.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use mesh_claims::{KeyKind, KeyPair, RefusalCode};

    use super::*;

    /// The smallest component, signed by `issuer`.
    fn signed(issuer: &KeyPair) -> Bytes {
        let component = [&b"\0asm"[..], &[0x0d, 0, 1, 0]].concat();
        let options = mesh_claims::sign::SignOptions::new(KeyPair::generate(KeyKind::Actor));
        mesh_claims::sign::component(&component, issuer, &options).unwrap().into()
    }

    #[test]
    fn only_what_a_named_issuer_signed_is_admitted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trust.toml");
        let (root, issuer) = (KeyPair::generate(KeyKind::Operator), KeyPair::generate(KeyKind::Account));
        std::fs::write(&path, format!("root = {:?}\nissuers = [{:?}]\n", root.public(), issuer.public())).unwrap();
        let trust = TrustFile::read(&path).unwrap().alone();
        let good = signed(&issuer);
        let admitted = admit(good.clone(), &Digest::of(&good), &trust, Admission::New).unwrap();
        assert!(!is_revoked(admitted.claims(), &admitted.digest(), &trust));
        let other = signed(&KeyPair::generate(KeyKind::Account));
        let refusal = admit(other.clone(), &Digest::of(&other), &trust, Admission::New).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::UnknownIssuer);
        let swapped = admit(other, &Digest::of(&good), &trust, Admission::New).unwrap_err();
        assert_eq!(swapped.code, RefusalCode::Tampered);
    }

    #[test]
    fn a_trust_file_without_a_root_or_with_anything_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trust.toml");
        assert!(matches!(TrustFile::read(&path), Err(TrustFileError::Unreadable { .. })));
        for bad in ["", "root = \"N\"", "root = 1", "roots = []"] {
            std::fs::write(&path, bad).unwrap();
            assert!(matches!(TrustFile::read(&path), Err(TrustFileError::Malformed { .. })), "{bad}");
        }
    }

    #[test]
    fn a_seed_that_stands_in_a_trust_file_is_not_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trust.toml");
        let seed = KeyPair::generate(KeyKind::Operator).seed().to_string();
        for text in [seed.clone(), format!("root = {seed:?}"), format!("\nroot = [{seed:?}]")] {
            std::fs::write(&path, &text).unwrap();
            let said = format!("{:#}", anyhow::Error::from(TrustFile::read(&path).unwrap_err()));
            assert!(!said.contains(&seed[..8]), "{said}");
            assert!(said.contains(if text.starts_with('\n') { "line 2" } else { "line 1" }), "{said}");
        }
    }
}
