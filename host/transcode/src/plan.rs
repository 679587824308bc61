//! Which functions are moved here, and the calls of those that a guest exports.

use bytes::Bytes;
use wasmtime::{
    AsContext, AsContextMut, Result,
    component::{
        Func, TypedFunc,
        types::{ComponentFunc, Type},
    },
};

use crate::{
    abi::{Parameters, Returned},
    supported::{MAX_FIELDS, MAX_FLAGS, MAX_PARTS, MAX_WORDS},
};

/// How the values of one function are moved. What has none goes through dynamic values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The flat words of the parameters; none where they go to memory.
    pub(crate) parameters: usize,
    /// Whether the result is one flat word.
    pub(crate) returns_word: bool,
}

impl Plan {
    /// The plan for functions of the type `ty`, if there is one: not for asynchronous ones, and not where a resource, a
    /// stream, a future, a map, an error context, a list of fixed length, more than 256 fields or more than 32 flags
    /// stand in it.
    #[must_use]
    pub fn of(ty: &ComponentFunc) -> Option<Self> {
        let results: Vec<Type> = ty.results().collect();
        if ty.async_() || results.len() > 1 {
            return None;
        }
        let mut parts = 0;
        let parameters = sum(ty.params().map(|(_, ty)| words(&ty, &mut parts)))?;
        let returned = sum(results.iter().map(|ty| words(ty, &mut parts)))?;
        Some(Self { parameters: if parameters > MAX_WORDS { 0 } else { parameters }, returns_word: returned == 1 })
    }
}

/// A function that a guest exports, called with bytes.
pub struct Export(TypedFunc<Parameters, Returned>);

impl Export {
    /// The function `func`, whose type has a [`Plan`].
    ///
    /// # Errors
    ///
    /// Where its type has none.
    pub fn of(func: &Func, store: impl AsContext) -> Result<Self> {
        func.typed(store).map(Self)
    }

    /// Calls it: `parameters` are an array of them, and so many bytes and no more. The reply is its result, nil where
    /// it returns none.
    ///
    /// # Errors
    ///
    /// Where the parameters are not of its type, where the guest traps, or where what it returns is not of its type.
    /// The instance must not be called again then.
    pub async fn call(&self, store: impl AsContextMut<Data: Send>, parameters: Bytes) -> Result<Vec<u8>> {
        self.0.call_async(store, Parameters(parameters)).await.map(|returned| returned.0)
    }
}

/// The flat words of a value of the type `ty`, where it is moved here.
fn words(ty: &Type, parts: &mut usize) -> Option<usize> {
    *parts += 1;
    if *parts > MAX_PARTS {
        return None;
    }
    match ty {
        Type::Bool | Type::S8 | Type::U8 | Type::S16 | Type::U16 | Type::S32 | Type::U32 => Some(1),
        Type::S64 | Type::U64 | Type::Float32 | Type::Float64 | Type::Char | Type::Enum(_) => Some(1),
        Type::String => Some(2),
        Type::List(list) => words(&list.ty(), parts).map(|_| 2),
        Type::Tuple(tuple) => sum(tuple.types().map(|ty| words(&ty, parts))),
        Type::Record(record) if record.fields().len() <= MAX_FIELDS => {
            sum(record.fields().map(|field| words(&field.ty, parts)))
        }
        Type::Variant(variant) => most(variant.cases().filter_map(|case| case.ty), parts),
        Type::Option(option) => most([option.ty()].into_iter(), parts),
        Type::Result(result) => most([result.ok(), result.err()].into_iter().flatten(), parts),
        Type::Flags(flags) => Some(flags.names().len()).filter(|names| *names <= MAX_FLAGS).map(|names| names.min(1)),
        _ => None,
    }
}

fn sum(words: impl Iterator<Item = Option<usize>>) -> Option<usize> {
    words.sum()
}

/// One word to say which case it is, and as many as the largest case has.
fn most(mut cases: impl Iterator<Item = Type>, parts: &mut usize) -> Option<usize> {
    let largest = cases.try_fold(0, |largest: usize, ty| words(&ty, parts).map(|words| largest.max(words)))?;
    Some(1 + largest)
}
