//! Bytes to values, by the type that is wanted: nothing is allocated for a length that is not there.

use super::{
    GROWTH, MAX_DEPTH, MAX_ITEMS, ROOM, Type, Value,
    form::{Branch, Builder, Leaf, Nothing, Plain},
    skip,
};

/// Bytes that are not a value of that type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before the value does, or it holds what no value of ours does.
    #[error("the bytes are not one value")]
    Malformed,
    /// The value is of another type.
    #[error("the value is not a {0}")]
    Mismatch(&'static str),
    /// A number that the type does not have.
    #[error("the number is out of range for {0}")]
    Range(&'static str),
    /// The type has no case or flag of this name, or it stands twice.
    #[error("{0:?} is not a name that belongs here")]
    Name(String),
    /// The value has no field of this name, or has it twice.
    #[error("the field {0:?} is missing or stands twice")]
    Field(String),
    /// Deeper than [`MAX_DEPTH`].
    #[error("the value nests deeper than {MAX_DEPTH}")]
    TooDeep,
    /// More than [`MAX_ITEMS`], or more than its bytes pay for.
    #[error("the value holds more than {MAX_ITEMS} values, or too many small ones")]
    TooMany,
    /// Bytes follow the value.
    #[error("bytes follow the value")]
    Trailing,
}

/// Reads a value of the type `ty`: the whole of `bytes`, and nothing behind it.
///
/// # Errors
///
/// Where `bytes` are not such a value.
pub fn decode(ty: &Type, bytes: &[u8]) -> Result<Value, DecodeError> {
    decode_into(&mut Plain, ty, bytes, bytes.len().saturating_mul(GROWTH).saturating_add(ROOM))
}

/// The same, as a value of the kind that `builder` makes, where what it takes in memory is `room` bytes at most.
///
/// # Errors
///
/// Where `bytes` are not such a value.
pub fn decode_into<B: Builder>(builder: &mut B, ty: &Type, bytes: &[u8], room: usize) -> Result<B::Value, DecodeError> {
    let mut reader = Reader { builder, rest: bytes, items: 0, room };
    let value = reader.value(ty, 0)?;
    if reader.rest.is_empty() { Ok(value) } else { Err(DecodeError::Trailing) }
}

/// Says whether `bytes` are a value of the type `ty`, without making one, where its text and binary are `room` bytes at
/// most.
///
/// # Errors
///
/// Where `bytes` are not such a value.
pub fn check(ty: &Type, bytes: &[u8], room: usize) -> Result<(), DecodeError> {
    decode_into(&mut Nothing, ty, bytes, room)
}

struct Reader<'a, 'b, B> {
    builder: &'b mut B,
    rest: &'a [u8],
    items: usize,
    /// What may still be allocated, in bytes.
    room: usize,
}

/// What a number is, before it is known what it should be.
enum Number {
    Integer(i128),
    F32(f32),
    F64(f64),
}

impl<'a, B: Builder> Reader<'a, '_, B> {
    fn value(&mut self, ty: &Type, depth: usize) -> Result<B::Value, DecodeError> {
        if depth >= MAX_DEPTH {
            return Err(DecodeError::TooDeep);
        }
        self.items += 1;
        if self.items > MAX_ITEMS || self.room == 0 {
            return Err(DecodeError::TooMany);
        }
        let leaf = match ty {
            Type::Bool => match self.byte()? {
                0xc2 => Leaf::Bool(false),
                0xc3 => Leaf::Bool(true),
                _ => return Err(DecodeError::Mismatch("bool")),
            },
            Type::S8 => Leaf::S8(self.integer(ty)?),
            Type::U8 => Leaf::U8(self.integer(ty)?),
            Type::S16 => Leaf::S16(self.integer(ty)?),
            Type::U16 => Leaf::U16(self.integer(ty)?),
            Type::S32 => Leaf::S32(self.integer(ty)?),
            Type::U32 => Leaf::U32(self.integer(ty)?),
            Type::S64 => Leaf::S64(self.integer(ty)?),
            Type::U64 => Leaf::U64(self.integer(ty)?),
            Type::F32 => Leaf::F32(self.f32()?),
            Type::F64 => Leaf::F64(self.f64()?),
            Type::Char => Leaf::Char(self.char()?),
            Type::String => Leaf::String(self.kept_string()?),
            Type::Resource => Leaf::Handle(self.kept(1)?),
            Type::Enum(cases) => {
                let case = self.kept_string()?;
                known(cases.iter().any(|known| known == case), case)?;
                Leaf::Enum(case)
            }
            ty if ty.is_bytes() => Leaf::Bytes(self.kept(B::BYTE)?),
            ty => return self.compound(ty, depth + 1),
        };
        Ok(self.builder.leaf(leaf))
    }

    fn compound(&mut self, ty: &Type, depth: usize) -> Result<B::Value, DecodeError> {
        let branch = match ty {
            Type::List(item) => {
                let length = self.array("list")?;
                self.charge(length)?;
                let mut values = Vec::with_capacity(length);
                for _ in 0..length {
                    values.push(self.value(item, depth)?);
                }
                Branch::List(values)
            }
            Type::Tuple(types) => {
                if self.array("tuple")? != types.len() {
                    return Err(DecodeError::Mismatch("tuple of that length"));
                }
                self.charge(types.len())?;
                let mut values = Vec::with_capacity(types.len());
                for ty in types {
                    values.push(self.value(ty, depth)?);
                }
                Branch::Tuple(values)
            }
            Type::Record(fields) => self.record(fields, depth)?,
            Type::Variant(cases) => self.variant(cases, depth)?,
            Type::Option(inner) => self.option(inner, depth)?,
            Type::Result { ok, err } => self.result(ok.as_deref(), err.as_deref(), depth)?,
            Type::Flags(names) => self.flags(names)?,
            ty => return Err(DecodeError::Mismatch(ty.name())),
        };
        Ok(self.builder.branch(branch))
    }

    fn record(&mut self, fields: &[(String, Type)], depth: usize) -> Result<Branch<B::Value>, DecodeError> {
        // Once as they are found and once in their order, with their names.
        self.charge(4 * fields.len())?;
        let mut found: Vec<Option<B::Value>> = fields.iter().map(|_| None).collect();
        for _ in 0..self.map("record")? {
            let name = self.string()?;
            let Some((at, (_, ty))) = fields.iter().enumerate().find(|(_, (field, _))| field == name) else {
                self.skip()?;
                continue;
            };
            let value = self.value(ty, depth)?;
            let place = found.get_mut(at).ok_or(DecodeError::Malformed)?;
            if place.replace(value).is_some() {
                return Err(DecodeError::Field(name.to_owned()));
            }
        }
        let values = fields.iter().zip(found).map(|((name, ty), value)| match (value, ty) {
            (Some(value), _) => Ok((name.clone(), value)),
            (None, Type::Option(_)) => Ok((name.clone(), self.builder.branch(Branch::Option(None)))),
            (None, _) => Err(DecodeError::Field(name.clone())),
        });
        values.collect::<Result<_, _>>().map(Branch::Record)
    }

    fn variant(&mut self, cases: &[(String, Option<Type>)], depth: usize) -> Result<Branch<B::Value>, DecodeError> {
        let bare = matches!(self.rest.first(), Some(0xa0..=0xbf | 0xd9..=0xdb));
        if !bare && self.map("variant")? != 1 {
            return Err(DecodeError::Mismatch("variant: a name, or a map of one entry"));
        }
        let case = self.string()?;
        let (_, ty) = cases.iter().find(|(known, _)| known == case).ok_or_else(|| unknown(case))?;
        self.charge_bytes(case.len())?;
        match (ty, bare) {
            (None, true) => Ok(Branch::Variant(case.to_owned(), None)),
            (Some(ty), false) => {
                self.charge(1)?;
                let payload = self.value(ty, depth)?;
                Ok(Branch::Variant(case.to_owned(), Some(Box::new(payload))))
            }
            _ => Err(DecodeError::Mismatch("variant with such a payload")),
        }
    }

    fn option(&mut self, inner: &Type, depth: usize) -> Result<Branch<B::Value>, DecodeError> {
        if self.rest.first() == Some(&0xc0) {
            self.byte()?;
            return Ok(Branch::Option(None));
        }
        if matches!(inner, Type::Option(_)) && self.array("option of an option")? != 1 {
            return Err(DecodeError::Mismatch("option of an option: nil, or an array of one"));
        }
        self.charge(1)?;
        let value = self.value(inner, depth)?;
        Ok(Branch::Option(Some(Box::new(value))))
    }

    fn result(&mut self, ok: Option<&Type>, err: Option<&Type>, depth: usize) -> Result<Branch<B::Value>, DecodeError> {
        if self.map("result")? != 1 {
            return Err(DecodeError::Mismatch("result: a map of one entry"));
        }
        let case = self.string()?;
        let ty = match case {
            "ok" => ok,
            "err" => err,
            other => return Err(unknown(other)),
        };
        let value = match ty {
            Some(ty) => {
                self.charge(1)?;
                Some(Box::new(self.value(ty, depth)?))
            }
            None if self.byte()? == 0xc0 => None,
            None => return Err(DecodeError::Mismatch("result with such a payload")),
        };
        Ok(Branch::Result(if case == "ok" { Ok(value) } else { Err(value) }))
    }

    fn flags(&mut self, names: &[String]) -> Result<Branch<B::Value>, DecodeError> {
        let length = self.array("flags")?;
        self.charge(names.len())?;
        let mut set = vec![false; names.len()];
        for _ in 0..length {
            let name = self.string()?;
            let place = names.iter().position(|known| known == name).and_then(|at| set.get_mut(at));
            match place {
                Some(place) if !*place => *place = true,
                _ => return Err(unknown(name)),
            }
        }
        let set = names.iter().zip(set).filter(|(_, set)| *set).map(|(name, _)| name.clone());
        Ok(Branch::Flags(set.collect()))
    }

    /// Pays for so many values before they are allocated.
    fn charge(&mut self, values: usize) -> Result<(), DecodeError> {
        self.charge_bytes(values.saturating_mul(size_of::<B::Value>()))
    }

    fn charge_bytes(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.room = self.room.checked_sub(bytes).ok_or(DecodeError::TooMany)?;
        Ok(())
    }

    /// Text that is kept.
    fn kept_string(&mut self) -> Result<&'a str, DecodeError> {
        let text = self.string()?;
        self.charge_bytes(text.len())?;
        Ok(text)
    }

    /// Bytes that are kept, so many for each.
    fn kept(&mut self, cost: usize) -> Result<&'a [u8], DecodeError> {
        let bytes = self.binary()?;
        // What shares bytes has a few words of its own.
        self.charge_bytes(bytes.len().saturating_mul(cost).saturating_add(2 * size_of::<B::Value>()))?;
        Ok(bytes)
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

    fn skip(&mut self) -> Result<(), DecodeError> {
        let length = skip(self.rest).map_err(|_| DecodeError::Malformed)?;
        self.take(length).map(|_| ())
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

    fn integer<T: TryFrom<i128>>(&mut self, ty: &Type) -> Result<T, DecodeError> {
        match self.number(ty.name())? {
            Number::Integer(number) => T::try_from(number).map_err(|_| DecodeError::Range(ty.name())),
            _ => Err(DecodeError::Mismatch(ty.name())),
        }
    }

    fn f32(&mut self) -> Result<f32, DecodeError> {
        let value = match self.number("f32")? {
            Number::F32(value) => value,
            Number::F64(value) if value.is_nan() || f64::from(value as f32) == value => value as f32,
            Number::Integer(value) if (value as f32) as i128 == value => value as f32,
            _ => return Err(DecodeError::Range("f32")),
        };
        Ok(if value.is_nan() { f32::NAN } else { value })
    }

    fn f64(&mut self) -> Result<f64, DecodeError> {
        let value = match self.number("f64")? {
            Number::F32(value) => value.into(),
            Number::F64(value) => value,
            Number::Integer(value) if (value as f64) as i128 == value => value as f64,
            Number::Integer(_) => return Err(DecodeError::Range("f64")),
        };
        Ok(if value.is_nan() { f64::NAN } else { value })
    }

    fn char(&mut self) -> Result<char, DecodeError> {
        let mut characters = self.string()?.chars();
        match (characters.next(), characters.next()) {
            (Some(character), None) => Ok(character),
            _ => Err(DecodeError::Mismatch("char: a string of one character")),
        }
    }

    fn string(&mut self) -> Result<&'a str, DecodeError> {
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

    fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = match self.byte()? {
            0xc4 => self.big_endian(1)?,
            0xc5 => self.big_endian(2)?,
            0xc6 => self.big_endian(4)?,
            _ => return Err(DecodeError::Mismatch("binary")),
        };
        self.take(usize::try_from(length).map_err(|_| DecodeError::Malformed)?)
    }

    fn array(&mut self, wanted: &'static str) -> Result<usize, DecodeError> {
        let length = match self.byte()? {
            marker @ 0x90..=0x9f => u64::from(marker & 0x0f),
            0xdc => self.big_endian(2)?,
            0xdd => self.big_endian(4)?,
            _ => return Err(DecodeError::Mismatch(wanted)),
        };
        self.there(length, 1)
    }

    fn map(&mut self, wanted: &'static str) -> Result<usize, DecodeError> {
        let length = match self.byte()? {
            marker @ 0x80..=0x8f => u64::from(marker & 0x0f),
            0xde => self.big_endian(2)?,
            0xdf => self.big_endian(4)?,
            _ => return Err(DecodeError::Mismatch(wanted)),
        };
        self.there(length, 2)
    }

    /// So many entries of so many bytes at least: no more than there are bytes.
    fn there(&self, length: u64, least: u64) -> Result<usize, DecodeError> {
        let there = length.saturating_mul(least) <= self.rest.len() as u64;
        usize::try_from(length).ok().filter(|_| there).ok_or(DecodeError::Malformed)
    }
}

fn known(known: bool, name: &str) -> Result<(), DecodeError> {
    if known { Ok(()) } else { Err(unknown(name)) }
}

fn unknown(name: &str) -> DecodeError {
    DecodeError::Name(name.chars().take(80).collect())
}
