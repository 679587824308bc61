//! The provider: its links, each with a client of its own.

use std::sync::{Arc, atomic::Ordering};

use crate::{
    client::{Client, Counters},
    connect::{Resolve, System},
    settings::LinkSettings,
};
use futures::future::BoxFuture;
use mesh_lattice::{
    CallError, Code, Deadline, InterfacePattern, Invocation, Name, Params, Reply, Serve,
    application::Values,
    wit::{
        from_wire,
        http::{HANDLE, RequestHead},
    },
};
use mesh_provider::{
    ConfigError, Context, Factory, Intake, LinkError, LinkId, Links, Metric, MetricKind, Provider, ProviderLink,
    StartError,
};

/// What `use` in a manifest says.
pub const KIND: &str = "http-client";

/// What is said of a link that begins at it.
const CALLS_NOBODY: &str =
    "an HTTP client is called, and calls nobody in the lattice: put the link the other way round";

/// Starts providers of requests to the outside.
#[derive(Clone)]
pub struct HttpClientFactory {
    kind: Name,
    interface: InterfacePattern,
    resolve: Arc<dyn Resolve>,
}

impl HttpClientFactory {
    /// With the resolver of the machine.
    ///
    /// # Errors
    ///
    /// Never: the names are this crate's own.
    pub fn new() -> Result<Self, ConfigError> {
        Self::with_resolver(Arc::new(System))
    }

    /// With a resolver of its own.
    ///
    /// # Errors
    ///
    /// Never: the names are this crate's own.
    pub fn with_resolver(resolve: Arc<dyn Resolve>) -> Result<Self, ConfigError> {
        Ok(Self {
            kind: KIND.parse().map_err(|_| ConfigError::invalid("use", "a name"))?,
            interface: "wasi:http/outgoing-handler"
                .parse()
                .map_err(|_| ConfigError::invalid("interfaces", "an interface"))?,
            resolve,
        })
    }
}

impl Factory for HttpClientFactory {
    fn kind(&self) -> Name {
        self.kind.clone()
    }

    fn interfaces(&self) -> Vec<InterfacePattern> {
        vec![self.interface.clone()]
    }

    fn local_state(&self) -> bool {
        false
    }

    fn check(&self, config: &Values) -> Result<(), ConfigError> {
        // Where it may go is said by each link, or by the provider for all of them.
        let anywhere = Values::from([("allow".to_owned(), "*".to_owned())]);
        LinkSettings::check(config, &anywhere).map(drop)
    }

    fn check_link(&self, config: &Values, link: &ProviderLink) -> Result<(), LinkError> {
        link.only_called(CALLS_NOBODY)?;
        Ok(LinkSettings::check(&link.config, config).map(drop)?)
    }

    fn start(&self, context: Context) -> BoxFuture<'_, Result<Arc<dyn Provider>, StartError>> {
        let provider = HttpClient {
            links: Links::new(),
            config: context.config,
            resolve: Arc::clone(&self.resolve),
            counters: Counters::default(),
            intake: Intake::default(),
        };
        Box::pin(std::future::ready(Ok(Arc::new(provider) as Arc<dyn Provider>)))
    }
}

struct HttpClient {
    links: Links<Client>,
    config: Values,
    resolve: Arc<dyn Resolve>,
    counters: Counters,
    intake: Intake,
}

impl HttpClient {
    async fn call(&self, invocation: Invocation) -> Result<Reply, CallError> {
        let client = self.links.find(&invocation.caller, &invocation.link, &invocation.interface)?;
        let taken = self.intake.take()?;
        if !invocation.interface.is_outgoing_http() || &*invocation.operation != HANDLE {
            return Err(CallError::new(Code::UnknownOperation, "requests go out by outgoing-handler's handle"));
        }
        let parts = match invocation.params {
            Params::Http(parts) => *parts,
            Params::Wire(params) => from_wire::<(RequestHead,)>(&params)?.0.into_parts()?,
        };
        let sending = client.send(parts, invocation.body, invocation.trace.as_ref(), taken);
        match tokio::time::timeout(invocation.deadline.remaining(), sending).await {
            Ok(answer) => answer,
            Err(_) => Err(CallError::new(Code::DeadlineExceeded, "there was no answer in time")),
        }
    }

    async fn put(&self, link: ProviderLink) -> Result<(), LinkError> {
        link.only_called(CALLS_NOBODY)?;
        self.intake.is_open()?;
        let settings = LinkSettings::read(&format!("a link of {}", link.peer), &link.config, &self.config)?;
        let resolve = Arc::clone(&self.resolve);
        let made = tokio::task::spawn_blocking(move || Client::new(settings, resolve)).await;
        let what = || "the certificates of the link cannot be read".to_owned();
        let client = made.map_err(|error| LinkError::Io { what: what(), source: std::io::Error::other(error) })?;
        self.links.put(link.id(), client.map_err(|source| LinkError::Io { what: what(), source })?);
        Ok(())
    }

    async fn close(&self, deadline: Deadline) {
        self.intake.close();
        if tokio::time::timeout(deadline.remaining(), self.intake.ended()).await.is_err() {
            tracing::warn!("requests that did not end in time are given up");
        }
    }
}

impl Serve for HttpClient {
    fn serve(&self, invocation: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        Box::pin(async move {
            let answer = self.call(invocation).await;
            self.counters.note(&answer);
            answer
        })
    }
}

impl Provider for HttpClient {
    fn put_link(&self, link: ProviderLink) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(self.put(link))
    }

    fn delete_link(&self, link: &LinkId) -> BoxFuture<'_, ()> {
        self.links.delete(link);
        Box::pin(std::future::ready(()))
    }

    fn health(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn metrics(&self) -> Vec<Metric> {
        let counters = &self.counters;
        let ends = [
            ("end=\"answered\"", &counters.answered),
            ("end=\"refused\"", &counters.refused),
            ("end=\"busy\"", &counters.busy),
            ("end=\"failed\"", &counters.failed),
        ];
        vec![Metric {
            name: "mesh_http_client_requests_total",
            kind: MetricKind::Counter,
            help: "Requests to the outside by how they ended.",
            values: ends.map(|(labels, counter)| (labels, counter.load(Ordering::Relaxed))).to_vec(),
        }]
    }

    fn drain(&self, deadline: Deadline) -> BoxFuture<'_, ()> {
        Box::pin(self.close(deadline))
    }
}
