//! From bytes to a guest: one walk over the guest's type and the bytes together, into flat words or into memory.
//!
//! What is no value of the type is refused for the same reason as by the reader of values, and in the same order. The
//! host allocates nothing: what has a length is checked against the bytes which are there, and then the guest is asked
//! for memory, which the engine checks to be its own. Fields may come in any order, so a place is found by its index.

use mesh_lattice::value::{DecodeError, MAX_DEPTH, MAX_ITEMS, tokens::Tokens};
use wasmtime::{
    Result, ValRaw,
    component::__internal::{
        ComponentTypes, InterfaceType, LowerContext,
        wasmtime_environ::component::{TypeListIndex, TypeRecord, TypeTupleIndex, TypeVariantIndex, VariantInfo},
    },
};

use crate::{
    abi::lower_text,
    supported::{MAX_FIELDS, MAX_WORDS, Unsupported},
};

/// Where text or a list lies in the guest's memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) at: u64,
    pub(crate) length: u64,
}

/// Where a value goes.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// To flat words, from this one on.
    Word(usize),
    /// To memory, from this byte on.
    Memory(usize),
}

/// One value on its way in, or the parameters of one call.
pub(crate) struct Lowering<'c, 'cx, 'b, T: 'static> {
    cx: &'c mut LowerContext<'cx, T>,
    types: &'cx ComponentTypes,
    bytes: Tokens<'b>,
    items: usize,
    /// Those that nothing is written to are zero, as the rest of a variant has to be.
    words: [u64; MAX_WORDS],
}

