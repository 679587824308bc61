//! A provider that answers with what it was called with. Benchmarks measure the mesh with it, because it costs
//! nothing itself; `meshctl doctor` asks it whether calls arrive.
//!
//! It serves `mesh:echo/echo`, one function: `echo(bytes: list<u8>) -> list<u8>`. A body that streams in streams out
//! again.

use std::sync::Arc;

use futures::future::BoxFuture;
use mesh_lattice::{
    CallError, Code, Deadline, InterfacePattern, Invocation, Name, Params, Reply, Serve,
    application::Values,
    wit::{from_wire, to_wire},
};
use mesh_provider::{
    ConfigError, Context, Factory, LinkError, LinkId, Links, Provider, ProviderLink, Settings, StartError,
};
use serde_bytes::ByteBuf;

/// What `use` in a manifest says.
pub const KIND: &str = "echo";

/// The package that it serves.
pub const PACKAGE: &str = "mesh:echo";

/// What is said of a link that begins at it.
const CALLS_NOBODY: &str = "an echo is called and calls nobody: put the link the other way round";

/// The function.
pub const ECHO: &str = "echo";

/// Starts echo providers.
#[derive(Debug, Clone)]
pub struct EchoFactory {
    kind: Name,
    package: InterfacePattern,
}

impl EchoFactory {
    /// The one that there is.
    ///
    /// # Errors
    ///
    /// Never: the names are this crate's own.
    pub fn new() -> Result<Self, ConfigError> {
        Ok(Self {
            kind: KIND.parse().map_err(|_| ConfigError::invalid("use", "a name"))?,
            package: PACKAGE.parse().map_err(|_| ConfigError::invalid("interfaces", "a package"))?,
        })
    }
}

impl Factory for EchoFactory {
    fn kind(&self) -> Name {
        self.kind.clone()
    }

    fn interfaces(&self) -> Vec<InterfacePattern> {
        vec![self.package.clone()]
    }

    fn local_state(&self) -> bool {
        false
    }

    fn check(&self, config: &Values) -> Result<(), ConfigError> {
        Settings::new(config).refuse_unknown(config)
    }

    fn check_link(&self, _: &Values, link: &ProviderLink) -> Result<(), LinkError> {
        link.only_called(CALLS_NOBODY)?;
        Ok(self.check(&link.config)?)
    }

    fn start(&self, context: Context) -> BoxFuture<'_, Result<Arc<dyn Provider>, StartError>> {
        Settings::new(&context.config).warn_unknown(context.name.as_str());
        Box::pin(std::future::ready(Ok(Arc::new(Echo { links: Links::with_operators(()) }) as Arc<dyn Provider>)))
    }
}

struct Echo {
    links: Links<()>,
}

impl Serve for Echo {
    fn serve(&self, invocation: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        Box::pin(std::future::ready(self.echo(invocation)))
    }
}

impl Echo {
    fn echo(&self, invocation: Invocation) -> Result<Reply, CallError> {
        self.links.find(&invocation.caller, &invocation.link, &invocation.interface)?;
        if &*invocation.operation != ECHO {
            return Err(CallError::new(Code::UnknownOperation, "echo has the one function `echo`"));
        }
        let Params::Wire(params) = invocation.params else {
            return Err(CallError::new(Code::BadParams, "echo takes a list of bytes"));
        };
        let (bytes,): (ByteBuf,) = from_wire(&params)?;
        Ok(Reply { body: invocation.body, ..Reply::wire(to_wire(&bytes)?) })
    }
}

impl Provider for Echo {
    fn put_link(&self, link: ProviderLink) -> BoxFuture<'_, Result<(), LinkError>> {
        let put = link.only_called(CALLS_NOBODY).map(|()| self.links.put(link.id(), ()));
        Box::pin(std::future::ready(put))
    }

    fn delete_link(&self, link: &LinkId) -> BoxFuture<'_, ()> {
        self.links.delete(link);
        Box::pin(std::future::ready(()))
    }

    fn health(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn drain(&self, _deadline: Deadline) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mesh_lattice::{Answer, CallId, Caller, LinkName, invocation::full_body};
    use mesh_provider::End;

    use super::*;

    struct Nobody;

    impl Serve for Nobody {
        fn serve(&self, _: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
            Box::pin(std::future::ready(Err(CallError::new(Code::UnknownTarget, "nobody"))))
        }
    }

    fn invocation(caller: &str, operation: &str, bytes: &[u8]) -> Invocation {
        Invocation {
            id: CallId::new(),
            caller: Caller::Named(caller.parse().unwrap()),
            link: LinkName::default(),
            target: None,
            interface: "mesh:echo/echo".parse().unwrap(),
            operation: operation.into(),
            params: Params::Wire(to_wire(&(serde_bytes::Bytes::new(bytes),)).unwrap()),
            body: Some(full_body("streamed".into())),
            deadline: Deadline::after(Duration::from_secs(1)),
            trace: None,
            pin: None,
            from: None,
        }
    }

    #[tokio::test]
    async fn it_answers_with_what_it_was_called_with_and_whom_it_has_a_link_for() {
        let context = Context {
            lattice: Default::default(),
            name: "echo".parse().unwrap(),
            config: Default::default(),
            data_dir: "/nonexistent".into(),
            runtime_dir: "/nonexistent".into(),
            calls: Arc::new(Nobody),
            default_nats: None,
            tracing: false,
        };
        let echo = EchoFactory::new().unwrap().start(context).await.unwrap();
        let link = ProviderLink {
            end: End::Target,
            peer: "a".parse().unwrap(),
            name: LinkName::default(),
            interfaces: vec![PACKAGE.parse().unwrap()],
            config: Default::default(),
            timeout: None,
        };
        echo.put_link(link.clone()).await.unwrap();

        let reply = echo.serve(invocation("a", ECHO, b"\x00hello")).await.unwrap();
        let Answer::Wire(bytes) = reply.answer else { panic!("{:?}", reply.answer) };
        assert_eq!(bytes, to_wire(&serde_bytes::Bytes::new(b"\x00hello")).unwrap());
        assert!(reply.body.is_some());

        assert_eq!(echo.serve(invocation("b", ECHO, b"")).await.unwrap_err().code, Code::Denied);
        assert_eq!(echo.serve(invocation("a", "other", b"")).await.unwrap_err().code, Code::UnknownOperation);
        echo.delete_link(&link.id()).await;
        assert_eq!(echo.serve(invocation("a", ECHO, b"")).await.unwrap_err().code, Code::Denied);
    }
}
