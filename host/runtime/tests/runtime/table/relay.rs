//! An actor that imports what the guest `table` exports, exports the same, and passes each call on: a component as
//! text, because the canonical ABI gives a function's parameters to an import in the form in which it got them.

use std::fmt::Write as _;

use mesh_lattice::value::Type;

use super::shapes::INTERFACE;

/// A core type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Core {
    I32,
    I64,
    F32,
    F64,
}

impl Core {
    fn name(self) -> &'static str {
        match self {
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }

    /// What holds either of them.
    fn join(self, other: Self) -> Self {
        match (self, other) {
            (one, other) if one == other => one,
            (Self::I32, Self::F32) | (Self::F32, Self::I32) => Self::I32,
            _ => Self::I64,
        }
    }
}

/// The words that a value is passed in.
fn flat(ty: &Type) -> Vec<Core> {
    let cases = |cases: Vec<Option<&Type>>| {
        let mut words: Vec<Core> = Vec::new();
        for case in cases.into_iter().flatten().map(flat) {
            for (at, word) in case.into_iter().enumerate() {
                match words.get_mut(at) {
                    Some(known) => *known = known.join(word),
                    None => words.push(word),
                }
            }
        }
        [vec![Core::I32], words].concat()
    };
    match ty {
        Type::S64 | Type::U64 => vec![Core::I64],
        Type::F32 => vec![Core::F32],
        Type::F64 => vec![Core::F64],
        Type::String | Type::List(_) => vec![Core::I32; 2],
        Type::Tuple(types) => types.iter().flat_map(flat).collect(),
        Type::Record(fields) => fields.iter().flat_map(|(_, ty)| flat(ty)).collect(),
        Type::Variant(all) => cases(all.iter().map(|(_, ty)| ty.as_ref()).collect()),
        Type::Option(inner) => cases(vec![None, Some(inner)]),
        Type::Result { ok, err } => cases(vec![ok.as_deref(), err.as_deref()]),
        _ => vec![Core::I32],
    }
}

/// The types that have a name, inner ones first, and the text of each.
#[derive(Default)]
struct Named(Vec<(Type, String)>);

impl Named {
    /// The type as it is written where it is used.
    fn text(&mut self, ty: &Type) -> String {
        let parts = |fields: Vec<String>| fields.join(" ");
        let defined = match ty {
            Type::List(item) => return format!("(list {})", self.text(item)),
            Type::Option(inner) => return format!("(option {})", self.text(inner)),
            Type::Tuple(types) => {
                return format!("(tuple {})", parts(types.iter().map(|ty| self.text(ty)).collect()));
            }
            Type::Result { ok, err } => {
                let ok = ok.as_ref().map_or_else(String::new, |ty| self.text(ty));
                let err = err.as_ref().map_or_else(String::new, |ty| format!("(error {})", self.text(ty)));
                return format!("(result {ok} {err})");
            }
            Type::Record(fields) => {
                let field =
                    |(name, ty): &(String, Type), named: &mut Self| format!("(field \"{name}\" {})", named.text(ty));
                format!("(record {})", parts(fields.iter().map(|each| field(each, self)).collect()))
            }
            Type::Variant(cases) => {
                let case = |(name, ty): &(String, Option<Type>), named: &mut Self| {
                    let ty = ty.as_ref().map_or_else(String::new, |ty| named.text(ty));
                    format!("(case \"{name}\" {ty})")
                };
                format!("(variant {})", parts(cases.iter().map(|each| case(each, self)).collect()))
            }
            Type::Enum(names) => format!("(enum {})", parts(names.iter().map(|name| format!("\"{name}\"")).collect())),
            Type::Flags(names) => {
                format!("(flags {})", parts(names.iter().map(|name| format!("\"{name}\"")).collect()))
            }
            ty => return format!("{ty:?}").to_lowercase(),
        };
        let at = self.0.iter().position(|(known, _)| known == ty).unwrap_or_else(|| {
            self.0.push((ty.clone(), defined));
            self.0.len() - 1
        });
        format!("$n{at}")
    }
}

/// The actor that passes on calls of these functions, each of which gives back what it is given.
pub(crate) fn text(functions: &[(String, Type)]) -> String {
    let mut named = Named::default();
    let functions: Vec<_> = functions.iter().map(|(name, ty)| (name, named.text(ty), flat(ty))).collect();
    let (mut types, mut aliases) = (String::new(), String::new());
    for (at, (_, defined)) in named.0.iter().enumerate() {
        writeln!(types, "(type $d{at} {defined}) (export \"n{at}\" (type $n{at} (eq $d{at})))").unwrap();
        writeln!(aliases, "(alias export $v \"n{at}\" (type $n{at}))").unwrap();
    }
    let [mut imports, mut lowered, mut before, mut core, mut given, mut lifted, mut exports] =
        [const { String::new() }; 7];
    for (at, (name, ty, words)) in functions.iter().enumerate() {
        let (import, function) = core_function(at, words);
        writeln!(imports, "(export \"{name}\" (func (param \"value\" {ty}) (result {ty})))").unwrap();
        writeln!(lowered, "(core func $l{at} (canon lower (func $v \"{name}\") {OPTIONS}))").unwrap();
        let signature = format!("(param \"value\" {ty}) (result {ty})");
        writeln!(lifted, "(func $f{at} {signature} (canon lift (core func $i \"f{at}\") {OPTIONS}))").unwrap();
        writeln!(given, "(export \"l{at}\" (func $l{at}))").unwrap();
        writeln!(exports, "(export \"{name}\" (func $f{at}))").unwrap();
        writeln!(before, "{import}").unwrap();
        writeln!(core, "{function}").unwrap();
    }
    format!(
        "(component (import \"{INTERFACE}\" (instance $v\n{types}{imports}))\n{aliases}{MEMORY}{lowered}\
         (core module $m {before}{core})\n(core instance $i (instantiate $m (with \"l\" (instance {given}))))\n{lifted}\
         (instance $out {exports})\n(export \"{INTERFACE}\" (instance $out)))"
    )
}

const OPTIONS: &str = "(memory (core memory $libc \"memory\")) (realloc (core func $libc \"realloc\"))";

/// Memory that is given out once.
const MEMORY: &str = r#"
(core module $libc
    (memory (export "memory") 256)
    (global $next (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
        (global.set $next (i32.add (local.get $at) (local.get 3)))
        (local.get $at)))
(core instance $libc (instantiate $libc))
"#;

/// One function: what it imports, and how it passes its call on.
fn core_function(at: usize, words: &[Core]) -> (String, String) {
    let params: Vec<&str> = if words.len() > 16 { vec!["i32"] } else { words.iter().map(|word| word.name()).collect() };
    let direct = words.len() == 1;
    let (result, pointer) = if direct { (words[0].name(), "") } else { ("i32", " i32") };
    let lowered_result = if direct { format!("(result {result})") } else { String::new() };
    let import =
        format!("(import \"l\" \"l{at}\" (func $l{at} (param {}{pointer}) {lowered_result}))", params.join(" "));
    let gets: Vec<_> = (0..params.len()).map(|param| format!("(local.get {param})")).collect();
    // Below the memory that is given out, there is room for any result's own words.
    let back = if direct { "" } else { "(i32.const 16)" };
    let function = format!(
        "(func (export \"f{at}\") (param {}) (result {result}) (call $l{at} {} {back}) {back})\n",
        params.join(" "),
        gets.join(" "),
    );
    (import, function)
}
