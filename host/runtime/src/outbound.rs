//! Calls that a guest makes: each becomes an [`Invocation`] of its actor along the link that the guest chose, and goes
//! to whatever the actor was given to call.

use std::sync::Arc;

use bytes::Bytes;
use mesh_lattice::{
    Answer, Body, CallError, Code, Deadline, Interface, Invocation, LinkName, Params, Reply, TraceContext, handle::Pin,
    id::CallId, wit,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    actor::Shared,
    meter::{Meter, Outside},
};

/// Link names that one guest may choose in one invocation.
const MAX_CHOICES: usize = 64;

/// The way out of one instance.
#[derive(Clone)]
pub(crate) struct Outbound {
    pub(crate) shared: Arc<Shared>,
    pub(crate) meter: Arc<Meter>,
    /// When the answer that the guest works on stops being of use.
    pub(crate) deadline: Deadline,
    pub(crate) trace: Option<TraceContext>,
    choices: Vec<Choice>,
}

/// "From here on this link for that interface."
#[derive(Clone)]
struct Choice {
    package: String,
    interface: String,
    link: LinkName,
}

/// Where a call goes because of the handles that it carries, whatever the guest chose.
#[derive(Debug, Clone, Default)]
pub(crate) struct Along {
    /// Along the link that they came along.
    pub(crate) link: Option<LinkName>,
    /// To the host that minted them.
    pub(crate) pin: Option<Pin>,
}

/// The guest chose more links than it may.
#[derive(Debug, thiserror::Error)]
#[error("more than {MAX_CHOICES} interfaces have a link name in one invocation")]
pub(crate) struct TooManyChoices;

impl Outbound {
    /// The way out of the guest of one call, with the meter that counts its time.
    pub(crate) fn of_call(shared: &Arc<Shared>, deadline: Deadline, trace: Option<TraceContext>) -> Self {
        let meter = Arc::new(Meter::new(shared.limits.cpu(), Arc::clone(shared.engine.lane())));
        Self { shared: Arc::clone(shared), meter, deadline, trace, choices: Vec::new() }
    }

    /// The way out for what is left to do when the guest is gone.
    pub(crate) fn afterwards(&self, deadline: Deadline) -> Self {
        let meter = Arc::new(Meter::new(self.shared.limits.cpu(), Arc::clone(self.shared.engine.lane())));
        Self { meter, deadline, ..self.clone() }
    }

    /// Uses `link` for this interface from here on; an empty interface is all of the package.
    pub(crate) fn choose(&mut self, package: String, interface: String, link: LinkName) -> Result<(), TooManyChoices> {
        let same = |choice: &&mut Choice| choice.package == package && choice.interface == interface;
        if let Some(choice) = self.choices.iter_mut().find(same) {
            choice.link = link;
            return Ok(());
        }
        if self.choices.len() >= MAX_CHOICES {
            return Err(TooManyChoices);
        }
        self.choices.push(Choice { package, interface, link });
        Ok(())
    }

    /// The link that the guest chose for this interface: what it said of the interface before what it said of all of
    /// its package.
    pub(crate) fn link(&self, interface: &Interface) -> LinkName {
        let chosen = |name: &str| {
            self.choices.iter().find(|choice| choice.package == interface.package() && choice.interface == name)
        };
        if self.choices.is_empty() {
            return self.shared.default_link.clone();
        }
        let choice = chosen(interface.interface()).or_else(|| chosen(""));
        choice.map_or_else(|| self.shared.default_link.clone(), |choice| choice.link.clone())
    }

    /// An invocation of this actor. Before the head of the answer is out it shares the deadline of the call that the
    /// guest works on; after that it has as long as a call of its own.
    pub(crate) fn invocation(
        &self,
        interface: &Interface,
        operation: Arc<str>,
        params: Params,
        body: Option<Body>,
    ) -> Invocation {
        self.meter.set_called_out();
        let deadline = match self.meter.head_is_out() {
            true => Deadline::after(self.shared.limits.time()),
            false => self.deadline,
        };
        Invocation {
            id: CallId::new(),
            caller: self.shared.caller.clone(),
            link: self.link(interface),
            target: None,
            interface: interface.clone(),
            operation,
            params,
            body,
            deadline,
            trace: self.trace.clone(),
            pin: None,
            from: None,
        }
    }

    /// Calls, and waits for the head of the reply to the deadline.
    pub(crate) async fn call(
        &self,
        interface: &Interface,
        operation: Arc<str>,
        params: Params,
    ) -> Result<Reply, CallError> {
        self.call_along(interface, operation, params, Along::default()).await
    }

    /// The same, where handles among the parameters say where the call has to be made.
    pub(crate) async fn call_along(
        &self,
        interface: &Interface,
        operation: Arc<str>,
        params: Params,
        along: Along,
    ) -> Result<Reply, CallError> {
        let mut invocation = self.invocation(interface, operation, params, None);
        invocation.pin = along.pin;
        if let Some(link) = along.link {
            invocation.link = link;
        }
        let deadline = invocation.deadline;
        let serving = self.shared.calls.serve(invocation);
        Outside::new(Arc::clone(&self.meter), Box::pin(before(deadline, serving))).await
    }

    /// Calls with parameters and a result that are WIT values.
    pub(crate) async fn call_wit<P: Serialize, R: DeserializeOwned>(
        &self,
        interface: &Interface,
        operation: Arc<str>,
        params: &P,
    ) -> Result<R, CallError> {
        let params: Bytes = wit::to_wire(params)?;
        match self.call(interface, operation, Params::Wire(params)).await?.answer {
            Answer::Wire(result) => wit::from_wire(&result),
            Answer::Http(_) => Err(CallError::new(Code::Internal, "the answer is HTTP where a value was asked for")),
        }
    }
}

/// Waits for `serving` to `deadline`, should whoever serves not watch it, and does not begin it after that.
pub(crate) async fn before(
    deadline: Deadline,
    serving: impl Future<Output = Result<Reply, CallError>>,
) -> Result<Reply, CallError> {
    match tokio::time::timeout(deadline.remaining(), deadline.bounds(serving)).await {
        Ok(Some(result)) => result,
        Ok(None) | Err(_) => Err(CallError::new(Code::DeadlineExceeded, "the deadline passed while a call was out")),
    }
}
