//! The provider: its links, and which connection each of them uses.
//!
//! It may be at both ends: as the source of a link it subscribes and calls the actor's handler, as the target it
//! publishes for the actor. A host that stops drains those that bring calls in first and everything else later, so a
//! provider that does both is drained twice: the first time its subscriptions end, while handlers can still publish;
//! after that, or where it has no subscriptions, it takes nothing more from actors.

use std::{collections::HashMap, io, path::PathBuf, sync::Arc};

use futures::future::{BoxFuture, join_all};
use mesh_lattice::{
    CallError, Caller, Code, Deadline, Interface, InterfacePattern, Invocation, LatticeName, Name, Reply, Serve,
    application::Values, wit::messaging as wire,
};
use mesh_nats::{Connection, ServerSettings, within};
use mesh_provider::{
    ConfigError, Context, End, Factory, Intake, LinkError, LinkId, Links, Metric, NatsDefault, Provider, ProviderLink,
    Shared, StartError,
};
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    counters::Counters,
    sending,
    settings::{LinkSettings, Subscribed},
    subscription::{self, Ending, Handling},
};

/// What `use` in a manifest says.
pub const KIND: &str = "messaging-nats";

/// What servers call its connections.
const CLIENT: &str = "mesh messaging-nats";

/// What it serves, and what it calls.
const SERVES: [&str; 3] =
    ["wasmcloud:messaging/consumer", "wasmcloud:messaging/producer", "wasmcloud:messaging/request-reply"];
const CALLS: [&str; 2] = ["wasmcloud:messaging/handler", "wasmcloud:messaging/incoming-handler"];

/// Starts providers of messages over NATS.
#[derive(Debug, Clone)]
pub struct MessagingNatsFactory {
    kind: Name,
    serves: Vec<InterfacePattern>,
    calls: Vec<InterfacePattern>,
}

impl MessagingNatsFactory {
    /// The one that there is.
    ///
    /// # Errors
    ///
    /// Never: the names are this crate's own.
    pub fn new() -> Result<Self, ConfigError> {
        let patterns = |names: &[&str]| {
            let parsed = names.iter().map(|name| name.parse());
            parsed.collect::<Result<Vec<_>, _>>().map_err(|_| ConfigError::invalid("interfaces", "interfaces"))
        };
        Ok(Self {
            kind: KIND.parse().map_err(|_| ConfigError::invalid("use", "a name"))?,
            serves: patterns(&SERVES)?,
            calls: patterns(&CALLS)?,
        })
    }
}

impl Factory for MessagingNatsFactory {
    fn kind(&self) -> Name {
        self.kind.clone()
    }

    fn interfaces(&self) -> Vec<InterfacePattern> {
        self.serves.clone()
    }

    fn calls(&self) -> Vec<InterfacePattern> {
        self.calls.clone()
    }

    fn local_state(&self) -> bool {
        false
    }

    fn check(&self, config: &Values) -> Result<(), ConfigError> {
        LinkSettings::check(config, &Values::new()).map(drop)
    }

    fn check_link(&self, config: &Values, link: &ProviderLink) -> Result<(), LinkError> {
        role(link)?;
        Ok(LinkSettings::check_link(link, config)?)
    }

    fn start(&self, context: Context) -> BoxFuture<'_, Result<Arc<dyn Provider>, StartError>> {
        let start = || {
            // Operators have no link: they get what the provider itself was told.
            let own = LinkSettings::own(&context.config, context.default_nats.as_ref())?;
            Ok(Arc::new(MessagingNats {
                links: Links::with_operators(Linked { server: own.server, connection: OnceCell::new() }),
                subscribed: Mutex::new(Some(HashMap::new())),
                tasks: TaskTracker::new(),
                cut: CancellationToken::new(),
                connections: Shared::default(),
                counters: Arc::default(),
                intake: Intake::default(),
                own: Own {
                    lattice: context.lattice,
                    name: context.name,
                    config: context.config,
                    default: context.default_nats,
                    data_dir: context.data_dir,
                    calls: context.calls,
                },
            }) as Arc<dyn Provider>)
        };
        Box::pin(std::future::ready(start()))
    }
}

