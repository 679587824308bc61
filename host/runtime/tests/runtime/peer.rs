//! Whom guests call in these tests: it stands where the host's router stands, keeps what it was asked, and answers as
//! it was told.

use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use http_body_util::BodyExt as _;
use mesh_lattice::{CallError, Code, Invocation, Params, Reply, Serve, TraceContext};

/// One call as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) caller: String,
    pub(crate) interface: String,
    pub(crate) operation: String,
    pub(crate) link: String,
    pub(crate) params: Vec<u8>,
    pub(crate) head: Option<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) remaining: std::time::Duration,
    pub(crate) trace: Option<TraceContext>,
}

type Answering = dyn Fn(&Asked) -> Result<Reply, CallError> + Send + Sync;

pub(crate) struct Peer {
    asked: Mutex<Vec<Asked>>,
    answering: Box<Answering>,
}

impl Peer {
    pub(crate) fn answering(
        answering: impl Fn(&Asked) -> Result<Reply, CallError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { asked: Mutex::default(), answering: Box::new(answering) })
    }

    /// No link goes anywhere.
    pub(crate) fn nobody() -> Arc<Self> {
        Self::answering(|_| Err(CallError::new(Code::NotLinked, "there is no link")))
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Serve for Peer {
    fn serve(&self, invocation: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        Box::pin(async move {
            let body = match invocation.body {
                Some(body) => body.collect().await?.to_bytes().to_vec(),
                None => Vec::new(),
            };
            let (params, head) = match invocation.params {
                Params::Wire(bytes) => (bytes.to_vec(), None),
                Params::Http(parts) => (Vec::new(), Some((parts.method.to_string(), parts.uri.to_string()))),
            };
            let asked = Asked {
                caller: invocation.caller.to_string(),
                interface: invocation.interface.to_string(),
                operation: invocation.operation.to_string(),
                link: invocation.link.to_string(),
                params,
                head,
                body,
                remaining: invocation.deadline.remaining(),
                trace: invocation.trace,
            };
            self.asked.lock().unwrap().push(asked.clone());
            (self.answering)(&asked)
        })
    }
}
