//! Handles in parameters and results: a resource to the engine, bytes to everybody else.

use std::sync::Arc;

use bytes::Bytes;
use mesh_lattice::{CallError, Code, LinkName};
use wasmtime::{
    StoreContextMut,
    component::{ResourceAny, ResourceDynamic, ResourceType, Val, types::Type},
};

use super::{
    super::{
        mint::{Mint, Refused},
        remote::{Handle, HandleError},
        resources::Imported,
        signature::Signature,
    },
    val::handle_number,
};
use crate::{outbound::Along, state::State};

/// Handles that one call may carry: they are looked for one by one.
const MAX_CARRIED: usize = 256;

/// The handles in the parameters of a guest's call.
#[derive(Default)]
pub(super) struct Given {
    handles: Vec<(ResourceAny, Bytes)>,
    /// Those that are no longer the guest's.
    owned: Vec<Handle>,
    link: Option<LinkName>,
}

impl Given {
    /// Where the call has to be made.
    pub(super) fn along(&self, mint: &Mint) -> Along {
        let pin = self.handles.iter().find_map(|(_, handle)| mint.pin(handle));
        Along { link: self.link.clone(), pin }
    }

    /// The link that they came along: of the first one, where they differ.
    pub(super) fn link(&self) -> Option<LinkName> {
        self.link.clone()
    }

    pub(super) fn handles(&self) -> &[(ResourceAny, Bytes)] {
        &self.handles
    }

    /// The call did not arrive, or nobody knows: what the guest gave with it is let go of with what else it leaves.
    pub(super) fn let_go(self, store: &mut StoreContextMut<'_, State>) {
        self.owned.into_iter().for_each(|handle| store.data_mut().remote.leave(handle));
    }
}

/// What a guest passes on: the bytes of each handle. What it owned it no longer holds.
pub(super) fn give(store: &mut StoreContextMut<'_, State>, params: &[Val]) -> wasmtime::Result<Given> {
    let mut found = Vec::new();
    params.iter().for_each(|value| collect(value, &mut found));
    let mut given = Given::default();
    if found.len() > MAX_CARRIED {
        return Err(HandleError::TooManyCarried.into());
    }
    for resource in found {
        let dynamic = resource.try_into_resource_dynamic(&mut *store)?;
        let remote = &mut store.data_mut().remote;
        let handle = remote.get(dynamic.rep())?;
        given.link.get_or_insert_with(|| handle.link.clone());
        given.handles.push((resource, handle.bytes.clone()));
        if dynamic.owned() {
            given.owned.push(remote.take(dynamic.rep())?);
        }
    }
    Ok(given)
}

fn collect(value: &Val, found: &mut Vec<ResourceAny>) {
    match value {
        Val::Resource(resource) => found.push(*resource),
        Val::List(values) | Val::Tuple(values) => values.iter().for_each(|value| collect(value, found)),
        Val::Record(fields) => fields.iter().for_each(|(_, value)| collect(value, found)),
        Val::Variant(_, Some(value)) | Val::Option(Some(value)) => collect(value, found),
        Val::Result(Ok(Some(value)) | Err(Some(value))) => collect(value, found),
        _ => {}
    }
}

/// Gives a guest the resources whose handles came with an answer: from now on it holds them.
pub(super) fn receive(
    store: &mut StoreContextMut<'_, State>,
    signature: &Signature,
    (handles, link): (&[Bytes], &LinkName),
    ty: &Type,
    value: &mut Val,
) -> wasmtime::Result<()> {
    if handles.is_empty() {
        return Ok(());
    }
    if handles.len() > MAX_CARRIED {
        return Err(HandleError::TooManyCarried.into());
    }
    place(ty, value, &mut |resource, _, number| {
        let known = |known: &&Arc<Imported>| ResourceType::host_dynamic(known.number) == resource;
        let imported = signature.resources.iter().find(known).ok_or(HandleError::Foreign)?;
        let bytes = handles.get(number).ok_or(HandleError::Foreign)?.clone();
        let handle = Handle { bytes, resource: Arc::clone(imported), link: link.clone() };
        let held = store.data_mut().remote.keep(handle);
        ResourceDynamic::new_own(held, imported.number).try_into_resource_any(&mut *store)
    })?;
    Ok(store.data().remote.check()?)
}

