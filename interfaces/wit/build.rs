//! Reads the WIT packages of this folder and writes their functions as Rust for `src/published.rs`. The parser is needed
//! here alone: no program carries it.

#![allow(clippy::print_stdout, reason = "cargo reads what a build script prints")]

use std::{env, error::Error, fs, path::Path};

use wit_parser::{Function, Handle, Resolve, Type, TypeDefKind, TypeId};

/// What cannot be written.
type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    println!("cargo::rerun-if-changed=mesh.wit");
    println!("cargo::rerun-if-changed=deps");
    let mut resolve = Resolve::default();
    resolve.push_dir(".")?;
    let mut lines = String::new();
    for (_, interface) in resolve.interfaces.iter() {
        let package = interface.package.and_then(|id| resolve.packages.get(id));
        let (Some(package), Some(name)) = (package, &interface.name) else { continue };
        let functions = interface.functions.values().map(|each| function(&resolve, each));
        let functions = functions.collect::<Result<Vec<_>, _>>()?;
        lines += &format!("({:?}, vec![{}]),\n", package.name.interface_id(name), functions.join(", "));
    }
    let text = format!(
        "/// The interfaces and their functions, as the build script read them.\n\
         fn published() -> Vec<(&'static str, Vec<Function>)> {{\nvec![\n{lines}]\n}}\n"
    );
    let out = env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    Ok(fs::write(Path::new(&out).join("published.rs"), text)?)
}

fn function(resolve: &Resolve, function: &Function) -> Result<String, Failure> {
    let params = function.params.iter().map(|each| Ok(format!("({}, {})", text(&each.name), ty(resolve, &each.ty)?)));
    let params = params.collect::<Result<Vec<_>, Failure>>()?.join(", ");
    let result = match &function.result {
        Some(result) => format!("Some({})", ty(resolve, result)?),
        None => "None".to_owned(),
    };
    let (name, is_async) = (text(&function.name), function.kind.is_async());
    // Their resources are known to the hosts, which bring the handles to whoever is to have them.
    Ok(format!(
        "Function {{ name: {name}, params: vec![{params}], result: {result}, is_async: {is_async}, foreign: None }}"
    ))
}

fn text(name: &str) -> String {
    format!("{name:?}.to_owned()")
}

fn texts<'a>(names: impl Iterator<Item = &'a String>) -> String {
    format!("vec![{}]", names.map(|name| text(name)).collect::<Vec<_>>().join(", "))
}

fn boxed(resolve: &Resolve, inner: &Type) -> Result<String, Failure> {
    Ok(format!("Box::new({})", ty(resolve, inner)?))
}

fn optional(resolve: &Resolve, inner: Option<&Type>) -> Result<String, Failure> {
    Ok(match inner {
        Some(inner) => format!("Some({})", boxed(resolve, inner)?),
        None => "None".to_owned(),
    })
}

fn ty(resolve: &Resolve, wit: &Type) -> Result<String, Failure> {
    let plain = match wit {
        Type::Bool => "Bool",
        Type::U8 => "U8",
        Type::U16 => "U16",
        Type::U32 => "U32",
        Type::U64 => "U64",
        Type::S8 => "S8",
        Type::S16 => "S16",
        Type::S32 => "S32",
        Type::S64 => "S64",
        Type::F32 => "F32",
        Type::F64 => "F64",
        Type::Char => "Char",
        Type::String => "String",
        Type::ErrorContext => "ErrorContext",
        Type::Id(id) => return defined(resolve, *id),
    };
    Ok(format!("Type::{plain}"))
}

fn name_of(resolve: &Resolve, id: TypeId) -> Result<String, Failure> {
    let name = resolve.types.get(id).and_then(|ty| ty.name.as_ref());
    Ok(text(name.ok_or("a resource has a name")?))
}

fn defined(resolve: &Resolve, id: TypeId) -> Result<String, Failure> {
    let def = resolve.types.get(id).ok_or("a type is defined")?;
    let inner = match &def.kind {
        TypeDefKind::Record(record) => {
            let fields =
                record.fields.iter().map(|each| Ok(format!("({}, {})", text(&each.name), ty(resolve, &each.ty)?)));
            format!("Type::Record(vec![{}])", fields.collect::<Result<Vec<_>, Failure>>()?.join(", "))
        }
        // A resource where a type is wanted is a handle that is given away.
        TypeDefKind::Resource | TypeDefKind::Handle(Handle::Own(_) | Handle::Borrow(_)) => return handle(resolve, id),
        TypeDefKind::Flags(flags) => format!("Type::Flags({})", texts(flags.flags.iter().map(|flag| &flag.name))),
        TypeDefKind::Tuple(tuple) => {
            let types = tuple.types.iter().map(|each| ty(resolve, each)).collect::<Result<Vec<_>, _>>()?;
            format!("Type::Tuple(vec![{}])", types.join(", "))
        }
        TypeDefKind::Variant(variant) => {
            let cases = variant.cases.iter().map(|case| {
                let payload = match &case.ty {
                    Some(payload) => format!("Some({})", ty(resolve, payload)?),
                    None => "None".to_owned(),
                };
                Ok(format!("({}, {payload})", text(&case.name)))
            });
            format!("Type::Variant(vec![{}])", cases.collect::<Result<Vec<_>, Failure>>()?.join(", "))
        }
        TypeDefKind::Enum(cases) => format!("Type::Enum({})", texts(cases.cases.iter().map(|case| &case.name))),
        TypeDefKind::Option(inner) => format!("Type::Option({})", boxed(resolve, inner)?),
        TypeDefKind::Result(result) => {
            let (ok, err) = (optional(resolve, result.ok.as_ref())?, optional(resolve, result.err.as_ref())?);
            format!("Type::Result({ok}, {err})")
        }
        TypeDefKind::List(item) => format!("Type::List({})", boxed(resolve, item)?),
        TypeDefKind::Map(key, value) => format!("Type::Map({}, {})", boxed(resolve, key)?, boxed(resolve, value)?),
        TypeDefKind::FixedLengthList(item, length) => format!("Type::FixedList({}, {length})", boxed(resolve, item)?),
        TypeDefKind::Future(inner) => format!("Type::Future({})", optional(resolve, inner.as_ref())?),
        TypeDefKind::Stream(inner) => format!("Type::Stream({})", optional(resolve, inner.as_ref())?),
        // `use` and `type` of what has a name keep that one.
        TypeDefKind::Type(inner @ Type::Id(_)) => return ty(resolve, inner),
        TypeDefKind::Type(inner) => ty(resolve, inner)?,
        TypeDefKind::Unknown => return Err("a type is known".into()),
    };
    Ok(match &def.name {
        Some(name) => format!("Type::Named({}, Box::new({inner}))", text(name)),
        None => inner,
    })
}

fn handle(resolve: &Resolve, id: TypeId) -> Result<String, Failure> {
    Ok(match resolve.types.get(id).map(|def| &def.kind) {
        Some(TypeDefKind::Handle(Handle::Own(resource))) => format!("Type::Own({})", name_of(resolve, *resource)?),
        Some(TypeDefKind::Handle(Handle::Borrow(resource))) => {
            format!("Type::Borrow({})", name_of(resolve, *resource)?)
        }
        _ => format!("Type::Own({})", name_of(resolve, id)?),
    })
}
