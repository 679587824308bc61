//! Stored values, signed: whoever can write into the lattice's buckets can still change nothing that a reader believes.
//!
//! An envelope is a MessagePack map `{v, incarnation, key, generation, payload, signer, signature}`. The signature is
//! over these fields in a fixed binary form behind a prefix that no other signature of the mesh begins with, the
//! payload by its SHA-256. It binds the value to its key and to one life of the lattice's state, so that it cannot be
//! moved to another key or kept for another lattice, and to its generation, so that a reader who saw a later one
//! refuses it. Fields that this version does not know are kept when a value is replaced.

use std::fmt::Display;

use mesh_lattice::id::Incarnation;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    keys::{self, KeyPair},
    refusal::Refusal,
};

/// What every signature over a stored value begins with.
const DOMAIN: &[u8] = b"mesh stored value\0";
/// The version that is written.
const VERSION: u16 = 1;
/// No stored value is larger.
pub const MAX_ENVELOPE: usize = 512 << 10;

/// A stored value and who says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The version of this form.
    pub v: u16,
    /// The life of the lattice's state that it belongs to.
    pub incarnation: Incarnation,
    /// The key that it is stored under.
    pub key: String,
    /// Raised with each change of the value.
    pub generation: u64,
    /// The value as MessagePack.
    pub payload: Vec<u8>,
    /// The public key of who signed.
    pub signer: String,
    /// The signature.
    pub signature: Vec<u8>,
    /// Fields of a later version, name and value as they came.
    unknown: Vec<(String, Vec<u8>)>,
}

/// A value that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// The payload cannot be written as MessagePack.
    #[error("the value of {key} cannot be written")]
    Payload {
        /// The key.
        key: String,
        /// Why.
        #[source]
        source: rmp_serde::encode::Error,
    },
    /// Larger than [`MAX_ENVELOPE`].
    #[error("the value of {key} would take {size} bytes; at most {MAX_ENVELOPE} are stored")]
    TooLarge {
        /// The key.
        key: String,
        /// Its size.
        size: usize,
    },
}

impl Envelope {
    /// Signs a value for this key.
    ///
    /// # Errors
    ///
    /// Where the value cannot be written or is too large.
    pub fn sign<T: Serialize + ?Sized>(
        key: &(impl Display + ?Sized),
        incarnation: Incarnation,
        generation: u64,
        value: &T,
        signer: &KeyPair,
    ) -> Result<Self, EnvelopeError> {
        let key = key.to_string();
        let payload =
            rmp_serde::to_vec_named(value).map_err(|source| EnvelopeError::Payload { key: key.clone(), source })?;
        if payload.len() > MAX_ENVELOPE - 1024 {
            return Err(EnvelopeError::TooLarge { key, size: payload.len() });
        }
        let unsigned = Self {
            v: VERSION,
            incarnation,
            key,
            generation,
            payload,
            signer: String::new(),
            signature: Vec::new(),
            unknown: Vec::new(),
        };
        Ok(unsigned.signed_by(signer))
    }

    fn signed_by(mut self, signer: &KeyPair) -> Self {
        self.signer = signer.public();
        self.signature = signer.sign(&self.signed_bytes()).to_vec();
        self
    }

    /// Signs, in place of this value, what `held` says, byte for byte: the next generation of what is stored, by
    /// somebody whose word counts where that of the signer before him no longer does.
    #[must_use]
    pub fn take_over(&self, held: &Self, signer: &KeyPair) -> Self {
        let generation = self.generation.saturating_add(1);
        Self { key: self.key.clone(), incarnation: self.incarnation, generation, ..held.clone() }.signed_by(signer)
    }

    /// Signs what replaces this value: the next generation, with the fields that this version does not know.
    ///
    /// # Errors
    ///
    /// Where the value cannot be written or is too large.
    pub fn replace<T: Serialize + ?Sized>(&self, value: &T, signer: &KeyPair) -> Result<Self, EnvelopeError> {
        let next = Self::sign(&self.key, self.incarnation, self.generation.saturating_add(1), value, signer)?;
        Ok(Self { unknown: self.unknown.clone(), ..next })
    }

