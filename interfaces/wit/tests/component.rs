//! The signatures of components: as WIT, compared, and of those that were made to do harm.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use mesh_lattice::{Interface, value};
use mesh_wit::{Function, SignatureError, Signatures, fit, signature::declaration};
use wasm_encoder::{
    Component, ComponentDefinedTypeEncoder, ComponentExternName, ComponentImportSection, ComponentTypeRef,
    ComponentTypeSection, ComponentValType, InstanceType, PrimitiveValType, TypeBounds,
};

const STRING: ComponentValType = ComponentValType::Primitive(PrimitiveValType::String);

/// A component that imports one instance.
fn component(name: &str, instance: &InstanceType) -> Vec<u8> {
    let mut types = ComponentTypeSection::new();
    types.instance(instance);
    let mut imports = ComponentImportSection::new();
    imports.import(ComponentExternName::from(name), ComponentTypeRef::Instance(0));
    let mut component = Component::new();
    component.section(&types).section(&imports);
    component.finish()
}

/// Defines a type, exports it under a name and returns the name's index.
fn named(instance: &mut InstanceType, name: &str, define: impl FnOnce(ComponentDefinedTypeEncoder<'_>)) -> u32 {
    let index = instance.type_count();
    define(instance.ty().defined_type());
    instance.export(name, ComponentTypeRef::Type(TypeBounds::Eq(index)));
    index + 1
}

fn function(instance: &mut InstanceType, name: &str, params: &[(&str, ComponentValType)], result: ComponentValType) {
    let index = instance.type_count();
    instance.ty().function().params(params.iter().copied()).result(Some(result));
    instance.export(name, ComponentTypeRef::Func(index));
}

/// `greet(who: string, how: style) -> result<string, error>`, the styles as given, and a resource.
fn greeting(styles: &[&str]) -> Vec<u8> {
    let mut instance = InstanceType::new();
    let style = named(&mut instance, "style", |ty| ty.enum_type(styles.iter().copied()));
    let error = named(&mut instance, "error", |ty| {
        ty.variant([("nobody", None), ("other", Some(STRING))]);
    });
    let result = instance.type_count();
    instance.ty().defined_type().result(Some(STRING), Some(ComponentValType::Type(error)));
    let params = [("who", STRING), ("how", ComponentValType::Type(style))];
    function(&mut instance, "greet", &params, ComponentValType::Type(result));
    let book = instance.type_count();
    instance.export("book", ComponentTypeRef::Type(TypeBounds::SubResource));
    let lent = instance.type_count();
    instance.ty().defined_type().borrow(book);
    let params = [("self", ComponentValType::Type(lent)), ("page", ComponentValType::Primitive(PrimitiveValType::U32))];
    function(&mut instance, "[method]book.read", &params, STRING);
    component("acme:greeting/greet@1.0.0", &instance)
}

fn interface() -> Interface {
    "acme:greeting/greet@1.0.0".parse().unwrap()
}

#[test]
fn functions_read_as_wit_and_their_types_as_those_of_the_wire() {
    let signatures = Signatures::read(&greeting(&["plain", "loud"])).unwrap();
    let functions = &signatures.imports[&interface()];
    let text: Vec<_> = functions.iter().map(ToString::to_string).collect();
    assert_eq!(
        text,
        ["greet: func(who: string, how: style) -> result<string, error>", "book.read: func(page: u32) -> string"]
    );
    let declared: Vec<_> = functions[0].named().into_iter().map(|(name, ty)| declaration(name, ty)).collect();
    assert_eq!(declared, ["enum style { plain, loud }", "variant error { nobody, other(string) }"]);
    let style = value::Type::Enum(vec!["plain".into(), "loud".into()]);
    assert_eq!(functions[0].param_values().unwrap(), [value::Type::String, style]);
    assert_eq!((functions[0].handle(), functions[1].handle()), (None, Some("book")));
}

#[test]
fn what_differs_is_shown_one_under_the_other_also_where_the_names_are_the_same() {
    let (one, other) = (greeting(&["plain", "loud"]), greeting(&["plain", "quiet"]));
    let functions = |bytes: &[u8]| Signatures::read(bytes).unwrap().imports[&interface()].clone();
    let (one, other) = (functions(&one), functions(&other));
    assert_eq!(fit::misfit(&interface(), &one, &one), None);
    assert_eq!(fit::misfit(&interface(), &one[..1], &one), None, "what is served and not called does no harm");
    assert_eq!(
        fit::misfit(&interface(), &one, &other).unwrap().to_string(),
        "greet of acme:greeting/greet@1.0.0 has other types at its two ends\n  \
         called as  greet: func(who: string, how: enum style { plain, loud }) -> \
         result<string, variant error { nobody, other(string) }>\n  \
         served as  greet: func(who: string, how: enum style { plain, quiet }) -> \
         result<string, variant error { nobody, other(string) }>"
    );
    let missing = fit::misfit(&interface(), &one, &one[..1]).unwrap().to_string();
    assert!(missing.contains("[method]book.read") && missing.ends_with("(no such function)"), "{missing}");
}

/// A component that imports `thing` of `owner`, and takes one: as it calls it, and as it serves it.
fn taking_a_thing_of(owner: &str) -> (Function, Function) {
    let text = format!(
        r#"(component
            (import "{owner}" (instance $owner (export "thing" (type (sub resource)))))
            (alias export $owner "thing" (type $thing))
            (import "acme:things/called" (instance
                (alias outer 1 $thing (type $thing))
                (export "take" (func (param "it" (own $thing))))))
            (core module $code (func (export "take") (param i32)))
            (core instance $code (instantiate $code))
            (func $take (param "it" (own $thing)) (canon lift (core func $code "take")))
            (instance $served (export "take" (func $take)))
            (export "acme:things/served" (instance $served)))"#
    );
    let signatures = Signatures::read(&wat::parse_str(text).unwrap()).unwrap();
    let only = |mut side: BTreeMap<Interface, Vec<Function>>, name: &str| {
        side.remove(&name.parse().unwrap()).and_then(|mut functions| functions.pop()).unwrap()
    };
    (only(signatures.imports, "acme:things/called"), only(signatures.exports, "acme:things/served"))
}

