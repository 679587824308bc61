//! What a link says about requests that pages of other origins make. Where it says nothing, nothing is added: the
//! actor may do it all itself.

use http::{HeaderMap, HeaderValue, Method, header, request::Parts};
use mesh_provider::{ConfigError, Settings};

/// The rules of one link, as headers that are ready to be sent.
#[derive(Debug, Clone)]
pub struct Cors {
    /// The origins that may; any where there is none.
    origins: Vec<HeaderValue>,
    methods: HeaderValue,
    headers: Option<HeaderValue>,
    exposed: Option<HeaderValue>,
    max_age: Option<HeaderValue>,
}

const KEYS: [&str; 5] = [
    "cors_allowed_origins",
    "cors_allowed_methods",
    "cors_allowed_headers",
    "cors_exposed_headers",
    "cors_max_age_secs",
];

impl Cors {
    /// Reads the keys `cors_*`; none where none is there.
    ///
    /// # Errors
    ///
    /// Names the key that holds something else than it should.
    pub fn read(settings: &mut Settings<'_>) -> Result<Option<Self>, ConfigError> {
        if settings.first(&KEYS).is_none() {
            return Ok(None);
        }
        let origins = list(settings, "cors_allowed_origins");
        let origins =
            origins.iter().filter(|origin| *origin != "*").map(|origin| value("cors_allowed_origins", origin));
        let joined = |settings: &mut Settings<'_>, key: &'static str| {
            let items = list(settings, key);
            if items.is_empty() { Ok(None) } else { value(key, &items.join(", ")).map(Some) }
        };
        Ok(Some(Self {
            origins: origins.collect::<Result<_, _>>()?,
            methods: joined(settings, "cors_allowed_methods")?
                .unwrap_or(HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")),
            headers: joined(settings, "cors_allowed_headers")?,
            exposed: joined(settings, "cors_exposed_headers")?,
            max_age: settings.parsed::<u64>("cors_max_age_secs", "a number of seconds")?.map(HeaderValue::from),
        }))
    }

    /// The answer to a browser that asks before it sends a request; none for every other request.
    pub(crate) fn preflight(&self, request: &Parts) -> Option<HeaderMap> {
        let asked = request.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD);
        if request.method != Method::OPTIONS || asked.is_none() {
            return None;
        }
        let mut headers = HeaderMap::new();
        self.apply(request.headers.get(header::ORIGIN), &mut headers);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        let allowed = self.headers.as_ref().or_else(|| request.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS));
        if let Some(allowed) = allowed {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed.clone());
        }
        if let Some(max_age) = &self.max_age {
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, max_age.clone());
        }
        Some(headers)
    }

    /// Adds to a response what a page of `origin` needs to read it.
    pub(crate) fn apply(&self, origin: Option<&HeaderValue>, response: &mut HeaderMap) {
        let Some(origin) = origin else { return };
        if self.origins.is_empty() {
            response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        } else {
            response.append(header::VARY, HeaderValue::from_static("origin"));
            if !self.origins.contains(origin) {
                return;
            }
            response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
        if let Some(exposed) = &self.exposed {
            response.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
    }
}

/// Items between commas, or a JSON list of texts: both stand in manifests.
fn list(settings: &mut Settings<'_>, key: &'static str) -> Vec<String> {
    let text = settings.text(key).unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    text.split(',').map(|item| item.trim().trim_matches('"').to_owned()).filter(|item| !item.is_empty()).collect()
}

fn value(key: &'static str, text: &str) -> Result<HeaderValue, ConfigError> {
    HeaderValue::from_str(text).map_err(|_| ConfigError::invalid(key, "a list that can stand in a header"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(pairs: &[(&str, &str)]) -> Option<Cors> {
        let values = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Cors::read(&mut Settings::new(&values)).unwrap()
    }

    fn request(method: Method, headers: &[(&'static str, &'static str)]) -> Parts {
        let mut parts = http::Request::new(()).into_parts().0;
        parts.method = method;
        parts.headers = headers.iter().map(|(k, v)| (k.parse().unwrap(), HeaderValue::from_static(v))).collect();
        parts
    }

    #[test]
    fn without_a_rule_nothing_is_added() {
        assert!(cors(&[]).is_none());
    }

    #[test]
    fn a_preflight_is_answered_and_other_requests_are_not() {
        let cors = cors(&[("cors_allowed_origins", r#"["https://a.example", "https://b.example"]"#)]).unwrap();
        let asked = [("origin", "https://b.example"), ("access-control-request-method", "PUT")];
        let headers = cors.preflight(&request(Method::OPTIONS, &asked)).unwrap();
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://b.example");
        assert!(cors.preflight(&request(Method::OPTIONS, &asked[..1])).is_none());
        assert!(cors.preflight(&request(Method::PUT, &asked)).is_none());
    }

    #[test]
    fn another_origin_gets_no_leave() {
        let cors = cors(&[("cors_allowed_origins", "https://a.example")]).unwrap();
        let mut headers = HeaderMap::new();
        cors.apply(Some(&HeaderValue::from_static("https://evil.example")), &mut headers);
        assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
        assert_eq!(headers[header::VARY], "origin");
    }
}
