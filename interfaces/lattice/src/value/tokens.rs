//! What stands in the bytes, token by token, below types and values: for whoever reads and writes values of the rule
//! set without making them, such as an engine that moves them between a guest's memory and bytes.
//!
//! What means the same is read ([`super`] says what does), nothing is allocated, and no length is believed that is
//! larger than the bytes which are there.

pub mod put;

use super::{DecodeError, skip};

/// Bytes, read from the front.
#[derive(Debug, Clone)]
pub struct Tokens<'a> {
    rest: &'a [u8],
}

/// What a number is, before it is known what it should be.
enum Number {
    Integer(i128),
    F32(f32),
    F64(f64),
}

impl<'a> Tokens<'a> {
    /// All of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Says that nothing may follow.
    ///
    /// # Errors
    ///
    /// Where something does.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
    }

    /// Takes a nil, if one is next.
    pub fn nil(&mut self) -> bool {
        let nil = self.rest.first() == Some(&0xc0);
        if nil {
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
        nil
    }

    /// Takes the nil that has to be next; `wanted` is what there is otherwise none of.
    ///
    /// # Errors
    ///
    /// Where something else is next.
    pub fn expect_nil(&mut self, wanted: &'static str) -> Result<(), DecodeError> {
        if self.byte()? == 0xc0 { Ok(()) } else { Err(DecodeError::Mismatch(wanted)) }
    }

    /// Whether text is next.
    #[must_use]
    pub fn is_text(&self) -> bool {
        matches!(self.rest.first(), Some(0xa0..=0xbf | 0xd9..=0xdb))
    }

    /// Passes over the next value, whatever it is.
    ///
    /// # Errors
    ///
    /// Where it is none.
    pub fn skip(&mut self) -> Result<(), DecodeError> {
        let length = skip(self.rest).map_err(|_| DecodeError::Malformed)?;
        self.take(length).map(|_| ())
    }

    /// A truth value.
    ///
    /// # Errors
    ///
    /// Where something else is next.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        match self.byte()? {
            0xc2 => Ok(false),
            0xc3 => Ok(true),
            _ => Err(DecodeError::Mismatch("bool")),
        }
    }

    /// An integer in any form; `wanted` is what the type is called.
    ///
    /// # Errors
    ///
    /// Where something else is next, or the number does not fit.
    pub fn integer<T: TryFrom<i128>>(&mut self, wanted: &'static str) -> Result<T, DecodeError> {
        match self.number(wanted)? {
            Number::Integer(number) => T::try_from(number).map_err(|_| DecodeError::Range(wanted)),
            _ => Err(DecodeError::Mismatch(wanted)),
        }
    }

    /// A number that a float of 32 bits holds; every NaN is the canonical one.
    ///
    /// # Errors
    ///
    /// Where something else is next, or the number would lose something.
    pub fn f32(&mut self) -> Result<f32, DecodeError> {
        let value = match self.number("f32")? {
            Number::F32(value) => value,
            Number::F64(value) if value.is_nan() || f64::from(value as f32) == value => value as f32,
            Number::Integer(value) if (value as f32) as i128 == value => value as f32,
            _ => return Err(DecodeError::Range("f32")),
        };
        Ok(if value.is_nan() { f32::NAN } else { value })
    }

    /// A number that a float of 64 bits holds; every NaN is the canonical one.
    ///
    /// # Errors
    ///
    /// Where something else is next, or the number would lose something.
    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        let value = match self.number("f64")? {
            Number::F32(value) => value.into(),
            Number::F64(value) => value,
            Number::Integer(value) if (value as f64) as i128 == value => value as f64,
            Number::Integer(_) => return Err(DecodeError::Range("f64")),
        };
        Ok(if value.is_nan() { f64::NAN } else { value })
    }

    /// A string of one character.
    ///
    /// # Errors
    ///
    /// Where something else is next.
    pub fn char(&mut self) -> Result<char, DecodeError> {
        let mut characters = self.string()?.chars();
        match (characters.next(), characters.next()) {
            (Some(character), None) => Ok(character),
            _ => Err(DecodeError::Mismatch("char: a string of one character")),
        }
    }

    /// Text.
    ///
    /// # Errors
    ///
    /// Where something else is next, or it is not UTF-8.
    pub fn string(&mut self) -> Result<&'a str, DecodeError> {
        let length = match self.byte()? {
            marker @ 0xa0..=0xbf => u64::from(marker & 0x1f),
            0xd9 => self.big_endian(1)?,
            0xda => self.big_endian(2)?,
            0xdb => self.big_endian(4)?,
            _ => return Err(DecodeError::Mismatch("string")),
        };
        let bytes = self.take(usize::try_from(length).map_err(|_| DecodeError::Malformed)?)?;
        std::str::from_utf8(bytes).map_err(|_| DecodeError::Malformed)
    }

    /// Binary.
    ///
    /// # Errors
    ///
    /// Where something else is next.
    pub fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = match self.byte()? {
            0xc4 => self.big_endian(1)?,
            0xc5 => self.big_endian(2)?,
            0xc6 => self.big_endian(4)?,
            _ => return Err(DecodeError::Mismatch("binary")),
        };
        self.take(usize::try_from(length).map_err(|_| DecodeError::Malformed)?)
    }

    /// The head of an array: how many values follow, no more than there are bytes.
    ///
    /// # Errors
    ///
    /// Where something else is next, or the length lies.
    pub fn array(&mut self, wanted: &'static str) -> Result<usize, DecodeError> {
        let length = match self.byte()? {
            marker @ 0x90..=0x9f => u64::from(marker & 0x0f),
            0xdc => self.big_endian(2)?,
            0xdd => self.big_endian(4)?,
            _ => return Err(DecodeError::Mismatch(wanted)),
        };
        self.there(length, 1)
    }

    /// The head of a map: how many names with a value each follow, no more than there are bytes for.
    ///
    /// # Errors
    ///
    /// Where something else is next, or the length lies.
    pub fn map(&mut self, wanted: &'static str) -> Result<usize, DecodeError> {
        let length = match self.byte()? {
            marker @ 0x80..=0x8f => u64::from(marker & 0x0f),
            0xde => self.big_endian(2)?,
            0xdf => self.big_endian(4)?,
            _ => return Err(DecodeError::Mismatch(wanted)),
        };
        self.there(length, 2)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        let (byte, rest) = self.rest.split_first().ok_or(DecodeError::Malformed)?;
        self.rest = rest;
        Ok(*byte)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A number of `width` bytes.
    fn big_endian(&mut self, width: usize) -> Result<u64, DecodeError> {
        Ok(self.take(width)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn number(&mut self, wanted: &'static str) -> Result<Number, DecodeError> {
        let marker = self.byte()?;
        let signed = |bits: u64, width: u32| i128::from((bits << (64 - width)) as i64 >> (64 - width));
        Ok(Number::Integer(match marker {
            0x00..=0x7f => i128::from(marker),
            0xe0..=0xff => i128::from(marker as i8),
            0xcc => self.big_endian(1)?.into(),
            0xcd => self.big_endian(2)?.into(),
            0xce => self.big_endian(4)?.into(),
            0xcf => self.big_endian(8)?.into(),
            0xd0 => signed(self.big_endian(1)?, 8),
            0xd1 => signed(self.big_endian(2)?, 16),
            0xd2 => signed(self.big_endian(4)?, 32),
            0xd3 => signed(self.big_endian(8)?, 64),
            0xca => return Ok(Number::F32(f32::from_bits(self.big_endian(4)? as u32))),
            0xcb => return Ok(Number::F64(f64::from_bits(self.big_endian(8)?))),
            _ => return Err(DecodeError::Mismatch(wanted)),
        }))
    }

    /// So many entries of so many bytes at least: no more than there are bytes.
    fn there(&self, length: u64, least: u64) -> Result<usize, DecodeError> {
        let there = length.saturating_mul(least) <= self.rest.len() as u64;
        usize::try_from(length).ok().filter(|_| there).ok_or(DecodeError::Malformed)
    }
}
