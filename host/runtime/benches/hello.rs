//! Hello over HTTP/1 on loopback: an actor behind a minimal loop of hyper, with a fresh instance for each request and
//! with instances reused, the bare loop with the same engine configuration and no mesh, and wasmtime's `ProxyHandler`
//! as `wasmtime serve` configures it for guests of WASI 0.2, both with fresh instances. Rounds are interleaved, because a machine drifts; the ratio of each round is what counts.

#![allow(
    missing_docs,
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that measures"
)]

#[path = "support/bare.rs"]
mod bare;
#[path = "support/compare.rs"]
mod compare;
#[path = "../tests/runtime/guests.rs"]
mod guests;
#[path = "support/handler.rs"]
mod handler;
#[path = "support/load.rs"]
mod load;
#[path = "../tests/runtime/peer.rs"]
mod peer;

use std::{
    convert::Infallible,
    sync::{Arc, LazyLock},
    time::Duration,
};

use compare::listen;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use mesh_lattice::{
    Answer, Body, CallError, Caller, Code, Deadline, Interface, Invocation, LinkName, Params, Serve, id::CallId,
    invocation::empty_body,
};
use mesh_runtime::Actor;
use tokio::task::JoinSet;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut servers = JoinSet::new();
    let (ours, reused, floor, peer) = runtime.block_on(async {
        let hello = guests::guest("hello");
        let bare = Arc::new(bare::Bare::new(hello.bytes()).unwrap());
        let handler = Arc::new(handler::Handler::new(hello.bytes()).unwrap());
        let config = guests::config("hello").with_concurrency(std::num::NonZeroU32::new(128).unwrap());
        let engine = mesh_runtime::Engine::new(mesh_runtime::EngineConfig::default()).unwrap();
        let reusing = mesh_runtime::ActorConfig { reuse: 10_000, ..config.clone() };
        let actor = engine.actor(&hello, config, peer::Peer::nobody()).await.unwrap();
        let reusing = engine.actor(&hello, reusing, peer::Peer::nobody()).await.unwrap();
        (
            listen(&mut servers, move |request| answer(Arc::clone(&actor), request)).await.unwrap(),
            listen(&mut servers, move |request| answer(Arc::clone(&reusing), request)).await.unwrap(),
            listen(&mut servers, move |request| Arc::clone(&bare).serve(request)).await.unwrap(),
            listen(&mut servers, move |request| Arc::clone(&handler).serve(request)).await.unwrap(),
        )
    });
    let only: Option<String> = std::env::var("ONLY").ok();
    if let Some(only) = only {
        let address = match only.as_str() {
            "mesh" => ours,
            "reused" => reused,
            "bare" => floor,
            _ => peer,
        };
        println!("{only}: {:.0} requests/s", load::measure(&runtime, address, 16, Duration::from_secs(20)));
        return;
    }
    let all = [("actor", ours), ("reused", reused), ("bare", floor), ("ProxyHandler", peer)];
    let ratios = [("actor", "bare"), ("actor", "ProxyHandler"), ("reused", "ProxyHandler")];
    compare::compare(&runtime, all, &ratios);
}

async fn answer(actor: Arc<Actor>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let request = request.map(|body| {
        let lost = |error: hyper::Error| CallError::new(Code::Cancelled, error.to_string());
        match http_body::Body::is_end_stream(&body) {
            true => None,
            false => Some(body.map_err(lost).boxed_unsync()),
        }
    });
    Ok(match actor.serve(invocation(request)).await {
        Ok(reply) => match reply.answer {
            Answer::Http(parts) => Response::from_parts(*parts, reply.body.unwrap_or_else(empty_body)),
            Answer::Wire(_) => panic!("an answer as bytes"),
        },
        Err(error) => {
            let mut response = Response::new(mesh_lattice::invocation::full_body(error.to_string().into()));
            *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    })
}

/// The call as a provider makes it, which parses no name for each request.
fn invocation(request: Request<Option<Body>>) -> Invocation {
    static NAMES: LazyLock<(Caller, LinkName, Interface, Arc<str>)> = LazyLock::new(|| {
        let made = guests::request(Request::new(None));
        (made.caller, made.link, made.interface, made.operation)
    });
    let (caller, link, interface, operation) = &*NAMES;
    let (parts, body) = request.into_parts();
    Invocation {
        id: CallId::new(),
        caller: caller.clone(),
        link: link.clone(),
        target: None,
        interface: interface.clone(),
        operation: Arc::clone(operation),
        params: Params::Http(Box::new(parts)),
        body,
        deadline: Deadline::after(Duration::from_secs(30)),
        trace: None,
        pin: None,
        from: None,
    }
}
