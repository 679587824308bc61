//! What a component exports, found by interface and operation. Made once, when an actor is linked.

use std::{collections::HashMap, sync::Arc};

use mesh_lattice::{CallError, Code, Interface};
use wasmtime::{
    Engine,
    component::{
        Component, ComponentExportIndex,
        types::{ComponentFunc, ComponentItem},
    },
};

use super::{
    interface_of,
    resources::Resources,
    root,
    signature::{Room, Side, Signature, Unservable},
};

/// What the operation is called that lets go of a resource, before the name of the resource.
pub(crate) const DROP: &str = "[resource-drop]";

/// The functions of an actor that can be called.
#[derive(Default)]
pub(crate) struct Exports(Vec<Exported>);

struct Exported {
    interface: Interface,
    functions: HashMap<Box<str>, Arc<Function>>,
    /// The names of the resources that it declares, or uses.
    resources: Vec<Box<str>>,
}

/// One exported function.
pub(crate) struct Function {
    pub(crate) index: ComponentExportIndex,
    signature: Result<Signature, Unservable>,
}

impl Function {
    fn new(index: ComponentExportIndex, ty: &ComponentFunc, resources: &Resources, room: &mut Room) -> Arc<Self> {
        Arc::new(Self { index, signature: Signature::of(ty, Side::Export, resources, room) })
    }

    /// Its parameters and its result, where they can cross.
    pub(crate) fn signature(&self) -> Result<&Signature, CallError> {
        self.signature.as_ref().map_err(|reason| CallError::new(Code::Unsupported, reason.to_string()))
    }
}

impl Exports {
    pub(crate) fn of(engine: &Engine, component: &Component, resources: &mut Resources) -> Self {
        let mut exports = Self::default();
        let mut room = Room::new();
        for (name, item) in component.component_type().exports(engine) {
            let Some(index) = component.get_export_index(None, name) else { continue };
            match item.ty {
                ComponentItem::ComponentInstance(instance) => {
                    let Ok(interface) = interface_of(name) else { continue };
                    resources.add_exported(engine, &instance);
                    let functions = instance.exports(engine).filter_map(|(name, item)| match item.ty {
                        ComponentItem::ComponentFunc(ty) => Some((name, ty)),
                        _ => None,
                    });
                    let functions = functions.filter_map(|(name, ty)| {
                        let index = component.get_export_index(Some(&index), name)?;
                        Some((name.into(), Function::new(index, &ty, resources, &mut room)))
                    });
                    let functions = functions.collect();
                    let resources = instance.exports(engine).filter_map(|(name, item)| match item.ty {
                        ComponentItem::Resource(_) => Some(name.into()),
                        _ => None,
                    });
                    let resources = resources.collect();
                    exports.0.push(Exported { interface, functions, resources });
                }
                ComponentItem::ComponentFunc(ty) => {
                    let Ok(interface) = root() else { continue };
                    exports.add_root(interface, name, Function::new(index, &ty, resources, &mut room));
                }
                _ => {}
            }
        }
        exports
    }

    fn add_root(&mut self, interface: Interface, name: &str, function: Arc<Function>) {
        match self.0.iter_mut().find(|exported| exported.interface == interface) {
            Some(root) => drop(root.functions.insert(name.into(), function)),
            None => {
                let functions = HashMap::from([(name.into(), function)]);
                self.0.push(Exported { interface, functions, resources: Vec::new() });
            }
        }
    }

    /// The interfaces, in the component's order.
    pub(crate) fn interfaces(&self) -> impl Iterator<Item = &Interface> {
        self.0.iter().map(|exported| &exported.interface)
    }

    /// Whether letting go of a handle is what this operation is.
    pub(crate) fn is_drop(&self, interface: &Interface, operation: &str) -> bool {
        let Some(resource) = operation.strip_prefix(DROP) else { return false };
        let mut fitting = self.0.iter().filter(|exported| exported.interface.fits(interface));
        fitting.any(|exported| exported.resources.iter().any(|known| **known == *resource))
    }

    /// The function that a caller means: of the interface that it names, or else of one that fits it.
    pub(crate) fn find(&self, interface: &Interface, operation: &str) -> Result<&Arc<Function>, CallError> {
        let same = self.0.iter().filter(|exported| exported.interface == *interface);
        let fitting = self.0.iter().filter(|exported| exported.interface.fits(interface));
        let found = same.chain(fitting).find_map(|exported| exported.functions.get(operation));
        found.ok_or_else(|| CallError::new(Code::UnknownOperation, format!("the actor has no {interface}#{operation}")))
    }
}
