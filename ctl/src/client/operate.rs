//! Calls as the person whose key signs them.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use mesh_claims::Envelope;
use mesh_lattice::{
    CallError, CallId, HostId, Interface, Name,
    interface::ROOT,
    operator::{self, Called, LONGEST, OperatorCall},
};
use mesh_transport::{
    RequestError,
    control::{hail, operate},
};
use serde_bytes::ByteBuf;

use super::Client;
use crate::exit::{Exit, Failure};

/// The host ends a call at its deadline; its answer may take this much longer to arrive.
const GRACE: Duration = Duration::from_secs(2);

/// What is called, where, and with what.
pub(crate) struct Operation<'a> {
    pub(crate) host: &'a HostId,
    pub(crate) target: &'a Name,
    /// None for a function at the root of an actor.
    pub(crate) interface: Option<Interface>,
    pub(crate) function: &'a str,
    pub(crate) params: Vec<u8>,
    pub(crate) body: Option<Vec<u8>>,
}

impl Client {
    /// Calls; the result, and what streamed behind it.
    pub(crate) async fn operate(&self, operation: Operation<'_>) -> anyhow::Result<(Vec<u8>, Option<Vec<u8>>)> {
        let signer = self.signer()?;
        let Operation { host, target, interface, function, params, body } = operation;
        let hailed = hail(self.connections(), host, self.timeout).await.with_context(|| format!("the host {host}"))?;
        let limit = self.timeout.min(LONGEST);
        let interface = match interface {
            Some(interface) => interface,
            None => ROOT.parse()?,
        };
        let call = OperatorCall {
            id: CallId::new(),
            until: hailed.now.plus(limit),
            target: target.clone(),
            interface,
            operation: function.to_owned(),
            params: ByteBuf::from(params),
            body: body.map(ByteBuf::from),
        };
        let key = operator::key(host, hailed.boot);
        let envelope = Envelope::sign(&key, hailed.incarnation, 1, &call, &signer).context("the call")?;
        let bytes = Bytes::from(envelope.encode());
        let answer = operate(self.connections(), (host, hailed.boot), bytes, limit + GRACE).await;
        match answer {
            Ok(Called::Returned { result, body }) => Ok((result.into_vec(), body.map(ByteBuf::into_vec))),
            Ok(Called::Failed(error)) => Err(failed(error)),
            Err(RequestError::Timeout(_)) => {
                let failure = Failure::new(Exit::TimedOut, "the host did not answer: whether the call ran is unknown");
                Err(failure.hint("--timeout waits longer").into())
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn failed(error: CallError) -> anyhow::Error {
    anyhow::Error::from(error).context("the call has no result")
}
