//! Every host function that a guest can import: what the host serves, and calls along links for everything else.

use wasmtime::{
    Engine,
    component::{HasSelf, Linker},
};
use wasmtime_wasi::{
    cli::{WasiCli, WasiCliView as _},
    clocks::{WasiClocks, WasiClocksView as _},
    filesystem::{WasiFilesystem, WasiFilesystemView as _},
    p2::bindings::{LinkOptions, cli, clocks, filesystem, random, sockets},
    random::{WasiRandom, WasiRandomView as _},
    sockets::{WasiSockets, WasiSocketsView as _},
};
use wasmtime_wasi_http::p2::add_only_http_to_linker_async;
use wasmtime_wasi_io::bindings::wasi::io;

use crate::{imports, state::State, surface::Surface};

/// A linker with everything that the host serves.
pub(crate) fn with_host_functions(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    add_io(&mut linker)?;
    add_wasi(&mut linker)?;
    add_only_http_to_linker_async(&mut linker)?;
    imports::add(&mut linker)?;
    Ok(linker)
}

/// Streams and polling need the resource table alone: going through the WASI context would make one for each call.
fn add_io(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    io::error::add_to_linker::<State, HasTable>(linker, |state| &mut state.table)?;
    io::poll::add_to_linker::<State, HasTable>(linker, |state| &mut state.table)?;
    io::streams::add_to_linker::<State, HasTable>(linker, |state| &mut state.table)
}

/// The interfaces of WASI 0.3, which stand on the same context as those of 0.2: what a guest may not reach by one it may
/// not reach by the other.
pub(crate) fn add_wasi_0_3(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p3::add_to_linker(linker)?;
    wasmtime_wasi_http::p3::add_to_linker(linker)
}

struct HasTable;

impl wasmtime::component::HasData for HasTable {
    type Data<'a> = &'a mut wasmtime::component::ResourceTable;
}

fn add_wasi(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let options = LinkOptions::default();
    clocks::wall_clock::add_to_linker::<State, WasiClocks>(linker, State::clocks)?;
    clocks::monotonic_clock::add_to_linker::<State, WasiClocks>(linker, State::clocks)?;
    random::random::add_to_linker::<State, WasiRandom>(linker, State::random)?;
    random::insecure::add_to_linker::<State, WasiRandom>(linker, State::random)?;
    random::insecure_seed::add_to_linker::<State, WasiRandom>(linker, State::random)?;
    cli::exit::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::environment::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::stdin::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::stdout::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::stderr::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_input::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_output::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stdin::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stdout::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stderr::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    filesystem::preopens::add_to_linker::<State, WasiFilesystem>(linker, State::filesystem)?;
    filesystem::types::add_to_linker::<State, WasiFilesystem>(linker, State::filesystem)?;
    sockets::tcp::add_to_linker::<State, WasiSockets>(linker, State::sockets)?;
    sockets::tcp_create_socket::add_to_linker::<State, WasiSockets>(linker, State::sockets)?;
    sockets::udp::add_to_linker::<State, WasiSockets>(linker, State::sockets)?;
    sockets::udp_create_socket::add_to_linker::<State, WasiSockets>(linker, State::sockets)?;
    sockets::instance_network::add_to_linker::<State, WasiSockets>(linker, State::sockets)?;
    sockets::network::add_to_linker::<State, WasiSockets>(linker, &(&options).into(), State::sockets)?;
    sockets::ip_name_lookup::add_to_linker::<State, WasiSockets>(linker, State::sockets)
}

/// `base` with a call along a link for each import of this component that has no adapter.
pub(crate) fn for_component(base: &Linker<State>, surface: &Surface) -> wasmtime::Result<Linker<State>> {
    let mut linker = base.clone();
    if surface.newer_get_many {
        imports::keyvalue::many::spell_newer(&mut linker)?;
    }
    for imported in &surface.dynamic {
        imported.define(&mut linker)?;
    }
    Ok(linker)
}

/// Adapters are implemented on the state itself.
pub(crate) type Own = HasSelf<State>;
