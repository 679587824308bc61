//! `call`: one invocation of an actor or a provider, as the person whose key signs it.
//!
//! The types of an actor's functions are read from its artifact in the lattice's store, those of a provider from the
//! published interfaces. What is typed is checked here, before anything is sent; the host checks it again.

mod http;

use std::borrow::Cow;

use anyhow::Context as _;
use mesh_lattice::{
    CallError, Code, HostId, Interface, InterfacePattern, Name,
    control::{ActorView, ProviderView},
    stored::{ActorState, ProviderState},
    value::{self, Type, Value},
};
use mesh_wit::{Function, Signatures, Uncrossable, published};
use serde::Serialize;

use crate::{
    cli::Global,
    client::{self, Client, Operation},
    exit::{Exit, Failure},
    output::{Output, Table},
    wave,
};

/// Call a function of an actor or a provider
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:\n  \
    meshctl call greeter acme:greeting/greet.greet '\"Ada\"' '{loud: true}'\n  \
    meshctl call counter http GET /")]
pub(crate) struct Call {
    /// Who is called: the name of an actor or a provider
    target: Name,
    /// ns:package/interface.function; a FUNCTION at the root of an actor; or `http`
    function: String,
    /// The arguments as WIT values in text (WAVE), or METHOD and PATH of a request
    #[arg(allow_negative_numbers = true)]
    arguments: Vec<String>,
    /// A header of an HTTP request
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The body of an HTTP request; @FILE reads it from a file
    #[arg(short, long, value_name = "TEXT")]
    data: Option<String>,
}

/// What can be called, and on which host.
struct Target {
    host: HostId,
    functions: Vec<(Interface, Cow<'static, [Function]>)>,
    root: Vec<Function>,
}

#[derive(Serialize)]
struct Answer<'a> {
    target: &'a Name,
    interface: Option<&'a Interface>,
    function: &'a str,
    /// As text; none where the function returns nothing.
    result: Option<&'a str>,
}

impl Call {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        let request = (self.function == "http").then(|| http::Request::of(&self.arguments, &self.headers, &self.data));
        let request = request.transpose()?;
        if request.is_none() && (self.data.is_some() || !self.headers.is_empty()) {
            return Err(Failure::invalid("--header and --data belong to `call TARGET http METHOD PATH`").into());
        }
        client::connected(global, out, async |client| match request {
            Some(request) => request.send(client, &self.target, out).await,
            None => self.call(client, out).await,
        })
    }

    async fn call(&self, client: &Client, out: &Output) -> anyhow::Result<()> {
        let target = find(client, &self.target).await?;
        let (interface, function) = self.function(&target)?;
        if let Some(resource) = function.handle() {
            let message = format!("{} takes or gives a handle of {resource}, which nobody can type", function.name);
            return Err(Failure::invalid(message).hint("only an actor can hold a handle").into());
        }
        let uncrossable = |error: Uncrossable| Failure::invalid(format!("{function}: {error}"));
        function.crosses().map_err(uncrossable)?;
        let types = function.param_values().map_err(uncrossable)?;
        let named: Vec<_> = function.params.iter().map(|(name, _)| name.clone()).zip(types.iter().cloned()).collect();
        let values = wave::arguments(&named, &self.arguments).with_context(|| function.to_string())?;
        let params = encode(types, values)?;
        let operation = Operation {
            host: &target.host,
            target: &self.target,
            interface: interface.cloned(),
            function: &function.name,
            params,
            body: None,
        };
        let (result, _) = client.operate(operation).await?;
        self.show(interface, function, &result, out)
    }

    fn show(
        &self,
        interface: Option<&Interface>,
        function: &Function,
        result: &[u8],
        out: &Output,
    ) -> anyhow::Result<()> {
        let value = match &function.result {
            Some(ty) => {
                let ty = ty.to_value().map_err(|error| Failure::invalid(error.to_string()))?;
                Some(value::decode(&ty, result).context("its answer is not of the type that it declares")?)
            }
            None => None,
        };
        let text = value.as_ref().map(wave::text).transpose()?;
        let answer = Answer { target: &self.target, interface, function: &function.name, result: text.as_deref() };
        out.show(&answer, || text.clone().map_or_else(Table::default, Table::of_line))?;
        match value {
            Some(Value::Result(Err(_))) => Err(Failure::new(Exit::Failed, "the function returned an error").into()),
            _ => Ok(()),
        }
    }

    /// The function that was typed.
    fn function<'t>(&self, target: &'t Target) -> anyhow::Result<(Option<&'t Interface>, &'t Function)> {
        let typed = &self.function;
        let split = typed.find(".[").or_else(|| typed.rfind('.')).and_then(|at| typed.split_at_checked(at));
        let split = split.map(|(interface, name)| (interface, name.trim_start_matches('.')));
        let Some((interface, name)) = split.filter(|(interface, _)| interface.contains(':')) else {
            let found = target.root.iter().find(|function| function.name == *typed);
            return found.map(|function| (None, function)).ok_or_else(|| self.unknown(target));
        };
        let wanted: InterfacePattern = match interface.parse::<Interface>() {
            Ok(interface) => interface.as_str().parse()?,
            Err(_) if interface.rsplit_once('/').is_some_and(|(_, rest)| rest.contains('.')) => {
                let message = format!("{typed} is a method, which needs a handle of its resource");
                return Err(Failure::invalid(message).hint("only an actor can hold a handle").into());
            }
            Err(error) => return Err(Failure::invalid(error.to_string()).into()),
        };
        let found = target.functions.iter().filter(|(interface, _)| wanted.names(interface)).find_map(|(one, all)| {
            all.iter().find(|function| function.name == name).map(|function| (Some(one), function))
        });
        found.ok_or_else(|| self.unknown(target))
    }

    fn unknown(&self, target: &Target) -> anyhow::Error {
        let inside = target.functions.iter().flat_map(|(name, all)| {
            let plain = all.iter().filter(|function| function.handle().is_none());
            plain.map(move |function| format!("{name}.{}", function.name))
        });
        let all: Vec<String> = inside.chain(target.root.iter().map(|function| function.name.clone())).collect();
        let failure = Failure::not_found(format!("{} has no function {}", self.target, self.function));
        let listed = if all.is_empty() { "nothing that can be called".to_owned() } else { all.join(", ") };
        failure.hint(format!("it has {listed}")).into()
    }
}

