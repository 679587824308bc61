//! Where an actor takes requests: `wasi:http/incoming-handler` of WASI 0.2 or `wasi:http/handler` of 0.3. What goes in
//! and what comes out is the same for both; how a guest is asked is not.
//!
//! ```text
//! 0.2   call_handle ─► the guest sets its answer ─► writes the body ─► returns
//! 0.3   call_handle ─► the guest returns its answer ─► its tasks write the body and the trailers ─► all of them ended
//!                                                 └─► pipe: a frame at a time, and an end that is said
//! ```

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::uri::Scheme;
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use mesh_lattice::{Interface, wit::http::HANDLE};
use tokio::sync::{mpsc, oneshot};
use wasmtime::{
    Store,
    component::{self, Accessor, InstancePre},
};
use wasmtime_wasi_http::{
    Error as HttpError, WasiBody, WasiHttpView as _,
    p2::bindings::{
        Proxy, ProxyIndices,
        http::types::{ErrorCode, Scheme as Scheme2},
    },
    p3::{
        Request,
        bindings::{Service, ServiceIndices},
    },
};

use super::{Head, body::RequestBody};
use crate::{failure, state::State};

/// Frames that wait for their reader, each as large as what a guest writes at once: enough that a small answer is
/// written whole before anybody reads.
const WAITING_FRAMES: usize = 16;

/// The functions of a component for this.
pub(crate) enum Handler {
    /// Of WASI 0.2.
    Second(ProxyIndices),
    /// Of WASI 0.3.
    Third(ServiceIndices),
}

/// The functions of one instance.
pub(crate) enum Loaded {
    Second(Proxy),
    Third(Service),
}

impl Handler {
    /// That of an actor which exports these interfaces; the later release, where it has both.
    pub(crate) fn of<'a>(
        pre: &InstancePre<State>,
        exports: impl Iterator<Item = &'a Interface>,
    ) -> wasmtime::Result<Option<Self>> {
        let mut found = None;
        for export in exports.filter(|export| export.is_incoming_http()) {
            if export.interface() == "handler" {
                return ServiceIndices::new(pre).map(|indices| Some(Self::Third(indices)));
            }
            found = Some(Self::Second(ProxyIndices::new(pre)?));
        }
        Ok(found)
    }

    pub(crate) fn load(&self, store: &mut Store<State>, instance: &component::Instance) -> wasmtime::Result<Loaded> {
        Ok(match self {
            Self::Second(indices) => Loaded::Second(indices.load(store, instance)?),
            Self::Third(indices) => Loaded::Third(indices.load(store, instance)?),
        })
    }
}

/// Whether a call is for a handler, of whichever release. Who calls spells its own side of it.
pub(crate) fn is_meant(interface: &Interface, operation: &str) -> bool {
    operation == HANDLE && (interface.is_incoming_http() || interface.is_outgoing_http())
}

impl Loaded {
    /// Lets the guest handle one request, to its end.
    pub(crate) async fn handle(
        &self,
        store: &mut Store<State>,
        request: http::Request<RequestBody>,
        answer: oneshot::Sender<Head>,
    ) -> wasmtime::Result<()> {
        match self {
            Self::Second(proxy) => {
                let mut view = store.data_mut().http();
                let request = view.new_incoming_request(Scheme2::Http, request)?;
                // Where nobody waits for it any more, this is about to be dropped.
                let answer = move |head: Result<_, ErrorCode>| drop(answer.send(head.map_err(HttpError::from)));
                let answer = view.new_response_outparam_from_callback(answer)?;
                proxy.wasi_http_incoming_handler().call_handle(store, request, answer).await
            }
            Self::Third(service) => {
                let request = incoming(store, request);
                let (pipe, piped) = mpsc::channel(WAITING_FRAMES);
                let answer = (answer, Piped(piped));
                let served = store.run_concurrent(async |guest| serve(guest, service, request, answer, &pipe).await);
                let served = served.await.flatten();
                if let Err(error) = &served {
                    // Said before the pipe goes: whoever reads is told this, and not that the body just ended.
                    let state = store.data();
                    state.outbound.meter.fail(failure::of(error, state.usage.refused));
                }
                served
            }
        }
    }
}

/// A request as a guest of 0.3 reads it: who is asked stands beside the headers, not among them.
fn incoming(store: &mut Store<State>, request: http::Request<RequestBody>) -> Request {
    let host = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok()?.parse().ok());
    // What the guest says of how it liked the body is of no use to anybody.
    let (mut request, _) = Request::from_http(store.data_mut().http().hooks, request);
    request.scheme.get_or_insert(Scheme::HTTP);
    request.authority = request.authority.or(host);
    request
}

async fn serve(
    guest: &Accessor<State>,
    service: &Service,
    request: Request,
    (answer, piped): (oneshot::Sender<Head>, Piped),
    pipe: &Pipe,
) -> wasmtime::Result<()> {
    match service.handle(guest, request).await? {
        Err(code) => drop(answer.send(Err(code.into()))),
        Ok(response) => {
            let (whole, sent) = oneshot::channel();
            let sent = async { sent.await.unwrap_or(Err(HttpError::ConnectionTerminated)) };
            let (parts, body) = guest.with(|store| response.into_http(store, sent))?.into_parts();
            drop(answer.send(Ok(http::Response::from_parts(parts, piped.boxed_unsync()))));
            if forward(body, pipe).await {
                // The guest need not listen.
                drop(whole.send(Ok(())));
            }
        }
    }
    // A guest works on behind its answer for as long as it has tasks.
    poll_fn(|cx| guest.poll_no_interesting_tasks(cx)).await;
    Ok(())
}

/// Passes a body on while its guest runs, which alone moves it; whether all of it went.
async fn forward(mut body: WasiBody, pipe: &Pipe) -> bool {
    while let Some(frame) = body.frame().await {
        let broken = frame.is_err();
        if pipe.send(Some(frame)).await.is_err() || broken {
            return false;
        }
    }
    pipe.send(None).await.is_ok()
}

/// The frames of a body, and nothing where it ends.
type Pipe = mpsc::Sender<Option<Result<Frame<Bytes>, HttpError>>>;

/// The body of an answer on the side of who reads it.
struct Piped(mpsc::Receiver<Option<Result<Frame<Bytes>, HttpError>>>);

impl Body for Piped {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        self.0.poll_recv(cx).map(|next| next.unwrap_or(Some(Err(HttpError::HttpResponseIncomplete))))
    }
}
