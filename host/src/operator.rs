//! Calls that people make: where they arrive, who may make them, and that none is made twice. Run by `lattice.rs`
//! beside the calls of other hosts.
//!
//! ```text
//! envelope ─► signed for this boot? by a trusted user? in time? its id new? ─► Inward ─► what serves here
//!                 └─ no: refused, counted, audited; nothing ran
//! ```
//!
//! The session of a host vouches for actors and for no person, so a person's call carries that person's own signature
//! and goes straight to a host that runs the target. It needs no link.

mod taken;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::FutureExt as _;
use http_body_util::{BodyExt as _, Limited};
use mesh_claims::{Envelope, Refusal, RefusalCode, Trust};
use mesh_lattice::{
    Answer, BootId, CallError, Caller, Code, Deadline, HostId, Incarnation, Invocation, LinkName, Monotonic, Params,
    Reply, Serve,
    control::{ControlCode, ControlError},
    id::UserId,
    invocation::full_body,
    operator::{self, Called, Hailed, LONGEST, MAX_BODY, OperatorCall},
};
use mesh_transport::{
    Connections, Refusals, Request, Requests,
    control::serve_people,
    refusals::{About, Kind, Reason},
};
use parking_lot::Mutex;
use serde_bytes::ByteBuf;
use tokio::{runtime::Handle, sync::watch, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::known::Known;
use taken::Taken;

/// Calls of people that run at once; beyond that they are refused.
const AT_ONCE: usize = 32;
/// The two subscriptions are tried again this often.
const AGAIN: Duration = Duration::from_secs(1);

/// Takes the calls of people.
pub(crate) struct Operators {
    pub(crate) host: HostId,
    pub(crate) boot: BootId,
    pub(crate) known: watch::Receiver<Arc<Known>>,
    /// What serves here.
    pub(crate) inward: Arc<dyn Serve>,
    pub(crate) refusals: Arc<Refusals>,
    /// Where guests run.
    pub(crate) work: Handle,
}

impl Operators {
    /// Takes calls until `cancel`, and finishes those that it took.
    pub(crate) async fn run(self, connections: Connections, cancel: CancellationToken) {
        let this = Arc::new(Shared { taken: Mutex::default(), operators: self });
        let mut calls: JoinSet<()> = JoinSet::new();
        while !cancel.is_cancelled() {
            let own = &this.operators;
            if let Ok((hails, signed)) = serve_people(&connections, &own.host, own.boot).await {
                take(&this, hails, signed, &mut calls, &cancel).await;
            }
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
        while calls.join_next().await.is_some() {}
    }
}

async fn take(
    this: &Arc<Shared>,
    mut hails: Requests,
    mut signed: Requests,
    calls: &mut JoinSet<()>,
    cancel: &CancellationToken,
) {
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            hail = hails.next() => match hail {
                Some(hail) => this.tell(hail).await,
                None => return,
            },
            call = signed.next() => match call {
                Some(call) => this.begin(call, calls).await,
                None => return,
            },
            Some(_) = calls.join_next() => {}
        }
    }
}

struct Shared {
    operators: Operators,
    taken: Mutex<Taken>,
}

/// What stands against a call.
type No = (Reason, Option<Caller>, String);

impl Shared {
    async fn tell(&self, hail: Request) {
        let incarnation = self.operators.known.borrow().incarnation;
        let hailed = Hailed { boot: self.operators.boot, incarnation, now: Monotonic::now() };
        // Who asked asks again.
        let _ = hail.answer(Ok(hailed)).await;
    }

    /// Judges one call and gives it to a task of its own.
    async fn begin(self: &Arc<Self>, request: Request, calls: &mut JoinSet<()>) {
        let judged = if calls.len() >= AT_ONCE {
            Err(error(ControlCode::Unavailable, "too many people call through this host at once"))
        } else {
            self.judge(request.payload(), Monotonic::now()).map_err(|(reason, caller, message)| {
                let about = caller.as_ref().map_or_else(About::default, About::caller);
                self.operators.refusals.note(Kind::Operator, reason, about);
                error(ControlCode::Refused, &message)
            })
        };
        match judged {
            Ok((user, call)) => {
                let this = Arc::clone(self);
                let work = async move {
                    let called = this.call(user, call).await;
                    if request.answer(Ok(called)).await.is_err() {
                        tracing::debug!("the answer to a person's call could not be sent");
                    }
                };
                calls.spawn_on(work.boxed(), &self.operators.work);
            }
            Err(refused) => _ = request.answer::<Called>(Err(refused)).await,
        }
    }

