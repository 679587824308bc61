//! What a component imports and exports, and who can serve it.

#![allow(clippy::unwrap_used, reason = "tests")]

use mesh_claims::surface::{NotAComponent, Server, read, server_of};
use mesh_lattice::Interface;
use wasm_encoder::{
    Component, ComponentExternName, ComponentImportSection, ComponentTypeRef, ComponentTypeSection, ComponentValType,
    CoreTypeSection, EntityType, ImportSection, InstanceType, Module, ModuleType, TypeSection,
};

/// A component that imports instances with these functions, and a core module called `libc`.
fn component(imports: &[(&str, &[&str])]) -> Vec<u8> {
    let mut core_types = CoreTypeSection::new();
    core_types.ty().module(&ModuleType::new());
    let mut types = ComponentTypeSection::new();
    let mut section = ComponentImportSection::new();
    for (index, (name, functions)) in imports.iter().enumerate() {
        let mut instance = InstanceType::new();
        instance.ty().function().params::<[_; 0], ComponentValType>([]).result(None);
        for function in *functions {
            instance.export(*function, ComponentTypeRef::Func(0));
        }
        types.instance(&instance);
        section.import(ComponentExternName::from(*name), ComponentTypeRef::Instance(index as u32));
    }
    section.import(ComponentExternName::from("libc"), ComponentTypeRef::Module(0));
    let mut component = Component::new();
    component.section(&core_types).section(&types).section(&section);
    component.finish()
}

fn interfaces(names: &[&str]) -> Vec<Interface> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

#[test]
fn imports_are_sorted_by_who_can_serve_them() {
    let bytes = component(&[
        ("wasi:cli/environment@0.2.3", &["get-environment"]),
        ("wasi:keyvalue/store@0.2.0-draft", &["open"]),
        ("acme:types/only@1.0.0", &[]),
        ("wasi:http/client@0.4.0", &["send"]),
        ("acme:orders/book", &["place", "cancel"]),
    ]);
    let surface = read(&bytes).unwrap();
    assert_eq!(surface.imports.len(), 5);
    assert_eq!(surface.linked_imports(), interfaces(&["wasi:keyvalue/store@0.2.0-draft", "acme:orders/book"]));
    assert_eq!(surface.unservable(), ["wasi:http/client@0.4.0", "libc"]);
    let book = &surface.import_functions[&"acme:orders/book".parse::<Interface>().unwrap()];
    assert_eq!(book, &["place", "cancel"]);
    assert!(surface.exports.is_empty() && surface.other_imports.is_empty());
}

#[test]
fn each_interface_has_its_server() {
    for (name, server) in [
        ("wasi:io/poll@0.2.0", Server::Host),
        ("wasi:http/types@0.2.12", Server::Host),
        ("wasi:config/store@0.2.0-rc.1", Server::Host),
        ("wasi:logging/logging", Server::Host),
        ("wasmcloud:bus/lattice@2.0.1", Server::Host),
        ("wasi:http/outgoing-handler@0.2.2", Server::Link),
        ("wasi:keyvalue/store@0.2.0-draft2", Server::Link),
        ("wasi:blobstore/container@0.2.0-draft", Server::Link),
        ("wasmcloud:messaging/consumer@0.2.0", Server::Link),
        ("wasi:http/client@0.3.2", Server::Link),
        ("wasi:http/types@0.3.0", Server::Host),
        ("wasi:clocks/system-clock@0.3.1", Server::Host),
        ("wasi:http/handler@0.3.0", Server::Nobody),
        ("wasi:clocks/system-clock@0.3.0-rc-2026-01-06", Server::Nobody),
        ("wasi:clocks/system-clock@0.30.0", Server::Nobody),
        ("wasi:io/poll@0.3.0", Server::Nobody),
        ("wasi:cli/run@0.1.0", Server::Nobody),
        ("wasi:clocks/wall-clock@0.2.0-rc-2023-12-05", Server::Nobody),
    ] {
        assert_eq!(server_of(&name.parse().unwrap()), server, "{name}");
    }
}

#[test]
fn a_core_module_is_no_component_and_its_imports_are_named() {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let mut imports = ImportSection::new();
    imports.import("wasmbus", "__host_call", EntityType::Function(0));
    let mut module = Module::new();
    module.section(&types).section(&imports);
    let refused = read(&module.finish()).unwrap_err();
    assert_eq!(refused, NotAComponent::CoreModule { imports: vec!["wasmbus __host_call".into()] });
    assert!(refused.to_string().contains("wasmbus __host_call"), "{refused}");
}

#[test]
fn broken_bytes_are_refused() {
    let bytes = component(&[("a:b/c", &["d"])]);
    assert!(matches!(read(b"hello"), Err(NotAComponent::Invalid(_))));
    assert!(matches!(read(b""), Err(NotAComponent::Invalid(_))));
    for cut in 9..bytes.len() {
        if let Ok(surface) = read(&bytes[..cut]) {
            assert!(surface.imports.len() <= 1, "a cut between two sections leaves a smaller component");
        }
    }
}
