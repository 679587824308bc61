//! Types and values, independent of any engine.

use bytes::Bytes;

/// The type of a WIT value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Type {
    /// `bool`
    Bool,
    /// `s8`
    S8,
    /// `u8`
    U8,
    /// `s16`
    S16,
    /// `u16`
    U16,
    /// `s32`
    S32,
    /// `u32`
    U32,
    /// `s64`
    S64,
    /// `u64`
    U64,
    /// `f32`
    F32,
    /// `f64`
    F64,
    /// `char`
    Char,
    /// `string`
    String,
    /// `list<T>`
    List(Box<Type>),
    /// `tuple<A, B, ...>`
    Tuple(Vec<Type>),
    /// `record`, its fields in declared order.
    Record(Vec<(String, Type)>),
    /// `enum`, its cases in declared order.
    Enum(Vec<String>),
    /// `variant`, its cases in declared order.
    Variant(Vec<(String, Option<Type>)>),
    /// `option<T>`
    Option(Box<Type>),
    /// `result<T, E>`
    Result {
        /// What it holds where it went well.
        ok: Option<Box<Type>>,
        /// What it holds where it did not.
        err: Option<Box<Type>>,
    },
    /// `flags`, their names in declared order.
    Flags(Vec<String>),
    /// `own<R>` or `borrow<R>`.
    Resource,
}

impl Type {
    /// A list of bytes, which has a form of its own.
    #[must_use]
    pub fn is_bytes(&self) -> bool {
        matches!(self, Self::List(item) if **item == Self::U8)
    }

    /// What it is called in a message.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::S8 => "s8",
            Self::U8 => "u8",
            Self::S16 => "s16",
            Self::U16 => "u16",
            Self::S32 => "s32",
            Self::U32 => "u32",
            Self::S64 => "s64",
            Self::U64 => "u64",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Char => "char",
            Self::String => "string",
            Self::List(item) if **item == Self::U8 => "list<u8>",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Record(_) => "record",
            Self::Enum(_) => "enum",
            Self::Variant(_) => "variant",
            Self::Option(_) => "option",
            Self::Result { .. } => "result",
            Self::Flags(_) => "flags",
            Self::Resource => "resource handle",
        }
    }
}

/// A WIT value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
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
    String(String),
    /// `list<u8>`
    Bytes(Bytes),
    /// Any other `list`.
    List(Vec<Value>),
    /// `tuple`
    Tuple(Vec<Value>),
    /// `record`, its fields in declared order.
    Record(Vec<(String, Value)>),
    /// `enum`
    Enum(String),
    /// `variant`
    Variant(String, Option<Box<Value>>),
    /// `option`
    Option(Option<Box<Value>>),
    /// `result`
    Result(Result<Option<Box<Value>>, Option<Box<Value>>>),
    /// `flags`: those that are set.
    Flags(Vec<String>),
    /// A resource's handle.
    Resource(Bytes),
}
