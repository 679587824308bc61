//! The two spellings of `get-many`. Under one version, `@0.2.0-draft2`, some guests are told each value with its key, or
//! nothing in its place; others each key, and its value where there is one. A guest's own type says which it is, and
//! whoever serves may answer in either.

use std::collections::HashMap;

use serde_bytes::ByteBuf;
use wasmtime::{
    Engine, StoreContextMut,
    component::{
        Linker, Resource,
        types::{ComponentInstance, ComponentItem, Type},
    },
};

use super::{opened::Bucket, second};
use crate::state::State;

/// The interface with two spellings.
pub(crate) const BATCH: &str = "wasi:keyvalue/batch@0.2.0-draft2";
const GET_MANY: &str = "get-many";

/// What is answered, in either spelling.
pub(super) type Values = Vec<Option<(String, Option<ByteBuf>)>>;

/// The values in the older spelling.
pub(super) fn older(values: Values) -> Vec<Option<(String, Vec<u8>)>> {
    let pair = |(key, value): (String, Option<ByteBuf>)| Some((key, value?.into_vec()));
    values.into_iter().map(|value| value.and_then(pair)).collect()
}

/// Whether a component imports [`BATCH`] in the newer spelling.
pub(crate) fn is_newer(engine: &Engine, instance: &ComponentInstance) -> bool {
    let function = instance.exports(engine).find(|(name, _)| *name == GET_MANY);
    let Some(ComponentItem::ComponentFunc(function)) = function.map(|(_, item)| item.ty) else { return false };
    let item = match function.results().next() {
        Some(Type::Result(result)) => match result.ok() {
            Some(Type::List(list)) => list.ty(),
            _ => return false,
        },
        _ => return false,
    };
    matches!(item, Type::Tuple(_))
}

/// Has `get-many` answer in the newer spelling.
pub(crate) fn spell_newer(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    linker.instance(BATCH)?.func_wrap_async(
        GET_MANY,
        |mut store: StoreContextMut<'_, State>, (bucket, keys): (Resource<Bucket>, Vec<String>)| {
            Box::new(async move {
                let values = second::batch::Host::get_many(store.data_mut(), bucket, keys.clone()).await?;
                Ok((values.map(|values| newer(keys, values)),))
            })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

fn newer(keys: Vec<String>, values: Vec<Option<(String, Vec<u8>)>>) -> Vec<(String, Option<Vec<u8>>)> {
    let found: HashMap<_, _> = values.into_iter().flatten().collect();
    keys.into_iter().map(|key| (found.get(&key).cloned(), key)).map(|(value, key)| (key, value)).collect()
}