impl<'c, 'cx, 'b, T: 'static> Lowering<'c, 'cx, 'b, T> {
    /// The parameters of an export, from an array of them, as all of the words that there can be.
    pub(crate) fn parameters(
        cx: &'c mut LowerContext<'cx, T>,
        ty: InterfaceType,
        bytes: &'b [u8],
    ) -> Result<[ValRaw; MAX_WORDS]> {
        let mut lowering = Self::new(cx, bytes);
        let abi = lowering.types.canonical_abi(&ty);
        let place = match abi.flat_count(MAX_WORDS) {
            Some(_) => Place::Word(0),
            None => {
                let at = lowering.cx.realloc(0, 0, abi.align32, abi.size32 as usize)?;
                lowering.scalar(Place::Word(0), size_of::<u32>(), at as u64)?;
                Place::Memory(at)
            }
        };
        lowering.value(ty, place, 0)?;
        lowering.finish()
    }

    /// The result of an import: a value, or nil where there is none. It goes to memory at `offset`, if there is one.
    pub(crate) fn answer(
        cx: &'c mut LowerContext<'cx, T>,
        results: InterfaceType,
        bytes: &'b [u8],
        offset: Option<usize>,
    ) -> Result<[ValRaw; MAX_WORDS]> {
        let mut lowering = Self::new(cx, bytes);
        let InterfaceType::Tuple(at) = results else { return Err(Unsupported.into()) };
        match lowering.types[at].types.as_ref() {
            [] => lowering.bytes.expect_nil("nil")?,
            [ty] => lowering.value(*ty, offset.map_or(Place::Word(0), Place::Memory), 0)?,
            _ => return Err(Unsupported.into()),
        }
        lowering.finish()
    }

    fn new(cx: &'c mut LowerContext<'cx, T>, bytes: &'b [u8]) -> Self {
        let types = cx.types;
        Self { cx, types, bytes: Tokens::new(bytes), items: 0, words: [0; MAX_WORDS] }
    }

    fn finish(self) -> Result<[ValRaw; MAX_WORDS]> {
        self.bytes.finish()?;
        Ok(self.words.map(ValRaw::u64))
    }

    fn value(&mut self, ty: InterfaceType, place: Place, depth: usize) -> Result<()> {
        use InterfaceType as T;
        if depth >= MAX_DEPTH {
            return Err(DecodeError::TooDeep.into());
        }
        self.items += 1;
        if self.items > MAX_ITEMS {
            return Err(DecodeError::TooMany.into());
        }
        // A core value of 32 bits holds what is narrower with its sign.
        let narrow = |value: i32| u64::from(value as u32);
        let (width, bits) = match ty {
            T::Bool => (1, self.bytes.bool()?.into()),
            T::U8 => (1, self.bytes.integer::<u8>("u8")?.into()),
            T::U16 => (2, self.bytes.integer::<u16>("u16")?.into()),
            T::U32 => (4, self.bytes.integer::<u32>("u32")?.into()),
            T::U64 => (8, self.bytes.integer("u64")?),
            T::S8 => (1, narrow(self.bytes.integer::<i8>("s8")?.into())),
            T::S16 => (2, narrow(self.bytes.integer::<i16>("s16")?.into())),
            T::S32 => (4, narrow(self.bytes.integer("s32")?)),
            T::S64 => (8, self.bytes.integer::<i64>("s64")? as u64),
            T::Float32 => (4, self.bytes.f32()?.to_bits().into()),
            T::Float64 => (8, self.bytes.f64()?.to_bits()),
            T::Char => (4, u32::from(self.bytes.char()?).into()),
            T::String => {
                let text = self.bytes.string()?;
                let pair = lower_text(self.cx, text)?;
                return self.pair(place, pair);
            }
            T::List(at) => return self.list(at, place, depth + 1),
            ty => return self.compound(ty, place, depth + 1),
        };
        self.scalar(place, width, bits)
    }

    fn compound(&mut self, ty: InterfaceType, place: Place, depth: usize) -> Result<()> {
        use InterfaceType as T;
        let types = self.types;
        match ty {
            T::Tuple(at) => self.tuple(at, place, depth),
            T::Record(at) => self.record(&types[at], place, depth),
            T::Enum(at) => {
                let name = self.bytes.string()?;
                let case = types[at].names.get_index_of(name).ok_or_else(|| unknown(name))?;
                self.case(place, &types[at].info, case)
            }
            T::Variant(at) => self.variant(at, place, depth),
            T::Option(at) => {
                let (inner, info) = (types[at].ty, &types[at].info);
                if self.bytes.nil() {
                    return self.case(place, info, 0);
                }
                if matches!(inner, T::Option(_)) && self.bytes.array("option of an option")? != 1 {
                    return Err(DecodeError::Mismatch("option of an option: nil, or an array of one").into());
                }
                self.case(place, info, 1)?;
                self.value(inner, payload(place, info), depth)
            }
            T::Result(at) => {
                if self.bytes.map("result")? != 1 {
                    return Err(DecodeError::Mismatch("result: a map of one entry").into());
                }
                let (case, ty) = match self.bytes.string()? {
                    "ok" => (0, types[at].ok),
                    "err" => (1, types[at].err),
                    other => return Err(unknown(other).into()),
                };
                self.case(place, &types[at].info, case)?;
                match ty {
                    Some(ty) => self.value(ty, payload(place, &types[at].info), depth),
                    None => Ok(self.bytes.expect_nil("result with such a payload")?),
                }
            }
            T::Flags(at) => {
                let mut bits = 0u32;
                for _ in 0..self.bytes.array("flags")? {
                    let name = self.bytes.string()?;
                    let at = types[at].names.get_index_of(name).ok_or_else(|| unknown(name))?;
                    let bit = 1u32.checked_shl(at as u32).ok_or(Unsupported)?;
                    if bits & bit != 0 {
                        return Err(unknown(name).into());
                    }
                    bits |= bit;
                }
                match types[at].abi.size32 {
                    0 => Ok(()),
                    width => self.scalar(place, width as usize, bits.into()),
                }
            }
            _ => Err(Unsupported.into()),
        }
    }

    fn tuple(&mut self, at: TypeTupleIndex, place: Place, depth: usize) -> Result<()> {
        let members = &self.types[at].types;
        if self.bytes.array("tuple")? != members.len() {
            return Err(DecodeError::Mismatch("tuple of that length").into());
        }
        let mut next = place;
        for ty in members {
            let (place, behind) = self.field(place, next, ty)?;
            self.value(*ty, place, depth)?;
            next = behind;
        }
        Ok(())
    }

    fn record(&mut self, record: &TypeRecord, place: Place, depth: usize) -> Result<()> {
        let mut seen = Seen::default();
        // Fields mostly come as they are declared: the place of the next one is at hand.
        let (mut index, mut next) = (0, place);
        for _ in 0..self.bytes.map("record")? {
            let name = self.bytes.string()?;
            if record.fields.get(index).is_none_or(|field| field.name != name) {
                let Some(found) = record.fields.iter().position(|field| field.name == name) else {
                    self.bytes.skip()?;
                    continue;
                };
                (index, next) = (found, self.place_of(record, place, found)?);
            }
            let ty = record.fields.get(index).ok_or(DecodeError::Malformed)?.ty;
            let (place, behind) = self.field(place, next, &ty)?;
            self.value(ty, place, depth)?;
            if !seen.add(index) {
                return Err(DecodeError::Field(name.to_owned()).into());
            }
            (index, next) = (index + 1, behind);
        }
        if seen.count() < record.fields.len() { self.missing(record, place, &seen) } else { Ok(()) }
    }

    /// Options that are missing are none; nothing else may be.
    fn missing(&mut self, record: &TypeRecord, place: Place, seen: &Seen) -> Result<()> {
        let types = self.types;
        for (index, field) in record.fields.iter().enumerate().filter(|(index, _)| !seen.has(*index)) {
            let InterfaceType::Option(at) = field.ty else {
                return Err(DecodeError::Field(field.name.clone()).into());
            };
            let next = self.place_of(record, place, index)?;
            let (place, _) = self.field(place, next, &field.ty)?;
            self.case(place, &types[at].info, 0)?;
        }
        Ok(())
    }

    fn variant(&mut self, at: TypeVariantIndex, place: Place, depth: usize) -> Result<()> {
        let variant = &self.types[at];
        let bare = self.bytes.is_text();
        if !bare && self.bytes.map("variant")? != 1 {
            return Err(DecodeError::Mismatch("variant: a name, or a map of one entry").into());
        }
        let name = self.bytes.string()?;
        let (case, _, ty) = variant.cases.get_full(name).ok_or_else(|| unknown(name))?;
        self.case(place, &variant.info, case)?;
        match (ty, bare) {
            (None, true) => Ok(()),
            (Some(ty), false) => self.value(*ty, payload(place, &variant.info), depth),
            _ => Err(DecodeError::Mismatch("variant with such a payload").into()),
        }
    }

    fn list(&mut self, at: TypeListIndex, place: Place, depth: usize) -> Result<()> {
        let element = self.types[at].element;
        let (size, align) = {
            let abi = self.types.canonical_abi(&element);
            (abi.size32 as usize, abi.align32)
        };
        if element == InterfaceType::U8 {
            let bytes = self.bytes.binary()?;
            let at = self.cx.realloc(0, 0, align, bytes.len())?;
            self.memory(at, bytes.len())?.copy_from_slice(bytes);
            return self.pair(place, Pair { at: at as u64, length: bytes.len() as u64 });
        }
        let length = self.bytes.array("list")?;
        let bytes = length.checked_mul(size).ok_or(DecodeError::TooMany)?;
        let at = self.cx.realloc(0, 0, align, bytes)?;
        for index in 0..length {
            self.value(element, Place::Memory(at + index * size), depth)?;
        }
        self.pair(place, Pair { at: at as u64, length: length as u64 })
    }

    /// The place of a field of the type `ty`, where the one before it ends at `next`, and where it ends itself.
    fn field(&self, whole: Place, next: Place, ty: &InterfaceType) -> Result<(Place, Place)> {
        let abi = self.types.canonical_abi(ty);
        match (whole, next) {
            (Place::Memory(begin), Place::Memory(next)) => {
                let mut end = u32::try_from(next.saturating_sub(begin))?;
                let at = abi.next_field32(&mut end) as usize;
                Ok((Place::Memory(begin + at), Place::Memory(begin + end as usize)))
            }
            (_, Place::Word(next)) => {
                let words = abi.flat_count(MAX_WORDS).ok_or(Unsupported)?;
                Ok((Place::Word(next), Place::Word(next + words)))
            }
            _ => Err(Unsupported.into()),
        }
    }

    /// Where the fields before the one at `index` end.
    fn place_of(&self, record: &TypeRecord, whole: Place, index: usize) -> Result<Place> {
        record.fields.iter().take(index).try_fold(whole, |next, field| {
            let (_, behind) = self.field(whole, next, &field.ty)?;
            Ok(behind)
        })
    }

    fn pair(&mut self, place: Place, pair: Pair) -> Result<()> {
        let second = match place {
            Place::Word(word) => Place::Word(word + 1),
            Place::Memory(at) => Place::Memory(at + size_of::<u32>()),
        };
        self.scalar(place, size_of::<u32>(), pair.at)?;
        self.scalar(second, size_of::<u32>(), pair.length)
    }

    fn case(&mut self, place: Place, info: &VariantInfo, case: usize) -> Result<()> {
        self.scalar(place, info.size.byte_size() as usize, case as u64)
    }

    /// A number, as the low `width` bytes of `bits`.
    fn scalar(&mut self, place: Place, width: usize, bits: u64) -> Result<()> {
        match place {
            Place::Word(word) => *self.words.get_mut(word).ok_or(Unsupported)? = bits,
            Place::Memory(at) => {
                let bytes = bits.to_le_bytes();
                let low = bytes.get(..width).ok_or(Unsupported)?;
                self.memory(at, width)?.copy_from_slice(low);
            }
        }
        Ok(())
    }

    fn memory(&mut self, at: usize, length: usize) -> Result<&mut [u8]> {
        let memory = self.cx.as_slice_mut().get_mut(at..).and_then(|rest| rest.get_mut(..length));
        memory.ok_or_else(|| Unsupported.into())
    }
}

/// What the case of a variant carries, behind its discriminant.
fn payload(place: Place, info: &VariantInfo) -> Place {
    match place {
        Place::Word(word) => Place::Word(word + 1),
        Place::Memory(at) => Place::Memory(at + info.payload_offset32 as usize),
    }
}

fn unknown(name: &str) -> DecodeError {
    DecodeError::Name(name.chars().take(80).collect())
}

/// Which fields of a record were there.
#[derive(Default)]
struct Seen([u64; MAX_FIELDS / 64]);

impl Seen {
    /// Whether the field is new.
    fn add(&mut self, field: usize) -> bool {
        let bit = 1 << (field % 64);
        match self.0.get_mut(field / 64) {
            Some(bits) if *bits & bit == 0 => {
                *bits |= bit;
                true
            }
            _ => false,
        }
    }

    fn has(&self, field: usize) -> bool {
        self.0.get(field / 64).is_some_and(|bits| bits >> (field % 64) & 1 == 1)
    }

    fn count(&self) -> usize {
        self.0.iter().map(|bits| bits.count_ones() as usize).sum()
    }
}
