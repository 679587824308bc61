//! What a component imports and exports, sorted by who can serve it.

use mesh_claims::surface::{HOST_INTERFACES, WASI_RELEASES};
use mesh_lattice::Interface;
use wasmtime::{
    Engine,
    component::{
        Component,
        types::{ComponentInstance, ComponentItem},
    },
};

/// Interfaces that a typed adapter turns into calls along a link.
const ADAPTED: [&str; 3] =
    ["wasi:keyvalue/store@0.2.0-draft", "wasi:keyvalue/atomics@0.2.0-draft", "wasi:keyvalue/batch@0.2.0-draft"];

/// The package of calls to the outside: of `wasi:http`, the one interface that needs a link.
const OUTGOING: &str = "wasi:http/outgoing-handler";

/// A component's imports and exports.
#[derive(Debug, Default)]
pub(crate) struct Surface {
    /// Imported interfaces with functions that a link has to serve.
    pub(crate) imports: Vec<Interface>,
    /// Exported interfaces.
    pub(crate) exports: Vec<Interface>,
    /// Imports for which the host has no functions yet: instances, or functions of the root.
    pub(crate) without_adapter: Vec<String>,
    /// Imports that no host can serve.
    pub(crate) unservable: Vec<String>,
}

enum Who {
    Host,
    Link,
    Nobody,
    Unknown,
}

fn who_serves(name: &str) -> Who {
    let (path, version) = match name.split_once('@') {
        Some((path, version)) => (path, Some(version)),
        None => (name, None),
    };
    let package = path.split('/').next().unwrap_or(path);
    if WASI_RELEASES.contains(&package) {
        return match version.and_then(|version| version.strip_prefix("0.2.")) {
            Some(patch) if !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit()) => {
                if path == OUTGOING {
                    Who::Link
                } else {
                    Who::Host
                }
            }
            _ => Who::Nobody,
        };
    }
    if HOST_INTERFACES.contains(&name) {
        Who::Host
    } else if ADAPTED.contains(&name) {
        Who::Link
    } else {
        Who::Unknown
    }
}

impl Surface {
    pub(crate) fn of(engine: &Engine, component: &Component) -> Self {
        let mut surface = Self::default();
        let ty = component.component_type();
        for (name, import) in ty.imports(engine) {
            match import.ty {
                ComponentItem::ComponentInstance(instance) => surface.add_import(engine, name, &instance),
                ComponentItem::ComponentFunc(_) => surface.without_adapter.push(name.to_owned()),
                ComponentItem::Type(_) | ComponentItem::Resource(_) => {}
                ComponentItem::CoreFunc(_) | ComponentItem::Module(_) | ComponentItem::Component(_) => {
                    surface.unservable.push(name.to_owned());
                }
            }
        }
        for (name, export) in ty.exports(engine) {
            if matches!(export.ty, ComponentItem::ComponentInstance(_)) {
                surface.exports.extend(name.parse::<Interface>());
            }
        }
        surface
    }

    fn add_import(&mut self, engine: &Engine, name: &str, instance: &ComponentInstance) {
        let who = who_serves(name);
        match who {
            Who::Host => return,
            Who::Nobody => return self.unservable.push(name.to_owned()),
            Who::Unknown => self.without_adapter.push(name.to_owned()),
            Who::Link => {}
        }
        if instance.exports(engine).any(|(_, item)| is_core(&item.ty)) {
            self.unservable.push(name.to_owned());
        }
        // An interface of types alone is never called.
        let is_called = instance.exports(engine).any(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)));
        if is_called {
            self.imports.extend(name.parse::<Interface>());
        }
    }
}

fn is_core(item: &ComponentItem) -> bool {
    matches!(item, ComponentItem::CoreFunc(_) | ComponentItem::Module(_) | ComponentItem::Component(_))
}
