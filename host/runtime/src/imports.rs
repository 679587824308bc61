//! The interfaces beside WASI that the host gives to guests, each adapter in a module of its own.

mod bus;
mod config;
pub(crate) mod keyvalue;
mod logging;
pub(crate) mod messaging;

use wasmtime::component::Linker;

use crate::state::State;

pub(crate) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    keyvalue::add(linker)?;
    config::add(linker)?;
    logging::add(linker)?;
    messaging::add(linker)?;
    bus::add(linker)
}
