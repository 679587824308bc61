//! What the head of a request has to be before anybody looks at it, and what it then becomes. Pure.
//!
//! HTTP/1.1 and HTTP/2, origin form and absolute form all become one: a path as target, `Host` as the one word on the
//! authority, and no header that was meant for this connection alone. What two readers could understand differently is
//! refused, for the next reader is somebody else's code. <https://www.rfc-editor.org/rfc/rfc9112#section-3>

use std::borrow::Cow;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header,
    request::Parts,
    uri::{Authority, PathAndQuery},
};

use crate::respond::Own;

/// Headers that concern one connection, whoever names them. `Expect` has been answered here.
const OF_THE_CONNECTION: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
];

/// Headers that `Connection` cannot take away: what a request means must not depend on who removed what before.
const KEPT: [HeaderName; 7] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::AUTHORIZATION,
    header::COOKIE,
    header::FORWARDED,
    HeaderName::from_static("x-request-id"),
];

/// Checks a head and brings it into the one form that actors see.
pub(crate) fn accept(parts: &mut Parts, max_uri: usize) -> Result<(), Own> {
    if matches!(parts.method, Method::CONNECT | Method::TRACE) {
        return Err(Own::method_unsupported());
    }
    let expects = parts.headers.get(header::EXPECT);
    if expects.is_some_and(|expects| !expects.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err(Own::expectation_failed());
    }
    if target_length(&parts.uri) > max_uri {
        return Err(Own::uri_too_long());
    }
    settle_authority(parts)?;
    remove_hops(&mut parts.headers);
    // What the parser left beside the head concerns the connection too.
    parts.extensions.clear();
    Ok(())
}

/// Whether a head has more fields. HTTP/1's parser counts by itself, HTTP/2's only the bytes; cookies may come one by
/// one there, and are one field.
pub(crate) fn has_more_fields_than(headers: &HeaderMap, most: usize) -> bool {
    let cookies = || headers.get_all(header::COOKIE).iter().count().saturating_sub(1);
    headers.len() > most && headers.len() - cookies() > most
}

/// Whether a request asks what the server as a whole can do.
pub(crate) fn is_for_the_server(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS && parts.uri.path() == "*"
}

fn target_length(uri: &Uri) -> usize {
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    authority + uri.path_and_query().map_or(0, |path| path.as_str().len())
}

/// One authority: the target's where it has one, else the one `Host`. HTTP/1.0 may have none.
fn settle_authority(parts: &mut Parts) -> Result<(), Own> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let (host, another) = (hosts.next(), hosts.next());
    if another.is_some() {
        return Err(Own::bad_request("two_hosts"));
    }
    let named = match host {
        Some(host) => Some(authority(host).ok_or_else(|| Own::bad_request("bad_host"))?),
        None => None,
    };
    let target = parts.uri.authority().cloned();
    if target.is_none() && named.is_none() && parts.version >= Version::HTTP_11 {
        return Err(Own::bad_request("no_host"));
    }
    if parts.uri.path_and_query().is_none_or(|path| path.as_str() == "*") && parts.method != Method::OPTIONS {
        return Err(Own::bad_request("bad_target"));
    }
    let Some(target) = target else { return Ok(()) };
    if target.as_str().contains('@') {
        return Err(Own::bad_request("bad_target"));
    }
    if parts.version == Version::HTTP_2 && named.is_some_and(|named| named != target) {
        return Err(Own::bad_request("two_hosts"));
    }
    let host = HeaderValue::from_str(target.as_str()).map_err(|_| Own::bad_request("bad_target"))?;
    parts.headers.insert(header::HOST, host);
    let path = parts.uri.path_and_query().cloned();
    parts.uri = Uri::from(path.unwrap_or(PathAndQuery::from_static("/")));
    Ok(())
}

/// A host and perhaps a port, and nothing else; empty, which RFC 9112 allows, is none.
fn authority(host: &HeaderValue) -> Option<Authority> {
    let authority: Authority = host.to_str().ok()?.parse().ok()?;
    (!authority.as_str().contains('@') && !authority.host().is_empty()).then_some(authority)
}

/// Removes what was meant for this connection alone. <https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1>
pub(crate) fn remove_hops(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .filter(|name| !KEPT.contains(name))
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &OF_THE_CONNECTION {
        headers.remove(name);
    }
}

/// A path as the routes compare it: letters that need no escape without theirs, and no dot segments, so that one path
/// cannot be spelt in two ways to get to two routes. The actor sees the path as it came.
/// <https://www.rfc-editor.org/rfc/rfc3986#section-6.2.2>
pub(crate) fn normal_path(path: &str) -> Cow<'_, str> {
    if !path.contains('%') && !path.contains("/.") {
        return Cow::Borrowed(path);
    }
    let unescaped = unescape(path);
    if !unescaped.contains("/.") {
        return Cow::Owned(unescaped);
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in unescaped.split('/').skip(1) {
        match segment {
            "." | ".." => {}
            segment => segments.push(segment),
        }
        if segment == ".." {
            segments.pop();
        }
    }
    let ends_in_dots = unescaped.ends_with("/.") || unescaped.ends_with("/..");
    let mut normal = format!("/{}", segments.join("/"));
    if ends_in_dots && !normal.ends_with('/') {
        normal.push('/');
    }
    Cow::Owned(normal)
}

