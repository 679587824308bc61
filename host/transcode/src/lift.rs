//! From a guest to bytes: one walk over the guest's type, from flat words or from memory.
//!
//! Nothing that the guest says is believed: pointers and lengths are held against memory before anything is allocated,
//! text against UTF-8, discriminants against the cases, characters against Unicode. Bits beyond the flags of a type are
//! ignored, and any byte but zero is true, as the canonical ABI has it.

use mesh_lattice::value::{EncodeError, MAX_DEPTH, MAX_ITEMS, tokens::put};
use wasmtime::{
    Result, ValRaw,
    component::{
        __internal::{
            ComponentTypes, InterfaceType, LiftContext,
            wasmtime_environ::component::{CanonicalAbiInfo, StringEncoding, TypeListIndex, VariantInfo},
        },
        Lift,
    },
};

use crate::supported::{MAX_FLAGS, Unsupported};

/// What a guest hands over is not of the type that it should be of, or too much.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LiftError {
    /// A pointer and a length that do not lie in memory.
    #[error("the guest's value lies outside its memory")]
    OutOfBounds,
    /// A pointer that the type's alignment does not divide.
    #[error("the guest's value is not aligned")]
    Unaligned,
    /// Text that is not UTF-8.
    #[error("the guest's text is not UTF-8")]
    NotText,
    /// A number that is no character of Unicode.
    #[error("{0:#x} is not a character")]
    NotACharacter(u32),
    /// A number that is no case of the type.
    #[error("the type has no case {0}")]
    NoCase(u32),
    /// What cannot be written: too deep, too many.
    #[error(transparent)]
    Unwritable(#[from] EncodeError),
}

/// What was lifted, or why it cannot be written.
pub(crate) type Written = std::result::Result<Vec<u8>, EncodeError>;

