//! Values to bytes: one form for each value, so that equal values are equal bytes.

use super::{
    MAX_DEPTH, MAX_ITEMS, Type, Value,
    form::{Leaf, Plain, View, Viewer},
};

/// A value that cannot be written as that type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The value is of another type.
    #[error("the value is not a {0}")]
    Mismatch(&'static str),
    /// The type has no field, case or flag of this name, or the value has it twice.
    #[error("{0:?} is not a name that belongs here")]
    Name(String),
    /// The value has no field of this name.
    #[error("the field {0:?} is missing")]
    Missing(String),
    /// Deeper than [`MAX_DEPTH`].
    #[error("the value nests deeper than {MAX_DEPTH}")]
    TooDeep,
    /// Longer than MessagePack can say, or more than [`MAX_ITEMS`].
    #[error("the value is too large")]
    TooLarge,
}

/// Appends `value`, which is of the type `ty`, to `out`. What was appended before an error stays there.
///
/// # Errors
///
/// Where the value is not of the type, or nests too deep, or is too large.
pub fn encode(ty: &Type, value: &Value, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    encode_from(&Plain, ty, value, out)
}

/// The same, where the value is of the kind that `viewer` looks at.
///
/// # Errors
///
/// Where the value is not of the type, or nests too deep, or is too large.
pub fn encode_from<K: Viewer>(viewer: &K, ty: &Type, value: &K::Value, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    Writer { viewer, out, items: 0 }.value(ty, value, 0)
}

/// Appends a tuple of the types `types`, whose members lie in `values`: parameters, which are no value of their own.
///
/// # Errors
///
/// Where there are not as many, or one of them is not of its type, or nests too deep, or is too large.
pub fn encode_tuple_from<K: Viewer>(
    viewer: &K,
    types: &[Type],
    values: &[K::Value],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    Writer { viewer, out, items: 1 }.tuple(types, values, 1)
}

struct Writer<'a, K> {
    viewer: &'a K,
    out: &'a mut Vec<u8>,
    items: usize,
}

