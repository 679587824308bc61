//! Which resource of a component is whose. Read from the component's types when an actor is linked: a handle may cross
//! a link only from the interface that declares its resource to whoever imports that interface.

use std::sync::Arc;

use mesh_lattice::Interface;
use wasmtime::{
    Engine,
    component::{
        ResourceType,
        types::{ComponentInstance, ComponentItem},
    },
};

/// Whose a resource is.
#[derive(Debug, Clone)]
pub(crate) enum Owner {
    /// The host's own.
    Host,
    /// Of what the component imports along a link.
    Imported(Arc<Imported>),
    /// Of the component.
    Exported,
}

/// A resource that a component imports along a link.
#[derive(Debug)]
pub(crate) struct Imported {
    pub(crate) interface: Interface,
    /// As its interface calls it.
    pub(crate) name: String,
    /// What the engine knows it by.
    pub(crate) number: u32,
}

impl Imported {
    /// One of an interface that an adapter serves: the engine knows it by a type of the adapter's.
    pub(crate) fn adapted(interface: Interface, name: &str) -> Self {
        Self { interface, name: name.to_owned(), number: u32::MAX }
    }
}

/// The resources of one component.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    known: Vec<(ResourceType, Owner)>,
    imported: u32,
}

impl Resources {
    pub(crate) fn owner(&self, resource: ResourceType) -> Option<&Owner> {
        self.known.iter().find(|(known, _)| *known == resource).map(|(_, owner)| owner)
    }

    /// Those that an interface of the host declares.
    pub(crate) fn add_host(&mut self, engine: &Engine, instance: &ComponentInstance) {
        self.add(engine, instance, |_, _| Owner::Host);
    }

    /// Those that an exported interface declares.
    pub(crate) fn add_exported(&mut self, engine: &Engine, instance: &ComponentInstance) {
        self.add(engine, instance, |_, _| Owner::Exported);
    }

    /// Those that an interface declares which is called along a link.
    pub(crate) fn add_imported(
        &mut self,
        engine: &Engine,
        interface: &Interface,
        instance: &ComponentInstance,
    ) -> Vec<Arc<Imported>> {
        let mut found = Vec::new();
        self.add(engine, instance, |name, number| {
            let imported = Arc::new(Imported { interface: interface.clone(), name: name.to_owned(), number });
            found.push(Arc::clone(&imported));
            Owner::Imported(imported)
        });
        found
    }

    /// A resource that was known before is used by this interface, not declared.
    fn add(&mut self, engine: &Engine, instance: &ComponentInstance, mut owner: impl FnMut(&str, u32) -> Owner) {
        for (name, item) in instance.exports(engine) {
            if let ComponentItem::Resource(resource) = item.ty
                && self.owner(resource).is_none()
            {
                self.known.push((resource, owner(name, self.imported)));
                self.imported = self.imported.saturating_add(1);
            }
        }
    }
}
