//! The engine's kind of value, made of bytes and looked at to write them.

use bytes::Bytes;
use mesh_lattice::value::form::{Branch, Builder, Leaf, View, Viewer};
use wasmtime::component::{ResourceAny, Val};

/// Makes values. A handle becomes a resource only where there is an instance: until then a value stands for it that
/// no function has, a list of a fixed length.
#[derive(Default)]
pub(super) struct Making {
    pub(super) handles: Vec<Bytes>,
}

/// Looks at values, with the bytes of each handle.
#[derive(Default)]
pub(super) struct Looking<'a> {
    pub(super) handles: &'a [(ResourceAny, Bytes)],
}

/// Which handle a value stands for.
pub(super) fn handle_number(value: &Val) -> Option<usize> {
    match value {
        Val::FixedLengthList(number) => match number.as_slice() {
            [Val::U32(number)] => usize::try_from(*number).ok(),
            _ => None,
        },
        _ => None,
    }
}

impl Builder for Making {
    type Value = Val;

    const BYTE: usize = size_of::<Val>();

    fn leaf(&mut self, leaf: Leaf<'_>) -> Val {
        match leaf {
            Leaf::Bool(value) => Val::Bool(value),
            Leaf::S8(value) => Val::S8(value),
            Leaf::U8(value) => Val::U8(value),
            Leaf::S16(value) => Val::S16(value),
            Leaf::U16(value) => Val::U16(value),
            Leaf::S32(value) => Val::S32(value),
            Leaf::U32(value) => Val::U32(value),
            Leaf::S64(value) => Val::S64(value),
            Leaf::U64(value) => Val::U64(value),
            Leaf::F32(value) => Val::Float32(value),
            Leaf::F64(value) => Val::Float64(value),
            Leaf::Char(value) => Val::Char(value),
            Leaf::String(value) => Val::String(value.to_owned()),
            Leaf::Enum(case) => Val::Enum(case.to_owned()),
            Leaf::Bytes(bytes) => Val::List(bytes.iter().copied().map(Val::U8).collect()),
            Leaf::Handle(handle) => {
                let number = u32::try_from(self.handles.len()).unwrap_or(u32::MAX);
                self.handles.push(Bytes::copy_from_slice(handle));
                Val::FixedLengthList(vec![Val::U32(number)])
            }
        }
    }

    fn branch(&mut self, branch: Branch<Val>) -> Val {
        match branch {
            Branch::List(values) => Val::List(values),
            Branch::Tuple(values) => Val::Tuple(values),
            Branch::Record(fields) => Val::Record(fields),
            Branch::Variant(case, payload) => Val::Variant(case, payload),
            Branch::Option(value) => Val::Option(value),
            Branch::Result(result) => Val::Result(result),
            Branch::Flags(names) => Val::Flags(names),
        }
    }
}

impl Viewer for Looking<'_> {
    type Value = Val;

    const BYTES_ARE_VALUES: bool = true;

    fn view<'a>(&'a self, value: &'a Val) -> Option<View<'a, Val>> {
        Some(match value {
            Val::Bool(value) => View::Leaf(Leaf::Bool(*value)),
            Val::S8(value) => View::Leaf(Leaf::S8(*value)),
            Val::U8(value) => View::Leaf(Leaf::U8(*value)),
            Val::S16(value) => View::Leaf(Leaf::S16(*value)),
            Val::U16(value) => View::Leaf(Leaf::U16(*value)),
            Val::S32(value) => View::Leaf(Leaf::S32(*value)),
            Val::U32(value) => View::Leaf(Leaf::U32(*value)),
            Val::S64(value) => View::Leaf(Leaf::S64(*value)),
            Val::U64(value) => View::Leaf(Leaf::U64(*value)),
            Val::Float32(value) => View::Leaf(Leaf::F32(*value)),
            Val::Float64(value) => View::Leaf(Leaf::F64(*value)),
            Val::Char(value) => View::Leaf(Leaf::Char(*value)),
            Val::String(value) => View::Leaf(Leaf::String(value)),
            Val::Enum(case) => View::Leaf(Leaf::Enum(case)),
            Val::List(values) => View::List(values),
            Val::Tuple(values) => View::Tuple(values),
            Val::Record(fields) => View::Record(fields),
            Val::Variant(case, payload) => View::Variant(case, payload.as_deref()),
            Val::Option(value) => View::Option(value.as_deref()),
            Val::Result(Ok(value)) => View::Result(Ok(value.as_deref())),
            Val::Result(Err(value)) => View::Result(Err(value.as_deref())),
            Val::Flags(names) => View::Flags(names),
            Val::Resource(resource) => {
                let (_, handle) = self.handles.iter().find(|(known, _)| known == resource)?;
                View::Leaf(Leaf::Handle(handle))
            }
            Val::Map(_) | Val::Future(_) | Val::Stream(_) | Val::ErrorContext(_) | Val::FixedLengthList(_) => {
                return None;
            }
        })
    }
}