/// Where a value lies.
#[derive(Clone, Copy)]
pub(crate) enum Source<'s> {
    /// In flat words, from the first on.
    Words(&'s [ValRaw]),
    /// In memory, from the first byte on.
    Memory(&'s [u8]),
}

/// One value on its way out, or the parameters of one call.
pub(crate) struct Lifting<'c, 'cx> {
    cx: &'c mut LiftContext<'cx>,
    types: &'cx ComponentTypes,
    out: Vec<u8>,
    items: usize,
}

impl<'c, 'cx> Lifting<'c, 'cx> {
    /// The result of an export: the value, or nil where there is none. `words` hold it, or a pointer to it.
    pub(crate) fn returned(
        cx: &'c mut LiftContext<'cx>,
        results: InterfaceType,
        words: &[ValRaw; 1],
    ) -> Result<Vec<u8>> {
        let mut lifting = Self::new(cx);
        let Some(ty) = lifting.only_result(results)? else {
            put::nil(&mut lifting.out);
            return Ok(lifting.out);
        };
        let [word] = words;
        let abi = lifting.types.canonical_abi(&results);
        let source = match abi.flat_count(words.len()) {
            Some(_) => Source::Words(words),
            None => Source::Memory(lifting.at(word.get_u32() as usize, 1, abi)?),
        };
        lifting.value(ty, source, 0)?;
        Ok(lifting.out)
    }

    /// The parameters of an import, as an array, or why they cannot be written as one.
    pub(crate) fn arguments(cx: &'c mut LiftContext<'cx>, ty: InterfaceType, source: Source<'_>) -> Result<Written> {
        let mut lifting = Self::new(cx);
        match lifting.value(ty, source, 0) {
            Ok(()) => Ok(Ok(lifting.out)),
            Err(error) => match error.downcast_ref() {
                Some(LiftError::Unwritable(reason)) => Ok(Err(reason.clone())),
                _ => Err(error),
            },
        }
    }

    /// The same, where they lie in memory at `offset`.
    pub(crate) fn arguments_at(cx: &'c mut LiftContext<'cx>, ty: InterfaceType, offset: usize) -> Result<Written> {
        let lifting = Self::new(cx);
        let memory = lifting.at(offset, 1, lifting.types.canonical_abi(&ty))?;
        Self::arguments(lifting.cx, ty, Source::Memory(memory))
    }

    fn new(cx: &'c mut LiftContext<'cx>) -> Self {
        let types: &'cx ComponentTypes = cx.types;
        Self { cx, types, out: Vec::new(), items: 0 }
    }

    fn only_result(&self, results: InterfaceType) -> Result<Option<InterfaceType>> {
        match results {
            InterfaceType::Tuple(at) => match self.types[at].types.as_ref() {
                [] => Ok(None),
                [ty] => Ok(Some(*ty)),
                _ => Err(Unsupported.into()),
            },
            _ => Err(Unsupported.into()),
        }
    }

    fn value(&mut self, ty: InterfaceType, source: Source<'_>, depth: usize) -> Result<()> {
        use InterfaceType as T;
        self.count(depth)?;
        match ty {
            T::Bool | T::S8 | T::U8 | T::S16 | T::U16 | T::S32 | T::U32 | T::S64 | T::U64 => self.number(ty, source)?,
            T::Float32 | T::Float64 | T::Char => self.number(ty, source)?,
            T::String => self.string(source)?,
            T::List(at) => self.list(at, source, depth + 1)?,
            ty => self.compound(ty, source, depth + 1)?,
        }
        Ok(())
    }

    fn number(&mut self, ty: InterfaceType, source: Source<'_>) -> Result<()> {
        use InterfaceType as T;
        let bits = self.scalar(source, self.types.canonical_abi(&ty).size32 as usize)?;
        let out = &mut self.out;
        match ty {
            T::Bool => put::bool(out, bits != 0),
            T::U8 => put::unsigned(out, u64::from(bits as u8)),
            T::U16 => put::unsigned(out, u64::from(bits as u16)),
            T::U32 => put::unsigned(out, u64::from(bits as u32)),
            T::U64 => put::unsigned(out, bits),
            T::S8 => put::signed(out, i64::from(bits as i8)),
            T::S16 => put::signed(out, i64::from(bits as i16)),
            T::S32 => put::signed(out, i64::from(bits as i32)),
            T::S64 => put::signed(out, bits as i64),
            T::Float32 => put::f32(out, f32::from_bits(bits as u32)),
            T::Float64 => put::f64(out, f64::from_bits(bits)),
            T::Char => {
                let value = char::from_u32(bits as u32).ok_or(LiftError::NotACharacter(bits as u32))?;
                return self.text(value.encode_utf8(&mut [0; 4]));
            }
            _ => return Err(Unsupported.into()),
        }
        Ok(())
    }

    fn compound(&mut self, ty: InterfaceType, source: Source<'_>, depth: usize) -> Result<()> {
        use InterfaceType as T;
        let types = self.types;
        match ty {
            T::Tuple(at) => {
                let members = &types[at].types;
                put::array(&mut self.out, members.len()).map_err(LiftError::from)?;
                let mut fields = Fields { types, source, at: 0 };
                members.iter().try_for_each(|ty| self.value(*ty, fields.next(ty)?, depth))
            }
            T::Record(at) => {
                put::map(&mut self.out, types[at].fields.len()).map_err(LiftError::from)?;
                let mut fields = Fields { types, source, at: 0 };
                types[at].fields.iter().try_for_each(|field| {
                    self.text(&field.name)?;
                    self.value(field.ty, fields.next(&field.ty)?, depth)
                })
            }
            T::Enum(at) => {
                let case = self.case(source, &types[at].info)?;
                let name = types[at].names.iter().nth(case as usize).ok_or(LiftError::NoCase(case))?;
                self.text(name)
            }
            T::Variant(at) => {
                let case = self.case(source, &types[at].info)?;
                let (name, ty) = types[at].cases.get_index(case as usize).ok_or(LiftError::NoCase(case))?;
                let Some(ty) = ty else { return self.text(name) };
                self.entry(name, Some(*ty), source.payload(&types[at].info)?, depth)
            }
            T::Option(at) => self.option(types[at].ty, source, &types[at].info, depth),
            T::Result(at) => {
                let info = &types[at].info;
                match self.case(source, info)? {
                    0 => self.entry("ok", types[at].ok, source.payload(info)?, depth),
                    1 => self.entry("err", types[at].err, source.payload(info)?, depth),
                    case => Err(LiftError::NoCase(case).into()),
                }
            }
            T::Flags(at) => {
                let bits = match types[at].abi.size32 {
                    0 => 0,
                    width => self.scalar(source, width as usize)? as u32,
                };
                self.flags(bits, types[at].names.iter())
            }
            _ => Err(Unsupported.into()),
        }
    }

    fn option(&mut self, inner: InterfaceType, source: Source<'_>, info: &VariantInfo, depth: usize) -> Result<()> {
        match self.case(source, info)? {
            0 => {
                put::nil(&mut self.out);
                Ok(())
            }
            1 => {
                if matches!(inner, InterfaceType::Option(_)) {
                    put::array(&mut self.out, 1).map_err(LiftError::from)?;
                }
                self.value(inner, source.payload(info)?, depth)
            }
            case => Err(LiftError::NoCase(case).into()),
        }
    }

    /// A map of one entry: the name of a case and its payload, nil where it has none.
    fn entry(&mut self, name: &str, ty: Option<InterfaceType>, payload: Source<'_>, depth: usize) -> Result<()> {
        put::map(&mut self.out, 1).map_err(LiftError::from)?;
        self.text(name)?;
        match ty {
            Some(ty) => self.value(ty, payload, depth),
            None => {
                put::nil(&mut self.out);
                Ok(())
            }
        }
    }

    fn flags<'n>(&mut self, bits: u32, names: impl ExactSizeIterator<Item = &'n String>) -> Result<()> {
        if names.len() > MAX_FLAGS {
            return Err(Unsupported.into());
        }
        let known = u32::MAX.checked_shr((MAX_FLAGS - names.len()) as u32).unwrap_or(0);
        put::array(&mut self.out, (bits & known).count_ones() as usize).map_err(LiftError::from)?;
        let set = names.enumerate().filter(|(at, _)| bits >> at & 1 == 1);
        set.map(|(_, name)| name).try_for_each(|name| self.text(name))
    }

    fn list(&mut self, at: TypeListIndex, source: Source<'_>, depth: usize) -> Result<()> {
        let element = self.types[at].element;
        let abi = self.types.canonical_abi(&element);
        let (at, length) = source.pair()?;
        let memory = self.at(at, length, abi)?;
        if element == InterfaceType::U8 {
            self.cx.consume_fuel(memory.len())?;
            // In one step with its head: what else is small stays small.
            self.out.reserve(memory.len() + 8);
            return Ok(put::binary(&mut self.out, memory).map_err(LiftError::from)?);
        }
        put::array(&mut self.out, length).map_err(LiftError::from)?;
        (0..length).try_for_each(|index| {
            let begin = index.saturating_mul(abi.size32 as usize);
            self.value(element, Source::Memory(memory.get(begin..).ok_or(LiftError::OutOfBounds)?), depth)
        })
    }

    fn string(&mut self, source: Source<'_>) -> Result<()> {
        let (at, length) = source.pair()?;
        if !matches!(self.cx.options().string_encoding, StringEncoding::Utf8) {
            let pair = [ValRaw::u64(at as u64), ValRaw::u64(length as u64)];
            let text = String::linear_lift_from_flat(self.cx, InterfaceType::String, &pair)?;
            return self.text(&text);
        }
        let bytes = self.at(at, length, &CanonicalAbiInfo::SCALAR1)?;
        let text = str::from_utf8(bytes).map_err(|_| LiftError::NotText)?;
        self.text(text)
    }

    fn text(&mut self, text: &str) -> Result<()> {
        self.cx.consume_fuel(text.len())?;
        self.out.reserve(text.len() + 8);
        Ok(put::string(&mut self.out, text).map_err(LiftError::from)?)
    }

    /// The memory of `length` values.
    fn at(&self, at: usize, length: usize, abi: &CanonicalAbiInfo) -> Result<&'cx [u8]> {
        let bytes = length.checked_mul(abi.size32 as usize).ok_or(LiftError::OutOfBounds)?;
        let memory = self.cx.memory().get(at..).and_then(|rest| rest.get(..bytes)).ok_or(LiftError::OutOfBounds)?;
        if at.checked_rem(abi.align32 as usize) == Some(0) { Ok(memory) } else { Err(LiftError::Unaligned.into()) }
    }

    fn case(&self, source: Source<'_>, info: &VariantInfo) -> Result<u32> {
        Ok(self.scalar(source, info.size.byte_size() as usize)? as u32)
    }

    /// A number of `width` bytes, or the whole core value that holds it: of 32 bits where eight bytes are not wanted,
    /// and nothing is known of the rest of its word.
    fn scalar(&self, source: Source<'_>, width: usize) -> Result<u64> {
        match source {
            Source::Words([word, ..]) if width == size_of::<u64>() => Ok(word.get_u64()),
            Source::Words([word, ..]) => Ok(word.get_u32().into()),
            Source::Words([]) => Err(LiftError::OutOfBounds.into()),
            Source::Memory(bytes) => little_endian(bytes, width),
        }
    }

    /// Every value costs fuel by what it becomes at most, text and binary beside it by their length.
    fn count(&mut self, depth: usize) -> Result<()> {
        self.items += 1;
        if depth >= MAX_DEPTH {
            return Err(LiftError::from(EncodeError::TooDeep).into());
        }
        if self.items > MAX_ITEMS {
            return Err(LiftError::from(EncodeError::TooLarge).into());
        }
        self.cx.consume_fuel(size_of::<u64>() + 1)
    }
}

