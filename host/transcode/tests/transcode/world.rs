//! One guest of one type, in two stores: in one its values are moved by this crate, in the other by dynamic values.

use std::sync::LazyLock;

use bytes::Bytes;
use mesh_lattice::value::{DecodeError, Type, Value, decode};
use mesh_transcode::{Export, Plan};
use wasmtime::{
    Config, Engine, Store,
    component::{Component, Instance, Linker, Val, types::ComponentItem},
};

use crate::{
    guest,
    oracle::{self, block_on},
};

/// What a host of a guest has: what the guest gave it, and what it gives.
#[derive(Default)]
pub(crate) struct Host {
    pub(crate) sunk: Option<Result<Vec<u8>, Value>>,
    pub(crate) bytes: Bytes,
    pub(crate) value: Option<Val>,
}

pub(crate) struct World {
    pub(crate) ty: Type,
    pub(crate) component: Component,
}

/// What a call ended with, as far as both ways can be compared: the bytes, what was wrong with the bytes that went in,
/// or that the guest's value was refused.
pub(crate) type Outcome = Result<Vec<u8>, Option<DecodeError>>;

/// What one error of the engine says.
pub(crate) fn refused(error: &wasmtime::Error) -> Option<DecodeError> {
    error.downcast_ref::<DecodeError>().cloned()
}

/// An engine, with or without support for asynchronous functions: calls take another way through it.
pub(crate) fn engine(concurrent: bool) -> Engine {
    static ENGINES: LazyLock<[Engine; 2]> = LazyLock::new(|| {
        [false, true].map(|concurrent| {
            let mut config = Config::new();
            config.concurrency_support(concurrent);
            Engine::new(&config).unwrap()
        })
    });
    ENGINES[usize::from(concurrent)].clone()
}

impl World {
    pub(crate) fn new(engine: &Engine, ty: &Type, encoding: &str) -> Self {
        let text = guest::component(ty, encoding);
        let binary = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        Self {
            ty: ty.clone(),
            component: Component::new(engine, binary).unwrap_or_else(|error| panic!("{error:?}: {text}")),
        }
    }

    /// The plan of a function of the imported instance.
    pub(crate) fn plan(&self, name: &str) -> Option<Plan> {
        let engine = self.component.engine();
        let ComponentItem::ComponentInstance(host) =
            self.component.component_type().get_import(engine, guest::HOST)?.ty
        else {
            return None;
        };
        match host.get_export(engine, name)?.ty {
            ComponentItem::ComponentFunc(ty) => Plan::of(&ty),
            _ => None,
        }
    }

    /// An instance whose imports take and give bytes.
    pub(crate) fn transcoded(&self, bytes: &Bytes) -> (Store<Host>, Instance) {
        let mut linker = Linker::<Host>::new(self.component.engine());
        let mut host = linker.instance(guest::HOST).unwrap();
        let sink = self.plan("sink").expect("a plan for the import that takes");
        let source = self.plan("source").expect("a plan for the import that gives");
        sink.define(&mut host, "sink", |mut store, arguments| {
            store.data_mut().sunk = Some(Ok(arguments.unwrap()));
            Box::new(async { Ok(Bytes::from_static(&[0xc0])) })
        })
        .unwrap();
        source
            .define(&mut host, "source", |store, arguments| {
                let bytes = store.data().bytes.clone();
                Box::new(async move {
                    assert_eq!(arguments, Ok(vec![0x90]));
                    Ok(bytes)
                })
            })
            .unwrap();
        self.instantiate(&linker, Host { bytes: bytes.clone(), ..Host::default() })
    }

    /// An instance whose imports take and give dynamic values.
    pub(crate) fn dynamic(&self, value: Option<Val>) -> (Store<Host>, Instance) {
        let mut linker = Linker::<Host>::new(self.component.engine());
        let mut host = linker.instance(guest::HOST).unwrap();
        let ty = self.ty.clone();
        host.func_new_async("sink", move |mut store, _, arguments, _| {
            store.data_mut().sunk = Some(Err(oracle::from_val(&ty, &arguments[0])));
            Box::new(async { Ok(()) })
        })
        .unwrap();
        host.func_new_async("source", |store, _, _, results| {
            results[0] = store.data().value.clone().unwrap();
            Box::new(async { Ok(()) })
        })
        .unwrap();
        self.instantiate(&linker, Host { value, ..Host::default() })
    }

