//! The engine's traits for values, implemented for bytes: the only unsafe code of the product.
//!
//! What the traits ask for, and where it is kept:
//!
//! - `Lower` is a sequence of `ValRaw`: it is an array of them in each implementation here.
//! - All words of `Lower` that core code reads are written: all are, with zero where the type has none.
//! - `ABI` tells the engine how long a slice of memory it hands over: it says nothing at all, and so the slice only
//!   says where the value begins; [`crate::lift`] measures the value itself, against all of memory.
//! - The type check holds for the types that are accepted: their number of words is compared with the reflected type,
//!   and the walkers take the type of each call as it comes.

#![expect(unsafe_code, reason = "the engine's traits are unsafe to implement")]

use std::mem::MaybeUninit;

use bytes::Bytes;
use wasmtime::{
    Result, ValRaw,
    component::{
        __internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext},
        ComponentNamedList, ComponentType, Lift, Lower,
    },
};

use crate::{
    lift::{Lifting, Source, Written},
    lower::{self, Lowering},
    supported::{self, MAX_WORDS},
};

/// The parameters of an export: an array of them.
pub(crate) struct Parameters(pub(crate) Bytes);

/// The result of an export, nil where it has none.
pub(crate) struct Returned(pub(crate) Vec<u8>);

/// The parameters of an import, `WORDS` flat words of them, or none where they are in memory: an array, or why they
/// cannot be one.
pub(crate) struct Arguments<const WORDS: usize>(pub(crate) Written);

/// The result of an import, `WORDS` flat words of it, or none where it goes to memory; nil where it has none.
pub(crate) struct Answer<const WORDS: usize>(pub(crate) Bytes);

// SAFETY: see the module; sixteen words are what the callee has at most.
unsafe impl ComponentType for Parameters {
    type Lower = [ValRaw; MAX_WORDS];
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::ZERO;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        supported::parameters(ty, types.types).map(|_| ())
    }
}

// SAFETY: a named list is the tuple of the parameters; the type check took nothing else.
unsafe impl ComponentNamedList for Parameters {}

// SAFETY: all words are written where it succeeds.
unsafe impl Lower for Parameters {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        dst.write(Lowering::parameters(cx, ty, &self.0)?);
        Ok(())
    }

    fn linear_lower_to_memory<T>(&self, _: &mut LowerContext<'_, T>, _: InterfaceType, _: usize) -> Result<()> {
        // Sixteen words never go to memory as a whole: the pointer among them does.
        Err(supported::Unsupported.into())
    }
}

// SAFETY: see the module; one word is what a callee returns at most, and there is room for it where it returns none.
unsafe impl ComponentType for Returned {
    type Lower = [ValRaw; 1];
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::ZERO;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        supported::results(ty, types.types).map(|_| ())
    }
}

// SAFETY: as for the parameters.
unsafe impl ComponentNamedList for Returned {}

// SAFETY: nothing is read but the word that the type has.
unsafe impl Lift for Returned {
    fn linear_lift_from_flat(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &Self::Lower) -> Result<Self> {
        Lifting::returned(cx, ty, src).map(Self)
    }

    fn linear_lift_from_memory(_: &mut LiftContext<'_>, _: InterfaceType, _: &[u8]) -> Result<Self> {
        Err(supported::Unsupported.into())
    }
}

// SAFETY: see the module; the type check takes a signature of exactly so many words, or of more than there are.
unsafe impl<const WORDS: usize> ComponentType for Arguments<WORDS> {
    type Lower = [ValRaw; WORDS];
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::ZERO;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        supported::expect_words(WORDS, supported::parameters(ty, types.types)?)
    }
}

// SAFETY: as for the parameters.
unsafe impl<const WORDS: usize> ComponentNamedList for Arguments<WORDS> {}

// SAFETY: nothing is read but these words, or what lies in memory where the slice begins.
unsafe impl<const WORDS: usize> Lift for Arguments<WORDS> {
    fn linear_lift_from_flat(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &Self::Lower) -> Result<Self> {
        Lifting::arguments(cx, ty, Source::Words(src)).map(Self)
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Result<Self> {
        let offset = (bytes.as_ptr() as usize).wrapping_sub(cx.memory().as_ptr() as usize);
        Lifting::arguments_at(cx, ty, offset).map(Self)
    }
}

// SAFETY: see the module; the type check takes a signature of exactly so many words, or of more than one.
unsafe impl<const WORDS: usize> ComponentType for Answer<WORDS> {
    type Lower = [ValRaw; WORDS];
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::ZERO;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        supported::expect_words(WORDS, supported::results(ty, types.types)?)
    }
}

// SAFETY: as for the parameters.
unsafe impl<const WORDS: usize> ComponentNamedList for Answer<WORDS> {}

// SAFETY: all words are written where it succeeds.
unsafe impl<const WORDS: usize> Lower for Answer<WORDS> {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        let words = Lowering::answer(cx, ty, &self.0, None)?;
        let mut lowered = [ValRaw::u64(0); WORDS];
        lowered.iter_mut().zip(words).for_each(|(slot, word)| *slot = word);
        dst.write(lowered);
        Ok(())
    }

    fn linear_lower_to_memory<T>(&self, cx: &mut LowerContext<'_, T>, ty: InterfaceType, offset: usize) -> Result<()> {
        Lowering::answer(cx, ty, &self.0, Some(offset)).map(|_| ())
    }
}

/// Text as the guest encodes it, in memory that it was asked for: where, and how long in its own units.
pub(crate) fn lower_text<T>(cx: &mut LowerContext<'_, T>, text: &str) -> Result<lower::Pair> {
    let mut words = MaybeUninit::new([ValRaw::u64(0); 2]);
    text.linear_lower_to_flat(cx, InterfaceType::String, &mut words)?;
    // SAFETY: it was made of two words.
    let [at, length] = unsafe { words.assume_init() };
    Ok(lower::Pair { at: at.get_u64(), length: length.get_u64() })
}
