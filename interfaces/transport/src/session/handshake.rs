//! How two boots come to a session: one Hello each, signed by the host's key, over fresh X25519 keys.
//!
//! ```text
//! caller                                            callee
//!   Hello{from, to, e1} signed by caller ─────────►   enrolled? signature? versions?
//!   ◄───────── Hello{from, to, both boots, e2, answers e1} signed by callee
//!   both: HKDF-SHA256(salt = SHA-256(what was said), X25519(e1, e2)) → id, caller→callee, callee→caller
//! ```
//!
//! The answer's signature covers e1, so it cannot have been made for another question; the caller is proved when its
//! first sealed frame opens. What is signed is a byte string of our own, never the frame: it does not depend on how a
//! header is encoded, and its first words cannot begin anything else that the key signs.

use mesh_claims::keys::{self, KeyPair};
use mesh_lattice::{
    clock::Monotonic,
    frame::{Hello, VERSIONS},
    id::{BootId, HostId},
    name::LatticeName,
};
use ring::{
    agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral},
    digest::{Context, SHA256},
    hkdf::{HKDF_SHA256, KeyType, Salt},
    rand::SystemRandom,
};

use super::{Keys, Peer};
use crate::refusals::Reason;

/// A Hello that leads to no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadHello {
    #[error("it is for another lattice or host")]
    Misdirected,
    #[error("it is for another boot of this host")]
    StaleBoot,
    #[error("its sender is not enrolled")]
    NotEnrolled,
    #[error("its signature is not its sender's")]
    BadSignature,
    #[error("it answers another question")]
    WrongAnswer,
    #[error("there is no protocol version that both speak")]
    NoCommonVersion,
    #[error("its key cannot be agreed with")]
    BadKey,
}

impl BadHello {
    /// As it is counted.
    pub(crate) fn reason(self) -> Reason {
        match self {
            Self::Misdirected | Self::WrongAnswer => Reason::Misdirected,
            Self::StaleBoot => Reason::StaleBoot,
            Self::NotEnrolled => Reason::Unenrolled,
            Self::BadSignature => Reason::Unauthentic,
            Self::NoCommonVersion => Reason::Version,
            Self::BadKey => Reason::Malformed,
        }
    }
}

/// Who we are in every handshake.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) lattice: LatticeName,
    pub(crate) host: HostId,
    pub(crate) boot: BootId,
    pub(crate) key: std::sync::Arc<KeyPair>,
}

/// A question that waits for its answer.
pub(crate) struct Asked {
    hello: Hello,
    private: EphemeralPrivateKey,
}

impl Identity {
    /// Asks `peer` for a session.
    pub(crate) fn ask(&self, peer: &HostId, max_frame: u32) -> Result<Asked, BadHello> {
        let (private, ephemeral) = ephemeral()?;
        let mut hello = Hello {
            versions: VERSIONS,
            lattice: self.lattice.clone(),
            from: self.host.clone(),
            from_boot: self.boot,
            to: peer.clone(),
            to_boot: None,
            ephemeral,
            answers: None,
            max_frame,
            clock: Monotonic::now(),
            signature: Vec::new(),
        };
        hello.signature = self.key.sign(&statement(&hello)).to_vec();
        Ok(Asked { hello, private })
    }

    /// What can be asked about a question before its signature is looked at.
    pub(crate) fn screen(&self, asked: &Hello, enrolled: impl Fn(&HostId) -> bool) -> Result<(), BadHello> {
        if asked.lattice != self.lattice || asked.to != self.host || asked.answers.is_some() {
            return Err(BadHello::Misdirected);
        }
        if asked.to_boot.is_some_and(|boot| boot != self.boot) {
            return Err(BadHello::StaleBoot);
        }
        if asked.from == self.host || !enrolled(&asked.from) {
            return Err(BadHello::NotEnrolled);
        }
        Ok(())
    }

    /// Answers a question: the answer, and the session that it makes.
    pub(crate) fn answer(
        &self,
        asked: &Hello,
        max_frame: u32,
        enrolled: impl Fn(&HostId) -> bool,
    ) -> Result<(Hello, Peer, Keys), BadHello> {
        self.screen(asked, enrolled)?;
        judge(asked)?;
        let (private, ephemeral) = ephemeral()?;
        let mut answer = Hello {
            versions: VERSIONS,
            lattice: self.lattice.clone(),
            from: self.host.clone(),
            from_boot: self.boot,
            to: asked.from.clone(),
            to_boot: Some(asked.from_boot),
            ephemeral,
            answers: Some(asked.ephemeral.into()),
            max_frame,
            clock: Monotonic::now(),
            signature: Vec::new(),
        };
        answer.signature = self.key.sign(&statement(&answer)).to_vec();
        let (id, question, reply) = derive(private, &asked.ephemeral, asked, &answer)?;
        Ok((answer, peer(asked, max_frame), Keys { id, seal: reply, open: question }))
    }
}

