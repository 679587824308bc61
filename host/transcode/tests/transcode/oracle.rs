//! The same calls through the engine's dynamic values and through `mesh_lattice::value`: what they say is right.

use std::sync::LazyLock;

use bytes::Bytes;
use mesh_lattice::value::{self, Type, Value};
use tokio::runtime::{Builder, Runtime};
use wasmtime::component::Val;

/// A value as the engine has it.
pub(crate) fn to_val(value: &Value) -> Val {
    let boxed = |value: &Option<Box<Value>>| value.as_ref().map(|value| Box::new(to_val(value)));
    match value {
        Value::Bool(value) => Val::Bool(*value),
        Value::S8(value) => Val::S8(*value),
        Value::U8(value) => Val::U8(*value),
        Value::S16(value) => Val::S16(*value),
        Value::U16(value) => Val::U16(*value),
        Value::S32(value) => Val::S32(*value),
        Value::U32(value) => Val::U32(*value),
        Value::S64(value) => Val::S64(*value),
        Value::U64(value) => Val::U64(*value),
        Value::F32(value) => Val::Float32(*value),
        Value::F64(value) => Val::Float64(*value),
        Value::Char(value) => Val::Char(*value),
        Value::String(value) => Val::String(value.clone()),
        Value::Bytes(bytes) => Val::List(bytes.iter().copied().map(Val::U8).collect()),
        Value::List(values) => Val::List(values.iter().map(to_val).collect()),
        Value::Tuple(values) => Val::Tuple(values.iter().map(to_val).collect()),
        Value::Record(fields) => {
            Val::Record(fields.iter().map(|(name, value)| (name.clone(), to_val(value))).collect())
        }
        Value::Enum(name) => Val::Enum(name.clone()),
        Value::Variant(name, payload) => Val::Variant(name.clone(), boxed(payload)),
        Value::Option(inner) => Val::Option(boxed(inner)),
        Value::Result(outcome) => Val::Result(outcome.as_ref().map(boxed).map_err(boxed)),
        Value::Flags(names) => Val::Flags(names.clone()),
        Value::Resource(_) => panic!("no handles here"),
    }
}

/// A value as it goes over the wire.
pub(crate) fn from_val(ty: &Type, val: &Val) -> Value {
    let inner = |ty: &Option<Box<Type>>, val: &Option<Box<Val>>| {
        ty.as_ref().zip(val.as_ref()).map(|(ty, val)| Box::new(from_val(ty, val)))
    };
    match (ty, val) {
        (_, Val::Bool(value)) => Value::Bool(*value),
        (_, Val::S8(value)) => Value::S8(*value),
        (_, Val::U8(value)) => Value::U8(*value),
        (_, Val::S16(value)) => Value::S16(*value),
        (_, Val::U16(value)) => Value::U16(*value),
        (_, Val::S32(value)) => Value::S32(*value),
        (_, Val::U32(value)) => Value::U32(*value),
        (_, Val::S64(value)) => Value::S64(*value),
        (_, Val::U64(value)) => Value::U64(*value),
        (_, Val::Float32(value)) => Value::F32(*value),
        (_, Val::Float64(value)) => Value::F64(*value),
        (_, Val::Char(value)) => Value::Char(*value),
        (_, Val::String(value)) => Value::String(value.clone()),
        (Type::List(item), Val::List(values)) if **item == Type::U8 => {
            let bytes = values.iter().map(|val| if let Val::U8(byte) = val { *byte } else { panic!("{val:?}") });
            Value::Bytes(bytes.collect::<Vec<u8>>().into())
        }
        (Type::List(item), Val::List(values)) => Value::List(values.iter().map(|val| from_val(item, val)).collect()),
        (Type::Tuple(types), Val::Tuple(values)) => {
            Value::Tuple(types.iter().zip(values).map(|(ty, val)| from_val(ty, val)).collect())
        }
        (Type::Record(fields), Val::Record(values)) => {
            let fields = fields.iter().zip(values).map(|((name, ty), (_, val))| (name.clone(), from_val(ty, val)));
            Value::Record(fields.collect())
        }
        (_, Val::Enum(name)) => Value::Enum(name.clone()),
        (Type::Variant(cases), Val::Variant(name, payload)) => {
            let (_, ty) = cases.iter().find(|(case, _)| case == name).unwrap();
            Value::Variant(name.clone(), inner(&ty.clone().map(Box::new), payload))
        }
        (Type::Option(ty), Val::Option(value)) => Value::Option(inner(&Some(ty.clone()), value)),
        (Type::Result { ok, err }, Val::Result(outcome)) => {
            Value::Result(outcome.as_ref().map(|val| inner(ok, val)).map_err(|val| inner(err, val)))
        }
        (_, Val::Flags(names)) => Value::Flags(names.clone()),
        (ty, val) => panic!("{val:?} is not a {ty:?}"),
    }
}

/// The bytes of a value.
pub(crate) fn bytes(ty: &Type, value: &Value) -> Bytes {
    let mut out = Vec::new();
    value::encode(ty, value, &mut out).unwrap();
    out.into()
}

/// Runs a call to its end.
pub(crate) fn block_on<F: Future>(call: F) -> F::Output {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().build().unwrap());
    RUNTIME.block_on(call)
}