/// Escapes of letters, digits and `-._~` undone, all others in upper case.
fn unescape(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, escape)) = rest.split_once('%') {
        plain.push_str(before);
        let code = escape.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok());
        match code {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => plain.push(byte.into()),
            Some(byte) => plain.push_str(&format!("%{byte:02X}")),
            None => plain.push('%'),
        }
        rest = match code {
            Some(_) => escape.get(2..).unwrap_or_default(),
            None => escape,
        };
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(version: Version, method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().version(version).method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn refused(version: Version, method: &str, uri: &str, headers: &[(&str, &str)]) -> Option<&'static str> {
        accept(&mut head(version, method, uri, headers), 100).err().map(|own| own.code())
    }

    #[test]
    fn every_form_of_a_target_becomes_the_same_head() {
        for (version, uri, headers) in [
            (Version::HTTP_11, "/a?b", &[("host", "x.example:81")][..]),
            (Version::HTTP_11, "http://x.example:81/a?b", &[("host", "other.example")]),
            (Version::HTTP_2, "http://x.example:81/a?b", &[]),
            (Version::HTTP_2, "http://x.example:81/a?b", &[("host", "X.example:81")]),
        ] {
            let mut parts = head(version, "GET", uri, headers);
            accept(&mut parts, 100).unwrap();
            assert_eq!(parts.uri, "/a?b", "{uri}");
            assert_eq!(parts.headers[header::HOST], "x.example:81", "{uri}");
        }
    }

    #[test]
    fn what_can_be_understood_in_two_ways_is_refused() {
        use Version as V;
        let one = [("host", "x")];
        for (version, method, uri, headers, code) in [
            (V::HTTP_11, "GET", "/", &[][..], Some("no_host")),
            (V::HTTP_10, "GET", "/", &[], None),
            (V::HTTP_11, "GET", "/", &[("host", "x"), ("host", "x")], Some("two_hosts")),
            (V::HTTP_11, "GET", "/", &[("host", "a b")], Some("bad_host")),
            (V::HTTP_11, "GET", "/", &[("host", "a@b")], Some("bad_host")),
            (V::HTTP_11, "GET", "/", &[("host", "a/b")], Some("bad_host")),
            (V::HTTP_11, "GET", "http://u@x/", &one, Some("bad_target")),
            (V::HTTP_2, "GET", "http://x/", &[("host", "y")], Some("two_hosts")),
            (V::HTTP_11, "GET", "*", &one, Some("bad_target")),
            (V::HTTP_11, "OPTIONS", "*", &one, None),
            (V::HTTP_11, "TRACE", "/", &one, Some("method_unsupported")),
            (V::HTTP_11, "CONNECT", "x:1", &one, Some("method_unsupported")),
            (V::HTTP_11, "PUT", "/", &[("host", "x"), ("expect", "payment")], Some("expectation_failed")),
            (V::HTTP_11, "PUT", "/", &[("host", "x"), ("expect", "100-Continue")], None),
        ] {
            assert_eq!(refused(version, method, uri, headers), code, "{version:?} {method} {uri} {headers:?}");
        }
        let long = format!("/{}", "a".repeat(100));
        assert_eq!(refused(V::HTTP_11, "GET", &long, &one), Some("uri_too_long"));
        assert_eq!(refused(V::HTTP_11, "GET", &long[..100], &one), None);
    }

    #[test]
    fn what_concerns_the_connection_goes_and_what_says_who_asks_stays() {
        let headers = [
            ("host", "x"),
            ("connection", "keep-alive, X-Hop, host, authorization"),
            ("keep-alive", "timeout=5"),
            ("x-hop", "1"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABkAAQAAP__"),
            ("authorization", "Bearer x"),
            ("accept", "*/*"),
        ];
        let mut parts = head(Version::HTTP_11, "GET", "/", &headers);
        accept(&mut parts, 100).unwrap();
        let mut left: Vec<_> = parts.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "authorization", "host"]);
    }

    #[test]
    fn one_path_has_one_normal_form() {
        for (path, normal) in [
            ("/api/x", "/api/x"),
            ("/%61pi/x", "/api/x"),
            ("/api%2fx", "/api%2Fx"),
            ("/%7Euser", "/~user"),
            ("/api/../admin", "/admin"),
            ("/api/%2e%2E/admin", "/admin"),
            ("/../../x", "/x"),
            ("/a/./b", "/a/b"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/..", "/"),
            ("/.well-known", "/.well-known"),
            ("/a//b", "/a//b"),
            ("/100%", "/100%"),
            ("/%zz", "/%zz"),
            ("/%C3%A9", "/%C3%A9"),
        ] {
            assert_eq!(normal_path(path), normal, "{path}");
        }
    }
}
