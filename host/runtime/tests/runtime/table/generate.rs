//! The guest `table`, made of the list of its functions: what it is in WIT and in Rust.

use std::{collections::BTreeMap, fmt::Write as _};

use mesh_lattice::value::Type;

use super::shapes::functions;

/// Types that have to have a name.
#[derive(Default)]
struct Named(BTreeMap<String, String>);

impl Named {
    /// The type in WIT; what it needs a name for is declared.
    fn wit(&mut self, ty: &Type) -> String {
        let word = |ty: &Option<Box<Type>>, named: &mut Self| match ty {
            Some(ty) => named.wit(ty),
            None => "_".to_owned(),
        };
        match ty {
            Type::List(item) => format!("list<{}>", self.wit(item)),
            Type::Option(inner) => format!("option<{}>", self.wit(inner)),
            Type::Tuple(types) => {
                let types: Vec<_> = types.iter().map(|ty| self.wit(ty)).collect();
                format!("tuple<{}>", types.join(", "))
            }
            Type::Result { ok, err } => format!("result<{}, {}>", word(ok, self), word(err, self)),
            Type::Record(fields) => {
                let fields: Vec<_> = fields.iter().map(|(name, ty)| format!("{name}: {}", self.wit(ty))).collect();
                self.declare(ty, "record", &fields)
            }
            Type::Variant(cases) => {
                let case = |(name, ty): &(String, Option<Type>), named: &mut Self| match ty {
                    Some(ty) => format!("{name}({})", named.wit(ty)),
                    None => name.clone(),
                };
                let cases: Vec<_> = cases.iter().map(|each| case(each, self)).collect();
                self.declare(ty, "variant", &cases)
            }
            Type::Enum(cases) => self.declare(ty, "enum", cases),
            Type::Flags(names) => self.declare(ty, "flags", names),
            ty => format!("{ty:?}").to_lowercase(),
        }
    }

    fn declare(&mut self, ty: &Type, kind: &str, parts: &[String]) -> String {
        let name = name_of(ty);
        self.0.insert(name.clone(), format!("    {kind} {name} {{ {} }}\n", parts.join(", ")));
        name
    }
}

fn name_of(ty: &Type) -> String {
    match ty {
        Type::List(item) => format!("list-{}", name_of(item)),
        Type::Option(inner) => format!("option-{}", name_of(inner)),
        Type::Tuple(types) => format!("pair-{}", name_of(&types[0])),
        Type::Result { ok: Some(ok), .. } => format!("result-{}", name_of(ok)),
        Type::Result { err: Some(err), .. } => format!("failure-{}", name_of(err)),
        Type::Record(fields) => format!("record-of-{}", name_of(&fields[0].1)),
        Type::Variant(cases) => format!("variant-of-{}", name_of(cases[1].1.as_ref().unwrap())),
        Type::Enum(_) => "color".into(),
        Type::Flags(_) => "access".into(),
        ty => format!("{ty:?}").to_lowercase(),
    }
}

fn rust(ty: &Type) -> String {
    let word = |ty: &Option<Box<Type>>| ty.as_ref().map_or_else(|| "()".to_owned(), |ty| rust(ty));
    match ty {
        Type::S8 => "i8".into(),
        Type::S16 => "i16".into(),
        Type::S32 => "i32".into(),
        Type::S64 => "i64".into(),
        Type::String => "String".into(),
        Type::List(item) => format!("Vec<{}>", rust(item)),
        Type::Option(inner) => format!("Option<{}>", rust(inner)),
        Type::Tuple(types) => format!("({})", types.iter().map(rust).collect::<Vec<_>>().join(", ")),
        Type::Result { ok, err } => format!("Result<{}, {}>", word(ok), word(err)),
        Type::Record(_) | Type::Variant(_) | Type::Enum(_) | Type::Flags(_) => {
            let words = name_of(ty);
            words.split('-').map(|word| word[..1].to_uppercase() + &word[1..]).collect()
        }
        ty => format!("{ty:?}").to_lowercase(),
    }
}

/// `wit/table.wit` of the guests.
pub(crate) fn wit() -> String {
    let mut named = Named::default();
    let mut lines = String::new();
    for (name, ty) in functions() {
        let ty = named.wit(&ty);
        writeln!(lines, "    {name}: func(value: {ty}) -> {ty};").unwrap();
    }
    let types: String = named.0.values().cloned().collect();
    format!(
        "// Made by the tests of host/runtime, which have the list of types.\npackage mesh:table@1.0.0;\n\n\
         interface values {{\n{types}\n{lines}}}\n\nworld table {{\n    export values;\n    \
         export root-id: func(value: string) -> string;\n}}\n"
    )
}

/// `examples/table.rs` of the guests.
pub(crate) fn program() -> String {
    let mut lines = String::new();
    for (name, ty) in functions() {
        let ty = rust(&ty);
        writeln!(lines, "    fn {}(value: {ty}) -> {ty} {{\n        value\n    }}\n", name.replace('-', "_")).unwrap();
    }
    format!(
        "//! Gives back what it is given, whatever its type. Made by the tests of host/runtime, which have the list of \
         types.\n\n#![allow(unsafe_op_in_unsafe_fn, reason = \"the bindings are of an older edition\")]\n\n#[rustfmt::skip]\nmod bindings {{\n    wit_bindgen::generate!({{ path: \"wit/table.wit\", world: \
         \"table\" }});\n}}\n\nuse bindings::exports::mesh::table::values::*;\n\nstruct Table;\n\n\
         #[rustfmt::skip]\nimpl Guest for Table {{\n{lines}}}\n\nimpl bindings::Guest for Table {{\n    fn \
         root_id(value: String) -> String {{\n        value\n    }}\n}}\n\nbindings::export!(Table with_types_in \
         bindings);\n"
    )
}