    fn instantiate(&self, linker: &Linker<Host>, host: Host) -> (Store<Host>, Instance) {
        let mut store = Store::new(self.component.engine(), host);
        let instance = block_on(linker.instantiate_async(&mut store, &self.component)).unwrap();
        (store, instance)
    }

    /// `bytes` through all that a guest does, without dynamic values: into parameters in memory and out of a result,
    /// into and out of parameters as they come, into a result and out of one.
    pub(crate) fn through_bytes(&self, bytes: &Bytes) -> [Outcome; 3] {
        let call = |name: &str, parameters: Vec<u8>| -> (Store<Host>, wasmtime::Result<Vec<u8>>) {
            let (mut store, instance) = self.transcoded(bytes);
            let func = instance.get_func(&mut store, name).unwrap();
            assert!(Plan::of(&func.ty(&store)).is_some(), "a plan for {name}");
            let export = Export::of(&func, &store).unwrap();
            let result = block_on(export.call(&mut store, parameters.into()));
            (store, result)
        };
        let (_, echo) = call("echo", array(&[&[0x92], bytes, &pad()]));
        let (mut store, push) = call("push", array(&[&[0x91], bytes]));
        let sunk = push.map(|nothing| {
            assert_eq!(nothing, [0xc0]);
            let sunk = store.data_mut().sunk.take().unwrap().unwrap();
            assert_eq!(sunk[0], 0x91);
            sunk[1..].to_vec()
        });
        let (_, pull) = call("pull", vec![0x90]);
        [echo, sunk, pull].map(|outcome| outcome.map_err(|error| refused(&error)))
    }

    /// The same through dynamic values.
    pub(crate) fn through_values(&self, bytes: &Bytes) -> [Outcome; 3] {
        let parameters = Type::Tuple(vec![self.ty.clone()]);
        let one = array(&[&[0x91], bytes]);
        let (pushed, pulled) = (decode(&parameters, &one), decode(&self.ty, bytes));
        let call = |name: &str, value: &Value, parameters: &[Val]| {
            let (mut store, instance) = self.dynamic(Some(oracle::to_val(value)));
            let func = instance.get_func(&mut store, name).unwrap();
            let mut results = vec![Val::Bool(false); func.ty(&store).results().len()];
            let outcome = block_on(func.call_async(&mut store, parameters, &mut results));
            (store, outcome.map(|()| results))
        };
        let written = |value: &Value| oracle::bytes(&self.ty, value).to_vec();
        let pushed = pushed.map(|value| if let Value::Tuple(values) = value { values[0].clone() } else { panic!() });
        let echo = pushed.clone().map_err(Some).and_then(|value| {
            let pad = Val::Tuple(vec![Val::U64(0); 17]);
            let (_, outcome) = call("echo", &value, &[oracle::to_val(&value), pad]);
            outcome.map(|results| written(&oracle::from_val(&self.ty, &results[0]))).map_err(|_| None)
        });
        let sunk = pushed.map_err(Some).and_then(|value| {
            let (mut store, outcome) = call("push", &value, &[oracle::to_val(&value)]);
            outcome.map_err(|_| None)?;
            Ok(written(&store.data_mut().sunk.take().unwrap().unwrap_err()))
        });
        let pull = pulled.map_err(Some).and_then(|value| {
            let (_, outcome) = call("pull", &value, &[]);
            outcome.map(|results| written(&oracle::from_val(&self.ty, &results[0]))).map_err(|_| None)
        });
        [echo, sunk, pull]
    }
}

fn array(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// Seventeen numbers, so that parameters go to memory.
fn pad() -> Vec<u8> {
    let mut pad = vec![0xdc, 0, 17];
    pad.extend([0; 17]);
    pad
}
