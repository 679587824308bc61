//! `wasi:http/outgoing-handler` of WASI 0.2 and `wasi:http/client` of 0.3: a request of a guest is a call along its
//! link, never a connection. Also what the host allows in headers and buffers.

use std::sync::{Arc, LazyLock};

use http::{HeaderName, Request, Response, uri::Scheme};
use mesh_lattice::{
    Answer, CallError, Code, Interface, Params, Reply,
    name::BadName,
    wit::{
        self, Outcome,
        http::{HANDLE, ResponseHead},
    },
};
use wasmtime_wasi_http::{Error as HttpError, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use super::body::{from_guest, to_guest};
use crate::{
    meter::Outside,
    outbound::{Outbound, before},
};

/// Bytes that a guest writes at once into a body.
const CHUNK_BYTES: usize = 64 << 10;
/// Writes that wait in a body for its reader: enough that a small answer is written whole before anybody reads.
const BUFFERED_CHUNKS: usize = 16;

static OPERATION: LazyLock<Arc<str>> = LazyLock::new(|| HANDLE.into());
static FORBIDDEN: LazyLock<ForbiddenHeaderFilter> = LazyLock::new(|| Arc::new(is_forbidden));

type Answered = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), HttpError>> + Send>), HttpError>;

/// The interface of its requests, as a component with these imports spells it. One that has both releases uses the first
/// name for both: they are the same call.
pub(crate) fn spelled(imports: &[Interface]) -> Result<Interface, BadName> {
    let spelled = imports.iter().find(|interface| interface.is_outgoing_http());
    spelled.map_or_else(|| "wasi:http/outgoing-handler".parse(), |interface| Ok(interface.clone()))
}

/// What belongs to a connection is not the guest's to read or write.
fn is_forbidden(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "transfer-encoding"
            | "upgrade"
            | "host"
            | "http2-settings"
    )
}

impl WasiHttpHooks for Outbound {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        is_forbidden(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::clone(&FORBIDDEN)
    }

    fn default_scheme(&mut self) -> Option<Scheme> {
        Some(Scheme::HTTP)
    }

    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        BUFFERED_CHUNKS
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), HttpError>> + Send>,
    ) -> Box<dyn Future<Output = Answered> + Send> {
        let (parts, body) = request.into_parts();
        let meter = Arc::clone(&self.meter);
        let shared = Arc::clone(&self.shared);
        let params = Params::Http(Box::new(parts));
        let mut invocation = self.invocation(&shared.outgoing, Arc::clone(&OPERATION), params, Some(from_guest(body)));
        if let Some(timeout) = options.and_then(|options| options.first_byte_timeout) {
            invocation.deadline = invocation.deadline.sooner(mesh_lattice::Deadline::after(timeout));
        }
        Box::new(async move {
            let deadline = invocation.deadline;
            // A guest of 0.3 polls this itself.
            let calling = Box::pin(before(deadline, shared.calls.serve(invocation)));
            let reply = Outside::new(meter, calling).await.map_err(refused)?;
            let nothing_more: Box<dyn Future<Output = Result<(), HttpError>> + Send> = Box::new(async { Ok(()) });
            Ok((response(reply)?, nothing_more))
        })
    }
}

fn response(reply: Reply) -> Result<Response<WasiBody>, HttpError> {
    let parts = match reply.answer {
        Answer::Http(parts) => *parts,
        Answer::Wire(bytes) => match wit::from_wire::<Outcome<ResponseHead, String>>(&bytes).map_err(refused)? {
            Outcome::Ok(head) => head.into_parts().map_err(refused)?,
            Outcome::Err(message) => return Err(HttpError::InternalError(Some(message))),
        },
    };
    Ok(Response::from_parts(parts, to_guest(reply.body)))
}

/// Why a request of the guest has no answer, in the words of HTTP.
fn refused(error: CallError) -> HttpError {
    match error.code {
        Code::NotLinked | Code::Denied => HttpError::HttpRequestDenied,
        Code::UnknownTarget => HttpError::DestinationNotFound,
        Code::Busy | Code::Unavailable => HttpError::DestinationUnavailable,
        Code::DeadlineExceeded => HttpError::HttpResponseTimeout,
        Code::Lost | Code::Gone | Code::ReplyLost | Code::Cancelled => HttpError::ConnectionTerminated,
        Code::TooLarge => HttpError::HttpRequestBodySize(None),
        _ => HttpError::InternalError(Some(error.to_string())),
    }
}
