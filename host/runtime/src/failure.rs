//! What wasmtime says about a call that did not end well, as one of the codes that callers know.

use mesh_lattice::{CallError, Code};
use wasmtime::{PoolConcurrencyLimitError, Trap, component::ResourceTableError};
use wasmtime_wasi::I32Exit;

use crate::dynamic::{codec::NotEntered, imports::CallFailed};

/// The guest had the host keep more for it than it may have.
#[derive(Debug, thiserror::Error)]
#[error("no memory is left for {0}")]
pub(crate) struct TooMuch(pub(crate) &'static str);

/// wasmtime reports these limits in words only: handles and instances; headers and random bytes; what one host call
/// copies.
const REFUSED: [&str; 3] = ["limit exceeded", "exceeds limit", "fuel allocated for hostcalls"];

/// The code and the sentence for an error that ended a guest; `refused` says whether a limit said no before.
pub(crate) fn of(error: &wasmtime::Error, refused: bool) -> CallError {
    // The slot was never taken, so another host may do what this one has no room for.
    if error.is::<PoolConcurrencyLimitError>() {
        return CallError::new(Code::Busy, "no room for another instance on this host");
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        let message = format!("the guest ended itself with {} before it answered", exit.0);
        return CallError::new(Code::NoAnswer, message);
    }
    if let Some(failed) = error.downcast_ref::<CallFailed>() {
        return CallError::new(Code::Trap, format!("the guest could not go on: {failed}"));
    }
    if let Some(NotEntered(error)) = error.downcast_ref() {
        return error.clone();
    }
    if let Some(error) = error.downcast_ref::<CallError>() {
        return error.clone();
    }
    let full = matches!(error.downcast_ref::<ResourceTableError>(), Some(ResourceTableError::Full));
    let text = format!("{error:#}");
    if refused || full || REFUSED.iter().any(|words| text.contains(words)) {
        return CallError::new(Code::MemoryLimit, format!("the guest wanted more than it may have: {text}"));
    }
    match error.downcast_ref::<Trap>() {
        Some(trap) => CallError::new(Code::Trap, format!("the guest trapped: {trap}")),
        None => CallError::new(Code::Trap, format!("the guest failed: {text}")),
    }
}
