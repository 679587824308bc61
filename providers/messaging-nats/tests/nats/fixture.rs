//! A provider on a real server, actors that it calls, and calls of actors.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use mesh_lattice::{
    Answer, CallError, CallId, Caller, Code, Deadline, Invocation, LinkName, Params, Reply, Serve,
    application::Values,
    wit::{Outcome, from_wire, messaging::Message, to_wire},
};
use mesh_messaging_nats::MessagingNatsFactory;
use mesh_provider::{Context, End, Factory as _, LinkError, NatsDefault, Provider, ProviderLink};
use parking_lot::Mutex;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::Semaphore;

/// What a handler was called with.
#[derive(Debug, Clone, PartialEq)]
pub struct Handled {
    pub caller: String,
    pub target: String,
    pub interface: String,
    pub operation: String,
    pub message: Message,
}

/// Actors that take messages, one after the other as `permits` allow.
pub struct Actors {
    pub handled: Mutex<Vec<Handled>>,
    pub permits: Semaphore,
    /// Calls that are refused as `busy` before one is taken.
    pub busy: AtomicUsize,
    answer: Outcome<(), String>,
}

impl Actors {
    pub fn willing() -> Arc<Self> {
        Self::answering(Outcome::Ok(()), Semaphore::MAX_PERMITS)
    }

    pub fn blocked() -> Arc<Self> {
        Self::answering(Outcome::Ok(()), 0)
    }

    pub fn answering(answer: Outcome<(), String>, permits: usize) -> Arc<Self> {
        let permits = Semaphore::new(permits);
        Arc::new(Self { handled: Mutex::default(), permits, busy: AtomicUsize::new(0), answer })
    }

    pub fn messages(&self) -> Vec<Message> {
        self.handled.lock().iter().map(|handled| handled.message.clone()).collect()
    }

    async fn take(&self, invocation: Invocation) -> Result<Reply, CallError> {
        let fewer = |busy: usize| busy.checked_sub(1);
        if self.busy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer).is_ok() {
            return Err(CallError::new(Code::Busy, "later"));
        }
        let Params::Wire(params) = &invocation.params else { panic!("an HTTP request") };
        let (message,) = from_wire(params).unwrap();
        self.handled.lock().push(Handled {
            caller: invocation.caller.to_string(),
            target: invocation.target.unwrap().to_string(),
            interface: invocation.interface.to_string(),
            operation: invocation.operation.to_string(),
            message,
        });
        self.permits.acquire().await.unwrap().forget();
        Ok(Reply::wire(to_wire(&self.answer).unwrap()))
    }
}

impl Serve for Actors {
    fn serve(&self, invocation: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        Box::pin(self.take(invocation))
    }
}

pub async fn start(dir: &Path, url: &str, actors: &Arc<Actors>) -> Arc<dyn Provider> {
    let context = Context {
        lattice: Default::default(),
        name: "broker".parse().unwrap(),
        config: Values::new(),
        data_dir: dir.join("broker"),
        runtime_dir: dir.join("run"),
        calls: Arc::clone(actors) as Arc<dyn Serve>,
        default_nats: Some(NatsDefault { url: url.to_owned(), ..Default::default() }),
        tracing: false,
    };
    MessagingNatsFactory::new().unwrap().start(context).await.unwrap()
}

fn link(end: End, peer: &str, interface: &str, config: &[(&str, &str)]) -> ProviderLink {
    ProviderLink {
        end,
        peer: peer.parse().unwrap(),
        name: LinkName::default(),
        interfaces: vec![interface.parse().unwrap()],
        config: config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        timeout: None,
    }
}

pub fn to_handler(peer: &str, interface: &str, config: &[(&str, &str)]) -> ProviderLink {
    link(End::Source, peer, interface, config)
}

/// Links a handler of version 0.2.
pub async fn subscribe(provider: &Arc<dyn Provider>, peer: &str, config: &[(&str, &str)]) -> Result<(), LinkError> {
    provider.put_link(to_handler(peer, "wasmcloud:messaging/handler", config)).await
}

/// An actor that sends.
pub struct Sender {
    provider: Arc<dyn Provider>,
    caller: Caller,
}

impl Sender {
    pub async fn linked(provider: &Arc<dyn Provider>, peer: &str) -> Self {
        provider.put_link(link(End::Target, peer, "wasmcloud:messaging", &[])).await.unwrap();
        Self::stranger(provider, peer)
    }

    pub fn stranger(provider: &Arc<dyn Provider>, peer: &str) -> Self {
        Self { provider: Arc::clone(provider), caller: Caller::Named(peer.parse().unwrap()) }
    }

    pub async fn call<P: Serialize, T: DeserializeOwned>(
        &self,
        interface: &str,
        operation: &str,
        params: &P,
    ) -> Result<Outcome<T, String>, CallError> {
        let invocation = Invocation {
            id: CallId::new(),
            caller: self.caller.clone(),
            link: LinkName::default(),
            target: None,
            interface: interface.parse().unwrap(),
            operation: operation.into(),
            params: Params::Wire(to_wire(params).unwrap()),
            body: None,
            deadline: soon(),
            trace: None,
            pin: None,
            from: None,
        };
        match self.provider.serve(invocation).await?.answer {
            Answer::Wire(bytes) => from_wire(&bytes),
            Answer::Http(_) => panic!("an HTTP answer"),
        }
    }

    pub async fn publish(&self, message: &Message) -> Result<Outcome<(), String>, CallError> {
        self.call("wasmcloud:messaging/consumer@0.2.0", "publish", &(message,)).await
    }

    pub async fn request(
        &self,
        subject: &str,
        body: &[u8],
        millis: u32,
    ) -> Result<Outcome<Message, String>, CallError> {
        let params = (subject, serde_bytes::Bytes::new(body), millis);
        self.call("wasmcloud:messaging/consumer@0.2.0", "request", &params).await
    }
}

pub fn message(subject: &str, body: &[u8]) -> Message {
    Message { subject: subject.into(), body: body.to_vec().into(), ..Message::default() }
}

pub fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(10))
}

/// The value of one metric with this label.
pub fn metric(provider: &Arc<dyn Provider>, name: &str, label: &str) -> u64 {
    let metrics = provider.metrics();
    let metric = metrics.iter().find(|metric| metric.name == format!("mesh_messaging_nats_{name}")).unwrap();
    metric.values.iter().find(|(labels, _)| *labels == label).unwrap().1
}

/// Waits until `done`, for fifteen seconds at most.
pub async fn eventually(what: &str, done: impl Fn() -> bool) {
    let waiting = async {
        let mut pause = tokio::time::interval(Duration::from_millis(5));
        while !done() {
            pause.tick().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(15), waiting).await.is_ok(), "never: {what}");
}
