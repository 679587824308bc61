//! Parameters and results between a guest and bytes. Everything above it knows bytes only, and everything below it is
//! the engine's: whoever makes this faster changes nothing else.
//!
//! The bytes are those of [`mesh_lattice::value`]. A function whose type has a plan has them moved [`straight`] between
//! them and the guest's memory. The others, with resources above all, go through the engine's own kind of value, one for
//! each byte of a `list<u8>`. What a call may take is bounded by what the engine allows a guest to hand over at once, in
//! both directions, and more is `too_large`.
//!
//! Whether a function is asynchronous is between a guest and its own host: on the wire, and to the other side, a call is
//! a call.

mod handles;
mod straight;
mod val;

use std::sync::Arc;

use bytes::Bytes;
use mesh_lattice::{
    CallError, Code, LinkName,
    value::{DecodeError, EncodeError, Type, decode_into, encode_from, encode_tuple_from},
};
use wasmtime::{
    AsContextMut, StoreContextMut,
    component::{Func, LinkerInstance, ResourceAny, Val, types::ComponentFunc},
};

use super::{imports::Import, mint::Refused, signature::Signature};
use crate::{limits::HOSTCALL_FUEL, outbound::Outbound, state::State};
use val::{Looking, Making};

/// Parameters of one call, read and found to be of the function's types.
pub(crate) enum Params {
    /// For a function with a plan: as they came.
    Bytes(Bytes),
    /// With the handles among them.
    Values(Vec<Val>, Vec<Bytes>),
}

impl Params {
    /// The handles among them.
    pub(crate) fn handles(&self) -> &[Bytes] {
        match self {
            Self::Bytes(_) => &[],
            Self::Values(_, handles) => handles,
        }
    }
}

/// What the handles of a call on an instance stand for there.
pub(crate) struct Own<'a> {
    /// Those in the parameters, in their order, each with its number.
    pub(crate) given: &'a [(u64, ResourceAny)],
    /// Called with the number of each that the guest owns from now on.
    pub(crate) taken: &'a mut (dyn FnMut(u64) + Send),
    /// A handle of what the guest gives away.
    pub(crate) mint: &'a mut (dyn FnMut(ResourceAny) -> Result<Bytes, Refused> + Send),
}

/// The call was refused before the guest ran: it is as it was.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotEntered(pub(crate) CallError);

/// Nothing.
pub(crate) const NIL: Bytes = Bytes::from_static(&[0xc0]);

/// Reads the parameters of a function before anything is done for the call.
pub(crate) fn read(signature: &Signature, bytes: &Bytes) -> Result<Params, CallError> {
    if signature.plan.is_some() {
        straight::check("the parameters", &signature.params, bytes)?;
        return Ok(Params::Bytes(bytes.clone()));
    }
    let mut making = Making::default();
    match decode(&mut making, &signature.params, bytes).map_err(|error| refused("the parameters", &error))? {
        Val::Tuple(values) => Ok(Params::Values(values, making.handles)),
        _ => Err(CallError::new(Code::Internal, "parameters are no tuple")),
    }
}

/// Calls a guest's function. An error of [`NotEntered`] leaves the guest as it was.
pub(crate) async fn call(
    mut store: impl AsContextMut<Data = State>,
    function: &Func,
    signature: &Signature,
    params: Params,
    own: Own<'_>,
) -> wasmtime::Result<Bytes> {
    let mut values = match params {
        Params::Bytes(params) => return straight::call(store, function, params).await,
        Params::Values(values, _) => values,
    };
    if !own.given.is_empty() {
        let ty = function.ty(&store);
        let types = ty.params().map(|(_, ty)| ty);
        let taken = handles::enter(types, &mut values, own.given).map_err(NotEntered)?;
        taken.into_iter().for_each(own.taken);
    }
    let mut results = vec![Val::Bool(false); usize::from(signature.result.is_some())];
    function.call_async(&mut store, &values, &mut results).await?;
    // What the guest was given is no longer needed, and may be large.
    drop(values);
    let (Some(ty), Some(result)) = (&signature.result, results.first()) else { return Ok(NIL) };
    let minted = if signature.carries { handles::leave(result, own.mint)? } else { Vec::new() };
    let mut out = Vec::with_capacity(128);
    encode_from(&Looking { handles: &minted }, ty, result, &mut out)
        .map_err(|error| too_large("the result", &error))?;
    Ok(out.into())
}