    /// What the signature is over.
    fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(DOMAIN.len() + self.key.len() + 128);
        bytes.extend_from_slice(DOMAIN);
        bytes.extend(self.v.to_be_bytes());
        bytes.extend_from_slice(self.incarnation.0.as_bytes());
        for text in [&self.key, &self.signer] {
            bytes.extend((text.len() as u64).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes.extend(self.generation.to_be_bytes());
        bytes.extend_from_slice(mesh_lattice::Digest::of(&self.payload).as_bytes());
        bytes
    }

    /// Checks that the signer signed this, whoever that is.
    ///
    /// # Errors
    ///
    /// `tampered`.
    pub fn check_signature(&self) -> Result<(), Refusal> {
        keys::verify(&self.signer, &self.signed_bytes(), &self.signature)
            .map_err(|_| Refusal::tampered(format!("the value of {} is not signed by {:.60}", self.key, self.signer)))
    }

    /// The value, once it is certain that it was signed for this key in this life of the lattice's state by somebody
    /// whom `authority` lets: usually [`crate::authority::may_write`].
    ///
    /// # Errors
    ///
    /// `tampered`, `malformed`, and what `authority` says.
    pub fn open<T: DeserializeOwned>(
        &self,
        key: &str,
        incarnation: Incarnation,
        authority: impl FnOnce(&str) -> Result<(), Refusal>,
    ) -> Result<T, Refusal> {
        if self.key != key {
            return Err(Refusal::tampered(format!("the value of {key} was signed for {:.120}", self.key)));
        }
        if self.incarnation != incarnation {
            return Err(Refusal::tampered(format!(
                "the value of {key} belongs to another life of the lattice's state"
            )));
        }
        self.check_signature()?;
        authority(&self.signer)?;
        self.payload()
    }

    /// The value as it is, believed or not.
    pub(crate) fn payload<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        mesh_lattice::value::read(&self.payload)
            .map_err(|error| Refusal::malformed(format!("the value of {} cannot be read: {error}", self.key)))
    }

    /// The envelope as it is stored.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.payload.len() + 320);
        let fields = 7 + u32::try_from(self.unknown.len()).unwrap_or(0);
        let written = self.write_fields(fields, &mut out);
        debug_assert!(written.is_ok(), "writing to memory does not fail");
        out
    }

    fn write_fields(&self, fields: u32, out: &mut Vec<u8>) -> Result<(), rmp::encode::ValueWriteError> {
        use rmp::encode as write;
        write::write_map_len(out, fields)?;
        write::write_str(out, "v")?;
        write::write_uint(out, self.v.into())?;
        write::write_str(out, "incarnation")?;
        write::write_bin(out, self.incarnation.0.as_bytes())?;
        write::write_str(out, "key")?;
        write::write_str(out, &self.key)?;
        write::write_str(out, "generation")?;
        write::write_uint(out, self.generation)?;
        write::write_str(out, "payload")?;
        write::write_bin(out, &self.payload)?;
        write::write_str(out, "signer")?;
        write::write_str(out, &self.signer)?;
        write::write_str(out, "signature")?;
        write::write_bin(out, &self.signature)?;
        for (name, value) in &self.unknown {
            write::write_str(out, name)?;
            out.extend_from_slice(value);
        }
        Ok(())
    }

    /// Reads an envelope. Nothing in it is believed yet.
    ///
    /// # Errors
    ///
    /// `malformed`.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > MAX_ENVELOPE {
            return Err(Refusal::malformed(format!("a stored value of {} bytes", bytes.len())));
        }
        let mut fields = Fields::split(bytes)?;
        let envelope = Self {
            v: fields.take("v")?,
            incarnation: fields.take("incarnation")?,
            key: fields.take("key")?,
            generation: fields.take("generation")?,
            payload: fields.take::<serde_bytes::ByteBuf>("payload")?.into_vec(),
            signer: fields.take("signer")?,
            signature: fields.take::<serde_bytes::ByteBuf>("signature")?.into_vec(),
            unknown: fields.0.into_iter().map(|(name, value)| (name, value.to_vec())).collect(),
        };
        if envelope.v == 0 {
            return Err(Refusal::malformed("a stored value of version 0"));
        }
        Ok(envelope)
    }
}

