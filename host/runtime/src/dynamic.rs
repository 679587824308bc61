//! Calls on interfaces that no adapter knows, both ways: what a guest imports becomes a call along a link, and what an
//! actor exports can be called, whatever the interface. The types come from the component itself.
//!
//! ```text
//! guest import ─► codec ─► Import::call ─► Outbound ─► link           bytes in, bytes out: the same as everywhere
//! invocation ───► Actor ─► serve ─► Instance ─► codec ─► guest export
//! ```
//!
//! An interface is called by its name, `acme:billing/ledger@1.2.0`. What stands at the root of a component and has no
//! package belongs to `root:component`, as in the tools that print components: its functions to
//! `root:component/root`, an interface without a package to `root:component/<its name>`.
//!
//! # A call that has no answer
//!
//! A guest's import cannot say so unless the function's type has a place for any sentence. There is one where the
//! function returns a `result` whose error is a `string`, or a variant with a case `other(string)`, which is what
//! interfaces call the case that they do not foresee. There the guest reads the code and the sentence; everywhere else
//! the call ends the guest: an answer that nobody gave must not look like one. Either way the failed call is counted
//! where it failed, under its own code; who called the guest hears `trap`, with the code in the sentence.
//!
//! # What cannot cross
//!
//! Streams, futures, error contexts, resources of the host (`wasi:io` streams for example), functions of core modules,
//! types too large or nested too deep. An actor that imports such a function does not start, and the reason says
//! which; one that exports it starts, and a call of that function is `unsupported`.
//!
//! # Asynchronous functions
//!
//! A guest may go on while a call is out, and have many out at once; each is a call like any other. Where one is called,
//! the answer leaves when the guest has nothing more to do: what it does behind its answer belongs to the call, is
//! limited by its deadline, and the instance serves nobody else until then.
//!
//! | module | owns |
//! |---|---|
//! | `signature` | the type of a function, and why it cannot cross |
//! | `resources` | which resource of a component is whose |
//! | `codec` | parameters and results between a guest and bytes: the one place to make faster |
//! | `imports` | host functions in place of what a component imports |
//! | `remote` | the handles that a guest holds of resources elsewhere |
//! | `held` | instances that live on because callers hold handles of their resources |
//! | `mint` | the handles of those resources, and whose they are |
//! | `exports` | what a component exports, found by interface and operation |

pub(crate) mod codec;
pub(crate) mod exports;
pub(crate) mod held;
pub(crate) mod imports;
pub(crate) mod mint;
pub(crate) mod remote;
pub(crate) mod resources;
pub(crate) mod signature;

use std::sync::Arc;

use bytes::Bytes;
use mesh_lattice::{
    CallError, Caller, Code, Deadline, Interface, Params, Reply,
    interface::ROOT,
    name::BadName,
    value::{Type, Value, decode},
};
use wasmtime::component::ResourceAny;

use crate::{
    actor::{Shared, Ticket},
    instance::Instance,
    outbound::Outbound,
};
use exports::Function;
use held::{Holder, Taken, Taker};

/// The interface that this import or export of a component is called by.
pub(crate) fn interface_of(name: &str) -> Result<Interface, BadName> {
    if name.contains(':') { name.parse() } else { format!("root:component/{name}").parse() }
}

/// The interface of the functions that belong to none.
pub(crate) fn root() -> Result<Interface, BadName> {
    ROOT.parse()
}

/// What is asked of a guest, with what.
pub(crate) enum Work {
    Function(Arc<Function>, codec::Params),
    /// To end the resource of this handle.
    Drop(Bytes),
}

impl Work {
    /// A call of `function`.
    pub(crate) fn function(function: Arc<Function>, params: &Params) -> Result<Self, CallError> {
        let params = codec::read(function.signature()?, bytes_of(params)?)?;
        Ok(Self::Function(function, params))
    }