/// What the provider is on a link.
enum Role {
    /// It calls the handler on this interface with this operation.
    Brings(Interface, &'static str),
    /// It is called to send.
    Sends,
}

fn role(link: &ProviderLink) -> Result<Role, LinkError> {
    let parsed =
        |name: &str| name.parse::<Interface>().map_err(|_| LinkError::Unsupported(format!("{name} is no interface")));
    let named = |interface: &Interface| link.interfaces.iter().any(|pattern| pattern.names(interface));
    let (handler, incoming) = (parsed(wire::HANDLER)?, parsed(wire::INCOMING_HANDLER)?);
    match link.end {
        End::Source if named(&handler) => Ok(Role::Brings(handler, wire::operation::HANDLE_MESSAGE)),
        End::Source if named(&incoming) => Ok(Role::Brings(incoming, wire::operation::HANDLE)),
        End::Source => Err(LinkError::Unsupported(format!("it calls actors on {} alone", CALLS.join(" or ")))),
        End::Target => {
            for name in [wire::CONSUMER, wire::PRODUCER, wire::REQUEST_REPLY] {
                if named(&parsed(name)?) {
                    return Ok(Role::Sends);
                }
            }
            Err(LinkError::Unsupported(format!("it serves {} alone", SERVES.join(", "))))
        }
    }
}

/// What the provider was started with.
struct Own {
    lattice: LatticeName,
    name: Name,
    config: Values,
    default: Option<NatsDefault>,
    data_dir: PathBuf,
    calls: Arc<dyn Serve>,
}

struct MessagingNats {
    own: Own,
    /// Links of actors that send.
    links: Links<Linked>,
    /// Links to handlers; nothing, once it stops.
    subscribed: Mutex<Option<HashMap<LinkId, Source>>>,
    tasks: TaskTracker,
    cut: CancellationToken,
    /// A connection lives as long as a subscription or a call uses it.
    connections: Shared<ServerSettings, Connection>,
    counters: Arc<Counters>,
    intake: Intake,
}

/// A link of an actor that sends, and its connection once it was needed.
struct Linked {
    server: ServerSettings,
    connection: OnceCell<Arc<Connection>>,
}

/// A link to a handler whose messages are being read.
struct Source {
    link: ProviderLink,
    stop: CancellationToken,
}

impl MessagingNats {
    async fn connect(&self, server: &ServerSettings) -> io::Result<Arc<Connection>> {
        self.connections
            .get_or_make(server, Connection::open(CLIENT, server, &self.own.data_dir, &self.counters.lost))
            .await
    }

    async fn call(&self, invocation: Invocation) -> Result<Reply, CallError> {
        let linked = self.links.find(&invocation.caller, &invocation.link, &invocation.interface)?;
        let _taken = self.intake.take()?;
        let connection = linked.connection.get_or_try_init(|| self.connect(&linked.server)).await;
        let connection = connection
            .map_err(|error| CallError::new(Code::Backend, format!("NATS at {}: {error}", linked.server.url)))?;
        sending::serve(connection, &self.counters, invocation).await
    }

    async fn put(&self, link: ProviderLink) -> Result<(), LinkError> {
        let role = role(&link)?;
        self.intake.is_open()?;
        let settings = LinkSettings::read(&link, &self.own.config, self.own.default.as_ref())?;
        let what = format!("{}: the connection cannot be prepared", settings.server.url);
        let connection = self.connect(&settings.server).await.map_err(|source| LinkError::Io { what, source })?;
        match role {
            Role::Sends => {
                let connection = OnceCell::new_with(Some(connection));
                self.links.put(link.id(), Linked { server: settings.server, connection });
            }
            Role::Brings(interface, operation) => {
                self.subscribe(link, settings, (interface, operation), connection).await?;
            }
        }
        Ok(())
    }