impl<K: Viewer> Writer<'_, K> {
    fn value(&mut self, ty: &Type, value: &K::Value, depth: usize) -> Result<(), EncodeError> {
        if depth >= MAX_DEPTH {
            return Err(EncodeError::TooDeep);
        }
        self.items += 1;
        if self.items > MAX_ITEMS {
            return Err(EncodeError::TooLarge);
        }
        match (ty, self.view(value)?) {
            (ty, View::Leaf(leaf)) => self.leaf(ty, leaf),
            (ty, view) => self.compound(ty, view, depth + 1),
        }
    }

    fn view<'v>(&self, value: &'v K::Value) -> Result<View<'v, K::Value>, EncodeError>
    where
        Self: 'v,
    {
        self.viewer.view(value).ok_or(EncodeError::Mismatch("value that can be written"))
    }

    fn leaf(&mut self, ty: &Type, leaf: Leaf<'_>) -> Result<(), EncodeError> {
        match (ty, leaf) {
            (Type::Bool, Leaf::Bool(value)) => self.out.push(if value { 0xc3 } else { 0xc2 }),
            (Type::S8, Leaf::S8(value)) => self.signed(value.into()),
            (Type::S16, Leaf::S16(value)) => self.signed(value.into()),
            (Type::S32, Leaf::S32(value)) => self.signed(value.into()),
            (Type::S64, Leaf::S64(value)) => self.signed(value),
            (Type::U8, Leaf::U8(value)) => self.unsigned(value.into()),
            (Type::U16, Leaf::U16(value)) => self.unsigned(value.into()),
            (Type::U32, Leaf::U32(value)) => self.unsigned(value.into()),
            (Type::U64, Leaf::U64(value)) => self.unsigned(value),
            (Type::F32, Leaf::F32(value)) => {
                let bits = if value.is_nan() { 0x7fc0_0000 } else { value.to_bits() };
                self.marked(0xca, &bits.to_be_bytes());
            }
            (Type::F64, Leaf::F64(value)) => {
                let bits = if value.is_nan() { 0x7ff8_0000_0000_0000 } else { value.to_bits() };
                self.marked(0xcb, &bits.to_be_bytes());
            }
            (Type::Char, Leaf::Char(value)) => self.string(value.encode_utf8(&mut [0; 4]))?,
            (Type::String, Leaf::String(value)) => self.string(value)?,
            (Type::Resource, Leaf::Handle(value)) => self.binary(value)?,
            (Type::Enum(cases), Leaf::Enum(case)) => {
                known(cases.iter().any(|known| known == case), case)?;
                self.string(case)?;
            }
            (ty, Leaf::Bytes(value)) if ty.is_bytes() => self.binary(value)?,
            (ty, _) => return Err(EncodeError::Mismatch(ty.name())),
        }
        Ok(())
    }

    fn compound(&mut self, ty: &Type, view: View<'_, K::Value>, depth: usize) -> Result<(), EncodeError> {
        match (ty, view) {
            (ty, View::List(values)) if ty.is_bytes() && K::BYTES_ARE_VALUES => self.bytes(values),
            (Type::List(item), View::List(values)) if !ty.is_bytes() => {
                self.array(values.len())?;
                values.iter().try_for_each(|value| self.value(item, value, depth))
            }
            (Type::Tuple(types), View::Tuple(values)) => self.tuple(types, values, depth),
            (Type::Record(fields), View::Record(values)) => self.record(fields, values, depth),
            (Type::Variant(cases), View::Variant(case, payload)) => {
                let (_, ty) = cases.iter().find(|(known, _)| known == case).ok_or_else(|| unknown(case))?;
                match (ty, payload) {
                    (None, None) => self.string(case),
                    (Some(ty), Some(payload)) => self.entry(case, ty, payload, depth),
                    _ => Err(EncodeError::Mismatch("variant with such a payload")),
                }
            }
            (Type::Option(_), View::Option(None)) => {
                self.out.push(0xc0);
                Ok(())
            }
            (Type::Option(inner), View::Option(Some(value))) => {
                if matches!(**inner, Type::Option(_)) {
                    self.array(1)?;
                }
                self.value(inner, value, depth)
            }
            (Type::Result { ok, .. }, View::Result(Ok(value))) => self.outcome("ok", ok, value, depth),
            (Type::Result { err, .. }, View::Result(Err(value))) => self.outcome("err", err, value, depth),
            (Type::Flags(names), View::Flags(set)) => self.flags(names, set),
            (ty, _) => Err(EncodeError::Mismatch(ty.name())),
        }
    }

    fn tuple(&mut self, types: &[Type], values: &[K::Value], depth: usize) -> Result<(), EncodeError> {
        if types.len() != values.len() {
            return Err(EncodeError::Mismatch("tuple of that length"));
        }
        self.array(values.len())?;
        types.iter().zip(values).try_for_each(|(ty, value)| self.value(ty, value, depth))
    }

    /// A list of bytes that lie apart.
    fn bytes(&mut self, values: &[K::Value]) -> Result<(), EncodeError> {
        self.binary_head(values.len())?;
        self.out.reserve(values.len());
        for value in values {
            match self.view(value)? {
                View::Leaf(Leaf::U8(byte)) => self.out.push(byte),
                _ => return Err(EncodeError::Mismatch("u8")),
            }
        }
        Ok(())
    }

    fn record(
        &mut self,
        fields: &[(String, Type)],
        values: &[(String, K::Value)],
        depth: usize,
    ) -> Result<(), EncodeError> {
        for (at, (name, _)) in values.iter().enumerate() {
            let twice = values.iter().take(at).any(|(other, _)| other == name);
            known(!twice && fields.iter().any(|(field, _)| field == name), name)?;
        }
        self.map(fields.len())?;
        for (name, ty) in fields {
            let (_, value) =
                values.iter().find(|(field, _)| field == name).ok_or_else(|| EncodeError::Missing(name.clone()))?;
            self.string(name)?;
            self.value(ty, value, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, name: &str, ty: &Type, value: &K::Value, depth: usize) -> Result<(), EncodeError> {
        self.map(1)?;
        self.string(name)?;
        self.value(ty, value, depth)
    }

    fn outcome(
        &mut self,
        name: &str,
        ty: &Option<Box<Type>>,
        value: Option<&K::Value>,
        depth: usize,
    ) -> Result<(), EncodeError> {
        match (ty, value) {
            (Some(ty), Some(value)) => self.entry(name, ty, value, depth),
            (None, None) => {
                self.map(1)?;
                self.string(name)?;
                self.out.push(0xc0);
                Ok(())
            }
            _ => Err(EncodeError::Mismatch("result with such a payload")),
        }
    }

    fn flags(&mut self, names: &[String], set: &[String]) -> Result<(), EncodeError> {
        for (at, name) in set.iter().enumerate() {
            known(!set.iter().take(at).any(|other| other == name) && names.contains(name), name)?;
        }
        self.array(set.len())?;
        names.iter().filter(|name| set.contains(name)).try_for_each(|name| self.string(name))
    }

    fn marked(&mut self, marker: u8, bytes: &[u8]) {
        self.out.push(marker);
        self.out.extend_from_slice(bytes);
    }

    fn unsigned(&mut self, value: u64) {
        let bytes = value.to_be_bytes();
        let [_, _, _, _, _, _, _, low] = bytes;
        match value {
            0..=0x7f => self.out.push(low),
            0x80..=0xff => self.marked(0xcc, &[low]),
            0x100..=0xffff => self.marked(0xcd, tail(&bytes, 2)),
            0x1_0000..=0xffff_ffff => self.marked(0xce, tail(&bytes, 4)),
            _ => self.marked(0xcf, &bytes),
        }
    }

    fn signed(&mut self, value: i64) {
        if let Ok(value) = u64::try_from(value) {
            return self.unsigned(value);
        }
        let bytes = value.to_be_bytes();
        let [_, _, _, _, _, _, _, low] = bytes;
        match value {
            -0x20.. => self.out.push(low),
            -0x80.. => self.marked(0xd0, &[low]),
            -0x8000.. => self.marked(0xd1, tail(&bytes, 2)),
            -0x8000_0000.. => self.marked(0xd2, tail(&bytes, 4)),
            _ => self.marked(0xd3, &bytes),
        }
    }

    /// The head of something that has a length: in its marker, or in one, two or four bytes behind one.
    fn length(&mut self, length: usize, short: (u8, usize), markers: [Option<u8>; 3]) -> Result<(), EncodeError> {
        let [one, two, four] = markers;
        let bytes = u32::try_from(length).map_err(|_| EncodeError::TooLarge)?.to_be_bytes();
        let [_, _, _, low] = bytes;
        match (length, one, two, four) {
            (length, ..) if length < short.1 => self.out.push(short.0 | low),
            (0..=0xff, Some(marker), ..) => self.marked(marker, &[low]),
            (0..=0xffff, _, Some(marker), _) => self.marked(marker, tail(&bytes, 2)),
            (_, _, _, Some(marker)) => self.marked(marker, &bytes),
            _ => return Err(EncodeError::TooLarge),
        }
        Ok(())
    }

    fn string(&mut self, text: &str) -> Result<(), EncodeError> {
        self.length(text.len(), (0xa0, 32), [Some(0xd9), Some(0xda), Some(0xdb)])?;
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn binary(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.binary_head(bytes.len())?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn binary_head(&mut self, length: usize) -> Result<(), EncodeError> {
        self.length(length, (0, 0), [Some(0xc4), Some(0xc5), Some(0xc6)])
    }

    fn array(&mut self, length: usize) -> Result<(), EncodeError> {
        self.length(length, (0x90, 16), [None, Some(0xdc), Some(0xdd)])
    }

    fn map(&mut self, length: usize) -> Result<(), EncodeError> {
        self.length(length, (0x80, 16), [None, Some(0xde), Some(0xdf)])
    }
}

/// The last `width` bytes.
fn tail(bytes: &[u8], width: usize) -> &[u8] {
    bytes.get(bytes.len().saturating_sub(width)..).unwrap_or(bytes)
}

fn known(known: bool, name: &str) -> Result<(), EncodeError> {
    if known { Ok(()) } else { Err(unknown(name)) }
}

fn unknown(name: &str) -> EncodeError {
    EncodeError::Name(name.chars().take(80).collect())
}
