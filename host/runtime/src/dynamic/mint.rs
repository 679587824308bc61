//! The handles of the resources of this engine's actors: made here, and known again.
//!
//! A handle names host and boot, says whose it is and whom it was given to, and carries a tag that only this boot can
//! make: what was never minted, what is somebody else's and what has ended are told apart without keeping what ended.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use mesh_lattice::{
    BootId, CallError, Caller, Code, HostId, Name,
    handle::{self, Origin, Pin},
    id::key_text,
};
use ring::{
    digest, hmac,
    rand::{self, SystemRandom},
};

/// Bytes of a tag, and of what stands for a name.
const TAG: usize = 16;

/// What mints the handles of one engine, and knows them again.
pub(crate) struct Mint {
    origin: Origin,
    key: hmac::Key,
    /// No two handles of a boot have one number, whichever actors they are of.
    next: AtomicU64,
}

impl Mint {
    /// One of this boot; its key is of no use to another one.
    pub(crate) fn new(origin: Option<Origin>) -> Result<Self, ring::error::Unspecified> {
        let random = SystemRandom::new();
        let origin = match origin {
            Some(origin) => origin,
            None => Origin { host: nobody(&random)?, boot: BootId::new() },
        };
        Ok(Self { origin, key: hmac::Key::generate(hmac::HMAC_SHA256, &random)?, next: AtomicU64::new(0) })
    }

    /// A number that no other handle has.
    pub(super) fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn handle(&self, number: u64, actor: &Name, caller: &Caller) -> Bytes {
        let mut body = Vec::with_capacity(8 + 3 * TAG);
        body.extend(number.to_be_bytes());
        body.extend(short(actor.as_str()));
        body.extend(short(&caller.to_string()));
        let tag = hmac::sign(&self.key, &body);
        body.extend(tag.as_ref().iter().take(TAG));
        handle::mint(&self.origin, &body).into()
    }

    /// Where a call with this handle has to be made; anywhere, where no host minted it.
    pub(crate) fn pin(&self, handle: &[u8]) -> Option<Pin> {
        let (origin, _) = handle::read(handle)?;
        Some(if origin.host == self.origin.host { Pin::Here } else { Pin::On(origin.host) })
    }

    /// The number of a handle, where it is one that `caller` was given by `actor`.
    pub(super) fn number(&self, handle: &[u8], actor: &Name, caller: &Caller) -> Result<u64, Refused> {
        let (origin, body) = handle::read(handle).ok_or(Refused::Forged)?;
        if origin.boot != self.origin.boot {
            return Err(Refused::Ended);
        }
        let (body, tag) = body.split_at_checked(8 + 2 * TAG).ok_or(Refused::Forged)?;
        // Compared without saying by its time how much of it is right.
        let own = hmac::sign(&self.key, body);
        let own = own.as_ref().get(..TAG).unwrap_or_default();
        let differs = own.iter().zip(tag).fold(0, |differs, (one, other)| differs | (one ^ other));
        if tag.len() != TAG || differs != 0 {
            return Err(Refused::Forged);
        }
        let (number, names) = body.split_at_checked(8).ok_or(Refused::Forged)?;
        let (of_actor, of_caller) = names.split_at_checked(TAG).ok_or(Refused::Forged)?;
        if of_actor != short(actor.as_str()) {
            return Err(Refused::OfAnotherActor);
        }
        if of_caller != short(&caller.to_string()) {
            return Err(Refused::OfAnotherCaller);
        }
        Ok(number.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

/// The id of an engine that belongs to no host.
fn nobody(random: &SystemRandom) -> Result<HostId, ring::error::Unspecified> {
    let key = rand::generate::<[u8; 32]>(random)?.expose();
    key_text(HOST_PREFIX, &key).parse().map_err(|_| ring::error::Unspecified)
}

/// What the public key of a host begins with: an `N`.
const HOST_PREFIX: u8 = 13 << 3;

/// What stands for a name in a handle.
fn short(name: &str) -> [u8; TAG] {
    let digest = digest::digest(&digest::SHA256, name.as_bytes());
    let mut short = [0; TAG];
    short.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    short
}

/// Why a handle is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the handle was never minted here")]
    Forged,
    #[error("the handle is of another actor")]
    OfAnotherActor,
    #[error("the handle was given to another caller")]
    OfAnotherCaller,
    #[error("what the handle stood for has ended")]
    Ended,
    #[error("the handles of one call are of several instances")]
    Several,
    #[error("the handle is of another resource")]
    OfAnotherResource,
    #[error("there are too many handles")]
    TooMany,
}

impl From<Refused> for CallError {
    fn from(refused: Refused) -> Self {
        let code = match refused {
            Refused::Forged | Refused::Several | Refused::OfAnotherResource => Code::BadParams,
            Refused::OfAnotherActor | Refused::OfAnotherCaller => Code::Denied,
            Refused::Ended => Code::Gone,
            Refused::TooMany => Code::MemoryLimit,
        };
        Self::new(code, refused.to_string())
    }
}