/// Puts a host function in the place of a guest's import, which is a call of `import`.
pub(crate) fn define(linker: &mut LinkerInstance<'_, State>, name: &str, import: Arc<Import>) -> wasmtime::Result<()> {
    if let Some(plan) = import.signature.plan {
        return straight::define(linker, name, plan, import);
    }
    if import.signature.is_async {
        return linker.func_new_concurrent(name, move |guest, ty, params, results| {
            let import = Arc::clone(&import);
            Box::pin(async move {
                let sent = guest.with(|mut store| Sent::of(&mut store.as_context_mut(), &import, params))?;
                let answer = sent.call(&import).await;
                guest.with(|mut store| receive(&mut store.as_context_mut(), (&import, &ty), sent, answer, results))
            })
        });
    }
    linker.func_new_async(name, move |mut store, ty, params, results| {
        let import = Arc::clone(&import);
        Box::new(async move {
            let sent = Sent::of(&mut store, &import, params)?;
            let answer = sent.call(&import).await;
            receive(&mut store, (&import, &ty), sent, answer, results)
        })
    })
}

/// A call of an import on its way, with nothing of the guest in it: it need not wait for the answer.
struct Sent {
    given: handles::Given,
    /// The link that it goes along, and that handles in its answer go back along.
    link: LinkName,
    outbound: Outbound,
    params: Result<Bytes, CallError>,
}

impl Sent {
    fn of(store: &mut StoreContextMut<'_, State>, import: &Import, params: &[Val]) -> wasmtime::Result<Self> {
        let given = handles::give(store, params)?;
        let params = write_params(&import.signature, &given, params);
        let outbound = store.data().outbound.clone();
        let link = given.link().unwrap_or_else(|| import.link(&outbound));
        Ok(Self { given, link, outbound, params })
    }

    async fn call(&self, import: &Import) -> Result<Bytes, CallError> {
        let along = self.given.along(self.outbound.shared.engine.mint());
        import.call(&self.outbound, self.params.clone()?, along).await
    }
}

/// Gives a guest the answer. What goes wrong with a call, before or after the other side has it, is a call that failed.
fn receive(
    store: &mut StoreContextMut<'_, State>,
    (import, ty): (&Import, &ComponentFunc),
    Sent { given, link, .. }: Sent,
    answer: Result<Bytes, CallError>,
    results: &mut [Val],
) -> wasmtime::Result<()> {
    if answer.is_err() {
        // Nobody took what the guest gave away.
        given.let_go(store);
    }
    let mut making = Making::default();
    let answer = answer.and_then(|reply| read_result(&import.signature, &mut making, &reply));
    let value = match (answer, &import.signature.result) {
        (Ok(value), _) => value,
        (Err(error), Some(ty)) => {
            making = Making::default();
            Some(decode(&mut making, ty, &import.failed(error)?)?)
        }
        (Err(error), None) => {
            import.failed(error)?;
            None
        }
    };
    if let (Some(mut value), Some(result), Some(ty)) = (value, results.first_mut(), ty.results().next()) {
        handles::receive(store, &import.signature, (&making.handles, &link), &ty, &mut value)?;
        *result = value;
    }
    Ok(())
}

fn write_params(signature: &Signature, given: &handles::Given, params: &[Val]) -> Result<Bytes, CallError> {
    let mut out = Vec::with_capacity(128);
    let looking = Looking { handles: given.handles() };
    encode_tuple_from(&looking, signature.each_param(), params, &mut out)
        .map_err(|error| too_large("the parameters", &error))?;
    Ok(out.into())
}

fn read_result(signature: &Signature, making: &mut Making, reply: &Bytes) -> Result<Option<Val>, CallError> {
    match &signature.result {
        Some(ty) => decode(making, ty, reply).map(Some).map_err(|error| refused("the answer", &error)),
        None if *reply == NIL => Ok(None),
        None => Err(unexpected()),
    }
}

fn unexpected() -> CallError {
    CallError::new(Code::BadParams, "the answer: a value where there should be none")
}

fn decode(making: &mut Making, ty: &Type, bytes: &[u8]) -> Result<Val, DecodeError> {
    decode_into(making, ty, bytes, HOSTCALL_FUEL)
}

fn refused(what: &str, error: &DecodeError) -> CallError {
    let code = if *error == DecodeError::TooMany { Code::TooLarge } else { Code::BadParams };
    CallError::new(code, format!("{what}: {error}"))
}

/// What the engine made is of the function's type, so that it can only be too much.
fn too_large(what: &str, error: &EncodeError) -> CallError {
    CallError::new(Code::TooLarge, format!("{what}: {error}"))
}