#[test]
fn a_handle_crosses_only_between_the_two_ends_that_know_its_resource_from_each_other() {
    let (called, served) = taking_a_thing_of("acme:things/types");
    assert_eq!((called.crosses(), called.same(&served)), (Ok(()), true));
    let name = "acme:things/called".parse().unwrap();
    let (called, served) = ([called], [served]);
    assert_eq!(
        fit::misfit(&name, &called, &served).unwrap().to_string(),
        "take of acme:things/called works along no link: a handle of thing cannot cross this link: the \
         resource is of acme:things/types\n  called as  take: func(it: thing)\n  served as  take: func(it: thing)"
    );
    assert_eq!(fit::misfit(&name, &called, &called), None, "a resource of whoever serves it");
    // What the host serves it does not bring anywhere.
    let (called, served) = taking_a_thing_of("wasi:io/streams@0.2.6");
    for function in [called, served] {
        assert!(function.crosses().unwrap_err().to_string().ends_with("is of wasi:io/streams@0.2.6"), "{function:?}");
    }
    // The interfaces that hosts know have adapters, which do.
    for (interface, functions) in mesh_wit::published::interfaces() {
        assert_eq!(fit::misfit(interface, functions, functions), None);
    }
}

#[test]
fn what_has_no_form_between_two_ends_is_refused_though_both_have_the_same() {
    let mut instance = InstanceType::new();
    let stream = instance.type_count();
    instance.ty().defined_type().stream(Some(STRING));
    function(&mut instance, "say", &[("words", ComponentValType::Type(stream))], STRING);
    let functions = &Signatures::read(&component("acme:words/say", &instance)).unwrap().imports;
    let (name, functions) = functions.first_key_value().unwrap();
    let misfit = fit::misfit(name, functions, functions).unwrap().to_string();
    let headline = "say of acme:words/say works along no link: a value of type stream<string> cannot cross a link";
    assert!(misfit.starts_with(headline), "{misfit}");
}

/// A type of `levels` levels, each made of `width` of the one below.
fn tower(levels: usize, width: usize) -> Vec<u8> {
    let mut instance = InstanceType::new();
    let mut below = STRING;
    for _ in 0..levels {
        let index = instance.type_count();
        instance.ty().defined_type().tuple(vec![below; width]);
        below = ComponentValType::Type(index);
    }
    function(&mut instance, "climb", &[("tower", below)], STRING);
    component("acme:tower/tower", &instance)
}

fn refused_quickly(bytes: &[u8]) -> SignatureError {
    let begun = Instant::now();
    let refusal = Signatures::read(bytes).unwrap_err();
    let taken = begun.elapsed();
    println!("{} bytes refused after {taken:?}: {refusal}", bytes.len());
    assert!(taken < Duration::from_secs(5), "{taken:?}");
    refusal
}

#[test]
fn types_that_nest_too_deep_or_share_too_much_are_refused_quickly() {
    assert!(Signatures::read(&tower(20, 1)).is_ok());
    assert!(matches!(refused_quickly(&tower(80, 1)), SignatureError::TooDeep(_)));
    // The validator has a limit of its own, behind this one.
    assert!(matches!(refused_quickly(&tower(200, 1)), SignatureError::Invalid(_)));
    assert!(matches!(refused_quickly(&tower(18, 2)), SignatureError::TooLarge(_)));
    refused_quickly(&tower(60, 2));
    let mut many = InstanceType::new();
    let names: Vec<String> = (0..5_000).map(|n| format!("c{n}-{}", "x".repeat(60))).collect();
    let large = named(&mut many, "large", |ty| ty.enum_type(names.iter().map(String::as_str)));
    for n in 0..50 {
        function(&mut many, &format!("f{n}"), &[("a", ComponentValType::Type(large))], STRING);
    }
    assert!(matches!(refused_quickly(&component("acme:many/many", &many)), SignatureError::TooLarge(_)));
}

#[test]
fn broken_components_are_errors() {
    let good = greeting(&["plain", "loud"]);
    assert!(Signatures::read(&good).is_ok());
    assert!(matches!(Signatures::read(b"\0asm\x01\0\0\0"), Err(SignatureError::Invalid(_))), "a core module");
    let mut refused = 0;
    for at in 0..good.len() {
        refused += usize::from(Signatures::read(&good[..at]).is_err());
        for flip in [0x01, 0x40, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            refused += usize::from(Signatures::read(&bad).is_err());
        }
    }
    println!("{refused} of {} changes were refused, none with a panic", good.len() * 5);
    assert!(refused > 2 * good.len());
}
