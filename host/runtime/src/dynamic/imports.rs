//! What a component imports and no adapter knows, as host functions that are calls along a link.

use std::sync::Arc;

use bytes::Bytes;
use mesh_lattice::{
    Answer, CallError, Code, Interface, LinkName, Params,
    value::{Type, Value, encode},
};
use wasmtime::{
    Engine,
    component::{
        Linker, LinkerInstance, ResourceType,
        types::{ComponentFunc, ComponentInstance, ComponentItem},
    },
};

use super::{
    codec, interface_of,
    resources::{self, Resources},
    root,
    signature::{Room, Side, Signature},
};
use crate::{
    outbound::{Along, Outbound},
    state::State,
};

/// One imported function.
pub(crate) struct Import {
    interface: Interface,
    operation: Arc<str>,
    pub(crate) signature: Signature,
    failure: Failure,
}

/// What a guest sees of a call that has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// It ends.
    Trap,
    /// The sentence, as the function's error.
    Text,
    /// The sentence, as the function's error `other`.
    Other,
}

/// A guest's call has no answer, and its function no way to say so.
#[derive(Debug, thiserror::Error)]
#[error("its call of {path} failed: {error}")]
pub(crate) struct CallFailed {
    path: String,
    error: CallError,
}

/// An imported interface, or one imported function of the root.
pub(crate) struct Imported {
    /// As the component spells it; none for a function of the root.
    instance: Option<String>,
    interface: Interface,
    functions: Vec<Arc<Import>>,
    resources: Vec<Arc<resources::Imported>>,
}

impl Imported {
    /// The import `name` with its functions; each that cannot cross goes to `unservable`.
    pub(crate) fn instance(
        (engine, name): (&Engine, &str),
        instance: &ComponentInstance,
        resources: &mut Resources,
        room: &mut Room,
        unservable: &mut Vec<String>,
    ) -> Option<Self> {
        let Ok(interface) = interface_of(name) else {
            unservable.push(format!("{name}: not the name of an interface"));
            return None;
        };
        let declared = resources.add_imported(engine, &interface, instance);
        let mut functions = Vec::new();
        for (function, item) in instance.exports(engine) {
            match item.ty {
                ComponentItem::ComponentFunc(ty) => {
                    functions.extend(Import::of(&interface, function, &ty, resources, room, unservable));
                }
                ComponentItem::Type(_) | ComponentItem::Resource(_) => {}
                _ => unservable.push(format!("{name}#{function}: neither a function nor a type")),
            }
        }
        Some(Self { instance: Some(name.to_owned()), interface, functions, resources: declared })
    }

    /// The function `name` of the root.
    pub(crate) fn function(
        name: &str,
        ty: &ComponentFunc,
        resources: &Resources,
        room: &mut Room,
        unservable: &mut Vec<String>,
    ) -> Option<Self> {
        let interface = root().ok()?;
        let function = Import::of(&interface, name, ty, resources, room, unservable)?;
        Some(Self { instance: None, interface, functions: vec![function], resources: Vec::new() })
    }

    /// What a link has to serve; an interface of types alone is never called.
    pub(crate) fn needs(&self) -> Option<&Interface> {
        (!self.functions.is_empty()).then_some(&self.interface)
    }

    /// Puts its functions where the component looks for them.
    pub(crate) fn define(&self, linker: &mut Linker<State>) -> wasmtime::Result<()> {
        let mut place = match &self.instance {
            Some(name) => linker.instance(name)?,
            None => linker.root(),
        };
        for resource in &self.resources {
            define_resource(&mut place, resource)?;
        }
        for function in &self.functions {
            codec::define(&mut place, &function.operation, Arc::clone(function))?;
        }
        Ok(())
    }
}

/// A resource whose handles are bytes that their server minted; who lets go of one tells the server.
fn define_resource(
    linker: &mut LinkerInstance<'_, State>,
    resource: &Arc<resources::Imported>,
) -> wasmtime::Result<()> {
    let ty = ResourceType::host_dynamic(resource.number);
    linker.resource_async(&resource.name, ty, |mut store, number| {
        Box::new(async move {
            let state = store.data_mut();
            let handle = state.remote.take(number)?;
            let outbound = state.outbound.clone();
            super::remote::let_go(&outbound, handle).await;
            Ok(())
        })
    })
}

impl Import {
    fn of(
        interface: &Interface,
        name: &str,
        ty: &ComponentFunc,
        resources: &Resources,
        room: &mut Room,
        unservable: &mut Vec<String>,
    ) -> Option<Arc<Self>> {
        match Signature::of(ty, Side::Import, resources, room) {
            Ok(signature) => {
                let failure = Failure::of(signature.result.as_ref());
                let operation = name.into();
                Some(Arc::new(Self { interface: interface.clone(), operation, signature, failure }))
            }
            Err(reason) => {
                unservable.push(format!("{interface}#{name}: {reason}"));
                None
            }
        }
    }

    /// The link that the guest chose for it.
    pub(crate) fn link(&self, outbound: &Outbound) -> LinkName {
        outbound.link(&self.interface)
    }

    /// Calls along the guest's link, or that of the handles among the parameters; the result as bytes.
    pub(crate) async fn call(&self, outbound: &Outbound, params: Bytes, along: Along) -> Result<Bytes, CallError> {
        let operation = Arc::clone(&self.operation);
        let reply = outbound.call_along(&self.interface, operation, Params::Wire(params), along).await?;
        match reply.answer {
            Answer::Wire(result) => Ok(result),
            Answer::Http(_) => Err(CallError::new(Code::BadParams, "the answer is HTTP where a value was asked for")),
        }
    }

    /// A call without an answer as the function's own error, where it can say so.
    pub(crate) fn failed(&self, error: CallError) -> wasmtime::Result<Bytes> {
        let text = Box::new(Value::String(error.to_string()));
        let value = match self.failure {
            Failure::Trap => {
                let path = format!("{}#{}", self.interface, self.operation);
                return Err(CallFailed { path, error }.into());
            }
            Failure::Text => text,
            Failure::Other => Box::new(Value::Variant(OTHER.into(), Some(text))),
        };
        let mut out = Vec::with_capacity(128);
        if let Some(ty) = &self.signature.result {
            encode(ty, &Value::Result(Err(Some(value))), &mut out)?;
        }
        Ok(out.into())
    }
}

/// What interfaces call the error that they do not foresee.
const OTHER: &str = "other";

impl Failure {
    fn of(result: Option<&Type>) -> Self {
        let Some(Type::Result { err: Some(err), .. }) = result else { return Self::Trap };
        match &**err {
            Type::String => Self::Text,
            Type::Variant(cases) if cases.iter().any(|(name, ty)| name == OTHER && *ty == Some(Type::String)) => {
                Self::Other
            }
            _ => Self::Trap,
        }
    }
}
