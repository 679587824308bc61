//! What a component imports and exports, read from its type without running or compiling it.
//!
//! `meshctl` shows it and stores it with the actor, so that the leader can say which link is missing without having
//! the artifact.

use std::collections::BTreeMap;

use mesh_lattice::Interface;
use wasmparser::{
    ComponentExternalKind, Encoding, Parser, Payload, Validator, WasmFeatures,
    component_types::{ComponentEntityType, ComponentInstanceTypeId},
    types::Types,
};

/// Bytes that are not a component.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAComponent {
    /// Not WebAssembly, or broken.
    #[error("not a WebAssembly component: {0}")]
    Invalid(String),
    /// A core module, and what it imports.
    #[error(
        "a core module, not a component{}: build it for wasm32-wasip2, or wrap it with `wasm-tools component new`",
        imports_of(.imports)
    )]
    CoreModule {
        /// Module and name of each import.
        imports: Vec<String>,
    },
}

fn imports_of(imports: &[String]) -> String {
    if imports.is_empty() { String::new() } else { format!("; nobody can serve its imports {}", imports.join(", ")) }
}

/// What a component imports and exports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surface {
    /// The interfaces that it imports, in its own order.
    pub imports: Vec<Interface>,
    /// The interfaces that it exports.
    pub exports: Vec<Interface>,
    /// The functions of the imported interfaces.
    pub import_functions: BTreeMap<Interface, Vec<String>>,
    /// The functions of the exported interfaces.
    pub export_functions: BTreeMap<Interface, Vec<String>>,
    /// Core modules that it wants to be given: nobody can give it these.
    pub core_imports: Vec<String>,
    /// Everything else that it imports by a name that is no interface's: functions at its root, for example.
    pub other_imports: Vec<String>,
    /// Everything else that it exports.
    pub other_exports: Vec<String>,
}

/// Who can serve an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// Every host, for every actor.
    Host,
    /// Whatever is linked.
    Link,
    /// Nobody: a version of WASI that hosts do not have.
    Nobody,
}

/// Packages that follow the releases of WASI: of these a host has 0.2 and 0.3, and no other.
pub const WASI_RELEASES: [&str; 7] =
    ["wasi:cli", "wasi:clocks", "wasi:filesystem", "wasi:http", "wasi:io", "wasi:random", "wasi:sockets"];

/// Of these packages, the one that ended with 0.2.
const ENDED: &str = "wasi:io";

/// The interfaces of these packages that a host does not serve itself, by their release: calls to the outside.
const OUTGOING: [(&str, Release); 2] = [("outgoing-handler", Release::Second), ("client", Release::Third)];

/// The interface of 0.3 that stands between a client and another handler: no host has anything to put behind it.
const BEHIND: (&str, &str) = ("wasi:http", "handler");

/// What a host serves itself beside them.
pub const HOST_INTERFACES: [&str; 9] = [
    "wasi:config/runtime@0.2.0-draft",
    "wasi:config/store@0.2.0-draft",
    "wasi:config/store@0.2.0-rc.1",
    "wasi:logging/logging",
    "wasi:logging/logging@0.1.0-draft",
    "wasmcloud:bus/lattice@1.0.0",
    "wasmcloud:bus/lattice@2.0.0",
    "wasmcloud:bus/lattice@2.0.1",
    "wasmcloud:messaging/types@0.3.0",
];

/// Who can serve this import.
#[must_use]
pub fn server_of(interface: &Interface) -> Server {
    let (package, name) = (interface.package(), interface.interface());
    if WASI_RELEASES.contains(&package) {
        return match Release::of(interface) {
            Some(Release::Third) if package == ENDED || (package, name) == BEHIND => Server::Nobody,
            Some(release) if OUTGOING.contains(&(name, release)) => Server::Link,
            Some(_) => Server::Host,
            None => Server::Nobody,
        };
    }
    if HOST_INTERFACES.contains(&interface.as_str()) { Server::Host } else { Server::Link }
}

/// A release of WASI that hosts have, with all of its minor ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Release {
    Second,
    Third,
}

impl Release {
    fn of(interface: &Interface) -> Option<Self> {
        let (release, patch) = match interface.version()?.split_at_checked(4)? {
            ("0.2.", patch) => (Self::Second, patch),
            ("0.3.", patch) => (Self::Third, patch),
            _ => return None,
        };
        (!patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit())).then_some(release)
    }
}

