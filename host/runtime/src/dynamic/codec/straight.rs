//! Values that go straight between bytes and a guest's memory. What comes from elsewhere is looked through first, so that
//! what is wrong with it is said before a guest runs or where the guest can hear it, as for values of the engine's kind.

use std::sync::Arc;

use bytes::Bytes;
use mesh_lattice::{CallError, value, value::Type};
use mesh_transcode::{Export, LiftError, Plan};
use wasmtime::{
    AsContextMut,
    component::{Func, LinkerInstance},
};

use super::{NIL, refused, too_large};
use crate::{dynamic::imports::Import, limits::HOSTCALL_FUEL, outbound::Along, state::State};

/// Says whether `bytes` are a value of the type.
pub(super) fn check(what: &str, ty: &Type, bytes: &[u8]) -> Result<(), CallError> {
    value::check(ty, bytes, HOSTCALL_FUEL).map_err(|error| refused(what, &error))
}

/// Calls a guest's function, whose type has a plan.
pub(super) async fn call(
    mut store: impl AsContextMut<Data = State>,
    function: &Func,
    params: Bytes,
) -> wasmtime::Result<Bytes> {
    let export = Export::of(function, &store)?;
    let result = export.call(&mut store, params).await;
    result.map(Bytes::from).map_err(|error| match error.downcast_ref() {
        Some(LiftError::Unwritable(reason)) => too_large("the result", reason).into(),
        _ => error,
    })
}

/// Puts a host function in the place of a guest's import, which is a call of `import`.
pub(super) fn define(
    linker: &mut LinkerInstance<'_, State>,
    name: &str,
    plan: Plan,
    import: Arc<Import>,
) -> wasmtime::Result<()> {
    plan.define(linker, name, move |store, params| {
        let import = Arc::clone(&import);
        let outbound = store.data().outbound.clone();
        Box::new(async move {
            let answer = match params {
                Ok(params) => import.call(&outbound, params.into(), Along::default()).await,
                Err(reason) => Err(too_large("the parameters", &reason)),
            };
            let answer = answer.and_then(|reply| checked(import.signature.result.as_ref(), reply));
            answer.or_else(|error| import.failed(error))
        })
    })
}

fn checked(ty: Option<&Type>, reply: Bytes) -> Result<Bytes, CallError> {
    match ty {
        Some(ty) => check("the answer", ty, &reply)?,
        None if reply == NIL => {}
        None => return Err(super::unexpected()),
    }
    Ok(reply)
}
