//! `wasmcloud:bus/lattice`: the guest chooses which link it calls along, from here on and in this invocation only.

use mesh_lattice::LinkName;
use wasmtime::component::{Linker, Resource};

use crate::{linker::Own, state::State};

mod v1 {
    wasmtime::component::bindgen!({
        path: "../../interfaces/wit/wasmcloud-bus-1",
        world: "wasmcloud:bus/imports",
        imports: { default: trappable },
        with: { "wasmcloud:bus/lattice.call-target-interface": super::Target },
    });
}

mod v2 {
    wasmtime::component::bindgen!({
        path: "../../interfaces/wit/wasmcloud-bus-2",
        world: "wasmcloud:bus/imports",
        imports: { default: trappable },
        with: { "wasmcloud:bus/lattice.call-target-interface": super::Target },
    });
}

use v1::wasmcloud::bus::lattice as lattice_1;
use v2::wasmcloud::bus::lattice as lattice_2;

/// An interface that a link is chosen for.
#[expect(unreachable_pub, reason = "the bindings re-export it")]
pub struct Target {
    package: String,
    interface: String,
}

/// What `set-link-name` cannot do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    lattice_1::add_to_linker::<State, Own>(linker, |state| state)?;
    lattice_2::add_to_linker::<State, Own>(linker, |state| state)
}

impl State {
    fn choose(&mut self, name: &str, targets: Vec<Resource<Target>>) -> wasmtime::Result<Result<(), String>> {
        let link = name.parse::<LinkName>();
        for target in targets {
            let Target { package, interface } = self.table.delete(target)?;
            let chosen = match &link {
                Ok(link) => self.outbound.choose(package, interface, link.clone()).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            if chosen.is_err() {
                return Ok(chosen);
            }
        }
        Ok(link.map(drop).map_err(|error| error.to_string()))
    }
}

impl lattice_2::Host for State {
    fn set_link_name(&mut self, name: String, targets: Vec<Resource<Target>>) -> wasmtime::Result<Result<(), String>> {
        self.choose(&name, targets)
    }
}

impl lattice_1::Host for State {
    /// This version has no way to say no: calling on along another link than the guest meant would be worse than
    /// ending it.
    fn set_link_name(&mut self, name: String, targets: Vec<Resource<Target>>) -> wasmtime::Result<()> {
        self.choose(&name, targets)?.map_err(|message| Refused(message).into())
    }
}

macro_rules! serve_target {
    ($($interface:path;)*) => {$(
        impl $interface for State {
            fn new(
                &mut self,
                namespace: String,
                package: String,
                interface: String,
            ) -> wasmtime::Result<Resource<Target>> {
                let package = format!("{namespace}:{package}");
                Ok(self.table.push(Target { package, interface })?)
            }

            fn drop(&mut self, target: Resource<Target>) -> wasmtime::Result<()> {
                self.table.delete(target)?;
                Ok(())
            }
        }
    )*};
}

serve_target! {
    lattice_1::HostCallTargetInterface;
    lattice_2::HostCallTargetInterface;
}
