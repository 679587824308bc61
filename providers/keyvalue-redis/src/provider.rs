//! The provider: its links, and which connection each of them uses.

use std::sync::Arc;

use futures::future::BoxFuture;
use mesh_lattice::{CallError, Code, Deadline, InterfacePattern, Invocation, Name, Reply, Serve, application::Values};
use mesh_provider::{
    ConfigError, Context, Factory, Intake, LinkError, LinkId, Links, Provider, ProviderLink, Shared, StartError,
    keyvalue,
};
use tokio::sync::OnceCell;

use crate::{
    connection::Connection,
    settings::{LinkSettings, ServerSettings},
    store::RedisStore,
};

/// What `use` in a manifest says.
pub const KIND: &str = "keyvalue-redis";

/// What guests that were written for a provider without buckets open: the link's own.
const ALIAS: &str = "default";

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
        link.only_called(keyvalue::CALLS_NOBODY)?;
        Ok(LinkSettings::check(&link.config, config).map(drop)?)
    }

    fn start(&self, context: Context) -> BoxFuture<'_, Result<Arc<dyn Provider>, StartError>> {
        let start = || {
            // Operators have no link: they get what the provider itself was told.
            let settings = LinkSettings::read(context.name.as_str(), &Values::new(), &context.config)?;
            Ok(Arc::new(KeyvalueRedis {
                links: Links::with_operators(Linked { settings, store: OnceCell::new() }),
                config: context.config,
                connections: Shared::default(),
                intake: Intake::default(),
            }) as Arc<dyn Provider>)
        };
        Box::pin(std::future::ready(start()))
    }
}

struct KeyvalueRedis {
    links: Links<Linked>,
    config: Values,
    /// A connection lives as long as a link uses it.
    connections: Shared<ServerSettings, Connection>,
    intake: Intake,
}

/// A link, and its store once it was needed.
struct Linked {
    settings: LinkSettings,
    store: OnceCell<RedisStore>,
}

impl KeyvalueRedis {
    async fn store<'a>(&self, linked: &'a Linked) -> Result<&'a RedisStore, std::io::Error> {
        let server = &linked.settings.server;
        let make = || async {
            let connection = self.connections.get_or_make(server, Connection::open(server)).await?;
            Ok(RedisStore { connection })
        };
        linked.store.get_or_try_init(make).await
    }

    async fn call(&self, invocation: Invocation) -> Result<Reply, CallError> {
        let linked = self.links.find(&invocation.caller, &invocation.link, &invocation.interface)?;
        let _taken = self.intake.take()?;
        let store = self.store(&linked).await;
        let store = store.map_err(|error| CallError::new(Code::Backend, format!("Redis: {error}")))?;
        let own = keyvalue::Own { bucket: &linked.settings.bucket, alias: Some(ALIAS) };
        keyvalue::serve(store, own, invocation).await
    }

    async fn put(&self, link: ProviderLink) -> Result<(), LinkError> {
        link.only_called(keyvalue::CALLS_NOBODY)?;
        self.intake.is_open()?;
        let settings = LinkSettings::read(&format!("a link of {}", link.peer), &link.config, &self.config)?;
        let linked = Linked { settings, store: OnceCell::new() };
        let what = "the connection to Redis cannot be prepared".to_owned();
        self.store(&linked).await.map_err(|source| LinkError::Io { what, source })?;
        self.links.put(link.id(), linked);
        Ok(())
    }

    async fn close(&self, deadline: Deadline) {
        self.intake.close();
        if tokio::time::timeout(deadline.remaining(), self.intake.ended()).await.is_err() {
            tracing::warn!("key-value operations that did not end in time are given up");
        }
    }

    /// Asks each server: one that broke is connected to again by that, before a call needs it.
    async fn check(&self) -> Result<(), String> {
        let connections = self.connections.all().await;
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
