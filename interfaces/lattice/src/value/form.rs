//! What values are made of, so that there is one reader and one writer for every kind of value: [`Value`], which
//! belongs to no engine, and the engine's own, which would cost another copy of each value to go through it.
//!
//! Who has a kind of value says how one is made ([`Builder`]) and how one is looked at ([`Viewer`]); what stands in
//! the bytes, and what is refused, is said in [`super`] alone.

use bytes::Bytes;

use super::Value;

/// A value without others in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Leaf<'a> {
    /// `bool`
    Bool(bool),
    /// `s8`
    S8(i8),
    /// `u8`
    U8(u8),
    /// `s16`
    S16(i16),
    /// `u16`
    U16(u16),
    /// `s32`
    S32(i32),
    /// `u32`
    U32(u32),
    /// `s64`
    S64(i64),
    /// `u64`
    U64(u64),
    /// `f32`
    F32(f32),
    /// `f64`
    F64(f64),
    /// `char`
    Char(char),
    /// `string`
    String(&'a str),
    /// `list<u8>`
    Bytes(&'a [u8]),
    /// `enum`
    Enum(&'a str),
    /// A resource's handle.
    Handle(&'a [u8]),
}

/// A value with others in it, as it is put together.
#[derive(Debug)]
pub enum Branch<V> {
    /// Any `list` but one of bytes.
    List(Vec<V>),
    /// `tuple`
    Tuple(Vec<V>),
    /// `record`, its fields in declared order.
    Record(Vec<(String, V)>),
    /// `variant`
    Variant(String, Option<Box<V>>),
    /// `option`
    Option(Option<Box<V>>),
    /// `result`
    Result(Result<Option<Box<V>>, Option<Box<V>>>),
    /// `flags`: those that are set, in declared order.
    Flags(Vec<String>),
}

/// A value as it is looked at.
#[derive(Debug)]
pub enum View<'a, V> {
    /// One without others in it.
    Leaf(Leaf<'a>),
    /// A `list`; one of bytes only where the kind has no other form for it.
    List(&'a [V]),
    /// `tuple`
    Tuple(&'a [V]),
    /// `record`, its fields in any order.
    Record(&'a [(String, V)]),
    /// `variant`
    Variant(&'a str, Option<&'a V>),
    /// `option`
    Option(Option<&'a V>),
    /// `result`
    Result(Result<Option<&'a V>, Option<&'a V>>),
    /// `flags`: those that are set, in any order.
    Flags(&'a [String]),
}

/// Makes values of one kind.
pub trait Builder {
    /// The kind.
    type Value;

    /// What one byte of a `list<u8>` takes in memory.
    const BYTE: usize;

    /// A value without others in it.
    fn leaf(&mut self, leaf: Leaf<'_>) -> Self::Value;

    /// A value with others in it.
    fn branch(&mut self, branch: Branch<Self::Value>) -> Self::Value;
}

/// Looks at values of one kind.
pub trait Viewer {
    /// The kind.
    type Value;

    /// Whether a `list<u8>` is looked at as a list of values, and not as bytes.
    const BYTES_ARE_VALUES: bool;

    /// What this value is; `None` where it is of no type that can be written.
    fn view<'a>(&'a self, value: &'a Self::Value) -> Option<View<'a, Self::Value>>;
}

/// No kind at all, for who only asks whether bytes are a value of a type.
pub(super) struct Nothing;

impl Builder for Nothing {
    type Value = ();

    const BYTE: usize = 1;

    fn leaf(&mut self, _: Leaf<'_>) {}

    fn branch(&mut self, _: Branch<()>) {}
}

/// The kind of value that belongs to no engine.
pub(super) struct Plain;

impl Builder for Plain {
    type Value = Value;

    const BYTE: usize = 1;

    fn leaf(&mut self, leaf: Leaf<'_>) -> Value {
        match leaf {
            Leaf::Bool(value) => Value::Bool(value),
            Leaf::S8(value) => Value::S8(value),
            Leaf::U8(value) => Value::U8(value),
            Leaf::S16(value) => Value::S16(value),
            Leaf::U16(value) => Value::U16(value),
            Leaf::S32(value) => Value::S32(value),
            Leaf::U32(value) => Value::U32(value),
            Leaf::S64(value) => Value::S64(value),
            Leaf::U64(value) => Value::U64(value),
            Leaf::F32(value) => Value::F32(value),
            Leaf::F64(value) => Value::F64(value),
            Leaf::Char(value) => Value::Char(value),
            Leaf::String(value) => Value::String(value.to_owned()),
            Leaf::Bytes(value) => Value::Bytes(Bytes::copy_from_slice(value)),
            Leaf::Enum(case) => Value::Enum(case.to_owned()),
            Leaf::Handle(handle) => Value::Resource(Bytes::copy_from_slice(handle)),
        }
    }

    fn branch(&mut self, branch: Branch<Value>) -> Value {
        match branch {
            Branch::List(values) => Value::List(values),
            Branch::Tuple(values) => Value::Tuple(values),
            Branch::Record(fields) => Value::Record(fields),
            Branch::Variant(case, payload) => Value::Variant(case, payload),
            Branch::Option(value) => Value::Option(value),
            Branch::Result(result) => Value::Result(result),
            Branch::Flags(names) => Value::Flags(names),
        }
    }
}

impl Viewer for Plain {
    type Value = Value;

    const BYTES_ARE_VALUES: bool = false;

    fn view<'a>(&'a self, value: &'a Value) -> Option<View<'a, Value>> {
        Some(match value {
            Value::Bool(value) => View::Leaf(Leaf::Bool(*value)),
            Value::S8(value) => View::Leaf(Leaf::S8(*value)),
            Value::U8(value) => View::Leaf(Leaf::U8(*value)),
            Value::S16(value) => View::Leaf(Leaf::S16(*value)),
            Value::U16(value) => View::Leaf(Leaf::U16(*value)),
            Value::S32(value) => View::Leaf(Leaf::S32(*value)),
            Value::U32(value) => View::Leaf(Leaf::U32(*value)),
            Value::S64(value) => View::Leaf(Leaf::S64(*value)),
            Value::U64(value) => View::Leaf(Leaf::U64(*value)),
            Value::F32(value) => View::Leaf(Leaf::F32(*value)),
            Value::F64(value) => View::Leaf(Leaf::F64(*value)),
            Value::Char(value) => View::Leaf(Leaf::Char(*value)),
            Value::String(value) => View::Leaf(Leaf::String(value)),
            Value::Bytes(value) => View::Leaf(Leaf::Bytes(value)),
            Value::Enum(case) => View::Leaf(Leaf::Enum(case)),
            Value::Resource(handle) => View::Leaf(Leaf::Handle(handle)),
            Value::List(values) => View::List(values),
            Value::Tuple(values) => View::Tuple(values),
            Value::Record(fields) => View::Record(fields),
            Value::Variant(case, payload) => View::Variant(case, payload.as_deref()),
            Value::Option(value) => View::Option(value.as_deref()),
            Value::Result(Ok(value)) => View::Result(Ok(value.as_deref())),
            Value::Result(Err(value)) => View::Result(Err(value.as_deref())),
            Value::Flags(names) => View::Flags(names),
        })
    }
}