/// Puts an instance's own resources where handles stood in the parameters of a call on it; the numbers of those that
/// are the guest's from now on.
pub(super) fn enter(
    types: impl Iterator<Item = Type>,
    values: &mut [Val],
    resources: &[(u64, ResourceAny)],
) -> Result<Vec<u64>, CallError> {
    let mut owned = Vec::new();
    let mut refused = None;
    let mut resource = |wanted: ResourceType, is_own: bool, at: usize| {
        let found = resources.get(at).filter(|(_, resource)| resource.ty() == wanted);
        let Some((number, resource)) = found else {
            refused = Some(Refused::OfAnotherResource);
            return Err(HandleError::Foreign.into());
        };
        if owned.contains(number) {
            refused = Some(Refused::Ended);
            return Err(HandleError::Foreign.into());
        }
        if is_own {
            owned.push(*number);
        }
        Ok(*resource)
    };
    let placed = types.zip(values).try_for_each(|(ty, value)| place(&ty, value, &mut resource));
    match (placed, refused) {
        (Ok(()), _) => Ok(owned),
        (Err(_), Some(refused)) => Err(refused.into()),
        (Err(error), None) => Err(CallError::new(Code::Internal, format!("{error:#}"))),
    }
}

/// The handles of what a guest gives away with an answer.
pub(super) fn leave(
    value: &Val,
    mint: &mut (dyn FnMut(ResourceAny) -> Result<Bytes, Refused> + Send),
) -> Result<Vec<(ResourceAny, Bytes)>, CallError> {
    let mut found = Vec::new();
    collect(value, &mut found);
    if found.len() > MAX_CARRIED {
        return Err(Refused::TooMany.into());
    }
    let handles = found.into_iter().map(|resource| Ok((resource, mint(resource)?)));
    handles.collect::<Result<_, Refused>>().map_err(CallError::from)
}

/// Puts resources where values stand for them.
pub(super) fn place(
    ty: &Type,
    value: &mut Val,
    resource: &mut impl FnMut(ResourceType, bool, usize) -> wasmtime::Result<ResourceAny>,
) -> wasmtime::Result<()> {
    match (ty, value) {
        (kind @ (Type::Own(ty) | Type::Borrow(ty)), value) => {
            let number = handle_number(value).ok_or(HandleError::Foreign)?;
            let is_own = matches!(kind, Type::Own(_));
            *value = Val::Resource(resource(*ty, is_own, number)?);
            Ok(())
        }
        (Type::List(list), Val::List(values)) => {
            let item = list.ty();
            values.iter_mut().try_for_each(|value| place(&item, value, resource))
        }
        (Type::Tuple(tuple), Val::Tuple(values)) => {
            tuple.types().zip(values).try_for_each(|(ty, value)| place(&ty, value, resource))
        }
        (Type::Record(record), Val::Record(values)) => {
            record.fields().zip(values).try_for_each(|(field, (_, value))| place(&field.ty, value, resource))
        }
        (Type::Variant(variant), Val::Variant(name, Some(value))) => {
            match variant.cases().find(|case| case.name == *name).and_then(|case| case.ty) {
                Some(ty) => place(&ty, value, resource),
                None => Ok(()),
            }
        }
        (Type::Option(option), Val::Option(Some(value))) => place(&option.ty(), value, resource),
        (Type::Result(result), Val::Result(Ok(Some(value)))) => {
            result.ok().map_or(Ok(()), |ty| place(&ty, value, resource))
        }
        (Type::Result(result), Val::Result(Err(Some(value)))) => {
            result.err().map_or(Ok(()), |ty| place(&ty, value, resource))
        }
        _ => Ok(()),
    }
}