/// The dear questions: is it signed by whom it names, and can the two talk?
fn judge(hello: &Hello) -> Result<(), BadHello> {
    keys::verify(hello.from.as_str(), &statement(hello), &hello.signature).map_err(|_| BadHello::BadSignature)?;
    let common = hello.versions.0 <= VERSIONS.1 && VERSIONS.0 <= hello.versions.1;
    if common { Ok(()) } else { Err(BadHello::NoCommonVersion) }
}

impl Asked {
    /// The question itself.
    pub(crate) fn hello(&self) -> &Hello {
        &self.hello
    }

    /// The session that the answer makes.
    pub(crate) fn finish(self, answer: &Hello, enrolled: impl Fn(&HostId) -> bool) -> Result<(Peer, Keys), BadHello> {
        let asked = &self.hello;
        let directed = answer.lattice == asked.lattice && answer.from == asked.to && answer.to == asked.from;
        if !directed {
            return Err(BadHello::Misdirected);
        }
        if answer.to_boot != Some(asked.from_boot) {
            return Err(BadHello::StaleBoot);
        }
        if answer.answers.as_deref() != Some(&asked.ephemeral) {
            return Err(BadHello::WrongAnswer);
        }
        if !enrolled(&answer.from) {
            return Err(BadHello::NotEnrolled);
        }
        judge(answer)?;
        let (id, question, reply) = derive(self.private, &answer.ephemeral, asked, answer)?;
        Ok((peer(answer, asked.max_frame), Keys { id, seal: question, open: reply }))
    }
}

fn ephemeral() -> Result<(EphemeralPrivateKey, [u8; 32]), BadHello> {
    let private = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).map_err(|_| BadHello::BadKey)?;
    let public = private.compute_public_key().map_err(|_| BadHello::BadKey)?;
    let public = public.as_ref().try_into().map_err(|_| BadHello::BadKey)?;
    Ok((private, public))
}

fn peer(hello: &Hello, own_max_frame: u32) -> Peer {
    Peer {
        version: hello.versions.1.min(VERSIONS.1),
        host: hello.from.clone(),
        boot: hello.from_boot,
        clock: hello.clock,
        max_frame: usize::try_from(hello.max_frame.min(own_max_frame)).unwrap_or(usize::MAX),
    }
}

/// What a Hello's signature covers: every field, each of fixed length or with its length in front.
fn statement(hello: &Hello) -> Vec<u8> {
    let mut out = Vec::with_capacity(384);
    out.extend_from_slice(if hello.answers.is_some() { b"mesh hello answer\0" } else { b"mesh hello\0" });
    out.extend_from_slice(&hello.versions.0.to_be_bytes());
    out.extend_from_slice(&hello.versions.1.to_be_bytes());
    for text in [hello.lattice.as_str(), hello.from.as_str(), hello.to.as_str()] {
        out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(text.as_bytes());
    }
    out.extend_from_slice(hello.from_boot.0.as_bytes());
    match hello.to_boot {
        Some(boot) => {
            out.push(1);
            out.extend_from_slice(boot.0.as_bytes());
        }
        None => out.push(0),
    }
    out.extend_from_slice(&hello.ephemeral);
    match hello.answers.as_deref() {
        Some(answered) => {
            out.push(1);
            out.extend_from_slice(answered);
        }
        None => out.push(0),
    }
    out.extend_from_slice(&hello.max_frame.to_be_bytes());
    out.extend_from_slice(&hello.clock.0.to_be_bytes());
    out
}

/// The bytes that one call of HKDF makes.
struct Material;

impl KeyType for Material {
    fn len(&self) -> usize {
        32
    }
}

