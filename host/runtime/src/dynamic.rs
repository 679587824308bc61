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
//! | module | owns |
//! |---|---|
//! | `signature` | the type of a function, and why it cannot cross |
//! | `resources` | which resource of a component is whose |
//! | `codec` | parameters and results between a guest and bytes: the one place to make faster |
//! | `imports` | host functions in place of what a component imports |
//! | `remote` | the handles that a guest holds of resources elsewhere |
//! | `exports` | what a component exports, found by interface and operation |

pub(crate) mod codec;
pub(crate) mod exports;
pub(crate) mod imports;
pub(crate) mod remote;
pub(crate) mod resources;
pub(crate) mod signature;

use std::sync::Arc;

use mesh_lattice::{CallError, Code, Interface, Params, Reply, interface::ROOT, name::BadName};

use crate::{instance::Instance, outbound::Outbound};
use exports::Function;

/// The interface that this import or export of a component is called by.
pub(crate) fn interface_of(name: &str) -> Result<Interface, BadName> {
    if name.contains(':') { name.parse() } else { format!("root:component/{name}").parse() }
}

/// The interface of the functions that belong to none.
pub(crate) fn root() -> Result<Interface, BadName> {
    ROOT.parse()
}

/// The parameters of `function` from what a call carries.
pub(crate) fn params(function: &Function, params: &Params) -> Result<codec::Params, CallError> {
    match params {
        Params::Wire(bytes) => codec::read(function.signature()?, bytes),
        Params::Http(_) => Err(CallError::new(Code::BadParams, "an HTTP request where values are asked for")),
    }
}

/// Lets the guest run one function, to the end of the call.
pub(crate) async fn run(
    outbound: Outbound,
    function: Arc<Function>,
    params: codec::Params,
) -> Result<Reply, CallError> {
    let mut instance = Instance::for_call(outbound);
    let result = instance.call(&function, params).await;
    instance.end(result).map(Reply::wire)
}
