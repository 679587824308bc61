//! The provider: its links and their buckets.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use futures::future::BoxFuture;
use mesh_lattice::{CallError, Code, Deadline, InterfacePattern, Invocation, Name, Reply, Serve, application::Values};
use mesh_provider::{
    ConfigError, Context, Factory, LinkError, LinkId, Links, Provider, ProviderLink, Settings, StartError, keyvalue,
};
use parking_lot::RwLock;
use redb::Database;
use tokio::sync::Notify;

use crate::{store::RedbStore, writer::Writer};

/// What `use` in a manifest says.
pub const KIND: &str = "keyvalue-redb";

/// The bucket of links that name none, and what guests may call the bucket of any link.
const DEFAULT_BUCKET: &str = "default";

/// The file in the provider's directory.
const FILE: &str = "keyvalue.redb";

/// Starts providers of key-value on disk.
#[derive(Debug, Clone)]
pub struct KeyvalueRedbFactory {
    kind: Name,
    package: InterfacePattern,
}

impl KeyvalueRedbFactory {
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

impl Factory for KeyvalueRedbFactory {
    fn kind(&self) -> Name {
        self.kind.clone()
    }

    fn interfaces(&self) -> Vec<InterfacePattern> {
        vec![self.package.clone()]
    }

    fn local_state(&self) -> bool {
        true
    }

    fn check(&self, config: &Values) -> Result<(), ConfigError> {
        let mut settings = Settings::new(config);
        bucket(&mut settings);
        settings.refuse_unknown(config)
    }

    fn check_link(&self, _: &Values, link: &ProviderLink) -> Result<(), LinkError> {
        link.only_called(keyvalue::CALLS_NOBODY)?;
        Ok(self.check(&link.config)?)
    }

    fn start(&self, context: Context) -> BoxFuture<'_, Result<Arc<dyn Provider>, StartError>> {
        Box::pin(async move {
            let provider = tokio::task::spawn_blocking(move || KeyvalueRedb::open(&context));
            let provider = provider.await.map_err(|error| StartError::Backend(error.to_string()))??;
            Ok(Arc::new(provider) as Arc<dyn Provider>)
        })
    }
}

/// All that can be said of it, or of one of its links.
fn bucket<'a>(settings: &mut Settings<'a>) -> Option<&'a str> {
    settings.text("bucket")
}

struct KeyvalueRedb {
    links: Links<Bucket>,
    own: String,
    /// Taken by draining.
    store: RwLock<Option<Arc<RedbStore>>>,
    writer: parking_lot::Mutex<Option<JoinHandle<()>>>,
    running: AtomicUsize,
    idle: Notify,
}

/// The settings of a link.
struct Bucket(String);

impl KeyvalueRedb {
    fn open(context: &Context) -> Result<Self, StartError> {
        let mut settings = Settings::new(&context.config);
        let own = bucket(&mut settings).unwrap_or(DEFAULT_BUCKET).to_owned();
        settings.warn_unknown(context.name.as_str());
        let io = |what: String| move |source: io::Error| StartError::Io { what, source };
        std::fs::create_dir_all(&context.data_dir)
            .map_err(io(format!("{} cannot be made", context.data_dir.display())))?;
        let path = context.data_dir.join(FILE);
        let database = Database::create(&path)
            .map_err(|error| StartError::Backend(format!("{} cannot be opened: {error}", path.display())))?;
        let database = Arc::new(database);
        let (writer, thread) = Writer::start(Arc::clone(&database)).map_err(io("a thread cannot be started".into()))?;
        Ok(Self {
            links: Links::with_operators(Bucket(own.clone())),
            own,
            store: RwLock::new(Some(Arc::new(RedbStore { database, writer }))),
            writer: parking_lot::Mutex::new(Some(thread)),
            running: AtomicUsize::new(0),
            idle: Notify::new(),
        })
    }

    async fn call(&self, invocation: Invocation) -> Result<Reply, CallError> {
        let bucket = self.links.find(&invocation.caller, &invocation.link, &invocation.interface)?;
        let _running = Running::new(self);
        let store = self.store.read().clone();
        let store = store.ok_or_else(|| CallError::new(Code::Unavailable, "the provider is stopping"))?;
        let own = keyvalue::Own { bucket: &bucket.0, alias: Some(DEFAULT_BUCKET) };
        keyvalue::serve(&*store, own, invocation).await
    }

    async fn close(&self, deadline: Deadline) {
        let wait = async {
            loop {
                let idle = self.idle.notified();
                if self.running.load(Ordering::SeqCst) == 0 {
                    return;
                }
                idle.await;
            }
        };
        if tokio::time::timeout(deadline.remaining(), wait).await.is_err() {
            tracing::warn!("key-value operations that did not end in time are given up");
        }
        // The writer ends when nobody can send it anything, and closes the file.
        drop(self.store.write().take());
        let Some(writer) = self.writer.lock().take() else { return };
        let joined = tokio::task::spawn_blocking(move || writer.join().is_ok());
        let grace = deadline.remaining().max(Duration::from_millis(100));
        if !matches!(tokio::time::timeout(grace, joined).await, Ok(Ok(true))) {
            tracing::warn!("the database's writer did not end in time");
        }
    }
}

/// One operation that runs.
struct Running<'a>(&'a KeyvalueRedb);

impl<'a> Running<'a> {
    fn new(provider: &'a KeyvalueRedb) -> Self {
        provider.running.fetch_add(1, Ordering::SeqCst);
        Self(provider)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

impl Serve for KeyvalueRedb {
    fn serve(&self, invocation: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        Box::pin(self.call(invocation))
    }
}

impl Provider for KeyvalueRedb {
    fn put_link(&self, link: ProviderLink) -> BoxFuture<'_, Result<(), LinkError>> {
        let put = || {
            link.only_called(keyvalue::CALLS_NOBODY)?;
            let mut settings = Settings::new(&link.config);
            let bucket = bucket(&mut settings).unwrap_or(&self.own).to_owned();
            settings.warn_unknown(&format!("a link of {}", link.peer));
            self.links.put(link.id(), Bucket(bucket));
            Ok(())
        };
        Box::pin(std::future::ready(put()))
    }

    fn delete_link(&self, link: &LinkId) -> BoxFuture<'_, ()> {
        self.links.delete(link);
        Box::pin(std::future::ready(()))
    }

    fn health(&self) -> BoxFuture<'_, Result<(), String>> {
        let writes = self.writer.lock().as_ref().is_some_and(|writer| !writer.is_finished());
        Box::pin(std::future::ready(if writes { Ok(()) } else { Err("the database's writer has ended".into()) }))
    }

    fn drain(&self, deadline: Deadline) -> BoxFuture<'_, ()> {
        Box::pin(self.close(deadline))
    }
}
