//! The one place where bytes become [`Verified`]: structure, signature, hash, kind, revocation, issuer, time.
//!
//! Called by `host/src/trust.rs` before anything runs, and by `meshctl` to show what an artifact says.

use std::marker::PhantomData;

use bytes::Bytes;
use mesh_lattice::{Digest, date::utc};

use crate::{
    refusal::{Refusal, RefusalCode},
    section::{self, Depth},
    token::{self, Claims, Subject},
    trust::Trust,
};

/// Wall clocks of honest machines differ by this much, in seconds.
pub const CLOCK_TOLERANCE: u64 = 30;

/// A component, as a type: see [`Verified`].
#[derive(Debug, Clone, Copy)]
pub struct Component;

/// Bytes whose claims hold. There is no way to make one but [`component`].
#[derive(Debug, Clone)]
pub struct Verified<T> {
    bytes: Bytes,
    claims: Claims,
    digest: Digest,
    what: PhantomData<T>,
}

impl<T> Verified<T> {
    /// The artifact.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What its issuer says about it.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The SHA-256 of the artifact.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// Why an artifact is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is to run here for the first time.
    New,
    /// It ran here before: what expired in the meantime goes on, what was revoked does not. A machine that wakes up
    /// alone may not even know what time it is.
    Restart,
}

/// What the artifact says about itself: structure, signature and hash are checked, trust and time are not.
///
/// # Errors
///
/// `unsigned`, `malformed`, `tampered`, `wrong_kind`.
pub fn read(bytes: &[u8]) -> Result<Claims, Refusal> {
    let stripped = section::strip(bytes, Depth::Top).map_err(|error| Refusal::malformed(error.to_string()))?;
    let claims = match stripped.tokens[..] {
        [] => {
            return Err(Refusal::new(RefusalCode::Unsigned, "the artifact carries no claims at its top level"));
        }
        [token] => token::read(token)?,
        _ => return Err(Refusal::malformed("the artifact carries more than one token")),
    };
    if claims.hash != section::hash(&stripped.rest) {
        return Err(Refusal::tampered("the artifact is not the one that was signed: its hash is another"));
    }
    Ok(claims)
}

/// Verifies a component that is to run at `now`, in seconds since 1970.
///
/// # Errors
///
/// Every code there is.
pub fn component(
    bytes: Bytes,
    expected: Option<&Digest>,
    trust: &Trust,
    now: u64,
    admission: Admission,
) -> Result<Verified<Component>, Refusal> {
    let digest = Digest::of(&bytes);
    if expected.is_some_and(|expected| *expected != digest) {
        return Err(Refusal::tampered(format!("the bytes are {digest}, not what was asked for")));
    }
    let claims = read(&bytes)?;
    if !matches!(claims.subject, Subject::Actor(_)) {
        return Err(Refusal::new(RefusalCode::WrongKind, "the claims are a provider's, not an actor's"));
    }
    check_trust(&claims, &digest, trust)?;
    if admission == Admission::New {
        check_time(&claims, now)?;
    }
    Ok(Verified { bytes, claims, digest, what: PhantomData })
}

fn check_trust(claims: &Claims, digest: &Digest, trust: &Trust) -> Result<(), Refusal> {
    let revoked = |what: &str, id: &str| Refusal::new(RefusalCode::Revoked, format!("{what} {id} is revoked"));
    if trust.is_revoked(&digest.to_string()) {
        return Err(revoked("the artifact", &digest.to_string()));
    }
    if trust.is_revoked(claims.subject.as_str()) {
        return Err(revoked("the actor", claims.subject.as_str()));
    }
    if trust.is_revoked(claims.issuer.as_str()) {
        return Err(revoked("the issuer", claims.issuer.as_str()));
    }
    if !trust.is_issuer(&claims.issuer) {
        let message = format!("the issuer {} is not trusted here", claims.issuer);
        return Err(Refusal::new(RefusalCode::UnknownIssuer, message));
    }
    Ok(())
}

fn check_time(claims: &Claims, now: u64) -> Result<(), Refusal> {
    if let Some(from) = claims.not_before
        && now.saturating_add(CLOCK_TOLERANCE) < from
    {
        let message = format!("the claims hold from {} on, and it is {} by this clock", utc(from), utc(now));
        return Err(Refusal::new(RefusalCode::NotYetValid, message));
    }
    if let Some(until) = claims.expires
        && now > until.saturating_add(CLOCK_TOLERANCE)
    {
        let message = format!("the claims held until {}, and it is {} by this clock", utc(until), utc(now));
        return Err(Refusal::new(RefusalCode::Expired, message));
    }
    Ok(())
}
