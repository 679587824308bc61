//! Requests of HTTP to an actor, whichever release of `wasi:http` it speaks: the hot path.
//!
//! ```text
//! guest is polled in the task of whoever calls ─┬─ done first ──► head and body are there: answered; instance goes or idles
//!                                               └─ head first ──► the rest of the guest moves to a task of its own,
//!                                                                 the body streams; idle or dropped: cancelled
//! ```
//!
//! A hop between tasks for each request costs more than making the instance, so there is none unless the guest is
//! still at work when the head is out.

mod body;
mod handler;
mod outgoing;

use std::{pin::pin, sync::Arc, task::Poll, time::Duration};

use mesh_lattice::{
    Answer, Body, CallError, Code, Deadline, Params, Reply, TraceContext,
    wit::{self, Outcome, http::ResponseHead},
};
use tokio::sync::oneshot;
use wasmtime_wasi_http::{Error as HttpError, p2::body::HyperOutgoingBody};

use crate::{
    actor::{Shared, Ticket},
    instance::Instance,
    meter::{Meter, Metered},
    outbound::Outbound,
};
pub(crate) use body::RequestBody;
use body::ResponseBody;
pub(crate) use handler::{Handler, Loaded, is_meant};
pub(crate) use outgoing::spelled;

/// A call whose bodies do not move for this long is over.
const IDLE: Duration = Duration::from_secs(30);

/// What the guest answers with.
pub(crate) type Head = Result<http::Response<HyperOutgoingBody>, HttpError>;

/// One request on its way to a guest.
pub(crate) struct Incoming {
    pub(crate) parts: http::request::Parts,
    pub(crate) body: Option<Body>,
    pub(crate) deadline: Deadline,
    pub(crate) trace: Option<TraceContext>,
    /// Whether the head came as a WIT value, and goes back as one.
    pub(crate) wire: bool,
}

impl Incoming {
    /// The head of the request from what a call carries.
    pub(crate) fn head(params: Params) -> Result<(http::request::Parts, bool), CallError> {
        match params {
            Params::Http(parts) => Ok((*parts, false)),
            Params::Wire(bytes) => {
                let (head,): (wit::http::RequestHead,) = wit::from_wire(&bytes)?;
                Ok((head.into_parts()?, true))
            }
        }
    }
}

/// Serves one request with an instance of its own. The ticket is held for as long as the instance lives.
pub(crate) async fn serve(shared: &Arc<Shared>, request: Incoming, ticket: Ticket) -> Result<Reply, CallError> {
    let (deadline, wire) = (request.deadline, request.wire);
    let outbound = Outbound::of_call(shared, deadline, request.trace);
    let meter = Arc::clone(&outbound.meter);
    let (answer, mut head) = oneshot::channel();
    let guest = run(outbound, (request.parts, request.body), answer, ticket);
    let mut guest = Metered::new(Arc::clone(&meter), guest);
    // Registered with the timer only where the guest does not finish in its first poll.
    let mut late = pin!(tokio::time::sleep(deadline.remaining()));
    tokio::select! {
        biased;
        result = &mut guest => {
            result?;
            let head = head.try_recv().map_err(|_| no_answer("the guest returned without an answer"))?;
            reply(head, wire, |body| body::finished(body, &meter))
        }
        received = &mut head => {
            // The guest is at work and will not answer any more: what became of it says why.
            let Ok(head) = received else { return guest.await.and(Err(no_answer("the guest dropped its answer"))) };
            meter.set_head_is_out();
            // An engine with support for concurrency says "later" once more when all has been done.
            if shared.runner.is_concurrent() && let Poll::Ready(result) = futures::poll!(&mut guest) {
                return result.and_then(|()| reply(head, wire, |body| body::finished(body, &meter)));
            }
            reply(head, wire, |body| Some(stream(shared, body, guest, meter)))
        }
        () = &mut late => Err(meter.fail_late()),
    }
}

fn no_answer(message: &str) -> CallError {
    CallError::new(Code::NoAnswer, message)
}

/// The guest, to the end of one call, and its right to live.
async fn run(
    outbound: Outbound,
    (parts, body): (http::request::Parts, Option<Body>),
    answer: oneshot::Sender<Head>,
    ticket: Ticket,
) -> Result<(), CallError> {
    let request = http::Request::from_parts(with_host(parts), RequestBody::new(body, &outbound.meter));
    let mut instance = Instance::for_call(outbound);
    let result = instance.handle(request, answer).await;
    let result = instance.outcome(result);
    if result.is_ok() {
        instance.retire_behind(ticket);
    }
    result
}

/// A guest may ask for the authority, so there is one, even where an old client sent none.
fn with_host(mut parts: http::request::Parts) -> http::request::Parts {
    let host = parts.headers.get(http::header::HOST);
    if parts.uri.authority().is_none() && host.is_none_or(|host| host.to_str().is_err()) {
        parts.headers.insert(http::header::HOST, http::HeaderValue::from_static("localhost"));
    }
    parts
}

/// The reply with this head, and the body that `body` makes.
fn reply(head: Head, wire: bool, body: impl FnOnce(HyperOutgoingBody) -> Option<Body>) -> Result<Reply, CallError> {
    let response = head.map_err(|error| no_answer(&format!("the guest answered with an error: {error:?}")))?;
    let (parts, hyper_body) = response.into_parts();
    let answer = match wire {
        false => Answer::Http(Box::new(parts)),
        true => Answer::Wire(wit::to_wire(&Outcome::<_, String>::Ok(ResponseHead::from(&parts)))?),
    };
    Ok(Reply { answer, body: body(hyper_body) })
}

/// Gives the rest of the guest a task, and the caller a body that ends with it.
fn stream<F>(shared: &Arc<Shared>, body: HyperOutgoingBody, guest: Metered<F>, meter: Arc<Meter>) -> Body
where
    F: Future<Output = Result<(), CallError>> + Send + 'static,
{
    let rest = finish(Arc::clone(shared), guest, Arc::clone(&meter));
    let rest = shared.tasks.spawn(rest).abort_handle();
    ResponseBody::new(body, meter, rest).boxed()
}

/// Lets the guest go on behind its head until it is done, nothing moves any more, or the actor goes.
async fn finish<F>(shared: Arc<Shared>, mut guest: Metered<F>, meter: Arc<Meter>)
where
    F: Future<Output = Result<(), CallError>>,
{
    let result = loop {
        let idle_at = meter.last_progress() + IDLE;
        tokio::select! {
            biased;
            result = &mut guest => break result,
            () = shared.stopping.cancelled() => {
                break Err(CallError::new(Code::Cancelled, "the actor was stopped on this host"));
            }
            () = tokio::time::sleep_until(idle_at.into()) => {
                if meter.last_progress() + IDLE <= std::time::Instant::now() {
                    break Err(CallError::new(Code::DeadlineExceeded, "the body did not move for too long"));
                }
            }
        }
    };
    if let Err(error) = result {
        shared.count_error();
        meter.fail(error);
    }
}
