//! Functions that the host gives to guests, with bytes in and out: chosen by the number of flat words at link time.

use std::sync::Arc;

use bytes::Bytes;
use mesh_lattice::value::EncodeError;
use wasmtime::{Result, StoreContextMut, component::LinkerInstance};

use crate::{
    abi::{Answer, Arguments},
    plan::Plan,
    supported::Unsupported,
};

/// What an import's function returns: its result, nil where it has none. An error is a trap of the guest.
pub type Reply<'a> = Box<dyn Future<Output = Result<Bytes>> + Send + 'a>;

impl Plan {
    /// Defines the import `name` of a type that has this plan: `call` gets the array of the parameters, or why
    /// they cannot be one: too many or too deep. Whatever else is wrong with them is a trap.
    ///
    /// # Errors
    ///
    /// Where the linker has such a name already.
    pub fn define<T, F>(self, linker: &mut LinkerInstance<'_, T>, name: &str, call: F) -> Result<()>
    where
        T: 'static,
        F: Fn(StoreContextMut<'_, T>, std::result::Result<Vec<u8>, EncodeError>) -> Reply<'_> + Send + Sync + 'static,
    {
        let import = Import { linker, name, call: Arc::new(call) };
        if self.returns_word {
            import.with_arguments::<1>(self.parameters)
        } else {
            import.with_arguments::<0>(self.parameters)
        }
    }
}

struct Import<'a, 'b, T: 'static, F> {
    linker: &'a mut LinkerInstance<'b, T>,
    name: &'a str,
    call: Arc<F>,
}

impl<T, F> Import<'_, '_, T, F>
where
    T: 'static,
    F: Fn(StoreContextMut<'_, T>, std::result::Result<Vec<u8>, EncodeError>) -> Reply<'_> + Send + Sync + 'static,
{
    fn with_arguments<const OUT: usize>(self, words: usize) -> Result<()> {
        match words {
            0 => self.wrap::<0, OUT>(),
            1 => self.wrap::<1, OUT>(),
            2 => self.wrap::<2, OUT>(),
            3 => self.wrap::<3, OUT>(),
            4 => self.wrap::<4, OUT>(),
            5 => self.wrap::<5, OUT>(),
            6 => self.wrap::<6, OUT>(),
            7 => self.wrap::<7, OUT>(),
            8 => self.wrap::<8, OUT>(),
            9 => self.wrap::<9, OUT>(),
            10 => self.wrap::<10, OUT>(),
            11 => self.wrap::<11, OUT>(),
            12 => self.wrap::<12, OUT>(),
            13 => self.wrap::<13, OUT>(),
            14 => self.wrap::<14, OUT>(),
            15 => self.wrap::<15, OUT>(),
            16 => self.wrap::<16, OUT>(),
            _ => Err(Unsupported.into()),
        }
    }

    fn wrap<const IN: usize, const OUT: usize>(self) -> Result<()> {
        let call = self.call;
        self.linker.func_wrap_async(self.name, move |store, arguments: Arguments<IN>| {
            let reply = Box::into_pin(call(store, arguments.0));
            Box::new(async move { reply.await.map(Answer::<OUT>) })
        })
    }
}
