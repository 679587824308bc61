//! The provider: links become routes; an address is opened with the first link that names it and closed with the last.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use futures::future::{BoxFuture, join_all};
use mesh_lattice::{
    CallError, Code, Deadline, Interface, InterfacePattern, Invocation, Name, Reply, Serve, application::Values,
};
use mesh_provider::{
    ConfigError, Context, End, Factory, LinkError, LinkId, Metric, Provider, ProviderLink, StartError,
};
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use crate::{
    exchange::{INTERFACE, Outward},
    listener::Listener,
    routes::Route,
    settings::{LinkSettings, ServerSettings},
};

/// What `use` in a manifest says.
pub const KIND: &str = "http-server";

/// Starts HTTP servers.
#[derive(Debug, Clone)]
pub struct HttpServerFactory {
    kind: Name,
}

impl HttpServerFactory {
    /// The one that there is.
    ///
    /// # Errors
    ///
    /// Never: the name is this crate's own.
    pub fn new() -> Result<Self, ConfigError> {
        Ok(Self { kind: KIND.parse().map_err(|_| ConfigError::invalid("use", "a name"))? })
    }
}

impl Factory for HttpServerFactory {
    fn kind(&self) -> Name {
        self.kind.clone()
    }

    /// None: it calls, and is not called.
    fn interfaces(&self) -> Vec<InterfacePattern> {
        Vec::new()
    }

    fn calls(&self) -> Vec<InterfacePattern> {
        "wasi:http/incoming-handler".parse().into_iter().collect()
    }

    fn local_state(&self) -> bool {
        false
    }

    fn check(&self, config: &Values) -> Result<(), ConfigError> {
        ServerSettings::check(config).map(drop)
    }

    fn check_link(&self, config: &Values, link: &ProviderLink) -> Result<(), LinkError> {
        let handler: Interface = INTERFACE.parse().map_err(|_| ConfigError::invalid("interfaces", "a name"))?;
        fits(link, &handler)?;
        LinkSettings::check(link, &ServerSettings::read(config)?).map(drop)
    }

    fn start(&self, context: Context) -> BoxFuture<'_, Result<Arc<dyn Provider>, StartError>> {
        let start = || {
            Ok(Arc::new(HttpServer {
                settings: ServerSettings::read(&context.config)?,
                outward: Outward::new(&context)?,
                // Only hosts that run the same provider have the same links, and may answer for each other.
                dir: context.runtime_dir.join("http").join(context.name.as_str()),
                open: Mutex::new(Open { listeners: BTreeMap::new(), begun: false, stopping: false }),
                closing: TaskTracker::new(),
            }) as Arc<dyn Provider>)
        };
        Box::pin(std::future::ready(start()))
    }
}

struct HttpServer {
    settings: ServerSettings,
    outward: Outward,
    dir: PathBuf,
    /// Changed by one link at a time; requests never come here.
    open: Mutex<Open>,
    closing: TaskTracker,
}

struct Open {
    listeners: BTreeMap<SocketAddr, Listener>,
    /// All links that there were at the start are known: whoever asks for what is on none of them has asked in vain.
    begun: bool,
    stopping: bool,
}

/// Whether it can be at this end of this link.
fn fits(link: &ProviderLink, handler: &Interface) -> Result<(), LinkError> {
    if link.end != End::Source || !link.interfaces.iter().any(|pattern| pattern.names(handler)) {
        return Err(LinkError::Unsupported(format!("an HTTP server is the source of links on {INTERFACE} alone")));
    }
    Ok(())
}

impl HttpServer {
    async fn put(&self, link: ProviderLink) -> Result<(), LinkError> {
        fits(&link, &self.outward.interface)?;
        let settings = LinkSettings::read(&link, &self.settings)?;
        let (id, address) = (link.id(), settings.address);
        let mut open = self.open.lock().await;
        if open.stopping {
            return Err(LinkError::Stopping);
        }
        let route = Route::new(id.clone(), settings);
        let conflict = |error: crate::routes::Taken| LinkError::Conflict(format!("at {address}, {error}"));
        if let Some(listener) = open.listeners.get(&address) {
            listener.put(route).map_err(conflict)?;
        } else {
            let opened = Listener::open(address, &self.dir, self.outward.clone(), &self.settings).await;
            let mut listener =
                opened.map_err(|source| LinkError::Io { what: format!("{address} cannot be listened at"), source })?;
            listener.put(route).map_err(conflict)?;
            if open.begun {
                listener.begin();
            }
            open.listeners.insert(address, listener);
        }
        self.forget(&mut open, &id, Some(address));
        Ok(())
    }

    /// Removes a link from every address but `kept`, and closes those that are left without one.
    fn forget(&self, open: &mut Open, id: &LinkId, kept: Option<SocketAddr>) {
        let had = |(address, listener): &(&SocketAddr, &Listener)| Some(**address) != kept && listener.holds(id);
        let held: Vec<SocketAddr> = open.listeners.iter().filter(had).map(|(address, _)| *address).collect();
        for address in held {
            let Some(listener) = open.listeners.get(&address) else { continue };
            listener.remove(id);
            if listener.is_empty()
                && let Some(listener) = open.listeners.remove(&address)
            {
                let deadline = Deadline::after(crate::settings::DEFAULT_TIMEOUT);
                self.closing.spawn(listener.close(Duration::ZERO, deadline));
            }
        }
    }
}

impl Serve for HttpServer {
    fn serve(&self, _: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        let nothing = CallError::new(Code::UnknownOperation, "an HTTP server calls, and is not called");
        Box::pin(std::future::ready(Err(nothing)))
    }
}

impl Provider for HttpServer {
    fn put_link(&self, link: ProviderLink) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(self.put(link))
    }

    fn begin(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut open = self.open.lock().await;
            open.begun = true;
            open.listeners.values_mut().for_each(Listener::begin);
        })
    }

    fn delete_link(&self, link: &LinkId) -> BoxFuture<'_, ()> {
        let id = link.clone();
        Box::pin(async move {
            let mut open = self.open.lock().await;
            self.forget(&mut open, &id, None);
        })
    }

    fn health(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let open = self.open.lock().await;
            match open.listeners.iter().find(|(_, listener)| listener.has_ended()) {
                Some((address, _)) => Err(format!("nobody accepts at {address}")),
                None => Ok(()),
            }
        })
    }

    fn metrics(&self) -> Vec<Metric> {
        self.outward.counters.metrics()
    }

    fn drain(&self, deadline: Deadline) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let listeners = {
                let mut open = self.open.lock().await;
                open.stopping = true;
                std::mem::take(&mut open.listeners)
            };
            let leave = self.settings.limits.drain_delay;
            join_all(listeners.into_values().map(|listener| listener.close(leave, deadline))).await;
            self.closing.close();
            if tokio::time::timeout(deadline.remaining(), self.closing.wait()).await.is_err() {
                tracing::warn!("an address that lost its last link did not close in time");
            }
        })
    }
}
