//! The floor: hyper and a typed pre-instance with the engine configuration of the product and nothing of the mesh.
//! Limits are on, each call has a fresh instance, the guest is polled in the connection's own task.

use std::{
    convert::Infallible,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, Request, Response};
use http_body_util::{BodyExt as _, Full};
use tokio::sync::oneshot;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store, StoreLimits,
    StoreLimitsBuilder,
    component::{Component, HasData, Linker, ResourceTable},
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    Error as HttpError, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
    p2::bindings::{ProxyPre, http::types::Scheme},
};
use wasmtime_wasi_io::bindings::wasi::io;

/// Requests leave through this in no bench.
pub struct NoRequests;

type Sent = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), HttpError>> + Send>), HttpError>;

impl WasiHttpHooks for NoRequests {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        matches!(name.as_str(), "connection" | "keep-alive" | "transfer-encoding" | "upgrade" | "host")
    }

    fn send_request(
        &mut self,
        _: Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), HttpError>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        Box::new(async { Err(HttpError::HttpRequestDenied) })
    }

    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        16
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        64 << 10
    }
}

struct State {
    table: ResourceTable,
    wasi: Option<Box<WasiCtx>>,
    http: WasiHttpCtx,
    hooks: NoRequests,
    limits: StoreLimits,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: self.wasi.get_or_insert_with(|| Box::new(WasiCtx::builder().build())),
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

/// The configuration that `Engine::new` makes, by hand.
fn config(instances: u32) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_stacks(instances)
        .total_core_instances(instances * 8)
        .total_memories(instances * 2)
        .total_tables(instances * 4)
        .table_elements(100_000)
        .max_tables_per_module(4)
        .max_memories_per_module(4)
        .max_core_instance_size(4 << 20)
        .max_component_instance_size(4 << 20)
        .pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(2 << 20)
        .table_keep_resident(256 << 10)
        .max_unused_warm_slots(64);
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .epoch_interruption(true)
        .wasm_backtrace_max_frames(None)
        .max_wasm_stack(512 << 10)
        .async_stack_size(2 << 20)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// Serves one component.
pub struct Bare {
    engine: Engine,
    pre: ProxyPre<State>,
    stopped: Arc<AtomicBool>,
    ticker: Option<std::thread::JoinHandle<()>>,
}

impl Bare {
    pub fn new(component: &[u8]) -> wasmtime::Result<Self> {
        let engine = Engine::new(&config(1000))?;
        let mut linker = Linker::<State>::new(&engine);
        linker.allow_shadowing(true);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        io::error::add_to_linker::<State, HasTable>(&mut linker, |state| &mut state.table)?;
        io::poll::add_to_linker::<State, HasTable>(&mut linker, |state| &mut state.table)?;
        io::streams::add_to_linker::<State, HasTable>(&mut linker, |state| &mut state.table)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
        let pre = ProxyPre::new(linker.instantiate_pre(&Component::new(&engine, component)?)?)?;
        let stopped = Arc::new(AtomicBool::new(false));
        let ticker = std::thread::spawn({
            let (engine, stopped) = (engine.clone(), Arc::clone(&stopped));
            move || {
                while !stopped.load(Ordering::Relaxed) {
                    std::thread::park_timeout(Duration::from_millis(10));
                    engine.increment_epoch();
                }
            }
        });
        Ok(Self { engine, pre, stopped, ticker: Some(ticker) })
    }

    fn store(&self) -> Store<State> {
        let mut table = ResourceTable::with_capacity(8);
        table.set_max_capacity(4096);
        let limits = StoreLimitsBuilder::new().memory_size(64 << 20).table_elements(100_000).instances(100).build();
        let state = State { table, wasi: None, http: WasiHttpCtx::new(), hooks: NoRequests, limits };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.limits);
        store.set_hostcall_fuel(16 << 20);
        store.set_max_component_handles(4096);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        store
    }

    /// Answers one request.
    pub async fn handle<B>(&self, request: Request<B>) -> wasmtime::Result<Response<WasiBody>>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<HttpError>,
    {
        let mut store = self.store();
        let (answer, mut head) = oneshot::channel();
        let mut view = store.data_mut().http();
        let request = view.new_incoming_request(Scheme::Http, request)?;
        let out = view.new_response_outparam(answer)?;
        let pre = self.pre.clone();
        let mut guest = Box::pin(async move {
            let proxy = pre.instantiate_async(&mut store).await?;
            proxy.wasi_http_incoming_handler().call_handle(&mut store, request, out).await
        });
        let mut late = pin!(tokio::time::sleep(Duration::from_secs(5)));
        tokio::select! {
            biased;
            result = &mut guest => {
                result?;
                Ok(head.try_recv()??)
            }
            response = &mut head => {
                // An epoch came in between: the guest still has to write its body.
                drop(tokio::spawn(guest));
                Ok(response??)
            }
            () = &mut late => Err(wasmtime::Error::msg("too late")),
        }
    }

    /// For hyper's service.
    pub async fn serve(
        self: Arc<Self>,
        request: Request<hyper::body::Incoming>,
    ) -> Result<Response<WasiBody>, Infallible> {
        Ok(self.handle(request).await.unwrap_or_else(|error| failed(&error)))
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        if let Some(ticker) = self.ticker.take() {
            ticker.join().unwrap();
        }
    }
}

/// What a bench counts as an error.
pub fn failed(error: &dyn std::fmt::Debug) -> Response<WasiBody> {
    let body = Full::new(Bytes::from(format!("{error:?}"))).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
    response
}
