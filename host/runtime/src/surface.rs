//! What a component imports and exports, sorted by who can serve it.

use mesh_claims::surface::{HOST_INTERFACES, Server, WASI_RELEASES, server_of};
use mesh_lattice::{Interface, wit};
use wasmtime::{
    Engine,
    component::{
        Component,
        types::{ComponentInstance, ComponentItem},
    },
};

use crate::{
    dynamic::{exports::Exports, imports::Imported, resources::Resources, signature::Room},
    imports::keyvalue::many::{BATCH, is_newer},
};

/// Interfaces that a typed adapter turns into calls along a link.
const ADAPTED: [&str; 9] = [
    "wasi:keyvalue/store@0.2.0-draft",
    "wasi:keyvalue/atomics@0.2.0-draft",
    "wasi:keyvalue/batch@0.2.0-draft",
    "wasi:keyvalue/store@0.2.0-draft2",
    "wasi:keyvalue/atomics@0.2.0-draft2",
    "wasi:keyvalue/batch@0.2.0-draft2",
    wit::messaging::CONSUMER,
    wit::messaging::PRODUCER,
    wit::messaging::REQUEST_REPLY,
];

/// A component's imports and exports.
#[derive(Default)]
pub(crate) struct Surface {
    /// Imported interfaces with functions that a link has to serve.
    pub(crate) imports: Vec<Interface>,
    /// Of these, the ones that no adapter knows.
    pub(crate) dynamic: Vec<Imported>,
    /// What can be called on it.
    pub(crate) exports: Exports,
    /// Imports that no host can serve, each with the reason where the name does not say it.
    pub(crate) unservable: Vec<String>,
    /// Whether it reads many values of a bucket in the newer spelling.
    pub(crate) newer_get_many: bool,
}

enum Who {
    Host,
    Link,
    Nobody,
    Unknown,
}

fn who_serves(name: &str) -> Who {
    let Ok(interface) = name.parse::<Interface>() else { return Who::Unknown };
    if WASI_RELEASES.contains(&interface.package()) {
        return match server_of(&interface) {
            Server::Host => Who::Host,
            Server::Link => Who::Link,
            Server::Nobody => Who::Nobody,
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
        let (mut resources, mut room) = (Resources::default(), Room::new());
        for (name, import) in component.component_type().imports(engine) {
            match import.ty {
                ComponentItem::ComponentInstance(instance) => {
                    surface.add_import((engine, name), &instance, &mut resources, &mut room);
                }
                ComponentItem::ComponentFunc(ty) => {
                    let function = Imported::function(name, &ty, &resources, &mut room, &mut surface.unservable);
                    surface.add_dynamic(function);
                }
                ComponentItem::Type(_) | ComponentItem::Resource(_) => {}
                ComponentItem::CoreFunc(_) | ComponentItem::Module(_) | ComponentItem::Component(_) => {
                    surface.unservable.push(name.to_owned());
                }
            }
        }
        surface.exports = Exports::of(engine, component, &mut resources);
        surface
    }

    fn add_import(
        &mut self,
        (engine, name): (&Engine, &str),
        instance: &ComponentInstance,
        resources: &mut Resources,
        room: &mut Room,
    ) {
        let who = who_serves(name);
        if let Who::Unknown = who {
            let imported = Imported::instance((engine, name), instance, resources, room, &mut self.unservable);
            return self.add_dynamic(imported);
        }
        resources.add_host(engine, instance);
        self.newer_get_many |= name == BATCH && is_newer(engine, instance);
        match who {
            Who::Nobody => self.unservable.push(name.to_owned()),
            // An interface of types alone is never called.
            Who::Link if instance.exports(engine).any(|(_, item)| is_function(&item.ty)) => {
                self.imports.extend(name.parse::<Interface>());
            }
            _ => {}
        }
    }

    fn add_dynamic(&mut self, imported: Option<Imported>) {
        let Some(imported) = imported else { return };
        if let Some(interface) = imported.needs()
            && !self.imports.contains(interface)
        {
            self.imports.push(interface.clone());
        }
        self.dynamic.push(imported);
    }
}

fn is_function(item: &ComponentItem) -> bool {
    matches!(item, ComponentItem::ComponentFunc(_))
}
