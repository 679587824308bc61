//! The provider: its links, and which connection each of them uses.

use std::{io, path::PathBuf, sync::Arc};

use futures::future::{BoxFuture, join_all};
use mesh_lattice::{CallError, Code, Deadline, InterfacePattern, Invocation, Name, Reply, Serve, application::Values};
use mesh_nats::ServerSettings;
use mesh_provider::{
    ConfigError, Context, Factory, Intake, LinkError, LinkId, Links, NatsDefault, Provider, ProviderLink, Shared,
    StartError, keyvalue,
};
use tokio::sync::OnceCell;

use crate::{connection::Connection, counter::Counters, settings::LinkSettings, store::NatsStore};

/// What `use` in a manifest says.
pub const KIND: &str = "keyvalue-nats";

/// Starts providers of key-value in NATS.
#[derive(Debug, Clone)]
pub struct KeyvalueNatsFactory {
    kind: Name,
    package: InterfacePattern,
}

impl KeyvalueNatsFactory {
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

impl Factory for KeyvalueNatsFactory {
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
            let own = LinkSettings::read(
                context.name.as_str(),
                &Values::new(),
                &context.config,
                context.default_nats.as_ref(),
            )?;
            Ok(Arc::new(KeyvalueNats {
                links: Links::with_operators(Linked { settings: own, store: OnceCell::new() }),
                config: context.config,
                default: context.default_nats,
                data_dir: context.data_dir,
                connections: Shared::default(),
                intake: Intake::default(),
            }) as Arc<dyn Provider>)
        };
        Box::pin(std::future::ready(start()))
    }
}

struct KeyvalueNats {
    links: Links<Linked>,
    config: Values,
    default: Option<NatsDefault>,
    data_dir: PathBuf,
    /// A connection lives as long as a link uses it.
    connections: Shared<ServerSettings, Backend>,
    intake: Intake,
}

/// A connection, and the counters that are being added to over it.
struct Backend {
    connection: Arc<Connection>,
    counters: Arc<Counters>,
}

/// A link, and its store once it was needed.
struct Linked {
    settings: LinkSettings,
    store: OnceCell<(NatsStore, Arc<Backend>)>,
}

impl KeyvalueNats {
    async fn store<'a>(&self, linked: &'a Linked) -> io::Result<&'a NatsStore> {
        let made = linked.store.get_or_try_init(|| async {
            let backend = self.connect(&linked.settings.server).await?;
            let store = NatsStore {
                connection: Arc::clone(&backend.connection),
                counters: Arc::clone(&backend.counters),
                settings: linked.settings.clone(),
            };
            Ok::<_, io::Error>((store, backend))
        });
        Ok(&made.await?.0)
    }

    async fn connect(&self, server: &ServerSettings) -> io::Result<Arc<Backend>> {
        let open = async {
            let connection = Connection::open(server, &self.data_dir).await?;
            Ok(Backend { connection, counters: Arc::default() })
        };
        self.connections.get_or_make(server, open).await
    }

    async fn call(&self, invocation: Invocation) -> Result<Reply, CallError> {
        let linked = self.links.find(&invocation.caller, &invocation.link, &invocation.interface)?;
        let _taken = self.intake.take()?;
        let store = self.store(&linked).await.map_err(|error| {
            CallError::new(Code::Backend, format!("NATS at {}: {error}", linked.settings.server.url))
        })?;
        let own = keyvalue::Own { bucket: &linked.settings.bucket, alias: None };
        Box::pin(keyvalue::serve(store, own, invocation)).await
    }

    async fn put(&self, link: ProviderLink) -> Result<(), LinkError> {
        link.only_called(keyvalue::CALLS_NOBODY)?;
        self.intake.is_open()?;
        let of = format!("a link of {}", link.peer);
        let settings = LinkSettings::read(&of, &link.config, &self.config, self.default.as_ref())?;
        let linked = Linked { settings, store: OnceCell::new() };
        // Connecting begins now, in the background: the first call then finds it done.
        let server = format!("{}: the connection cannot be prepared", linked.settings.server.url);
        self.store(&linked).await.map_err(|source| LinkError::Io { what: server, source })?;
        self.links.put(link.id(), linked);
        Ok(())
    }

    async fn close(&self, deadline: Deadline) {
        self.intake.close();
        let backends = self.connections.all().await;
        let ended = async {
            self.intake.ended().await;
            join_all(backends.iter().map(|backend| backend.counters.ended())).await;
        };
        if tokio::time::timeout(deadline.remaining(), ended).await.is_err() {
            tracing::warn!("key-value operations that did not end in time are given up");
        }
        join_all(backends.iter().map(|backend| backend.connection.nats.close(deadline))).await;
    }
}

impl Serve for KeyvalueNats {
    fn serve(&self, invocation: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        Box::pin(self.call(invocation))
    }
}

impl Provider for KeyvalueNats {
    fn put_link(&self, link: ProviderLink) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(self.put(link))
    }

    fn delete_link(&self, link: &LinkId) -> BoxFuture<'_, ()> {
        self.links.delete(link);
        Box::pin(std::future::ready(()))
    }

    fn health(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            match self.connections.all().await.iter().find(|backend| !backend.connection.nats.is_connected()) {
                Some(backend) => Err(format!("not connected to NATS at {}", backend.connection.nats.url())),
                None => Ok(()),
            }
        })
    }

    fn drain(&self, deadline: Deadline) -> BoxFuture<'_, ()> {
        Box::pin(self.close(deadline))
    }
}
