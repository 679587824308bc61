//! Bytes to values, by the type that is wanted: nothing is allocated for a length that is not there.

use super::{
    GROWTH, MAX_DEPTH, MAX_ITEMS, ROOM, Type, Value,
    form::{Branch, Builder, Leaf, Nothing, Plain},
    tokens::Tokens,
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
    let mut reader = Reader { builder, tokens: Tokens::new(bytes), items: 0, room };
    let value = reader.value(ty, 0)?;
    reader.tokens.finish()?;
    Ok(value)
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
    tokens: Tokens<'a>,
    items: usize,
    /// What may still be allocated, in bytes.
    room: usize,
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
            Type::Bool => Leaf::Bool(self.tokens.bool()?),
            Type::S8 => Leaf::S8(self.tokens.integer(ty.name())?),
            Type::U8 => Leaf::U8(self.tokens.integer(ty.name())?),
            Type::S16 => Leaf::S16(self.tokens.integer(ty.name())?),
            Type::U16 => Leaf::U16(self.tokens.integer(ty.name())?),
            Type::S32 => Leaf::S32(self.tokens.integer(ty.name())?),
            Type::U32 => Leaf::U32(self.tokens.integer(ty.name())?),
            Type::S64 => Leaf::S64(self.tokens.integer(ty.name())?),
            Type::U64 => Leaf::U64(self.tokens.integer(ty.name())?),
            Type::F32 => Leaf::F32(self.tokens.f32()?),
            Type::F64 => Leaf::F64(self.tokens.f64()?),
            Type::Char => Leaf::Char(self.tokens.char()?),
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
                let length = self.tokens.array("list")?;
                self.charge(length)?;
                let mut values = Vec::with_capacity(length);
                for _ in 0..length {
                    values.push(self.value(item, depth)?);
                }
                Branch::List(values)
            }
            Type::Tuple(types) => {
                if self.tokens.array("tuple")? != types.len() {
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
        for _ in 0..self.tokens.map("record")? {
            let name = self.tokens.string()?;
            let Some((at, (_, ty))) = fields.iter().enumerate().find(|(_, (field, _))| field == name) else {
                self.tokens.skip()?;
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
        let bare = self.tokens.is_text();
        if !bare && self.tokens.map("variant")? != 1 {
            return Err(DecodeError::Mismatch("variant: a name, or a map of one entry"));
        }
        let case = self.tokens.string()?;
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
        if self.tokens.nil() {
            return Ok(Branch::Option(None));
        }
        if matches!(inner, Type::Option(_)) && self.tokens.array("option of an option")? != 1 {
            return Err(DecodeError::Mismatch("option of an option: nil, or an array of one"));
        }
        self.charge(1)?;
        let value = self.value(inner, depth)?;
        Ok(Branch::Option(Some(Box::new(value))))
    }

    fn result(&mut self, ok: Option<&Type>, err: Option<&Type>, depth: usize) -> Result<Branch<B::Value>, DecodeError> {
        if self.tokens.map("result")? != 1 {
            return Err(DecodeError::Mismatch("result: a map of one entry"));
        }
        let case = self.tokens.string()?;
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
            None => {
                self.tokens.expect_nil("result with such a payload")?;
                None
            }
        };
        Ok(Branch::Result(if case == "ok" { Ok(value) } else { Err(value) }))
    }

    fn flags(&mut self, names: &[String]) -> Result<Branch<B::Value>, DecodeError> {
        let length = self.tokens.array("flags")?;
        self.charge(names.len())?;
        let mut set = vec![false; names.len()];
        for _ in 0..length {
            let name = self.tokens.string()?;
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
        let text = self.tokens.string()?;
        self.charge_bytes(text.len())?;
        Ok(text)
    }

    /// Bytes that are kept, so many for each.
    fn kept(&mut self, cost: usize) -> Result<&'a [u8], DecodeError> {
        let bytes = self.tokens.binary()?;
        // What shares bytes has a few words of its own.
        self.charge_bytes(bytes.len().saturating_mul(cost).saturating_add(2 * size_of::<B::Value>()))?;
        Ok(bytes)
    }
}

fn known(known: bool, name: &str) -> Result<(), DecodeError> {
    if known { Ok(()) } else { Err(unknown(name)) }
}

fn unknown(name: &str) -> DecodeError {
    DecodeError::Name(name.chars().take(80).collect())
}
