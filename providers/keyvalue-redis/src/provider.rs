//! The provider: its links, and which connection each of them uses.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use futures::future::BoxFuture;
use mesh_lattice::{CallError, Code, Deadline, InterfacePattern, Invocation, Name, Reply, Serve, application::Values};
use mesh_provider::{
    ConfigError, Context, End, Factory, LinkError, LinkId, Links, Provider, ProviderLink, StartError, keyvalue,
};
use tokio::sync::{Mutex, OnceCell, watch};
use tokio_util::task::TaskTracker;

use crate::{
    connection::Connection,
    settings::{LinkSettings, ServerSettings},
    store::RedisStore,
};

/// What `use` in a manifest says.
pub const KIND: &str = "keyvalue-redis";

/// What guests that were written for a provider without buckets open: the link's own.
const ALIAS: &str = "default";

/// What is said of a link that begins at it.
const CALLS_NOBODY: &str = "a key-value store is called and calls nobody: put the link the other way round";

/// Starts providers of key-value in Redis.
#[derive(Debug, Clone)]
pub struct KeyvalueRedisFactory {
    kind: Name,
    package: InterfacePattern,
}

impl KeyvalueRedisFactory {
    /// The one that there is.
    ///
    /// # Errors
    ///
    /// Never: the names are this crate's own.
    pub fn new() -> Result<Self, ConfigError> {
        Ok(Self {
            kind: KIND.parse().map_err(|_| ConfigError::invalid("use", "a name"))?,
            package: "wasi:keyvalue".parse().map_err(|_| ConfigError::invalid("interfaces", "a package"))?,
        })
    }
}

impl Factory for KeyvalueRedisFactory {
    fn kind(&self) -> Name {
        self.kind.clone()
    }

    fn interfaces(&self) -> Vec<InterfacePattern> {
        vec![self.package.clone()]
    }

    fn local_state(&self) -> bool {
        false
    }

    fn check(&self, config: &Values) -> Result<(), ConfigError> {
        LinkSettings::check(config, &Values::new()).map(drop)
    }

    fn check_link(&self, config: &Values, link: &ProviderLink) -> Result<(), LinkError> {
        if link.end != End::Target {
            return Err(LinkError::Unsupported(CALLS_NOBODY.into()));
        }
        Ok(LinkSettings::check(&link.config, config).map(drop)?)
    }

    fn start(&self, context: Context) -> BoxFuture<'_, Result<Arc<dyn Provider>, StartError>> {
        let start = || {
            // Operators have no link: they get what the provider itself was told.
            let settings = LinkSettings::read(context.name.as_str(), &Values::new(), &context.config)?;
            let (stop, _) = watch::channel(false);
            Ok(Arc::new(KeyvalueRedis {
                links: Links::with_operators(Linked { settings, store: OnceCell::new() }),
                config: context.config,
                connections: Mutex::default(),
                calls: TaskTracker::new(),
                stop,
            }) as Arc<dyn Provider>)
        };
        Box::pin(std::future::ready(start()))
    }
}

struct KeyvalueRedis {
    links: Links<Linked>,
    config: Values,
    /// A connection lives as long as a link uses it.
    connections: Mutex<HashMap<ServerSettings, Weak<Connection>>>,
    calls: TaskTracker,
    stop: watch::Sender<bool>,
}

/// A link, and its store once it was needed.
struct Linked {
    settings: LinkSettings,
    store: OnceCell<RedisStore>,
}

impl KeyvalueRedis {
    async fn store<'a>(&self, linked: &'a Linked) -> Result<&'a RedisStore, std::io::Error> {
        let make = || async { Ok(RedisStore { connection: self.connect(&linked.settings.server).await? }) };
        linked.store.get_or_try_init(make).await
    }

    async fn connect(&self, server: &ServerSettings) -> Result<Arc<Connection>, std::io::Error> {
        let mut connections = self.connections.lock().await;
        connections.retain(|_, connection| connection.strong_count() > 0);
        if let Some(connection) = connections.get(server).and_then(Weak::upgrade) {
            return Ok(connection);
        }
        let connection = Arc::new(Connection::open(server).await?);
        connections.insert(server.clone(), Arc::downgrade(&connection));
        Ok(connection)
    }

    async fn call(&self, invocation: Invocation) -> Result<Reply, CallError> {
        let linked = self.links.find(&invocation.caller, &invocation.link, &invocation.interface)?;
        let _running = self.calls.token();
        if *self.stop.borrow() {
            return Err(CallError::new(Code::Unavailable, "the provider is stopping"));
        }
        let store = self.store(&linked).await;
        let store = store.map_err(|error| CallError::new(Code::Backend, format!("Redis: {error}")))?;
        let own = keyvalue::Own { bucket: &linked.settings.bucket, alias: Some(ALIAS) };
        keyvalue::serve(store, own, invocation).await
    }

    async fn put(&self, link: ProviderLink) -> Result<(), LinkError> {
        if link.end != End::Target {
            return Err(LinkError::Unsupported(CALLS_NOBODY.into()));
        }
        if *self.stop.borrow() {
            return Err(LinkError::Stopping);
        }
        let settings = LinkSettings::read(&format!("a link of {}", link.peer), &link.config, &self.config)?;
        let linked = Linked { settings, store: OnceCell::new() };
        let what = "the connection to Redis cannot be prepared".to_owned();
        self.store(&linked).await.map_err(|source| LinkError::Io { what, source })?;
        self.links.put(link.id(), linked);
        Ok(())
    }

    async fn close(&self, deadline: Deadline) {
        self.stop.send_replace(true);
        self.calls.close();
        if tokio::time::timeout(deadline.remaining(), self.calls.wait()).await.is_err() {
            tracing::warn!("key-value operations that did not end in time are given up");
        }
    }

    /// Asks each server: one that broke is connected to again by that, before a call needs it.
    async fn check(&self) -> Result<(), String> {
        let connections: Vec<_> = self.connections.lock().await.values().filter_map(Weak::upgrade).collect();
        let answers = futures::future::join_all(connections.iter().map(|connection| connection.ping())).await;
        answers.into_iter().collect()
    }
}

impl Serve for KeyvalueRedis {
    fn serve(&self, invocation: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        Box::pin(self.call(invocation))
    }
}

impl Provider for KeyvalueRedis {
    fn put_link(&self, link: ProviderLink) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(self.put(link))
    }

    fn delete_link(&self, link: &LinkId) -> BoxFuture<'_, ()> {
        self.links.delete(link);
        Box::pin(std::future::ready(()))
    }

    fn health(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(self.check())
    }

    fn drain(&self, deadline: Deadline) -> BoxFuture<'_, ()> {
        Box::pin(self.close(deadline))
    }
}
