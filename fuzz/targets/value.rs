//! Any bytes as a WIT value of one of several types: what is read is written and read back as itself.

#![no_main]

use mesh_lattice::value::{Type, Value, decode, encode, skip};

fn list(item: Type) -> Type {
    Type::List(Box::new(item))
}

fn option(inner: Type) -> Type {
    Type::Option(Box::new(inner))
}

fn types() -> Vec<Type> {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let field = |name: &str, ty| (name.to_owned(), ty);
    vec![
        list(option(Type::String)),
        option(option(Type::U8)),
        Type::Record(vec![
            field("a", Type::F32),
            field("b", option(list(Type::U8))),
            field("c", Type::Flags(names(&["x", "y", "z"]))),
            field("d", Type::Enum(names(&["one", "two"]))),
        ]),
        list(Type::Variant(vec![("n".to_owned(), Some(Type::S64)), ("o".to_owned(), None)])),
        Type::Result { ok: Some(Box::new(Type::Tuple(vec![Type::Char, Type::F64]))), err: None },
        list(list(Type::U16)),
        Type::Resource,
    ]
}

/// Whether a value holds no float: NaN is not itself.
fn comparable(value: &Value) -> bool {
    !format!("{value:?}").contains("NaN")
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = skip(data);
    for ty in types() {
        let Ok(value) = decode(&ty, data) else { continue };
        let mut written = Vec::new();
        encode(&ty, &value, &mut written).expect("what was read is written");
        let again = decode(&ty, &written).expect("what was written is read");
        assert!(!comparable(&value) || value == again, "{value:?} is read back as {again:?}");
        assert_eq!(skip(&written), Ok(written.len()));
    }
});