    /// Reads the messages of a link. Where it was read before under other settings, the new subscriptions begin before
    /// the old ones end: a queue group gives each message to one of them.
    async fn subscribe(
        &self,
        link: ProviderLink,
        settings: LinkSettings,
        (interface, operation): (Interface, &'static str),
        connection: Arc<Connection>,
    ) -> Result<(), LinkError> {
        let same = |source: &Source| source.link == link;
        if self.subscribed.lock().as_ref().ok_or(LinkError::Stopping)?.get(&link.id()).is_some_and(same) {
            return Ok(());
        }
        let handling = Arc::new(Handling {
            caller: Caller::Named(self.own.name.clone()),
            target: link.peer.clone(),
            link: link.name.clone(),
            interface,
            operation: operation.into(),
            calls: Arc::clone(&self.own.calls),
            timeout: settings.timeout,
            in_flight: settings.in_flight,
            pending: settings.pending,
            counters: Arc::clone(&self.counters),
            connection,
        });
        let group = format!("mesh-{}-{}-{}-{}", self.own.lattice, self.own.name, link.peer, link.name);
        let mut subscribers = Vec::new();
        for Subscribed { subject, queue } in settings.subscriptions {
            let queue = queue.unwrap_or_else(|| group.clone());
            let asked = handling.connection.client().queue_subscribe(subject.clone(), queue);
            let refused = |why: String| LinkError::Backend(format!("{subject} cannot be subscribed to: {why}"));
            let asked = within(Deadline::after(settings.timeout), asked).await;
            let subscriber =
                asked.map_err(|late| refused(late.to_string()))?.map_err(|error| refused(error.to_string()))?;
            subscribers.push(subscriber);
        }
        let ending = Ending { stop: CancellationToken::new(), cut: self.cut.clone() };
        let source = Source { link, stop: ending.stop.clone() };
        let old = {
            let mut subscribed = self.subscribed.lock();
            let subscribed = subscribed.as_mut().ok_or(LinkError::Stopping)?;
            subscribed.insert(source.link.id(), source)
        };
        for subscriber in subscribers {
            self.tasks.spawn(subscription::run(subscriber, Arc::clone(&handling), ending.clone()));
        }
        if let Some(old) = old {
            old.stop.cancel();
        }
        Ok(())
    }

    async fn close(&self, deadline: Deadline) {
        let sources = self.subscribed.lock().take().unwrap_or_default();
        let connections = self.connections.all().await;
        for source in sources.values() {
            source.stop.cancel();
        }
        self.tasks.close();
        if tokio::time::timeout(deadline.remaining(), self.tasks.wait()).await.is_err() {
            tracing::warn!("messages that were not handled in time are given up");
            self.cut.cancel();
            self.tasks.wait().await;
        }
        if sources.is_empty() {
            self.intake.close();
            if tokio::time::timeout(deadline.remaining(), self.intake.ended()).await.is_err() {
                tracing::warn!("messages of actors that did not go out in time are given up");
            }
        }
        join_all(connections.iter().map(|connection| connection.close(deadline))).await;
    }
}

impl Serve for MessagingNats {
    fn serve(&self, invocation: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        Box::pin(self.call(invocation))
    }
}

impl Provider for MessagingNats {
    fn put_link(&self, link: ProviderLink) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(self.put(link))
    }

    fn delete_link(&self, link: &LinkId) -> BoxFuture<'_, ()> {
        self.links.delete(link);
        if let Some(source) = self.subscribed.lock().as_mut().and_then(|subscribed| subscribed.remove(link)) {
            source.stop.cancel();
        }
        Box::pin(std::future::ready(()))
    }

    fn health(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            match self.connections.all().await.iter().find(|connection| !connection.is_connected()) {
                Some(connection) => Err(format!("not connected to NATS at {}", connection.url())),
                None => Ok(()),
            }
        })
    }

    fn metrics(&self) -> Vec<Metric> {
        self.counters.metrics()
    }

    fn drain(&self, deadline: Deadline) -> BoxFuture<'_, ()> {
        Box::pin(self.close(deadline))
    }
}
