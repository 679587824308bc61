//! Types and values chosen by bytes: the same for properties, whose bytes are random, and for the fuzzer, which finds
//! them by itself.

use bytes::Bytes;
use mesh_lattice::value::{Type, Value};

/// Choices, taken from bytes; zero where they have ended, so that everything comes to an end.
pub(crate) struct Choices<'a>(pub(crate) &'a [u8]);

impl Choices<'_> {
    pub(crate) fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((byte, rest)) => {
                self.0 = rest;
                *byte
            }
            None => 0,
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    fn number(&mut self) -> u64 {
        // Small ones, those at the edges, and any.
        match self.below(4) {
            0 => u64::from(self.byte()),
            1 => u64::from(self.byte()).wrapping_neg(),
            2 => 1u64.wrapping_shl(u32::from(self.byte())).wrapping_sub(u64::from(self.byte() & 1)),
            _ => (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte())),
        }
    }

    /// A type, nested four deep at most.
    pub(crate) fn ty(&mut self, depth: usize) -> Type {
        let leaves = 15;
        match self.below(if depth < 4 { leaves + 8 } else { leaves }) {
            0 => Type::U32,
            1 => Type::Bool,
            2 => Type::S8,
            3 => Type::U8,
            4 => Type::S16,
            5 => Type::U16,
            6 => Type::S32,
            7 => Type::S64,
            8 => Type::U64,
            9 => Type::F32,
            10 => Type::F64,
            11 => Type::Char,
            12 => Type::String,
            13 => Type::List(Box::new(Type::U8)),
            14 => match self.below(3) {
                0 => Type::Flags((0..=self.below(32)).map(|at| format!("f{at}")).collect()),
                1 => Type::Enum((0..=self.below(8)).map(|at| format!("e{at}")).collect()),
                _ => Type::Enum((0..300).map(|at| format!("e{at}")).collect()),
            },
            15 | 16 => Type::List(Box::new(self.ty(depth + 1))),
            17 => Type::Tuple((0..=self.below(6)).map(|_| self.ty(depth + 1)).collect()),
            18 => Type::Record((0..=self.below(6)).map(|at| (format!("r{at}"), self.ty(depth + 1))).collect()),
            19 => Type::Variant((0..=self.below(5)).map(|at| (format!("v{at}"), self.maybe(depth))).collect()),
            20 | 21 => Type::Option(Box::new(self.ty(depth + 1))),
            _ => Type::Result { ok: self.maybe(depth).map(Box::new), err: self.maybe(depth).map(Box::new) },
        }
    }

    fn maybe(&mut self, depth: usize) -> Option<Type> {
        (self.below(3) > 0).then(|| self.ty(depth + 1))
    }

    pub(crate) fn value(&mut self, ty: &Type) -> Value {
        match ty {
            Type::Bool => Value::Bool(self.byte() & 1 == 1),
            Type::S8 => Value::S8(self.number() as i8),
            Type::U8 => Value::U8(self.number() as u8),
            Type::S16 => Value::S16(self.number() as i16),
            Type::U16 => Value::U16(self.number() as u16),
            Type::S32 => Value::S32(self.number() as i32),
            Type::U32 => Value::U32(self.number() as u32),
            Type::S64 => Value::S64(self.number() as i64),
            Type::U64 => Value::U64(self.number()),
            Type::F32 => Value::F32(f32::from_bits(self.number() as u32)),
            Type::F64 => Value::F64(f64::from_bits(self.number())),
            Type::Char => Value::Char(self.char()),
            Type::String => Value::String((0..self.length()).map(|_| self.char()).collect()),
            Type::List(item) if **item == Type::U8 => {
                Value::Bytes((0..self.length()).map(|_| self.byte()).collect::<Vec<u8>>().into())
            }
            Type::List(item) => Value::List((0..self.below(6)).map(|_| self.value(item)).collect()),
            Type::Tuple(types) => Value::Tuple(types.iter().map(|ty| self.value(ty)).collect()),
            Type::Record(fields) => {
                Value::Record(fields.iter().map(|(name, ty)| (name.clone(), self.value(ty))).collect())
            }
            Type::Enum(names) => Value::Enum(names[self.number() as usize % names.len()].clone()),
            Type::Variant(cases) => {
                let (name, ty) = &cases[self.below(cases.len())];
                Value::Variant(name.clone(), ty.as_ref().map(|ty| Box::new(self.value(ty))))
            }
            Type::Option(inner) => Value::Option((self.below(3) > 0).then(|| Box::new(self.value(inner)))),
            Type::Result { ok, err } => {
                let mut payload = |ty: &Option<Box<Type>>| ty.as_ref().map(|ty| Box::new(self.value(ty)));
                let well = payload(ok);
                if self.byte() & 1 == 0 {
                    return Value::Result(Ok(well));
                }
                let mut payload = |ty: &Option<Box<Type>>| ty.as_ref().map(|ty| Box::new(self.value(ty)));
                Value::Result(Err(payload(err)))
            }
            Type::Flags(names) => {
                let bits = self.number();
                let set = names.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1);
                Value::Flags(set.map(|(_, name)| name.clone()).collect())
            }
            Type::Resource => Value::Resource(Bytes::new()),
        }
    }

    fn length(&mut self) -> usize {
        match self.byte() {
            byte @ 0..=199 => usize::from(byte % 40),
            byte => usize::from(byte - 199) * 37,
        }
    }

    fn char(&mut self) -> char {
        let number = self.number() as u32;
        char::from_u32(if self.byte() & 1 == 0 { number % 0x80 } else { number % 0x11_0000 }).unwrap_or('\u{fffd}')
    }
}

/// Bytes, a few of them changed: mostly no value of the type any more.
pub(crate) fn spoil(bytes: &mut Vec<u8>, choices: &mut Choices<'_>) {
    for _ in 0..choices.below(3) {
        let at = usize::from(choices.byte()) << 8 | usize::from(choices.byte());
        let at = at % (bytes.len() + 1);
        match choices.below(4) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, choices.byte()),
            _ if at < bytes.len() => bytes[at] = choices.byte(),
            _ => bytes.push(choices.byte()),
        }
    }
}