    /// The end of a resource.
    pub(crate) fn drop(params: &Params) -> Result<Self, CallError> {
        let refused = |message: String| CallError::new(Code::BadParams, message);
        let one = Type::Tuple(vec![Type::Resource]);
        match decode(&one, bytes_of(params)?).map_err(|error| refused(format!("the parameters: {error}")))? {
            Value::Tuple(values) => match values.as_slice() {
                [Value::Resource(handle)] => Ok(Self::Drop(handle.clone())),
                _ => Err(refused("the parameters: no handle".into())),
            },
            _ => Err(refused("the parameters: no tuple".into())),
        }
    }

    fn handles(&self) -> &[Bytes] {
        match self {
            Self::Function(_, params) => params.handles(),
            Self::Drop(handle) => std::slice::from_ref(handle),
        }
    }
}

fn bytes_of(params: &Params) -> Result<&Bytes, CallError> {
    match params {
        Params::Wire(bytes) => Ok(bytes),
        Params::Http(_) => Err(CallError::new(Code::BadParams, "an HTTP request where values are asked for")),
    }
}

/// The instance of a call, and its right to live.
pub(crate) struct Seat {
    instance: Option<Instance>,
    ticket: Ticket,
    /// Where it waits between calls, where it does.
    held: Option<Taken>,
    /// What the handles of the call stand for in it.
    given: Vec<(u64, ResourceAny)>,
}

impl Seat {
    /// On the instance that the call's handles are of, or on one of its own.
    pub(crate) async fn of(
        shared: &Arc<Shared>,
        work: &Work,
        caller: &Caller,
        deadline: Deadline,
    ) -> Result<Self, CallError> {
        if work.handles().is_empty() {
            let ticket = shared.enter(caller, deadline).await?;
            return Ok(Self { instance: None, ticket, held: None, given: Vec::new() });
        }
        let found = shared.held.find(shared, work.handles(), caller)?;
        let mut taken = shared.held.turn(shared, found.holder, deadline).await?;
        // While this call waited, another one may have ended what it is about.
        let given = shared.held.find(shared, work.handles(), caller)?.resources;
        let (instance, ticket) = taken.take()?;
        Ok(Self { instance: Some(instance), ticket, held: Some(taken), given })
    }
}

/// The guest, to the end of one call.
pub(crate) async fn run(outbound: Outbound, work: Work, by: Taker, seat: Seat) -> Result<Reply, CallError> {
    let shared = Arc::clone(&outbound.shared);
    let Seat { instance, ticket, held, given } = seat;
    let mut instance = match instance {
        Some(mut instance) => {
            instance.begin(outbound);
            instance
        }
        None => Instance::for_call(outbound),
    };
    let holder = held.as_ref().map_or_else(Holder::new, |held| Arc::clone(held.holder()));
    let mut minted = false;
    let result = match work {
        Work::Function(function, params) => {
            let own = codec::Own {
                given: &given,
                taken: &mut |number| shared.held.remove(number),
                mint: &mut |resource| {
                    minted = true;
                    shared.held.mint(&shared, &holder, resource, &by)
                },
            };
            instance.call(&function, params, own).await
        }
        Work::Drop(_) => {
            given.iter().for_each(|(number, _)| shared.held.remove(*number));
            end_all(&mut instance, &given).await
        }
    };
    let result = instance.outcome(result);
    let held = match held {
        None if minted => Some(shared.held.first(&shared, holder)?),
        held => held,
    };
    if instance.is_alive() {
        match held {
            None => instance.retire(),
            Some(held) => match held.put_back(instance, ticket) {
                Some((instance, _ticket)) => instance.retire(),
                None => shared.held.watch(&shared, by.host.as_ref()),
            },
        }
    }
    result.map(Reply::wire)
}

async fn end_all(instance: &mut Instance, given: &[(u64, ResourceAny)]) -> wasmtime::Result<Bytes> {
    for (_, resource) in given {
        instance.drop_resource(*resource).await?;
    }
    Ok(codec::NIL)
}
