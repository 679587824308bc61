//! The peer: wasmtime's own `ProxyHandler`, configured as `wasmtime serve` does by default: the pooling allocator with
//! its defaults, no limits but the store's own, one request for each instance.

use std::{
    convert::Infallible,
    future::pending,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store, StoreContextMut, StoreLimits,
    component::{Component, GuestTaskId, Linker, ResourceTable},
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpView,
    handler::{
        HandlerState, Instance, ProxyHandler, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
    },
    p2,
};

use crate::bare::{NoRequests, failed};

/// How long `wasmtime serve` keeps an idle instance.
const IDLE: Duration = Duration::from_secs(1);

pub struct Host {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: NoRequests,
    limits: StoreLimits,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

pub struct State {
    engine: Engine,
    pre: ProxyPre<Host>,
    requests: AtomicU64,
}

pub struct Once;

impl WorkerState for Once {
    type StoreData = Host;
    type RequestData = ();

    fn should_accept_request(&self, _: usize, total: usize) -> ShouldAccept {
        if total < 1 { ShouldAccept::Yes } else { ShouldAccept::Never }
    }

    fn on_request_start(
        &self,
        _: StoreContextMut<'_, Host>,
        (): (),
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        Box::pin(pending())
    }

    fn drop(&self, _: Store<Host>, result: Result<(), wasmtime::Error>) {
        if let Err(error) = result {
            eprintln!("a worker failed: {error:#}");
        }
    }
}

pub struct WhenIdle(Pin<Box<tokio::time::Sleep>>);

impl WorkerExpiration for WhenIdle {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, status: WorkerStatus, start: Instant) -> Poll<()> {
        if status != WorkerStatus::Idle {
            return Poll::Pending;
        }
        self.0.as_mut().reset((start + IDLE).into());
        self.0.as_mut().poll(cx)
    }
}

impl HandlerState for State {
    type StoreData = Host;
    type WorkerExpiration = WhenIdle;
    type WorkerState = Once;

    async fn instantiate(&self) -> wasmtime::Result<Instance<Host, WhenIdle, Once>> {
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        let mut wasi = WasiCtx::builder();
        wasi.env("REQUEST_ID", request.to_string());
        let host = Host {
            table: ResourceTable::new(),
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            hooks: NoRequests,
            limits: StoreLimits::default(),
        };
        let mut store = Store::new(&self.engine, host);
        store.limiter(|host| &mut host.limits);
        let proxy = self.pre.instantiate_async(&mut store).await?;
        let expiration = WhenIdle(Box::pin(tokio::time::sleep(IDLE)));
        Ok(Instance { store, proxy, view: Host::http, expiration, state: Once })
    }
}

/// Serves one component.
pub struct Handler(ProxyHandler<State>);

impl Handler {
    pub fn new(component: &[u8]) -> wasmtime::Result<Self> {
        let mut config = Config::new();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(PoolingAllocationConfig::new()));
        let engine = Engine::new(&config)?;
        let mut linker = Linker::new(&engine);
        // What `-S cli` adds: guests of Rust's standard library import it.
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
        let pre = linker.instantiate_pre(&Component::new(&engine, component)?)?;
        let pre = ProxyPre::P2(p2::bindings::ProxyPre::new(pre)?);
        Ok(Self(ProxyHandler::new(State { engine, pre, requests: AtomicU64::new(0) })))
    }

    /// For hyper's service.
    pub async fn serve(
        self: Arc<Self>,
        request: Request<hyper::body::Incoming>,
    ) -> Result<Response<WasiBody>, Infallible> {
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        Ok(self.0.handle((), request).await.unwrap_or_else(|error| failed(&error)))
    }
}
