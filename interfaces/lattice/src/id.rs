//! Identities: public keys in their nkeys form, boots, calls, digests.
//!
//! A public key is 56 characters of base32: one byte that says whose it is, 32 bytes of Ed25519 key, two of CRC-16
//! (XMODEM, little endian). It is checked when it is parsed, so that a mistyped key is refused where it is typed and
//! not where it is missed. Nothing here signs or verifies.

use std::{fmt, str::FromStr};

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::name::text_type;

macro_rules! key_type {
    ($(#[$doc:meta])* $type:ident, $what:literal, $prefix:literal) => {
        text_type!(
            $(#[$doc])*
            $type,
            $what,
            concat!("56 characters of base32 with a valid checksum, the first ", $prefix),
            |text| text.starts_with($prefix) && key_bytes(text).is_some()
        );

        impl $type {
            /// The raw Ed25519 public key.
            #[must_use]
            pub fn key_bytes(&self) -> [u8; 32] {
                key_bytes(&self.0).unwrap_or_default()
            }
        }
    };
}

key_type!(
    /// A host's public key.
    HostId, "a host's public key", 'N'
);
key_type!(
    /// An actor's public key: the subject of its claims.
    ActorId, "an actor's public key", 'M'
);
key_type!(
    /// A provider's public key: the subject of its claims.
    ProviderId, "a provider's public key", 'V'
);
key_type!(
    /// An issuer's public key: an account signs artifacts.
    AccountId, "an issuer's public key", 'A'
);
key_type!(
    /// An operator's public key: the root of a lattice's trust.
    OperatorId, "an operator's public key", 'O'
);
key_type!(
    /// A user's public key: signs changes of desired state.
    UserId, "a user's public key", 'U'
);

/// The raw key inside an nkeys public key of any kind; `None` where the text is not one.
fn key_bytes(text: &str) -> Option<[u8; 32]> {
    if text.len() != 56 {
        return None;
    }
    let raw = BASE32_NOPAD.decode(text.as_bytes()).ok()?;
    let (body, checksum) = raw.split_at_checked(33)?;
    let checksum: [u8; 2] = checksum.try_into().ok()?;
    if crc16(body) != u16::from_le_bytes(checksum) {
        return None;
    }
    body.get(1..)?.try_into().ok()
}

/// The nkeys form of a public key: `prefix` is the byte that says whose it is.
#[must_use]
pub fn key_text(prefix: u8, key: &[u8; 32]) -> String {
    let mut raw = Vec::with_capacity(35);
    raw.push(prefix);
    raw.extend(key);
    raw.extend(crc16(&raw).to_le_bytes());
    BASE32_NOPAD.encode(&raw)
}

/// CRC-16/XMODEM: polynomial 0x1021, no reflection, initial value 0.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0u16, |crc, byte| {
        (0..8).fold(
            crc ^ (u16::from(*byte) << 8),
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
            },
        )
    })
}

macro_rules! uuid_type {
    ($(#[$doc:meta])* $type:ident, $new:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(pub Uuid);

        impl $type {
            /// A fresh one.
            #[must_use]
            #[expect(clippy::new_without_default, reason = "a default identity would be a surprise")]
            pub fn new() -> Self {
                Self(Uuid::$new())
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.simple().fmt(f)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({})"), self.0.simple())
            }
        }

        impl FromStr for $type {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_type!(
    /// One start of a host's process.
    BootId, new_v4
);
uuid_type!(
    /// One call: never run twice by whoever took it.
    CallId, now_v7
);
uuid_type!(
    /// One life of a lattice's stored state: made with the bucket, so that a bucket that was deleted and made again
    /// is told apart from the one before.
    Incarnation, new_v4
);
uuid_type!(
    /// One change that somebody asked for: asking twice with the same id changes once.
    OperationId, now_v7
);

/// The SHA-256 of an artifact's bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
        Self(digest.as_ref().try_into().unwrap_or_default())
    }

    /// The raw digest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = crate::name::BadName;

    /// Takes `sha256:<hex>` and the bare digits.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
        HEXLOWER.decode(hex.as_bytes()).ok().and_then(|raw| raw.try_into().ok()).map(Self).ok_or_else(|| {
            crate::name::BadName::new(text, "a digest", "64 hexadecimal digits, after `sha256:` or bare")
        })
    }
}

impl TryFrom<String> for Digest {
    type Error = crate::name::BadName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// 64 lower-case hexadecimal digits: the form of `sha256sum`, and of a key.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "NA47G6YUEJTGZZFYYQHJDGLTYPIRR7TKXAFJGVLHSXEGH3L7HRDJWJOM";

    /// A host's public key with a right checksum, made here so that the test needs no signing crate.
    fn host_key() -> String {
        key_text(13 << 3, &[7; 32])
    }

    #[test]
    fn a_key_is_refused_with_a_wrong_checksum_kind_or_length() {
        let good = host_key();
        assert_eq!(good.parse::<HostId>().unwrap().key_bytes(), [7; 32]);
        assert!(good.parse::<ActorId>().is_err());
        assert!(good[..55].parse::<HostId>().is_err());
        let mut mistyped = good.clone().into_bytes();
        mistyped[20] = if mistyped[20] == b'A' { b'B' } else { b'A' };
        assert!(String::from_utf8(mistyped).unwrap().parse::<HostId>().is_err());
        assert!(HOST.parse::<HostId>().is_err(), "a key with an invented checksum");
    }

    #[test]
    fn the_checksum_is_the_one_of_the_standard() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
    }

    #[test]
    fn a_digest_is_the_one_of_sha256sum() {
        let digest = Digest::of(b"");
        assert_eq!(digest.to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        assert_eq!(digest.to_string().to_uppercase().parse::<Digest>().unwrap(), digest);
        assert!("sha256:e3b0".parse::<Digest>().is_err());
    }
}
