//! Every value type, and what the guest `table` has for each: a function that gives back what it is given. The guest
//! is made of this list, by `cargo test -p mesh-runtime --test runtime table -- --ignored`, and a test compares it.

use mesh_lattice::value::{Type, Value};

/// The interface of the guest.
pub(crate) const INTERFACE: &str = "mesh:table/values@1.0.0";

fn leaves() -> Vec<(&'static str, Type)> {
    let names = |names: [&str; 3]| names.map(str::to_owned).to_vec();
    vec![
        ("bool", Type::Bool),
        ("s8", Type::S8),
        ("u8", Type::U8),
        ("s16", Type::S16),
        ("u16", Type::U16),
        ("s32", Type::S32),
        ("u32", Type::U32),
        ("s64", Type::S64),
        ("u64", Type::U64),
        ("f32", Type::F32),
        ("f64", Type::F64),
        ("char", Type::Char),
        ("string", Type::String),
        ("color", Type::Enum(names(["red", "light-green", "blue"]))),
        ("access", Type::Flags(names(["read", "write-all", "erase"]))),
    ]
}

const COMPOUNDS: [&str; 7] = ["list", "option", "pair", "record", "variant", "result", "failure"];

fn compound(kind: &str, inner: Type) -> Type {
    match kind {
        "list" => Type::List(Box::new(inner)),
        "option" => Type::Option(Box::new(inner)),
        "pair" => Type::Tuple(vec![inner, Type::U8]),
        "record" => Type::Record(vec![("value".into(), inner), ("tag-of".into(), Type::U16)]),
        "variant" => Type::Variant(vec![("none".into(), None), ("some-of".into(), Some(inner))]),
        "result" => Type::Result { ok: Some(Box::new(inner)), err: Some(Box::new(Type::String)) },
        _ => Type::Result { ok: None, err: Some(Box::new(inner)) },
    }
}

/// Each function's name and type: every leaf, every compound of each leaf, every compound of every compound.
pub(crate) fn functions() -> Vec<(String, Type)> {
    let leaves = leaves();
    let mut all: Vec<(String, Type)> = leaves.iter().map(|(name, ty)| ((*name).to_owned(), ty.clone())).collect();
    for kind in COMPOUNDS {
        all.extend(leaves.iter().map(|(name, ty)| (format!("{kind}-{name}"), compound(kind, ty.clone()))));
    }
    for (at, outer) in COMPOUNDS.iter().enumerate() {
        for (other, inner) in COMPOUNDS.iter().enumerate() {
            let (name, ty) = &leaves[(at * 7 + other) % leaves.len()];
            all.push((format!("{outer}-{inner}-{name}"), compound(outer, compound(inner, ty.clone()))));
        }
    }
    all.into_iter().map(|(name, ty)| (format!("id-{name}"), ty)).collect()
}

/// Numbers that look random and are the same each time.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Small ones, large ones and the edges.
    fn bits(&mut self) -> u64 {
        let bits = self.next();
        match self.below(4) {
            0 => bits & 0x7f,
            1 => u64::MAX,
            _ => bits >> self.below(64),
        }
    }

    fn char(&mut self) -> char {
        let bound = [0x80, 0x800, 0x1_0000, 0x11_0000][self.below(4)];
        char::from_u32((self.next() % bound) as u32).unwrap_or('\u{10ffff}')
    }

    /// A value of this type.
    pub(crate) fn value(&mut self, ty: &Type) -> Value {
        let maybe = |random: &mut Self, ty: &Option<Box<Type>>| ty.as_ref().map(|ty| Box::new(random.value(ty)));
        match ty {
            Type::Bool => Value::Bool(self.below(2) == 1),
            Type::S8 => Value::S8(self.bits() as i8),
            Type::U8 => Value::U8(self.bits() as u8),
            Type::S16 => Value::S16(self.bits() as i16),
            Type::U16 => Value::U16(self.bits() as u16),
            Type::S32 => Value::S32(self.bits() as i32),
            Type::U32 => Value::U32(self.bits() as u32),
            Type::S64 => Value::S64(self.bits() as i64),
            Type::U64 => Value::U64(self.bits()),
            Type::F32 => Value::F32(f32::from_bits(self.bits() as u32)),
            Type::F64 => Value::F64(f64::from_bits(self.bits())),
            Type::Char => Value::Char(self.char()),
            Type::String => Value::String((0..self.below(40)).map(|_| self.char()).collect()),
            ty if ty.is_bytes() => Value::Bytes((0..self.below(300)).map(|_| self.next() as u8).collect()),
            Type::List(item) => Value::List((0..self.below(20)).map(|_| self.value(item)).collect()),
            Type::Tuple(types) => Value::Tuple(types.iter().map(|ty| self.value(ty)).collect()),
            Type::Record(fields) => {
                Value::Record(fields.iter().map(|(name, ty)| (name.clone(), self.value(ty))).collect())
            }
            Type::Enum(cases) => Value::Enum(cases[self.below(cases.len())].clone()),
            Type::Variant(cases) => {
                let (name, ty) = &cases[self.below(cases.len())];
                Value::Variant(name.clone(), ty.as_ref().map(|ty| Box::new(self.value(ty))))
            }
            Type::Option(inner) => Value::Option((self.below(3) > 0).then(|| Box::new(self.value(inner)))),
            Type::Result { ok, err } => match self.below(2) {
                0 => Value::Result(Ok(maybe(self, ok))),
                _ => Value::Result(Err(maybe(self, err))),
            },
            Type::Flags(names) => Value::Flags(names.iter().filter(|_| self.below(2) == 1).cloned().collect()),
            Type::Resource => Value::Resource(bytes::Bytes::new()),
        }
    }
}