/// Whether this is the name of an interface of WASI 0.3.
#[must_use]
pub fn is_release_0_3(name: &str) -> bool {
    let named = name.parse::<Interface>().ok();
    named.is_some_and(|name| WASI_RELEASES.contains(&name.package()) && Release::of(&name) == Some(Release::Third))
}

impl Surface {
    /// The imports that a link has to serve: those that have functions. One of types alone asks nothing of anybody.
    #[must_use]
    pub fn linked_imports(&self) -> Vec<Interface> {
        let has_functions =
            |interface: &&Interface| self.import_functions.get(interface).is_some_and(|f| !f.is_empty());
        let linked = |interface: &&Interface| server_of(interface) == Server::Link;
        self.imports.iter().filter(linked).filter(has_functions).cloned().collect()
    }

    /// The imports that nobody can ever serve, each by its name.
    #[must_use]
    pub fn unservable(&self) -> Vec<String> {
        let unknown = self.imports.iter().filter(|interface| server_of(interface) == Server::Nobody);
        unknown.map(ToString::to_string).chain(self.core_imports.iter().cloned()).collect()
    }
}

/// Reads the surface of a component.
///
/// # Errors
///
/// Where the bytes are not a valid component.
pub fn read(wasm: &[u8]) -> Result<Surface, NotAComponent> {
    let invalid = |error: wasmparser::BinaryReaderError| NotAComponent::Invalid(error.to_string());
    if !Parser::is_component(wasm) {
        return Err(if Parser::is_core_wasm(wasm) { core_module(wasm)? } else { invalid_magic() });
    }
    let types = Validator::new_with_features(WasmFeatures::all()).validate_all(wasm).map_err(invalid)?;
    let mut surface = Surface::default();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(invalid)? {
            Payload::Version { encoding: Encoding::Module | Encoding::Component, .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    surface.import(import.map_err(invalid)?.name.name, &types);
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    let export = export.map_err(invalid)?;
                    surface.export(export.name.name, export.kind, &types);
                }
            }
            _ => {}
        }
    }
    Ok(surface)
}

/// A core module with its imports named.
fn core_module(wasm: &[u8]) -> Result<NotAComponent, NotAComponent> {
    let invalid = |error: wasmparser::BinaryReaderError| NotAComponent::Invalid(error.to_string());
    let mut imports = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::ImportSection(section) = payload.map_err(invalid)? {
            for import in section.into_imports() {
                let import = import.map_err(invalid)?;
                imports.push(format!("{} {}", import.module, import.name));
            }
        }
    }
    Ok(NotAComponent::CoreModule { imports })
}

fn invalid_magic() -> NotAComponent {
    NotAComponent::Invalid("it does not begin as WebAssembly does".into())
}

impl Surface {
    fn import(&mut self, name: &str, types: &Types) {
        let kind = types.as_ref().component_item_for_import(name).map(|item| item.ty);
        match (kind, name.parse::<Interface>()) {
            (Some(ComponentEntityType::Instance(instance)), Ok(interface)) => {
                self.import_functions.insert(interface.clone(), functions(instance, types));
                self.imports.push(interface);
            }
            (Some(ComponentEntityType::Module(_) | ComponentEntityType::Component(_)), _) => {
                self.core_imports.push(name.to_owned());
            }
            // A type alone is nothing that has to be served.
            (Some(ComponentEntityType::Type { .. }), _) => {}
            _ => self.other_imports.push(name.to_owned()),
        }
    }

    fn export(&mut self, name: &str, kind: ComponentExternalKind, types: &Types) {
        let item = types.as_ref().component_item_for_export(name).map(|item| item.ty);
        match (item, name.parse::<Interface>()) {
            (Some(ComponentEntityType::Instance(instance)), Ok(interface)) => {
                self.export_functions.insert(interface.clone(), functions(instance, types));
                self.exports.push(interface);
            }
            _ if kind == ComponentExternalKind::Type => {}
            _ => self.other_exports.push(name.to_owned()),
        }
    }
}

fn functions(instance: ComponentInstanceTypeId, types: &Types) -> Vec<String> {
    types
        .as_ref()
        .get(instance)
        .map(|instance| {
            let functions = instance.exports.iter();
            functions
                .filter(|(_, item)| matches!(item.ty, ComponentEntityType::Func(_)))
                .map(|(name, _)| name.clone())
                .collect()
        })
        .unwrap_or_default()
}
