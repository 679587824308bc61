//! Key pairs in their nkeys form: a seed (`S`, kind, base32) that is kept secret, a public key that is a name.
//!
//! Signatures are Ed25519. A curve key is for sealing (X25519) and signs nothing.

use std::{fmt, str::FromStr};

use mesh_lattice::id::{AccountId, ActorId, HostId, OperatorId, ProviderId, UserId, key_text};
use nkeys::KeyPairType;
use serde::{Deserialize, Serialize};

/// Whose key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// The root of a lattice's trust: `O`.
    Operator,
    /// Signs artifacts: `A`.
    Account,
    /// Runs work: `N`.
    Host,
    /// The subject of a component's claims: `M`.
    Actor,
    /// The subject of a provider's claims: `V`.
    Provider,
    /// Changes desired state: `U`.
    User,
    /// Seals secrets: `X`.
    Curve,
}

/// Every kind, its word, its nkeys type and the byte that its public keys begin with.
const KINDS: [(KeyKind, &str, KeyPairType, u8); 7] = [
    (KeyKind::Operator, "operator", KeyPairType::Operator, 14 << 3),
    (KeyKind::Account, "account", KeyPairType::Account, 0),
    (KeyKind::Host, "host", KeyPairType::Server, 13 << 3),
    (KeyKind::Actor, "actor", KeyPairType::Module, 12 << 3),
    (KeyKind::Provider, "provider", KeyPairType::Service, 21 << 3),
    (KeyKind::User, "user", KeyPairType::User, 20 << 3),
    (KeyKind::Curve, "curve", KeyPairType::Curve, 23 << 3),
];

/// A key that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a seed of a kind that we use.
    #[error("this is not a seed: 58 characters of base32 beginning with S and the letter of its kind")]
    Seed,
    /// Not the word of a kind.
    #[error("{0:?} is not a kind of key: operator, account, host, actor, provider, user, curve")]
    Kind(String),
}

/// The signature is not that key's over that message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not that of the key")]
pub struct BadSignature;

impl KeyKind {
    /// The kind as a person writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        KINDS.iter().find(|(kind, ..)| *kind == self).map_or("", |(_, word, ..)| word)
    }

    fn nkeys(self) -> KeyPairType {
        KINDS.iter().find(|(kind, ..)| *kind == self).map_or(KeyPairType::Curve, |(_, _, kind, _)| kind.clone())
    }

    fn of_prefix(prefix: u8) -> Option<Self> {
        KINDS.iter().find(|(.., byte)| *byte == prefix).map(|(kind, ..)| *kind)
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for KeyKind {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        KINDS
            .iter()
            .find(|(_, word, ..)| *word == text)
            .map(|(kind, ..)| *kind)
            .ok_or_else(|| KeyError::Kind(text.chars().take(40).collect()))
    }
}

/// A seed and what can be done with it. Its `Debug` shows the public key only.
#[derive(Clone)]
pub struct KeyPair {
    kind: KeyKind,
    pair: nkeys::KeyPair,
    public: String,
    seed: String,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({})", self.public)
    }
}

impl KeyPair {
    /// A fresh key pair from the system's randomness.
    #[must_use]
    pub fn generate(kind: KeyKind) -> Self {
        Self::new(kind, nkeys::KeyPair::new(kind.nkeys()))
    }

    /// The key pair of this seed.
    ///
    /// # Errors
    ///
    /// Where the text is not a seed of one of the kinds that we use.
    pub fn from_seed(seed: &str) -> Result<Self, KeyError> {
        let (prefix, _) = nkeys::decode_seed(seed).map_err(|_| KeyError::Seed)?;
        let kind = KeyKind::of_prefix(prefix).ok_or(KeyError::Seed)?;
        let pair = nkeys::KeyPair::from_seed(seed).map_err(|_| KeyError::Seed)?;
        Ok(Self::new(kind, pair))
    }

    fn new(kind: KeyKind, pair: nkeys::KeyPair) -> Self {
        // A pair made from a seed always has one.
        let seed = pair.seed().unwrap_or_default();
        let public = match kind {
            KeyKind::Curve => curve_public(&seed),
            _ => pair.public_key(),
        };
        Self { kind, pair, public, seed }
    }

