//! Guests that hand a value of one type around, made for that type: as parameters and results of what they export and
//! import, in flat words and in memory. A guest's own code knows nothing of types but how many words they have.

use std::fmt::Write as _;

use mesh_lattice::value::Type;

/// What the guest imports.
pub(crate) const HOST: &str = "mesh:test/host";

/// A component with memory of its own, which is text: (imports `sink: func(x: T)` and `source: func() -> T` of [`HOST`])
/// - `push: func(x: T)` gives its parameter to `sink`, word by word;
/// - `pull: func() -> T` returns what `source` gave it;
/// - `echo: func(x: T, pad: tuple<u64, ...>) -> T` has its parameters in memory, and returns the pointer to them.
pub(crate) fn component(ty: &Type, encoding: &str) -> String {
    let mut names = Names::default();
    let x = names.of(ty);
    let aliases: String =
        (0..names.count).map(|at| format!("(alias export $host \"n{at}\" (type $n{at}))\n")).collect();
    let pad = format!("(tuple{})", " u64".repeat(17));
    let options = format!(
        "(memory (core memory $libc \"memory\")) (realloc (core func $libc \"realloc\")) string-encoding={encoding}"
    );
    format!(
        r#"(component
  (import "{HOST}" (instance $host
    {definitions}
    (export "sink" (func (param "x" {x})))
    (export "source" (func (result {x})))))
  {aliases}
  {LIBC}
  (core instance $libc (instantiate $libc))
  (core func $sink (canon lower (func $host "sink") {options}))
  (core func $source (canon lower (func $host "source") {options}))
  {main}
  (core instance $main (instantiate $main
    (with "libc" (instance $libc))
    (with "host" (instance (export "sink" (func $sink)) (export "source" (func $source))))))
  (func (export "push") (param "x" {x}) (canon lift (core func $main "push") {options}))
  (func (export "pull") (result {x}) (canon lift (core func $main "pull") {options}))
  (func (export "echo") (param "x" {x}) (param "pad" {pad}) (result {x})
    (canon lift (core func $main "echo") {options}))
)"#,
        definitions = names.definitions,
        main = main(ty),
    )
}

/// Memory, and a `realloc` that hands it out and never takes it back.
const LIBC: &str = r#"(core module $libc
    (memory (export "memory") 4)
    (global $next (mut i32) (i32.const 131072))
    (func (export "realloc") (param $old i32) (param $length i32) (param $align i32) (param $new i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and
        (i32.sub (i32.add (global.get $next) (local.get $align)) (i32.const 1))
        (i32.sub (i32.const 0) (local.get $align))))
      (global.set $next (i32.add (local.get $at) (local.get $new)))
      (block $enough (loop $more
        (br_if $enough (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
        (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
        (br $more)))
      (if (local.get $old) (then (memory.copy (local.get $at) (local.get $old)
        (select (local.get $length) (local.get $new) (i32.lt_u (local.get $length) (local.get $new))))))
      (local.get $at)))"#;

fn main(ty: &Type) -> String {
    let flat = flat(ty);
    let words = if flat.len() > 16 { vec!["i32"] } else { flat.clone() };
    let parameters = format!("(param {})", words.join(" "));
    let forward: String = (0..words.len()).map(|at| format!("(local.get {at}) ")).collect();
    let (import, pull, result, echo) = match flat.as_slice() {
        [word] => {
            (format!("(result {word})"), "(call $source)".to_owned(), *word, format!("({} (local.get 0))", load(ty)))
        }
        _ => {
            let pull = "(call $source (i32.const 1024)) (i32.const 1024)".to_owned();
            ("(param i32)".to_owned(), pull, "i32", "(local.get 0)".to_owned())
        }
    };
    format!(
        r#"(core module $main
    (import "libc" "memory" (memory 1))
    (import "host" "sink" (func $sink {parameters}))
    (import "host" "source" (func $source {import}))
    (func (export "push") {parameters} (call $sink {forward}))
    (func (export "pull") (result {result}) {pull})
    (func (export "echo") (param i32) (result {result}) {echo}))"#
    )
}

