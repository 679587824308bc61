//! What runs all actors of a host: the engines, how they are configured, what they share.
//!
//! Built by `meshd`'s build order and handed to whoever starts actors. Cheap to clone; the last clone that goes stops
//! the tickers' threads.

mod machine;
pub(crate) mod runner;
mod ticker;

use std::{num::NonZeroUsize, path::PathBuf, sync::Arc};

use mesh_claims::{Component as ComponentKind, Verified};
use mesh_lattice::{
    Serve,
    handle::{Liveness, Origin},
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::{
    actor::{Actor, ActorConfig, ActorError},
    compile::{CacheError, CompileError, Compiler},
    dynamic::mint::Mint,
    journal::Journals,
    limits::Budget,
};
use runner::{Kind, Runner};

/// How an engine is built.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Instances live in slots made in advance; without it each is mapped when it starts, which costs twice the time
    /// and reserves no address space.
    pub pooling: bool,
    /// Bytes that the linear memories of all instances together may use.
    pub memory_bytes: u64,
    /// Instances that may live at once, over all actors.
    pub instances: u32,
    /// Where compiled code is kept; it is compiled at each start where this is nowhere.
    pub cache_dir: Option<PathBuf>,
    /// A component larger than this is not compiled.
    pub max_component_bytes: usize,
    /// Threads that compile, at low priority.
    pub compile_threads: NonZeroUsize,
    /// What the handles that are minted here say of where that was: calls on them come back to it.
    pub origin: Option<Origin>,
    /// Says whether the hosts live that hold handles; without it, what they hold ends when nobody uses it.
    pub liveness: Option<Arc<dyn Liveness>>,
}

impl Default for EngineConfig {
    /// Sized to this machine: half of its memory for instances, and one instance for each 8 MiB of that.
    fn default() -> Self {
        let memory_bytes = machine::memory_bytes() / 2;
        Self {
            pooling: true,
            memory_bytes,
            instances: machine::instances(memory_bytes),
            cache_dir: None,
            max_component_bytes: 64 << 20,
            compile_threads: machine::cores(),
            origin: None,
            liveness: None,
        }
    }
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// wasmtime refuses the configuration or the machine.
    #[error("the engine cannot start: {0}")]
    Wasmtime(String),
    /// The ticker's or the compiler's threads did not start.
    #[error("a thread cannot start")]
    Thread(#[source] std::io::Error),
    /// There are no random numbers to mint handles with.
    #[error("the system gives no random numbers")]
    Random,
    /// The cache of compiled code cannot be used.
    #[error("the cache of compiled code cannot be used")]
    Cache(#[from] CacheError),
}

impl From<wasmtime::Error> for EngineError {
    fn from(error: wasmtime::Error) -> Self {
        Self::Wasmtime(format!("{error:#}"))
    }
}

/// Compiles components and runs them.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    config: EngineConfig,
    sequential: Arc<Runner>,
    /// Made for the first actor that needs it.
    concurrent: Mutex<Option<Arc<Runner>>>,
    compiler: Compiler,
    budget: Arc<Budget>,
    /// Guests that spin run here only: one core less than there are, so that the others keep one.
    lane: Arc<Semaphore>,
    mint: Mint,
    journals: Arc<Journals>,
}

impl Engine {
    /// An engine of this configuration.
    ///
    /// # Errors
    ///
    /// Where wasmtime, the machine or the cache directory does not allow it.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        Ok(Self(Arc::new(Inner {
            sequential: Arc::new(Runner::new(&config, Kind::Sequential)?),
            concurrent: Mutex::new(None),
            compiler: Compiler::new(&config)?,
            budget: Arc::new(Budget::new(config.memory_bytes)),
            lane: Arc::new(Semaphore::new(machine::cores().get().saturating_sub(1).max(1))),
            mint: Mint::new(config.origin.clone()).map_err(|_| EngineError::Random)?,
            journals: Arc::default(),
            config,
        })))
    }

    /// Makes an actor of a verified component; what its guests call goes to `calls`.
    ///
    /// # Errors
    ///
    /// Where the component cannot be compiled, or imports what no host can serve.
    pub async fn actor(
        &self,
        verified: &Verified<ComponentKind>,
        config: ActorConfig,
        calls: Arc<dyn Serve>,
    ) -> Result<Arc<Actor>, ActorError> {
        let concurrent = self.0.compiler.needs_concurrency(verified.bytes().clone()).await?;
        let runner = if concurrent { self.concurrent()? } else { Arc::clone(&self.0.sequential) };
        let component = runner.compile(&self.0.compiler, verified.digest(), verified.bytes().clone()).await?;
        Actor::link((self, runner), &component, config, calls).map(Arc::new)
    }

    fn concurrent(&self) -> Result<Arc<Runner>, EngineError> {
        let mut made = self.0.concurrent.lock();
        let runner = match made.take() {
            Some(runner) => runner,
            None => Arc::new(Runner::new(&self.0.config, Kind::Concurrent)?),
        };
        *made = Some(Arc::clone(&runner));
        Ok(runner)
    }

    /// The last lines of each of its actors.
    #[must_use]
    pub fn journals(&self) -> &Arc<Journals> {
        &self.0.journals
    }

    pub(crate) fn mint(&self) -> &Mint {
        &self.0.mint
    }

    pub(crate) fn liveness(&self) -> Option<&Arc<dyn Liveness>> {
        self.0.config.liveness.as_ref()
    }

    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.0.budget
    }

    pub(crate) fn lane(&self) -> &Arc<Semaphore> {
        &self.0.lane
    }

    /// Bytes of linear memory that live instances hold.
    #[must_use]
    pub fn memory_in_use(&self) -> u64 {
        self.0.budget.used()
    }

    /// How often this engine compiled because its cache had nothing that it could trust.
    #[must_use]
    pub fn compilations(&self) -> u64 {
        self.0.compiler.compilations()
    }
}

impl From<EngineError> for ActorError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<CompileError> for ActorError {
    fn from(error: CompileError) -> Self {
        Self::Compile(error)
    }
}