/// The session's name, the key from caller to callee and the one back.
fn derive(
    private: EphemeralPrivateKey,
    other: &[u8; 32],
    asked: &Hello,
    answer: &Hello,
) -> Result<(u64, [u8; 32], [u8; 32]), BadHello> {
    let mut said = Context::new(&SHA256);
    said.update(&statement(asked));
    said.update(&statement(answer));
    let salt = Salt::new(HKDF_SHA256, said.finish().as_ref());
    agree_ephemeral(private, &UnparsedPublicKey::new(&X25519, other), |shared| {
        let secret = salt.extract(shared);
        let expand = |info: &[u8]| {
            let mut out = [0; 32];
            let info = [b"mesh session 1 ", info];
            secret.expand(&info, Material).and_then(|okm| okm.fill(&mut out)).map(|()| out)
        };
        let id = expand(b"id")?;
        let id = id.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        Ok::<_, ring::error::Unspecified>((id, expand(b"caller to callee")?, expand(b"callee to caller")?))
    })
    .map_err(|_| BadHello::BadKey)?
    .map_err(|_| BadHello::BadKey)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mesh_claims::keys::KeyKind;

    use super::*;

    fn identity() -> Identity {
        let key = Arc::new(KeyPair::generate(KeyKind::Host));
        Identity { lattice: LatticeName::default(), host: key.host_id().unwrap(), boot: BootId::new(), key }
    }

    const ALL: fn(&HostId) -> bool = |_| true;

    #[test]
    fn both_ends_come_to_the_same_keys() {
        let (caller, callee) = (identity(), identity());
        let asked = caller.ask(&callee.host, 100).unwrap();
        let (answer, met_caller, callee_keys) = callee.answer(asked.hello(), 50, ALL).unwrap();
        let (met_callee, caller_keys) = asked.finish(&answer, ALL).unwrap();
        assert_eq!(caller_keys.id, callee_keys.id);
        assert_eq!(caller_keys.seal, callee_keys.open);
        assert_eq!(caller_keys.open, callee_keys.seal);
        assert_ne!(caller_keys.open, caller_keys.seal);
        assert_eq!((met_caller.host, met_caller.boot), (caller.host, caller.boot));
        assert_eq!((met_callee.host, met_callee.boot), (callee.host, callee.boot));
        assert_eq!((met_caller.max_frame, met_callee.max_frame), (50, 50));
    }

    #[test]
    fn a_hello_that_was_changed_anywhere_is_refused() {
        let (caller, callee, third) = (identity(), identity(), identity());
        let good = caller.ask(&callee.host, 100).unwrap().hello().clone();
        let changed = |change: &dyn Fn(&mut Hello)| {
            let mut hello = good.clone();
            change(&mut hello);
            callee.answer(&hello, 50, ALL).map(|_| ()).unwrap_err()
        };
        assert_eq!(changed(&|hello| hello.from = third.host.clone()), BadHello::BadSignature);
        assert_eq!(changed(&|hello| hello.from_boot = BootId::new()), BadHello::BadSignature);
        assert_eq!(changed(&|hello| hello.ephemeral[0] ^= 1), BadHello::BadSignature);
        assert_eq!(changed(&|hello| hello.max_frame += 1), BadHello::BadSignature);
        assert_eq!(changed(&|hello| hello.clock.0 += 1), BadHello::BadSignature);
        assert_eq!(changed(&|hello| hello.versions.1 += 1), BadHello::BadSignature);
        assert_eq!(changed(&|hello| hello.to_boot = Some(callee.boot)), BadHello::BadSignature);
        assert_eq!(changed(&|hello| hello.to_boot = Some(BootId::new())), BadHello::StaleBoot);
        assert_eq!(changed(&|hello| hello.signature[9] ^= 1), BadHello::BadSignature);
        assert_eq!(changed(&|hello| hello.to = third.host.clone()), BadHello::Misdirected);
        assert_eq!(changed(&|hello| hello.lattice = "other".parse().unwrap()), BadHello::Misdirected);
        assert_eq!(callee.answer(&good, 50, |_| false).map(|_| ()).unwrap_err(), BadHello::NotEnrolled);
    }

    #[test]
    fn an_answer_to_another_question_or_by_another_host_is_refused() {
        let (caller, callee, third) = (identity(), identity(), identity());
        let first = caller.ask(&callee.host, 100).unwrap();
        let (old, ..) = callee.answer(first.hello(), 50, ALL).unwrap();
        let finish = |answer: &Hello| {
            let asked = caller.ask(&callee.host, 100).unwrap();
            asked.finish(answer, ALL).map(|_| ()).unwrap_err()
        };
        assert_eq!(finish(&old), BadHello::WrongAnswer);
        let second = caller.ask(&third.host, 100).unwrap();
        let (foreign, ..) = third.answer(second.hello(), 50, ALL).unwrap();
        assert_eq!(finish(&foreign), BadHello::Misdirected);
        let (answer, ..) = callee.answer(first.hello(), 50, ALL).unwrap();
        assert_eq!(first.finish(&answer, |_| false).map(|_| ()).unwrap_err(), BadHello::NotEnrolled);
    }

    #[test]
    fn versions_that_do_not_meet_are_refused() {
        let (caller, callee) = (identity(), identity());
        let mut hello = caller.ask(&callee.host, 100).unwrap().hello().clone();
        hello.versions = (VERSIONS.1 + 1, VERSIONS.1 + 2);
        hello.signature = caller.key.sign(&statement(&hello)).to_vec();
        assert_eq!(callee.answer(&hello, 50, ALL).map(|_| ()).unwrap_err(), BadHello::NoCommonVersion);
    }
}
