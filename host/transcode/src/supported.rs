//! Which types are moved here: asked by the engine's type check, once for each function that is linked.

use wasmtime::{
    Result,
    component::__internal::{ComponentTypes, InterfaceType},
};

/// As many flat words as parameters have at most; more go to memory.
pub(crate) const MAX_WORDS: usize = 16;

/// As many flat words as a result has at most.
const MAX_RESULT_WORDS: usize = 1;

/// Records of more fields are left to dynamic values: which of them were there is kept in a few words.
pub(crate) const MAX_FIELDS: usize = 256;

/// Flags of more names take more than one word.
pub(crate) const MAX_FLAGS: usize = 32;

/// Types of more parts are left to dynamic values: a type is walked when it is linked, and one of few bytes can have
/// a million parts.
pub(crate) const MAX_PARTS: usize = 4096;

/// A type that is not moved here was linked all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the type is not one that is moved without dynamic values")]
pub(crate) struct Unsupported;

/// The number of flat words that parameters take; none where they go to memory.
pub(crate) fn parameters(ty: &InterfaceType, types: &ComponentTypes) -> Result<usize> {
    words(ty, types, MAX_WORDS)
}

/// The number of flat words that the results take, which are one at most; none where they go to memory.
pub(crate) fn results(ty: &InterfaceType, types: &ComponentTypes) -> Result<usize> {
    match ty {
        InterfaceType::Tuple(at) if types[*at].types.len() <= 1 => words(ty, types, MAX_RESULT_WORDS),
        _ => Err(Unsupported.into()),
    }
}

/// Says that a type for `made` words does not fit a signature that has others.
pub(crate) fn expect_words(made: usize, found: usize) -> Result<()> {
    if made == found { Ok(()) } else { Err(Unsupported.into()) }
}

fn words(ty: &InterfaceType, types: &ComponentTypes, most: usize) -> Result<usize> {
    let mut parts = 0;
    if !matches!(ty, InterfaceType::Tuple(_)) || !is_supported(ty, types, &mut parts) {
        return Err(Unsupported.into());
    }
    Ok(types.canonical_abi(ty).flat_count(most).unwrap_or(0))
}

fn is_supported(ty: &InterfaceType, types: &ComponentTypes, parts: &mut usize) -> bool {
    use InterfaceType as T;
    *parts += 1;
    if *parts > MAX_PARTS {
        return false;
    }
    let mut fits = |ty: &InterfaceType| is_supported(ty, types, parts);
    match ty {
        T::Bool | T::S8 | T::U8 | T::S16 | T::U16 | T::S32 | T::U32 | T::S64 | T::U64 => true,
        T::Float32 | T::Float64 | T::Char | T::String | T::Enum(_) => true,
        T::List(at) => fits(&types[*at].element),
        T::Option(at) => fits(&types[*at].ty),
        T::Tuple(at) => types[*at].types.iter().all(fits),
        T::Record(at) => {
            let fields = &types[*at].fields;
            fields.len() <= MAX_FIELDS && fields.iter().all(|field| fits(&field.ty))
        }
        T::Variant(at) => types[*at].cases.values().flatten().all(fits),
        T::Result(at) => [types[*at].ok, types[*at].err].iter().flatten().all(fits),
        T::Flags(at) => types[*at].names.len() <= MAX_FLAGS,
        T::Own(_) | T::Borrow(_) | T::Map(_) | T::Future(_) | T::Stream(_) | T::ErrorContext(_) => false,
        T::FixedLengthList(_) => false,
    }
}