    /// Whose key it is.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The secret. Whoever has it is this key.
    #[must_use]
    pub fn seed(&self) -> String {
        self.seed.clone()
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> String {
        self.public.clone()
    }

    /// The Ed25519 signature over `message`; zeros, which nobody takes for one, from a curve key.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        if self.kind == KeyKind::Curve {
            return [0; 64];
        }
        self.pair.sign(message).ok().and_then(|signature| signature.try_into().ok()).unwrap_or([0; 64])
    }

    /// The public key, where it is a host's.
    #[must_use]
    pub fn host_id(&self) -> Option<HostId> {
        self.public.parse().ok()
    }

    /// The public key, where it is an actor's.
    #[must_use]
    pub fn actor_id(&self) -> Option<ActorId> {
        self.public.parse().ok()
    }

    /// The public key, where it is a provider's.
    #[must_use]
    pub fn provider_id(&self) -> Option<ProviderId> {
        self.public.parse().ok()
    }

    /// The public key, where it is an issuer's.
    #[must_use]
    pub fn account_id(&self) -> Option<AccountId> {
        self.public.parse().ok()
    }

    /// The public key, where it is a root's.
    #[must_use]
    pub fn operator_id(&self) -> Option<OperatorId> {
        self.public.parse().ok()
    }

    /// The public key, where it is a user's.
    #[must_use]
    pub fn user_id(&self) -> Option<UserId> {
        self.public.parse().ok()
    }
}

/// The X25519 public key of a curve seed.
fn curve_public(seed: &str) -> String {
    let raw = nkeys::decode_seed(seed).map(|(_, raw)| raw).unwrap_or_default();
    let point = curve25519_dalek::MontgomeryPoint::mul_base_clamped(raw);
    key_text(23 << 3, point.as_bytes())
}

/// Whose public key this text is; `None` where it is no public key of a kind that we use.
#[must_use]
pub fn kind_of(public: &str) -> Option<KeyKind> {
    nkeys::from_public_key(public).ok().and_then(|(prefix, _)| KeyKind::of_prefix(prefix))
}

/// Checks that `signature` is that of the key `public` over `message`.
///
/// # Errors
///
/// Where it is not, or where `public` is no key that signs.
pub fn verify(public: &str, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
    if matches!(kind_of(public), None | Some(KeyKind::Curve)) {
        return Err(BadSignature);
    }
    let key = nkeys::KeyPair::from_public_key(public).map_err(|_| BadSignature)?;
    key.verify(message, signature).map_err(|_| BadSignature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_each_kind_comes_back_from_its_seed() {
        for (kind, word, _, _) in KINDS {
            let pair = KeyPair::generate(kind);
            let again = KeyPair::from_seed(&pair.seed()).unwrap();
            assert_eq!((again.kind(), again.public()), (kind, pair.public()), "{word}");
            assert_eq!(kind_of(&pair.public()), Some(kind), "{word}");
            assert_eq!(word.parse::<KeyKind>().unwrap(), kind);
            assert!(pair.seed().starts_with('S'));
            assert!(!format!("{pair:?}").contains(&pair.seed()));
        }
    }

    #[test]
    fn a_signature_holds_for_its_key_and_its_message_only() {
        let (mine, other) = (KeyPair::generate(KeyKind::User), KeyPair::generate(KeyKind::User));
        let signature = mine.sign(b"message");
        assert_eq!(verify(&mine.public(), b"message", &signature), Ok(()));
        assert_eq!(verify(&other.public(), b"message", &signature), Err(BadSignature));
        assert_eq!(verify(&mine.public(), b"messages", &signature), Err(BadSignature));
        assert_eq!(verify(&mine.public(), b"message", &signature[..63]), Err(BadSignature));
        assert_eq!(verify("U", b"message", &signature), Err(BadSignature));
    }

    #[test]
    fn a_curve_key_signs_nothing_and_has_the_public_key_of_x25519() {
        // RFC 7748, section 5.2: the function of 9 and 9.
        let mut secret = [0; 32];
        secret[0] = 9;
        let public = "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079";
        let ours = KeyPair::new(KeyKind::Curve, nkeys::KeyPair::new_from_raw(KeyPairType::Curve, secret).unwrap());
        let raw = nkeys::from_public_key(&ours.public()).unwrap().1;
        assert_eq!(data_encoding::HEXLOWER.encode(&raw), public);
        assert_eq!(kind_of(&ours.public()), Some(KeyKind::Curve));
        assert_eq!(verify(&ours.public(), b"m", &ours.sign(b"m")), Err(BadSignature));
    }

    #[test]
    fn what_is_not_a_seed_is_refused() {
        let seed = KeyPair::generate(KeyKind::Host).seed();
        let cluster = nkeys::KeyPair::new_cluster().seed().unwrap();
        let public = KeyPair::generate(KeyKind::Host).public();
        for bad in ["", "S", &seed[1..], &format!("{seed}\n"), &public, &cluster, &"é".repeat(29)] {
            assert!(KeyPair::from_seed(bad).is_err(), "{bad}");
        }
    }
}
