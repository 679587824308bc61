//! The type of a function as its calls are written with, and why a function cannot be called from elsewhere.
//! Made once, when an actor is linked.

use std::sync::Arc;

use mesh_lattice::value::{MAX_DEPTH, Type};
use mesh_transcode::Plan;
use wasmtime::component::{
    ResourceType,
    types::{self, ComponentFunc},
};

use super::resources::{Imported, Owner, Resources};

/// What the types of one component may take in memory. A type that is named in many places is written out in each,
/// so that few bytes can say a type of any size.
const ROOM: usize = 8 << 20;

/// Parameters and result of a function.
#[derive(Debug)]
pub(crate) struct Signature {
    /// A tuple.
    pub(crate) params: Type,
    pub(crate) result: Option<Type>,
    /// How its values are moved without the engine's own kind of value, where they can be.
    pub(crate) plan: Option<Plan>,
    /// Whether a guest may go on while it is out.
    pub(crate) is_async: bool,
    /// The resources elsewhere whose handles are among them.
    pub(crate) resources: Vec<Arc<Imported>>,
    /// Whether any handle is.
    pub(crate) carries: bool,
}

/// Which way a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Import,
    Export,
}

/// Why a function cannot be called from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unservable {
    #[error("a {0} cannot cross a link")]
    Type(&'static str),
    #[error("its types nest deeper than {MAX_DEPTH}")]
    TooDeep,
    #[error("the types of the component are too large")]
    TooLarge,
}

/// What the types of one component may still take.
pub(crate) struct Room(usize);

impl Room {
    pub(crate) fn new() -> Self {
        Self(ROOM)
    }

    fn take(&mut self, bytes: usize) -> Result<(), Unservable> {
        self.0 = self.0.checked_sub(bytes).ok_or(Unservable::TooLarge)?;
        Ok(())
    }

    fn name(&mut self, name: &str) -> Result<String, Unservable> {
        self.take(name.len() + size_of::<String>())?;
        Ok(name.to_owned())
    }
}

impl Signature {
    /// The signature of `function`.
    pub(crate) fn of(
        function: &ComponentFunc,
        side: Side,
        resources: &Resources,
        room: &mut Room,
    ) -> Result<Self, Unservable> {
        let mut reader = Reader { side, resources, room, used: Vec::new(), carries: false };
        // The parameters are one value: each of them is one level down.
        let params = function.params().map(|(_, ty)| reader.ty(&ty, 1)).collect::<Result<_, _>>()?;
        let result = function.results().next().map(|ty| reader.ty(&ty, 0)).transpose()?;
        let (plan, Reader { used, carries, .. }) = (Plan::of(function), reader);
        let is_async = function.async_();
        Ok(Self { params: Type::Tuple(params), result, plan, is_async, resources: used, carries })
    }

    /// The type of each parameter.
    pub(crate) fn each_param(&self) -> &[Type] {
        match &self.params {
            Type::Tuple(types) => types,
            _ => &[],
        }
    }
}

struct Reader<'a> {
    side: Side,
    resources: &'a Resources,
    room: &'a mut Room,
    used: Vec<Arc<Imported>>,
    carries: bool,
}

impl Reader<'_> {
    fn ty(&mut self, ty: &types::Type, depth: usize) -> Result<Type, Unservable> {
        if depth >= MAX_DEPTH {
            return Err(Unservable::TooDeep);
        }
        self.room.take(size_of::<Type>())?;
        let depth = depth + 1;
        Ok(match ty {
            types::Type::Bool => Type::Bool,
            types::Type::S8 => Type::S8,
            types::Type::U8 => Type::U8,
            types::Type::S16 => Type::S16,
            types::Type::U16 => Type::U16,
            types::Type::S32 => Type::S32,
            types::Type::U32 => Type::U32,
            types::Type::S64 => Type::S64,
            types::Type::U64 => Type::U64,
            types::Type::Float32 => Type::F32,
            types::Type::Float64 => Type::F64,
            types::Type::Char => Type::Char,
            types::Type::String => Type::String,
            types::Type::List(list) => Type::List(Box::new(self.ty(&list.ty(), depth)?)),
            types::Type::Option(option) => Type::Option(Box::new(self.ty(&option.ty(), depth)?)),
            types::Type::Tuple(tuple) => {
                Type::Tuple(tuple.types().map(|ty| self.ty(&ty, depth)).collect::<Result<_, _>>()?)
            }
            types::Type::Result(result) => {
                Type::Result { ok: self.boxed(result.ok(), depth)?, err: self.boxed(result.err(), depth)? }
            }
            types::Type::Record(record) => {
                let field = |field: types::Field<'_>| Ok((self.room.name(field.name)?, self.ty(&field.ty, depth)?));
                Type::Record(record.fields().map(field).collect::<Result<_, _>>()?)
            }
            types::Type::Variant(variant) => {
                let case = |case: types::Case<'_>| {
                    let ty = case.ty.map(|ty| self.ty(&ty, depth)).transpose()?;
                    Ok((self.room.name(case.name)?, ty))
                };
                Type::Variant(variant.cases().map(case).collect::<Result<_, _>>()?)
            }
            types::Type::Enum(cases) => Type::Enum(self.names(cases.names())?),
            types::Type::Flags(flags) => Type::Flags(self.names(flags.names())?),
            types::Type::Own(resource) | types::Type::Borrow(resource) => self.handle(*resource)?,
            types::Type::Stream(_) => return Err(Unservable::Type("stream")),
            types::Type::Future(_) => return Err(Unservable::Type("future")),
            types::Type::ErrorContext => return Err(Unservable::Type("error context")),
            types::Type::Map(_) => return Err(Unservable::Type("map")),
            types::Type::FixedLengthList(_) => return Err(Unservable::Type("list of a fixed length")),
        })
    }

    fn boxed(&mut self, ty: Option<types::Type>, depth: usize) -> Result<Option<Box<Type>>, Unservable> {
        ty.map(|ty| self.ty(&ty, depth).map(Box::new)).transpose()
    }

    fn names<'n>(&mut self, names: impl Iterator<Item = &'n str>) -> Result<Vec<String>, Unservable> {
        names.map(|name| self.room.name(name)).collect()
    }

    fn handle(&mut self, resource: ResourceType) -> Result<Type, Unservable> {
        self.carries = true;
        match (self.side, self.resources.owner(resource)) {
            (Side::Import, Some(Owner::Imported(imported))) => {
                if !self.used.iter().any(|used| used.number == imported.number) {
                    self.used.push(Arc::clone(imported));
                }
                Ok(Type::Resource)
            }
            (_, Some(Owner::Host) | None) => Err(Unservable::Type("resource of the host")),
            (Side::Import, Some(Owner::Exported)) => Err(Unservable::Type("resource of the actor itself")),
            (Side::Export, Some(Owner::Imported(_))) => Err(Unservable::Type("resource of somebody else")),
            (Side::Export, Some(Owner::Exported)) => Ok(Type::Resource),
        }
    }
}
