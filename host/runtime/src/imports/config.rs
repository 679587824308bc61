//! `wasi:config`: the values that the actor was started with, under every name that the interface has had.

use wasmtime::component::Linker;

use crate::{linker::Own, state::State};

mod draft {
    wasmtime::component::bindgen!({
        path: "../../interfaces/wit/wasi-config",
        world: "wasi:config/imports",
        imports: { default: trappable },
    });
}

mod rc {
    wasmtime::component::bindgen!({
        path: "../../interfaces/wit/wasi-config-rc",
        world: "wasi:config/imports",
        imports: { default: trappable },
    });
}

pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    draft::wasi::config::store::add_to_linker::<State, Own>(linker, |state| state)?;
    draft::wasi::config::runtime::add_to_linker::<State, Own>(linker, |state| state)?;
    rc::wasi::config::store::add_to_linker::<State, Own>(linker, |state| state)
}

/// The same two functions in three packages.
macro_rules! serve_config {
    ($($interface:path, $error:path;)*) => {$(
        impl $interface for State {
            fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, $error>> {
                Ok(Ok(self.outbound.shared.config.get(&key).cloned()))
            }

            fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, $error>> {
                let values = &self.outbound.shared.config;
                Ok(Ok(values.iter().map(|(key, value)| (key.clone(), value.clone())).collect()))
            }
        }
    )*};
}

serve_config! {
    draft::wasi::config::store::Host, draft::wasi::config::store::Error;
    draft::wasi::config::runtime::Host, draft::wasi::config::runtime::ConfigError;
    rc::wasi::config::store::Host, rc::wasi::config::store::Error;
}