/// The core types of a value's flat words.
fn flat(ty: &Type) -> Vec<&'static str> {
    let cases = |cases: &mut dyn Iterator<Item = &Type>| {
        let mut words: Vec<&'static str> = Vec::new();
        for ty in cases {
            for (at, word) in flat(ty).into_iter().enumerate() {
                match words.get_mut(at) {
                    Some(known) if *known == word => {}
                    Some(known) if ["i32", "f32"].contains(known) && ["i32", "f32"].contains(&word) => *known = "i32",
                    Some(known) => *known = "i64",
                    None => words.push(word),
                }
            }
        }
        words.insert(0, "i32");
        words
    };
    match ty {
        Type::S64 | Type::U64 => vec!["i64"],
        Type::F32 => vec!["f32"],
        Type::F64 => vec!["f64"],
        Type::String | Type::List(_) => vec!["i32", "i32"],
        Type::Tuple(types) => types.iter().flat_map(flat).collect(),
        Type::Record(fields) => fields.iter().flat_map(|(_, ty)| flat(ty)).collect(),
        Type::Variant(all) => cases(&mut all.iter().filter_map(|(_, ty)| ty.as_ref())),
        Type::Option(inner) => cases(&mut [&**inner].into_iter()),
        Type::Result { ok, err } => cases(&mut [ok, err].into_iter().filter_map(|ty| ty.as_deref())),
        _ => vec!["i32"],
    }
}

/// How a value of one flat word is loaded from memory.
fn load(ty: &Type) -> &'static str {
    match ty {
        Type::S8 => "i32.load8_s",
        Type::S16 => "i32.load16_s",
        Type::U16 => "i32.load16_u",
        Type::S32 | Type::U32 | Type::Char => "i32.load",
        Type::S64 | Type::U64 => "i64.load",
        Type::F32 => "f32.load",
        Type::F64 => "f64.load",
        Type::Enum(names) if names.len() > 256 => "i32.load16_u",
        Type::Flags(names) if names.len() > 16 => "i32.load",
        Type::Flags(names) if names.len() > 8 => "i32.load16_u",
        Type::Tuple(types) => load(&types[0]),
        Type::Record(fields) => load(&fields[0].1),
        _ => "i32.load8_u",
    }
}

/// Types that have to have a name, defined inside the imported instance.
#[derive(Default)]
struct Names {
    definitions: String,
    count: usize,
}

impl Names {
    /// How a type is written where it is used.
    fn of(&mut self, ty: &Type) -> String {
        match ty {
            Type::Bool => "bool".to_owned(),
            Type::S8 => "s8".to_owned(),
            Type::U8 => "u8".to_owned(),
            Type::S16 => "s16".to_owned(),
            Type::U16 => "u16".to_owned(),
            Type::S32 => "s32".to_owned(),
            Type::U32 => "u32".to_owned(),
            Type::S64 => "s64".to_owned(),
            Type::U64 => "u64".to_owned(),
            Type::F32 => "f32".to_owned(),
            Type::F64 => "f64".to_owned(),
            Type::Char => "char".to_owned(),
            Type::String => "string".to_owned(),
            Type::List(item) => format!("(list {})", self.of(item)),
            Type::Tuple(types) => format!("(tuple {})", self.all(types)),
            Type::Option(inner) => format!("(option {})", self.of(inner)),
            Type::Result { ok, err } => {
                let ok = ok.as_ref().map_or(String::new(), |ty| format!(" {}", self.of(ty)));
                let err = err.as_ref().map_or(String::new(), |ty| format!(" (error {})", self.of(ty)));
                format!("(result{ok}{err})")
            }
            Type::Record(fields) => {
                let fields = fields.iter().map(|(name, ty)| format!(" (field \"{name}\" {})", self.of(ty)));
                let fields: String = fields.collect();
                self.define(&format!("(record{fields})"))
            }
            Type::Variant(cases) => {
                let cases = cases.iter().map(|(name, ty)| {
                    let ty = ty.as_ref().map_or(String::new(), |ty| self.of(ty));
                    format!(" (case \"{name}\" {ty})")
                });
                let cases: String = cases.collect();
                self.define(&format!("(variant{cases})"))
            }
            Type::Enum(names) => self.define(&format!("(enum {})", quoted(names))),
            Type::Flags(names) => self.define(&format!("(flags {})", quoted(names))),
            Type::Resource => "u32".to_owned(),
        }
    }

    fn all(&mut self, types: &[Type]) -> String {
        types.iter().map(|ty| self.of(ty)).collect::<Vec<_>>().join(" ")
    }

    fn define(&mut self, ty: &str) -> String {
        let at = self.count;
        self.count += 1;
        let _ = writeln!(self.definitions, "(type $d{at} {ty}) (export \"n{at}\" (type $n{at} (eq $d{at})))");
        format!("$n{at}")
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" ")
}