/// The fields of a map, not read yet.
struct Fields<'a>(Vec<(String, &'a [u8])>);

impl<'a> Fields<'a> {
    /// More than any version has.
    const MAX: u32 = 64;

    fn split(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let malformed = || Refusal::malformed("a stored value is not an envelope");
        if mesh_lattice::value::skip(bytes) != Ok(bytes.len()) {
            return Err(malformed());
        }
        let mut rest = bytes;
        let count = rmp::decode::read_map_len(&mut rest).map_err(|_| malformed())?;
        if count > Self::MAX {
            return Err(malformed());
        }
        let mut fields: Vec<(String, &[u8])> = Vec::new();
        for _ in 0..count {
            let name: String =
                next(&mut rest).and_then(|name| mesh_lattice::value::read(name).ok()).ok_or_else(malformed)?;
            let value = next(&mut rest).ok_or_else(malformed)?;
            if fields.iter().any(|(other, _)| *other == name) {
                return Err(Refusal::malformed(format!("the field {name:?} stands twice in a stored value")));
            }
            fields.push((name, value));
        }
        Ok(Self(fields))
    }

    fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, Refusal> {
        let missing = || Refusal::malformed(format!("a stored value without its field {name:?}"));
        let at = self.0.iter().position(|(other, _)| other == name).ok_or_else(missing)?;
        let (_, value) = self.0.remove(at);
        // Its length was measured with the envelope's; what is read here is text, a number or binary, never a name.
        rmp_serde::from_slice(value)
            .map_err(|_| Refusal::malformed(format!("the field {name:?} of a stored value is of another type")))
    }
}

