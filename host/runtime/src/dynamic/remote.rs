//! The handles that a guest holds of resources elsewhere: bytes that their server minted, by numbers that the engine
//! gives to the guest. What the guest lets go of is let go of at the server; what it still has when its call is over
//! is let go of then.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use mesh_lattice::{Deadline, LinkName, Params, value};

use super::{exports::DROP, resources::Imported};
use crate::outbound::{Along, Outbound};

/// Handles of resources elsewhere that one guest holds at once.
const MAX_HELD: usize = 1024;

/// What is left of a guest has this long to be let go of.
const GRACE: Duration = Duration::from_secs(5);

/// The handles of one instance.
#[derive(Default)]
pub(crate) struct Remote {
    held: HashMap<u32, Handle>,
    /// What the guest gave away with calls that failed.
    left: Vec<Handle>,
    next: u32,
}

/// A handle, and whose it is. It is of use along the link that it came along, whichever the guest chose since.
pub(crate) struct Handle {
    pub(crate) bytes: Bytes,
    pub(crate) resource: Arc<Imported>,
    pub(crate) link: LinkName,
}

/// What cannot be done with a handle.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandleError {
    /// The guest does not hold it.
    #[error("no handle has the number {0}")]
    Unknown(u32),
    /// The guest holds too many.
    #[error("limit exceeded: {MAX_HELD} handles of resources elsewhere")]
    TooMany,
    /// One call carries too many.
    #[error("limit exceeded: handles of resources in one call")]
    TooManyCarried,
    /// It is of no resource that the function has.
    #[error("a handle of another resource")]
    Foreign,
}

impl Remote {
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.left.is_empty()
    }

    /// Keeps for nobody but to let go of it. A guest has no more of these than it was given.
    pub(crate) fn leave(&mut self, handle: Handle) {
        if self.left.len() < MAX_HELD {
            self.left.push(handle);
        }
    }

    /// Whether the guest has no more than it may. What is too much is let go of with the rest when that ends it.
    pub(crate) fn check(&self) -> Result<(), HandleError> {
        if self.held.len() > MAX_HELD { Err(HandleError::TooMany) } else { Ok(()) }
    }

    /// Keeps a handle that came with an answer.
    pub(crate) fn keep(&mut self, handle: Handle) -> u32 {
        while self.held.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.held.insert(number, handle);
        number
    }

    /// The handle, for a call that borrows it.
    pub(crate) fn get(&self, number: u32) -> Result<&Handle, HandleError> {
        self.held.get(&number).ok_or(HandleError::Unknown(number))
    }

    /// The handle, for whoever owns it from now on.
    pub(crate) fn take(&mut self, number: u32) -> Result<Handle, HandleError> {
        self.held.remove(&number).ok_or(HandleError::Unknown(number))
    }

    /// Lets go of all of them, in a task of the actor.
    pub(crate) fn let_go(&mut self, outbound: &Outbound) {
        if self.is_empty() {
            return;
        }
        let held = std::mem::take(&mut self.held).into_values().chain(std::mem::take(&mut self.left));
        let_go_of_all(held.collect(), outbound);
    }
}

/// Lets go of handles that nobody holds any more, in a task of the actor.
pub(crate) fn let_go_of_all(handles: Vec<Handle>, outbound: &Outbound) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    let outbound = outbound.afterwards(Deadline::after(GRACE));
    let tasks = outbound.shared.tasks.clone();
    tasks.spawn_on(
        async move {
            for handle in handles {
                let_go(&outbound, handle).await;
            }
        },
        &runtime,
    );
}

/// Tells the server that nobody holds this handle any more. It would find out by itself, later.
pub(crate) async fn let_go(outbound: &Outbound, Handle { bytes, resource, link }: Handle) {
    let operation = format!("{DROP}{}", resource.name);
    let mut params = Vec::with_capacity(bytes.len() + 8);
    let along = Along { pin: outbound.shared.engine.mint().pin(&bytes), link: Some(link) };
    let (ty, value) = (value::Type::Resource, value::Value::Resource(bytes));
    let written = value::encode(&value::Type::Tuple(vec![ty]), &value::Value::Tuple(vec![value]), &mut params);
    if written.is_ok() {
        let call = outbound.call_along(&resource.interface, operation.into(), Params::Wire(params.into()), along);
        if let Err(error) = call.await {
            tracing::debug!(interface = %resource.interface, "a handle was not let go of: {error}");
        }
    }
}
