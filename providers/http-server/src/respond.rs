//! The answers that this server gives itself. They carry a closed code and the request's id, and nothing of what went
//! wrong inside: that stands in the log under the same id.

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use mesh_lattice::Code;

use crate::{body::ResponseBody, connection::InFlight};

/// A response head that was made here, and the code that says why.
#[derive(Debug)]
pub(crate) struct Own {
    status: StatusCode,
    code: &'static str,
    headers: HeaderMap,
}

impl Own {
    pub(crate) fn new(status: StatusCode, code: &'static str) -> Self {
        Self { status, code, headers: HeaderMap::new() }
    }

    pub(crate) fn no_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "no_route")
    }

    pub(crate) fn read_only() -> Self {
        let mut own = Self::new(StatusCode::METHOD_NOT_ALLOWED, "read_only");
        own.headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        own
    }

    pub(crate) fn failed(code: Code) -> Self {
        let mut own = Self::new(status(code), code.as_str());
        if own.status == StatusCode::SERVICE_UNAVAILABLE {
            own.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        own
    }

    /// With its body: the code and the id of the request, whose characters are known to be harmless.
    pub(crate) fn into_response(self, request_id: &HeaderValue, in_flight: InFlight) -> Response<ResponseBody> {
        let id = request_id.to_str().unwrap_or_default();
        let body = format!("{{\"error\":\"{}\",\"request_id\":\"{id}\"}}\n", self.code);
        let mut response = Response::new(ResponseBody::of_bytes(body.into(), in_flight));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

/// 503 where nothing was done and the next moment may be better, 504 where time ran out, 500 where the actor failed,
/// 502 where what is between the client and the actor did.
fn status(code: Code) -> StatusCode {
    match code {
        Code::Busy | Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::Trap | Code::CpuLimit | Code::MemoryLimit | Code::NoAnswer | Code::Internal => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        Code::NotLinked
        | Code::Denied
        | Code::UnknownTarget
        | Code::UnknownOperation
        | Code::BadParams
        | Code::Lost
        | Code::ReplyLost
        | Code::Cancelled
        | Code::Unsupported
        | Code::Unauthenticated
        | Code::Backend => StatusCode::BAD_GATEWAY,
    }
}
