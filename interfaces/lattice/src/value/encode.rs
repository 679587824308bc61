//! Values to bytes: one form for each value, so that equal values are equal bytes.

use super::{
    MAX_DEPTH, MAX_ITEMS, Type, Value,
    form::{Leaf, Plain, View, Viewer},
    tokens::put,
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
            (Type::Bool, Leaf::Bool(value)) => put::bool(self.out, value),
            (Type::S8, Leaf::S8(value)) => put::signed(self.out, value.into()),
            (Type::S16, Leaf::S16(value)) => put::signed(self.out, value.into()),
            (Type::S32, Leaf::S32(value)) => put::signed(self.out, value.into()),
            (Type::S64, Leaf::S64(value)) => put::signed(self.out, value),
            (Type::U8, Leaf::U8(value)) => put::unsigned(self.out, value.into()),
            (Type::U16, Leaf::U16(value)) => put::unsigned(self.out, value.into()),
            (Type::U32, Leaf::U32(value)) => put::unsigned(self.out, value.into()),
            (Type::U64, Leaf::U64(value)) => put::unsigned(self.out, value),
            (Type::F32, Leaf::F32(value)) => put::f32(self.out, value),
            (Type::F64, Leaf::F64(value)) => put::f64(self.out, value),
            (Type::Char, Leaf::Char(value)) => put::string(self.out, value.encode_utf8(&mut [0; 4]))?,
            (Type::String, Leaf::String(value)) => put::string(self.out, value)?,
            (Type::Resource, Leaf::Handle(value)) => put::binary(self.out, value)?,
            (Type::Enum(cases), Leaf::Enum(case)) => {
                known(cases.iter().any(|known| known == case), case)?;
                put::string(self.out, case)?;
            }
            (ty, Leaf::Bytes(value)) if ty.is_bytes() => put::binary(self.out, value)?,
            (ty, _) => return Err(EncodeError::Mismatch(ty.name())),
        }
        Ok(())
    }

    fn compound(&mut self, ty: &Type, view: View<'_, K::Value>, depth: usize) -> Result<(), EncodeError> {
        match (ty, view) {
            (ty, View::List(values)) if ty.is_bytes() && K::BYTES_ARE_VALUES => self.bytes(values),
            (Type::List(item), View::List(values)) if !ty.is_bytes() => {
                put::array(self.out, values.len())?;
                values.iter().try_for_each(|value| self.value(item, value, depth))
            }
            (Type::Tuple(types), View::Tuple(values)) => self.tuple(types, values, depth),
            (Type::Record(fields), View::Record(values)) => self.record(fields, values, depth),
            (Type::Variant(cases), View::Variant(case, payload)) => {
                let (_, ty) = cases.iter().find(|(known, _)| known == case).ok_or_else(|| unknown(case))?;
                match (ty, payload) {
                    (None, None) => put::string(self.out, case),
                    (Some(ty), Some(payload)) => self.entry(case, ty, payload, depth),
                    _ => Err(EncodeError::Mismatch("variant with such a payload")),
                }
            }
            (Type::Option(_), View::Option(None)) => {
                put::nil(self.out);
                Ok(())
            }
            (Type::Option(inner), View::Option(Some(value))) => {
                if matches!(**inner, Type::Option(_)) {
                    put::array(self.out, 1)?;
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
        put::array(self.out, values.len())?;
        types.iter().zip(values).try_for_each(|(ty, value)| self.value(ty, value, depth))
    }

    /// A list of bytes that lie apart.
    fn bytes(&mut self, values: &[K::Value]) -> Result<(), EncodeError> {
        put::binary_head(self.out, values.len())?;
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
        put::map(self.out, fields.len())?;
        for (name, ty) in fields {
            let (_, value) =
                values.iter().find(|(field, _)| field == name).ok_or_else(|| EncodeError::Missing(name.clone()))?;
            put::string(self.out, name)?;
            self.value(ty, value, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, name: &str, ty: &Type, value: &K::Value, depth: usize) -> Result<(), EncodeError> {
        put::map(self.out, 1)?;
        put::string(self.out, name)?;
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
                put::map(self.out, 1)?;
                put::string(self.out, name)?;
                put::nil(self.out);
                Ok(())
            }
            _ => Err(EncodeError::Mismatch("result with such a payload")),
        }
    }

    fn flags(&mut self, names: &[String], set: &[String]) -> Result<(), EncodeError> {
        for (at, name) in set.iter().enumerate() {
            known(!set.iter().take(at).any(|other| other == name) && names.contains(name), name)?;
        }
        put::array(self.out, set.len())?;
        names.iter().filter(|name| set.contains(name)).try_for_each(|name| put::string(self.out, name))
    }
}

fn known(known: bool, name: &str) -> Result<(), EncodeError> {
    if known { Ok(()) } else { Err(unknown(name)) }
}

fn unknown(name: &str) -> EncodeError {
    EncodeError::Name(name.chars().take(80).collect())
}
