//! One wasmtime engine with what it needs to run guests: its instance pool, its host functions, its cache of compiled
//! code, its epoch ticker. A host has one for guests of WASI 0.2, and a second one, with support for concurrency, from
//! the first actor on that needs it: each instance of an engine with that support pays for it, used or not.

use std::sync::Arc;

use bytes::Bytes;
use mesh_lattice::Digest;
use wasmtime::{
    Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails,
    component::{Component, Linker},
};

use super::{EngineConfig, EngineError, ticker::Ticker};
use crate::{
    compile::{CompileError, Compiler, cache::Cache},
    limits::MAX_TABLE_ELEMENTS,
    linker,
    state::State,
    surface::Surface,
};

/// What guests an engine is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Those of WASI 0.2: one function at a time.
    Sequential,
    /// Those of WASI 0.3 too.
    Concurrent,
}

/// One engine.
pub(crate) struct Runner {
    wasmtime: wasmtime::Engine,
    kind: Kind,
    linker: Linker<State>,
    cache: Option<Arc<Cache>>,
    /// Instances that there is room for, where they live in a pool.
    slots: Option<u32>,
    _ticker: Ticker,
}

impl Runner {
    pub(super) fn new(config: &EngineConfig, kind: Kind) -> Result<Self, EngineError> {
        let (wasmtime, slots) = build(config, kind)?;
        let ticker = Ticker::start(wasmtime.clone()).map_err(EngineError::Thread)?;
        let mut linker = linker::with_host_functions(&wasmtime)?;
        if kind == Kind::Concurrent {
            linker::add_wasi_0_3(&mut linker)?;
        }
        let cache = config.cache_dir.as_deref().map(|dir| Cache::open(dir, &wasmtime)).transpose()?;
        Ok(Self { linker, cache: cache.map(Arc::new), slots, kind, _ticker: ticker, wasmtime })
    }

    /// The code of these bytes.
    pub(super) async fn compile(
        &self,
        compiler: &Compiler,
        digest: Digest,
        bytes: Bytes,
    ) -> Result<Component, CompileError> {
        compiler.component((self.wasmtime.clone(), self.cache.clone()), digest, bytes).await
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.wasmtime
    }

    /// Whether its guests may do several things at once.
    pub(crate) fn is_concurrent(&self) -> bool {
        self.kind == Kind::Concurrent
    }

    pub(crate) fn linker_for(&self, surface: &Surface) -> wasmtime::Result<Linker<State>> {
        linker::for_component(&self.linker, surface)
    }

    /// Whether less than half of its slots are in use.
    pub(crate) fn is_roomy(&self) -> bool {
        let live = self.wasmtime.pooling_allocator_metrics().map_or(0, |metrics| metrics.component_instances());
        self.slots.is_none_or(|slots| live <= u64::from(slots / 2))
    }
}

/// The pool reserves address space, which small machines limit: fewer slots are tried before none. Says how many
/// there are.
fn build(config: &EngineConfig, kind: Kind) -> Result<(wasmtime::Engine, Option<u32>), EngineError> {
    if !config.pooling {
        return Ok((wasmtime::Engine::new(&wasmtime_config(kind, None))?, None));
    }
    let mut instances = config.instances.max(1);
    loop {
        match wasmtime::Engine::new(&wasmtime_config(kind, Some(instances))) {
            Err(error) if instances > 16 => {
                tracing::warn!(instances, "the instance pool does not fit, trying a smaller one: {error:#}");
                instances /= 4;
            }
            result => return Ok((result?, Some(instances))),
        }
    }
}

fn wasmtime_config(kind: Kind, pool: Option<u32>) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(kind == Kind::Concurrent)
        .epoch_interruption(true)
        .memory_init_cow(true)
        // A backtrace for each trap would make traps a way to burn the host's time.
        .wasm_backtrace_max_frames(None)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .max_wasm_stack(512 << 10)
        .async_stack_size(2 << 20);
    if let Some(instances) = pool {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool_config(kind, instances)));
    }
    config
}

fn pool_config(kind: Kind, instances: u32) -> PoolingAllocationConfig {
    // A guest that waits in one function while another of its functions runs has a stack for each.
    let stacks = if kind == Kind::Concurrent { instances.saturating_mul(4) } else { instances };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_stacks(stacks)
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
