//! Which components need an engine with support for concurrency: those that have something asynchronous in their types
//! or in how they call and are called, and those that name WASI 0.3, whose interfaces only such an engine has. Looked up
//! in the bytes before they are compiled, in the components within them too.

use mesh_claims::surface::is_release_0_3;
use wasmparser::{
    BinaryReaderError, CanonicalFunction, CanonicalOption, ComponentDefinedType, ComponentType,
    ComponentTypeDeclaration, InstanceTypeDeclaration, Parser, Payload, PrimitiveValType,
};

/// Whether these bytes are such a component. Bytes that are no component are for the compiler to judge.
pub(super) fn needs_concurrency(bytes: &[u8]) -> bool {
    is_concurrent(bytes).unwrap_or(false)
}

fn is_concurrent(bytes: &[u8]) -> Result<bool, BinaryReaderError> {
    for payload in Parser::new(0).parse_all(bytes) {
        let found = match payload? {
            Payload::ComponentTypeSection(section) => any(section, |ty| is_async(&ty))?,
            Payload::ComponentCanonicalSection(section) => any(section, |function| is_async_call(&function))?,
            Payload::ComponentImportSection(section) => any(section, |import| is_release_0_3(import.name.name))?,
            Payload::ComponentExportSection(section) => any(section, |export| is_release_0_3(export.name.name))?,
            _ => false,
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

fn any<T>(
    items: impl IntoIterator<Item = Result<T, BinaryReaderError>>,
    found: impl Fn(T) -> bool,
) -> Result<bool, BinaryReaderError> {
    items.into_iter().try_fold(false, |before, item| Ok(before || found(item?)))
}

fn is_async(ty: &ComponentType<'_>) -> bool {
    match ty {
        ComponentType::Func(function) => function.async_,
        ComponentType::Defined(
            ComponentDefinedType::Future(_)
            | ComponentDefinedType::Stream(_)
            | ComponentDefinedType::Primitive(PrimitiveValType::ErrorContext),
        ) => true,
        ComponentType::Component(declarations) => declarations.iter().any(|declaration| match declaration {
            ComponentTypeDeclaration::Type(ty) => is_async(ty),
            _ => false,
        }),
        ComponentType::Instance(declarations) => declarations.iter().any(|declaration| match declaration {
            InstanceTypeDeclaration::Type(ty) => is_async(ty),
            _ => false,
        }),
        _ => false,
    }
}

fn is_async_call(function: &CanonicalFunction) -> bool {
    match function {
        CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. } => {
            options.contains(&CanonicalOption::Async)
        }
        CanonicalFunction::ResourceNew { .. }
        | CanonicalFunction::ResourceDrop { .. }
        | CanonicalFunction::ResourceRep { .. } => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asynchronous_or_of_wasi_0_3_needs_it_and_nothing_else_does() {
        let table = [
            ("(component)", false),
            ("(component (import \"wasi:clocks/types@0.2.3\" (instance)))", false),
            ("(component (import \"wasi:clocks/types@0.3.2\" (instance)))", true),
            ("(component (import \"wasi:clocks/types@0.3.0-rc-1\" (instance)))", false),
            ("(component (import \"acme:clocks/types@0.3.0\" (instance)))", false),
            ("(component (import \"f\" (func (param \"a\" u32))))", false),
            ("(component (import \"f\" (func async (param \"a\" u32))))", true),
            ("(component (import \"i\" (instance (export \"f\" (func async)))))", true),
            ("(component (component (type (stream u8))))", true),
            ("(component (type (future)))", true),
            ("(component (core func (canon waitable-set.new)))", true),
        ];
        for (text, needed) in table {
            assert_eq!(needs_concurrency(&wat::parse_str(text).unwrap()), needed, "{text}");
        }
        assert!(!needs_concurrency(b"nothing"));
    }
}
