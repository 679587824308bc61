//! `wasi:logging`, with its version and without: events of the host.

use wasmtime::component::Linker;

use crate::{linker::Own, output::Source, state::State};

mod draft {
    wasmtime::component::bindgen!({
        path: "../../interfaces/wit/wasi-logging",
        world: "wasi:logging/imports",
        imports: { default: trappable },
    });
}

mod unversioned {
    wasmtime::component::bindgen!({
        path: "../../interfaces/wit/wasi-logging-unversioned",
        world: "wasi:logging/imports",
        imports: { default: trappable },
    });
}

pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    draft::wasi::logging::logging::add_to_linker::<State, Own>(linker, |state| state)?;
    unversioned::wasi::logging::logging::add_to_linker::<State, Own>(linker, |state| state)
}

macro_rules! serve_logging {
    ($($package:ident;)*) => {$(
        impl $package::wasi::logging::logging::Host for State {
            fn log(
                &mut self,
                level: $package::wasi::logging::logging::Level,
                context: String,
                message: String,
            ) -> wasmtime::Result<()> {
                use $package::wasi::logging::logging::Level;
                let level = match level {
                    Level::Trace => tracing::Level::TRACE,
                    Level::Debug => tracing::Level::DEBUG,
                    Level::Info => tracing::Level::INFO,
                    Level::Warn => tracing::Level::WARN,
                    Level::Error | Level::Critical => tracing::Level::ERROR,
                };
                self.outbound.shared.output.line(Source::Log(level), &context, message.as_bytes());
                Ok(())
            }
        }
    )*};
}

serve_logging! {
    draft;
    unversioned;
}