fn encode(types: Vec<Type>, values: Vec<Value>) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    value::encode(&Type::Tuple(types), &Value::Tuple(values), &mut bytes).context("the arguments")?;
    Ok(bytes)
}

/// What of this name can be called, and where it is ready.
async fn find(client: &Client, name: &Name) -> anyhow::Result<Target> {
    let status = client.status().await?;
    if let Some(actor) = status.actors.iter().find(|actor| actor.name == *name) {
        let host = host_of(actor)?;
        let bytes = client.download(&actor.digest).await?;
        let Signatures { exports, root_exports, .. } =
            Signatures::read(&bytes).with_context(|| format!("the artifact of {name}"))?;
        let functions = exports.into_iter().map(|(name, functions)| (name, Cow::Owned(functions))).collect();
        return Ok(Target { host, functions, root: root_exports });
    }
    let provider = status.providers.iter().find(|provider| provider.name == *name);
    let provider = provider.ok_or_else(|| nobody(name))?;
    let known = published::interfaces().filter(|(interface, functions)| {
        !functions.is_empty() && provider.interfaces.iter().any(|pattern| pattern.names(interface))
    });
    let functions = known.map(|(interface, functions)| (interface.clone(), Cow::Borrowed(functions))).collect();
    Ok(Target { host: host_of_provider(provider)?, functions, root: Vec::new() })
}

fn nobody(name: &Name) -> anyhow::Error {
    Failure::not_found(format!("no actor and no provider is called {name}")).into()
}

fn host_of(actor: &ActorView) -> anyhow::Result<HostId> {
    let ready = actor.hosts.iter().find(|host| host.state == ActorState::Ready);
    let said = actor.hosts.iter().map(|host| host.reason.as_str()).find(|reason| !reason.is_empty());
    ready.map(|host| host.id.clone()).ok_or_else(|| unready(&actor.name, said))
}

fn host_of_provider(provider: &ProviderView) -> anyhow::Result<HostId> {
    let running = provider.hosts.iter().find(|host| host.state == ProviderState::Running);
    let said = provider.hosts.iter().map(|host| host.reason.as_str()).find(|reason| !reason.is_empty());
    running.map(|host| host.id.clone()).ok_or_else(|| unready(&provider.name, said))
}

fn unready(name: &Name, said: Option<&str>) -> anyhow::Error {
    let reason = said.map(|said| format!(": {said}")).unwrap_or_default();
    CallError::new(Code::Unavailable, format!("{name} is ready on no host{reason}")).into()
}
