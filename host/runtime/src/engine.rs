//! One wasmtime engine for all actors of a host: its configuration, its instance pool, its epoch ticker.
//!
//! Built by `meshd`'s build order and handed to whoever starts actors. Cheap to clone; the last clone that goes stops
//! the ticker's thread.

mod machine;
mod ticker;

use std::{num::NonZeroUsize, path::PathBuf, sync::Arc};

use mesh_claims::{Component as ComponentKind, Verified};
use mesh_lattice::{
    Serve,
    handle::{Liveness, Origin},
};
use tokio::sync::Semaphore;
use wasmtime::{
    Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails, component::Linker,
};

use crate::{
    actor::{Actor, ActorConfig, ActorError},
    compile::{CacheError, CompileError, Compiler},
    dynamic::mint::Mint,
    limits::{Budget, MAX_TABLE_ELEMENTS},
    linker,
    state::State,
    surface::Surface,
};
use ticker::Ticker;

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
    wasmtime: wasmtime::Engine,
    linker: Linker<State>,
    compiler: Compiler,
    budget: Arc<Budget>,
    /// Instances that there is room for, where they live in a pool.
    slots: Option<u32>,
    /// Guests that spin run here only: one core less than there are, so that the others keep one.
    lane: Arc<Semaphore>,
    mint: Mint,
    liveness: Option<Arc<dyn Liveness>>,
    _ticker: Ticker,
}

impl Engine {
    /// An engine of this configuration.
    ///
    /// # Errors
    ///
    /// Where wasmtime, the machine or the cache directory does not allow it.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        let (wasmtime, slots) = build(&config)?;
        let ticker = Ticker::start(wasmtime.clone()).map_err(EngineError::Thread)?;
        let linker = linker::with_host_functions(&wasmtime)?;
        let mint = Mint::new(config.origin.clone()).map_err(|_| EngineError::Random)?;
        let compiler = Compiler::new(wasmtime.clone(), &config)?;
        Ok(Self(Arc::new(Inner {
            linker,
            compiler,
            budget: Arc::new(Budget::new(config.memory_bytes)),
            slots,
            mint,
            liveness: config.liveness,
            lane: Arc::new(Semaphore::new(machine::cores().get().saturating_sub(1).max(1))),
            _ticker: ticker,
            wasmtime,
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
        let component = self.0.compiler.component(verified.digest(), verified.bytes().clone()).await?;
        Actor::link(self, &component, config, calls).map(Arc::new)
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0.wasmtime
    }

    pub(crate) fn linker_for(&self, surface: &Surface) -> wasmtime::Result<Linker<State>> {
        linker::for_component(&self.0.linker, surface)
    }

    pub(crate) fn mint(&self) -> &Mint {
        &self.0.mint
    }

    pub(crate) fn liveness(&self) -> Option<&Arc<dyn Liveness>> {
        self.0.liveness.as_ref()
    }

    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.0.budget
    }

    pub(crate) fn lane(&self) -> &Arc<Semaphore> {
        &self.0.lane
    }

    /// Whether instances may wait for another call: not where memory or slots are half used.
    pub(crate) fn has_room_for_idle(&self) -> bool {
        let live = self.0.wasmtime.pooling_allocator_metrics().map_or(0, |metrics| metrics.component_instances());
        self.0.slots.is_none_or(|slots| live <= u64::from(slots / 2)) && self.0.budget.is_roomy()
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

impl From<CompileError> for ActorError {
    fn from(error: CompileError) -> Self {
        Self::Compile(error)
    }
}

/// The pool reserves address space, which small machines limit: fewer slots are tried before none. Says how many
/// there are.
fn build(config: &EngineConfig) -> Result<(wasmtime::Engine, Option<u32>), EngineError> {
    if !config.pooling {
        return Ok((wasmtime::Engine::new(&wasmtime_config(None))?, None));
    }
    let mut instances = config.instances.max(1);
    loop {
        match wasmtime::Engine::new(&wasmtime_config(Some(instances))) {
            Err(error) if instances > 16 => {
                tracing::warn!(instances, "the instance pool does not fit, trying a smaller one: {error:#}");
                instances /= 4;
            }
            result => return Ok((result?, Some(instances))),
        }
    }
}

fn wasmtime_config(pool: Option<u32>) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        // Guests of WASI 0.2 never use it, and each store would pay for it.
        .concurrency_support(false)
        .epoch_interruption(true)
        .memory_init_cow(true)
        // A backtrace for each trap would make traps a way to burn the host's time.
        .wasm_backtrace_max_frames(None)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .max_wasm_stack(512 << 10)
        .async_stack_size(2 << 20);
    if let Some(instances) = pool {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool_config(instances)));
    }
    config
}

fn pool_config(instances: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_stacks(instances)
        // A component has one main module and some small ones around it, most without a memory or a table.
        .total_core_instances(instances.saturating_mul(8))
        .total_memories(instances.saturating_mul(2))
        .total_tables(instances.saturating_mul(4))
        .table_elements(MAX_TABLE_ELEMENTS)
        .max_tables_per_module(4)
        .max_memories_per_module(4)
        .max_core_instance_size(4 << 20)
        .max_component_instance_size(4 << 20)
        // A slot is made clean by clearing the pages that were written, found with PAGEMAP_SCAN where the kernel has
        // it, instead of giving all of them back and faulting them in again.
        .pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(2 << 20)
        .table_keep_resident(256 << 10)
        .max_unused_warm_slots(instances.min(64));
    pool
}
