//! What belongs to one instance: its resources, its limits, its way out. Lives as long as the instance.

use std::sync::Arc;

use wasmtime::{Store, component::ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::{
    dynamic::remote::Remote,
    limits::{HOSTCALL_FUEL, MAX_FIELD_BYTES, MAX_HANDLES, MAX_RANDOM_BYTES, MAX_RESOURCES, Usage},
    outbound::Outbound,
    output::{GuestStream, Source},
};

/// The data of one store.
pub(crate) struct State {
    pub(crate) table: ResourceTable,
    pub(crate) outbound: Outbound,
    pub(crate) usage: Usage,
    /// Handles of resources that others serve.
    pub(crate) remote: Remote,
    /// Made when the guest first asks for it: most never do, and its random seeds are not free.
    wasi: Option<Box<WasiCtx>>,
    http: WasiHttpCtx,
}

impl State {
    pub(crate) fn new(outbound: Outbound, usage: Usage) -> Self {
        let mut table = ResourceTable::with_capacity(8);
        table.set_max_capacity(MAX_RESOURCES);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(MAX_FIELD_BYTES);
        Self { table, outbound, usage, remote: Remote::default(), wasi: None, http }
    }

    /// Everything that belongs to a call, for the next one.
    pub(crate) fn begin(&mut self, outbound: Outbound) {
        self.outbound = outbound;
        self.usage.refused = false;
    }

    /// Whether the guest keeps nothing of the host, and nothing of anybody else.
    pub(crate) fn keeps_nothing(&self) -> bool {
        self.table.is_empty() && self.remote.is_empty()
    }

    /// What belongs to the call that is over goes; a line that it did not finish is printed with that.
    pub(crate) fn rest(&mut self) {
        self.wasi = None;
    }

    /// A store for one instance, with every limit in place.
    pub(crate) fn into_store(self, engine: &wasmtime::Engine) -> Store<Self> {
        let mut store = Store::new(engine, self);
        store.limiter(|state| &mut state.usage);
        store.set_hostcall_fuel(HOSTCALL_FUEL);
        store.set_max_component_handles(MAX_HANDLES);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| Ok(store.data().outbound.meter.tick()));
        store
    }
}

impl Drop for State {
    /// What the guest did not let go of.
    fn drop(&mut self) {
        self.remote.let_go(&self.outbound);
    }
}

/// No network, no files, no environment: what a guest may reach it reaches along links.
fn wasi_context(outbound: &Outbound) -> Box<WasiCtx> {
    let mut builder = WasiCtx::builder();
    builder
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .max_random_size(MAX_RANDOM_BYTES)
        .stdout(GuestStream::new(Arc::clone(&outbound.shared.output), Source::Stdout))
        .stderr(GuestStream::new(Arc::clone(&outbound.shared.output), Source::Stderr));
    Box::new(builder.build())
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let ctx = self.wasi.get_or_insert_with(|| wasi_context(&self.outbound));
        WasiCtxView { ctx, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outbound, table: &mut self.table, ctx: &mut self.http }
    }
}