/// Takes the first value off `rest`.
fn next<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = mesh_lattice::value::skip(rest).ok()?;
    let (value, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{keys::KeyKind, refusal::RefusalCode};

    fn anybody(_: &str) -> Result<(), Refusal> {
        Ok(())
    }

    fn envelope() -> (Envelope, KeyPair) {
        let user = KeyPair::generate(KeyKind::User);
        let value = ("a value".to_owned(), 7_u64);
        (Envelope::sign("app.counter", Incarnation::new(), 3, &value, &user).unwrap(), user)
    }

    #[test]
    fn a_value_is_read_back_by_whoever_knows_its_key_and_life() {
        let (signed, _) = envelope();
        let read = Envelope::decode(&signed.encode()).unwrap();
        assert_eq!(read, signed);
        let (text, number): (String, u64) = read.open("app.counter", signed.incarnation, anybody).unwrap();
        assert_eq!((text.as_str(), number), ("a value", 7));
    }

    #[test]
    fn a_value_of_another_key_life_generation_signer_or_content_is_refused() {
        let (signed, _) = envelope();
        let code = |envelope: &Envelope, key: &str| {
            envelope.open::<(String, u64)>(key, signed.incarnation, anybody).unwrap_err().code
        };
        assert_eq!(code(&signed, "app.other"), RefusalCode::Tampered);
        assert_eq!(code(&Envelope { key: "app.other".into(), ..signed.clone() }, "app.other"), RefusalCode::Tampered);
        assert_eq!(
            code(&Envelope { incarnation: Incarnation::new(), ..signed.clone() }, "app.counter"),
            RefusalCode::Tampered
        );
        assert_eq!(code(&Envelope { generation: 4, ..signed.clone() }, "app.counter"), RefusalCode::Tampered);
        assert_eq!(code(&Envelope { v: 2, ..signed.clone() }, "app.counter"), RefusalCode::Tampered);
        let other = KeyPair::generate(KeyKind::User).public();
        assert_eq!(code(&Envelope { signer: other, ..signed.clone() }, "app.counter"), RefusalCode::Tampered);
        let mut payload = signed.payload.clone();
        payload[3] ^= 1;
        assert_eq!(code(&Envelope { payload, ..signed.clone() }, "app.counter"), RefusalCode::Tampered);
        let refuse = |_: &str| Err(Refusal::new(RefusalCode::UnknownIssuer, "no"));
        let refused = signed.open::<(String, u64)>("app.counter", signed.incarnation, refuse).unwrap_err();
        assert_eq!(refused.code, RefusalCode::UnknownIssuer);
    }

    #[test]
    fn fields_of_a_later_version_outlive_a_replacement() {
        let (signed, user) = envelope();
        let later = Envelope { unknown: vec![("later".into(), vec![0x92, 1, 2])], ..signed.clone() };
        let read = Envelope::decode(&later.encode()).unwrap();
        assert!(read.open::<(String, u64)>("app.counter", signed.incarnation, anybody).is_ok());
        let replaced = read.replace(&("b".to_owned(), 8_u64), &user).unwrap();
        let read = Envelope::decode(&replaced.encode()).unwrap();
        assert_eq!((read.generation, &read.unknown), (4, &later.unknown));
        assert!(read.open::<(String, u64)>("app.counter", signed.incarnation, anybody).is_ok());
    }

    #[test]
    fn another_signer_takes_a_value_over_as_it_is() {
        let (signed, _) = envelope();
        let held = Envelope { unknown: vec![("later".into(), vec![0x92, 1, 2])], ..signed.clone() };
        let stored = Envelope { generation: 9, ..signed.clone() };
        let other = KeyPair::generate(KeyKind::User);
        let taken = stored.take_over(&held, &other);
        let only = |signer: &str| {
            assert_eq!(signer, other.public());
            Ok(())
        };
        let (text, number): (String, u64) = taken.open("app.counter", signed.incarnation, only).unwrap();
        assert_eq!((text.as_str(), number, taken.generation), ("a value", 7, 10));
        assert_eq!((&taken.payload, &taken.unknown), (&held.payload, &held.unknown));
    }

    #[test]
    fn a_field_that_stands_twice_or_is_missing_is_refused() {
        let (signed, _) = envelope();
        let twice = Envelope { unknown: vec![("key".into(), vec![0xa1, b'x'])], ..signed.clone() };
        assert_eq!(Envelope::decode(&twice.encode()).unwrap_err().code, RefusalCode::Malformed);
        assert_eq!(Envelope::decode(&[0x80]).unwrap_err().code, RefusalCode::Malformed);
        assert_eq!(Envelope::decode(&[0xdf, 0xff, 0xff, 0xff, 0xff]).unwrap_err().code, RefusalCode::Malformed);
    }

    #[test]
    fn a_value_that_no_store_takes_is_not_signed() {
        let user = KeyPair::generate(KeyKind::User);
        let huge = "x".repeat(MAX_ENVELOPE);
        assert!(matches!(
            Envelope::sign("config.a", Incarnation::new(), 1, &huge, &user),
            Err(EnvelopeError::TooLarge { .. })
        ));
    }

    proptest! {
        #[test]
        fn no_changed_byte_is_believed(at in 0_usize..600, bit in 0_u8..8) {
            let (signed, _) = envelope();
            let mut bytes = signed.encode();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            let opened = Envelope::decode(&bytes)
                .and_then(|read| read.open::<(String, u64)>("app.counter", signed.incarnation, anybody));
            prop_assert!(opened.is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(Envelope::decode(&bytes).is_err());
        }
    }
}
