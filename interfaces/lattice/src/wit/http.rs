//! `wasi:http/incoming-handler` between processes: the heads of request and response as records, the bodies as the
//! streams beside them.
//!
//! The operation is `handle`; its one parameter is the request's head, its result the response's head or an error in
//! words. Inside one process neither is made: see [`crate::invocation::Params::Http`].

use http::{HeaderMap, HeaderName, HeaderValue, request, response};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::invocation::{CallError, Code};

/// The operation.
pub const HANDLE: &str = "handle";

/// Names and values in the order in which they came.
pub type Fields = Vec<(String, ByteBuf)>;

/// The head of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RequestHead {
    /// `GET`, `POST` ...
    pub method: String,
    /// `http` or `https`.
    pub scheme: Option<String>,
    /// Host and port.
    pub authority: Option<String>,
    /// Path and query.
    pub path_with_query: Option<String>,
    /// The headers.
    pub headers: Fields,
}

/// The head of a response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ResponseHead {
    /// 200, 404 ...
    pub status: u16,
    /// The headers.
    pub headers: Fields,
}

/// Headers as fields.
#[must_use]
pub fn fields(headers: &HeaderMap) -> Fields {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), ByteBuf::from(value.as_bytes()))).collect()
}

/// Fields as headers.
///
/// # Errors
///
/// `bad_params`, where a name or a value is none.
pub fn headers(fields: &Fields) -> Result<HeaderMap, CallError> {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid("a header's name"))?;
        let value = HeaderValue::from_bytes(value).map_err(|_| invalid("a header's value"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn invalid(what: &str) -> CallError {
    CallError::new(Code::BadParams, format!("{what} cannot stand in HTTP"))
}

impl From<&request::Parts> for RequestHead {
    fn from(parts: &request::Parts) -> Self {
        Self {
            method: parts.method.as_str().to_owned(),
            scheme: parts.uri.scheme_str().map(str::to_owned),
            authority: parts.uri.authority().map(|authority| authority.as_str().to_owned()),
            path_with_query: parts.uri.path_and_query().map(|path| path.as_str().to_owned()),
            headers: fields(&parts.headers),
        }
    }
}

impl RequestHead {
    /// The head as the `http` crate has it.
    ///
    /// # Errors
    ///
    /// `bad_params`, where a part of it cannot stand in HTTP.
    pub fn into_parts(self) -> Result<request::Parts, CallError> {
        let mut uri = http::uri::Builder::new();
        if let (Some(scheme), Some(authority)) = (&self.scheme, &self.authority) {
            uri = uri.scheme(scheme.as_str()).authority(authority.as_str());
        }
        let uri = uri.path_and_query(self.path_with_query.as_deref().unwrap_or("/")).build();
        let request = http::Request::builder()
            .method(self.method.as_str())
            .uri(uri.map_err(|_| invalid("a request's address"))?)
            .body(())
            .map_err(|_| invalid("a request's method"))?;
        let (mut parts, ()) = request.into_parts();
        parts.headers = headers(&self.headers)?;
        Ok(parts)
    }
}

impl From<&response::Parts> for ResponseHead {
    fn from(parts: &response::Parts) -> Self {
        Self { status: parts.status.as_u16(), headers: fields(&parts.headers) }
    }
}

impl ResponseHead {
    /// The head as the `http` crate has it.
    ///
    /// # Errors
    ///
    /// `bad_params`, where a part of it cannot stand in HTTP.
    pub fn into_parts(self) -> Result<response::Parts, CallError> {
        let response =
            http::Response::builder().status(self.status).body(()).map_err(|_| invalid("a response's status"))?;
        let (mut parts, ()) = response.into_parts();
        parts.headers = headers(&self.headers)?;
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wit::{from_wire, to_wire};

    #[test]
    fn a_request_crosses_the_wire_as_it_was() {
        let request = http::Request::builder()
            .method("POST")
            .uri("http://example.com:8080/a?b=c")
            .header("x-a", "1")
            .header("x-a", "2")
            .body(())
            .unwrap();
        let (parts, ()) = request.into_parts();
        let bytes = to_wire(&(RequestHead::from(&parts),)).unwrap();
        let (head,) = from_wire::<(RequestHead,)>(&bytes).unwrap();
        let read = head.into_parts().unwrap();
        assert_eq!((read.method, read.uri, read.headers), (parts.method, parts.uri, parts.headers));
    }

    #[test]
    fn a_header_that_would_split_a_message_is_refused() {
        let fields = vec![("x-a".to_owned(), ByteBuf::from(*b"1\r\nx-b: 2"))];
        assert_eq!(headers(&fields).unwrap_err().code, Code::BadParams);
    }
}
