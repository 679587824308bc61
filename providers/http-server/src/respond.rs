//! The answers that this server gives itself. They carry a closed code and the request's id, and nothing of what went
//! wrong inside: that stands in the log under the same id.

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use mesh_lattice::Code;

use crate::{body::ResponseBody, connection::InFlight};

/// A connection that finds no place hears this, and that it may come again.
pub(crate) const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
    retry-after: 1\r\nconnection: close\r\ncontent-length: 17\r\n\r\n{\"error\":\"full\"}\n";

/// A response head that was made here, and the code that says why.
#[derive(Debug)]
pub(crate) struct Own {
    status: StatusCode,
    code: &'static str,
    headers: HeaderMap,
}

impl Own {
    fn new(status: StatusCode, code: &'static str) -> Self {
        Self { status, code, headers: HeaderMap::new() }
    }

    fn with(mut self, name: header::HeaderName, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    pub(crate) fn no_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "no_route")
    }

    pub(crate) fn read_only() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "read_only").with(header::ALLOW, "GET, HEAD")
    }

    pub(crate) fn bad_request(code: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code)
    }

    pub(crate) fn uri_too_long() -> Self {
        Self::new(StatusCode::URI_TOO_LONG, "uri_too_long")
    }

    pub(crate) fn too_many_headers() -> Self {
        Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "too_many_headers")
    }

    pub(crate) fn method_unsupported() -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "method_unsupported")
    }

    pub(crate) fn expectation_failed() -> Self {
        Self::new(StatusCode::EXPECTATION_FAILED, "expectation_failed")
    }

    pub(crate) fn body_too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large")
    }

    pub(crate) fn body_timeout() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "body_timeout")
    }

    pub(crate) fn body_broken() -> Self {
        Self::bad_request("body_broken")
    }

    /// A call that failed.
    pub(crate) fn failed(code: Code) -> Self {
        let own = Self::new(status(code), code.as_str());
        match own.status {
            StatusCode::SERVICE_UNAVAILABLE => own.with(header::RETRY_AFTER, "1"),
            _ => own,
        }
    }

    #[cfg(test)]
    pub(crate) fn code(&self) -> &'static str {
        self.code
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
        | Code::Gone
        | Code::ReplyLost
        | Code::Cancelled
        | Code::Unsupported
        | Code::Unauthenticated
        | Code::Backend => StatusCode::BAD_GATEWAY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_full_server_says_has_the_length_that_it_claims() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())) && head.contains("retry-after: 1"));
    }
}
