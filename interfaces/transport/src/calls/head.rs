//! HTTP heads between memory and wire: parsed inside a process, records between two.

use bytes::Bytes;
use mesh_lattice::{
    interface::Interface,
    invocation::{Answer, CallError, Code, Params},
    wit::{Outcome, from_wire, http, http::RequestHead, http::ResponseHead, to_wire},
};

/// The parameters as bytes, and whether the answer is wanted as an HTTP head.
pub(super) fn encode_params(params: &Params) -> Result<(Bytes, bool), CallError> {
    match params {
        Params::Wire(bytes) => Ok((bytes.clone(), false)),
        Params::Http(parts) => Ok((to_wire(&(RequestHead::from(parts.as_ref()),))?, true)),
    }
}

/// The parameters as a callee in this process takes them: it cannot tell whether the caller is local.
pub(super) fn decode_params(interface: &Interface, operation: &str, bytes: Bytes) -> Result<Params, CallError> {
    if !is_http(interface, operation) {
        return Ok(Params::Wire(bytes));
    }
    let (head,) = from_wire::<(RequestHead,)>(&bytes)?;
    Ok(Params::Http(Box::new(head.into_parts()?)))
}

/// The answer as bytes.
pub(super) fn encode_answer(answer: Answer) -> Result<Bytes, CallError> {
    match answer {
        Answer::Wire(bytes) => Ok(bytes),
        Answer::Http(parts) => to_wire(&Outcome::<_, String>::Ok(ResponseHead::from(parts.as_ref()))),
    }
}

/// The answer as the caller wants it.
pub(super) fn decode_answer(bytes: Bytes, http: bool) -> Result<Answer, CallError> {
    if !http {
        return Ok(Answer::Wire(bytes));
    }
    match from_wire::<Outcome<ResponseHead, String>>(&bytes)? {
        Outcome::Ok(head) => Ok(Answer::Http(Box::new(head.into_parts()?))),
        Outcome::Err(words) => Err(CallError::new(Code::NoAnswer, words)),
    }
}

fn is_http(interface: &Interface, operation: &str) -> bool {
    operation == http::HANDLE && interface.is_incoming_http()
}