    /// Who calls what, once it is certain that a trusted user signed it for this boot and that it was not taken before.
    fn judge(&self, bytes: &[u8], now: Monotonic) -> Result<(UserId, OperatorCall), No> {
        let known = self.operators.known.borrow().clone();
        let nobody = |refusal: Refusal| (reason(&refusal), None, refusal.to_string());
        let envelope = Envelope::decode(bytes).map_err(nobody)?;
        let key = operator::key(&self.operators.host, self.operators.boot);
        let (user, call) = open(&envelope, &key, known.incarnation, &known.trust).map_err(nobody)?;
        let caller = Some(Caller::Operator(user.clone()));
        if call.until <= now {
            return Err((Reason::Late, caller, "it came after its deadline".into()));
        }
        if call.until > now.plus(LONGEST) {
            let message = format!("a call is signed for {} s at most", LONGEST.as_secs());
            return Err((Reason::Malformed, caller, message));
        }
        match self.taken.lock().take(call.id, call.until, now) {
            taken::Take::New => Ok((user, call)),
            taken::Take::Again => Err((Reason::Replayed, caller, "it was taken before".into())),
            taken::Take::Full => Err((Reason::Flooded, caller, "too many calls were signed at once".into())),
        }
    }

    async fn call(&self, user: UserId, call: OperatorCall) -> Called {
        let (id, target, interface, operation) = (call.id, &call.target, &call.interface, &call.operation);
        tracing::info!(target: "audit", %user, %id, %target, %interface, operation, "an operator calls");
        let until = Deadline(call.until);
        let (target, operation) = (target.clone(), operation.clone());
        let answer = timeout(until.remaining(), self.carry_out(user, call)).await;
        let late = || Err(CallError::new(Code::DeadlineExceeded, "there was no answer before the deadline"));
        match answer.unwrap_or_else(|_| late()) {
            Ok(called) => called,
            Err(failed) => {
                tracing::info!(target: "audit", %id, %target, operation, code = %failed.code, "an operator's call failed");
                Called::Failed(failed)
            }
        }
    }

    async fn carry_out(&self, user: UserId, call: OperatorCall) -> Result<Called, CallError> {
        let invocation = Invocation {
            id: call.id,
            caller: Caller::Operator(user),
            link: LinkName::default(),
            target: Some(call.target),
            interface: call.interface,
            operation: call.operation.into(),
            params: Params::Wire(call.params.into_vec().into()),
            body: call.body.map(|body| full_body(body.into_vec().into())),
            deadline: Deadline(call.until),
            trace: None,
            pin: None,
            from: None,
        };
        let Reply { answer, body } = self.operators.inward.serve(invocation).await?;
        let Answer::Wire(result) = answer else {
            return Err(CallError::new(Code::Internal, "the answer came in a form that nobody asked for"));
        };
        let body = match body {
            Some(body) => Some(ByteBuf::from(collect(body).await?)),
            None => None,
        };
        if result.len() > MAX_BODY {
            return Err(too_large());
        }
        Ok(Called::Returned { result: ByteBuf::from(result), body })
    }
}

async fn collect(body: mesh_lattice::Body) -> Result<Bytes, CallError> {
    let collected = Limited::new(body, MAX_BODY).collect().await;
    collected.map(|body| body.to_bytes()).map_err(|error| match error.downcast::<CallError>() {
        Ok(broke) => *broke,
        Err(_) => too_large(),
    })
}

fn too_large() -> CallError {
    CallError::new(Code::TooLarge, format!("the answer is larger than {} KiB", MAX_BODY >> 10))
}

/// The user who signed, and the call.
fn open(
    envelope: &Envelope,
    key: &str,
    incarnation: Incarnation,
    trust: &Trust,
) -> Result<(UserId, OperatorCall), Refusal> {
    let unknown =
        || Refusal::new(RefusalCode::UnknownIssuer, "whoever signed it is not a user whom the lattice trusts");
    let user = envelope.signer.parse::<UserId>().map_err(|_| unknown())?;
    let call = envelope.open(key, incarnation, |_| if trust.is_user(&user) { Ok(()) } else { Err(unknown()) })?;
    Ok((user, call))
}

fn reason(refusal: &Refusal) -> Reason {
    match refusal.code {
        RefusalCode::Tampered => Reason::Unauthentic,
        RefusalCode::UnknownIssuer | RefusalCode::Revoked => Reason::Untrusted,
        _ => Reason::Malformed,
    }
}

fn error(code: ControlCode, message: &str) -> ControlError {
    ControlError { code, message: message.to_owned(), hint: String::new() }
}

#[cfg(test)]
mod tests;