fn little_endian(bytes: &[u8], width: usize) -> Result<u64> {
    let mut number = [0; 8];
    let bytes = bytes.get(..width).ok_or(LiftError::OutOfBounds)?;
    number.get_mut(..width).ok_or(LiftError::OutOfBounds)?.copy_from_slice(bytes);
    Ok(u64::from_le_bytes(number))
}

impl Source<'_> {
    /// What the case of a variant carries, behind its discriminant.
    fn payload(self, info: &VariantInfo) -> Result<Self> {
        Ok(match self {
            Self::Words(words) => Self::Words(words.get(1..).ok_or(LiftError::OutOfBounds)?),
            Self::Memory(bytes) => {
                Self::Memory(bytes.get(info.payload_offset32 as usize..).ok_or(LiftError::OutOfBounds)?)
            }
        })
    }

    /// A pointer and a length.
    fn pair(self) -> Result<(usize, usize)> {
        let (at, length) = match self {
            Self::Words([at, length, ..]) => (at.get_u32(), length.get_u32()),
            Self::Words(_) => return Err(LiftError::OutOfBounds.into()),
            Self::Memory(bytes) => {
                let both = little_endian(bytes, 8)?;
                (both as u32, (both >> 32) as u32)
            }
        };
        Ok((at as usize, length as usize))
    }
}

/// The members of a tuple or a record, one behind the other.
struct Fields<'s, 't> {
    types: &'t ComponentTypes,
    source: Source<'s>,
    at: u32,
}

impl<'s> Fields<'s, '_> {
    fn next(&mut self, ty: &InterfaceType) -> Result<Source<'s>> {
        let abi = self.types.canonical_abi(ty);
        match self.source {
            Source::Words(words) => {
                let taken = abi.flat_count(words.len()).ok_or(LiftError::OutOfBounds)?;
                let (field, rest) = words.split_at_checked(taken).ok_or(LiftError::OutOfBounds)?;
                self.source = Source::Words(rest);
                Ok(Source::Words(field))
            }
            Source::Memory(bytes) => {
                let at = abi.next_field32(&mut self.at) as usize;
                let field = bytes.get(at..).and_then(|rest| rest.get(..abi.size32 as usize));
                Ok(Source::Memory(field.ok_or(LiftError::OutOfBounds)?))
            }
        }
    }
}
