//! Turning verified bytes into code: off the asynchronous threads, at low priority, one component at a time, and
//! from the cache where it has an authentic copy.

pub(crate) mod cache;
mod release;
mod shape;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use mesh_lattice::Digest;
use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::{Semaphore, oneshot};
use wasmtime::component::Component;

use cache::Cache;
pub use cache::CacheError;

use crate::engine::{EngineConfig, EngineError};

/// The nice value of the threads that compile: they take what nobody else wants.
const NICE: i32 = 15;

/// Instances, of components and of core modules, that one component may be made of: ten times what one may have when
/// it runs.
const MAX_INSTANCES: u64 = 1_000;

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// A component larger than the engine compiles.
    #[error("the component has {bytes} bytes, more than the {limit} that are compiled here")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The most that is compiled.
        limit: usize,
    },
    /// More instances than the engine lays out.
    #[error("the component is made of {instances} instances, more than the {MAX_INSTANCES} that are compiled here")]
    TooManyInstances {
        /// How many; [`u64::MAX`] stands for more than can be counted.
        instances: u64,
    },
    /// A core module or something else.
    #[error("not a component")]
    NotAComponent,
    /// The compiler refuses it.
    #[error("the component does not compile: {0}")]
    Invalid(String),
    /// The compiling thread went away: a defect.
    #[error("compiling was interrupted")]
    Interrupted,
}

/// Compiles for every engine of a host, and counts.
pub(crate) struct Compiler {
    threads: ThreadPool,
    one_at_a_time: Arc<Semaphore>,
    limit: usize,
    compilations: Arc<AtomicU64>,
}

impl Compiler {
    pub(crate) fn new(config: &EngineConfig) -> Result<Self, EngineError> {
        let threads = ThreadPoolBuilder::new()
            .num_threads(config.compile_threads.get())
            .thread_name(|index| format!("compile-{index}"))
            .start_handler(|_| lower_priority())
            .build()
            .map_err(|error| EngineError::Thread(std::io::Error::other(error)))?;
        Ok(Self {
            threads,
            one_at_a_time: Arc::new(Semaphore::new(1)),
            limit: config.max_component_bytes,
            compilations: Arc::default(),
        })
    }

    pub(crate) fn compilations(&self) -> u64 {
        self.compilations.load(Ordering::Relaxed)
    }

    /// Whether these bytes need an engine with support for concurrency: read where they would be compiled.
    pub(crate) async fn needs_concurrency(&self, bytes: Bytes) -> Result<bool, CompileError> {
        self.judge(&bytes)?;
        self.on_a_thread(move || release::needs_concurrency(&bytes)).await
    }

    /// The code of these bytes for this engine, whose digest this is. Dropping the future does not stop a compilation
    /// that runs: its result is in the cache for the next one who asks.
    pub(crate) async fn component(
        &self,
        (engine, cache): (wasmtime::Engine, Option<Arc<Cache>>),
        digest: Digest,
        bytes: Bytes,
    ) -> Result<Component, CompileError> {
        self.judge(&bytes)?;
        let turn = Arc::clone(&self.one_at_a_time).acquire_owned().await.map_err(|_| CompileError::Interrupted)?;
        let compilations = Arc::clone(&self.compilations);
        let compile = move || {
            let _turn = turn;
            load_or_compile(&engine, cache.as_deref(), digest, &bytes, &compilations)
        };
        self.on_a_thread(compile).await?
    }

    fn judge(&self, bytes: &[u8]) -> Result<(), CompileError> {
        if bytes.len() > self.limit {
            return Err(CompileError::TooLarge { bytes: bytes.len(), limit: self.limit });
        }
        // A component says layer 1 where a core module says version 1.
        if bytes.get(..4) != Some(b"\0asm".as_slice()) || bytes.get(6..8) != Some([1, 0].as_slice()) {
            return Err(CompileError::NotAComponent);
        }
        Ok(())
    }

    async fn on_a_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CompileError> {
        let (done, result) = oneshot::channel();
        // Whoever asked may have gone.
        self.threads.spawn(move || drop(done.send(work())));
        result.await.map_err(|_| CompileError::Interrupted)
    }
}

fn load_or_compile(
    engine: &wasmtime::Engine,
    cache: Option<&Cache>,
    digest: Digest,
    bytes: &[u8],
    compilations: &AtomicU64,
) -> Result<Component, CompileError> {
    if let Some(component) = cache.and_then(|cache| cache.load(engine, digest)) {
        return Ok(component);
    }
    let instances = shape::instances(bytes);
    if instances > MAX_INSTANCES {
        return Err(CompileError::TooManyInstances { instances });
    }
    compilations.fetch_add(1, Ordering::Relaxed);
    let component = Component::new(engine, bytes).map_err(|error| CompileError::Invalid(format!("{error:#}")))?;
    if let Some(cache) = cache {
        cache.store(digest, &component);
    }
    Ok(component)
}

/// On Linux a nice value belongs to a thread.
fn lower_priority() {
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE) {
        tracing::warn!("compiling runs at normal priority: {error}");
    }
}
