//! What the configuration of the provider and of its links may say. A link's own values win over the provider's.

use std::{path::PathBuf, time::Duration};

use mesh_lattice::application::Values;
use mesh_provider::{ConfigError, Settings};

use crate::destination::Destinations;

/// What a link comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkSettings {
    /// Where it may go: `allow`, a list of hosts (`api.example.com, *.example.org:8443`, or `*`), and `allow_networks`,
    /// a list of networks that are not public and still may be reached (`10.0.0.0/8`).
    pub destinations: Destinations,
    /// Requests without TLS are refused: `https_only`, off where nothing is said.
    pub https_only: bool,
    /// Certificates to trust instead of the machine's: `tls_ca_file`, in PEM.
    pub tls_ca_file: Option<PathBuf>,
    /// The certificate that this link shows, and its key: `tls_client_cert_file` and `tls_client_key_file`, in PEM.
    pub tls_client: Option<(PathBuf, PathBuf)>,
    /// How long it may take to connect: `connect_timeout_ms`, 5,000 where nothing is said.
    pub connect: Duration,
    /// How long an answer's body may stand still: `idle_timeout_ms`, 30,000 where nothing is said.
    pub idle: Duration,
    /// Requests of the link under way at once, further ones hear `busy`: `max_requests`, 1,000 where nothing is said.
    pub max_requests: usize,
}

impl LinkSettings {
    /// Reads a link's configuration over the provider's.
    ///
    /// # Errors
    ///
    /// Names the key that holds something else than it should.
    pub fn read(of: &str, link: &Values, provider: &Values) -> Result<Self, ConfigError> {
        let mut values = provider.clone();
        values.extend(link.clone());
        let mut settings = Settings::new(&values);
        let read = Self::of(&mut settings)?;
        settings.warn_unknown(of);
        Ok(read)
    }

    /// Reads `said`, over what the provider says, as a person says it: what means nothing is refused.
    ///
    /// # Errors
    ///
    /// Names the key.
    pub fn check(said: &Values, provider: &Values) -> Result<Self, ConfigError> {
        let mut values = provider.clone();
        values.extend(said.clone());
        let mut settings = Settings::new(&values);
        let read = Self::of(&mut settings)?;
        settings.refuse_unknown(said)?;
        Ok(read)
    }

    fn of(settings: &mut Settings<'_>) -> Result<Self, ConfigError> {
        let hosts =
            settings.required("allow", "the hosts that may be called, between commas; `*` is every public one")?;
        let destinations = Destinations::parse(hosts).map_err(|_| {
            ConfigError::invalid("allow", "a list of hosts (`api.example.com`, `*.example.com:8443`, `*`)")
        })?;
        let destinations = destinations
            .with_networks(settings.text("allow_networks").unwrap_or_default())
            .map_err(|_| ConfigError::invalid("allow_networks", "a list of networks (`10.0.0.0/8`, `127.0.0.1`)"))?;
        let certificate = settings.text("tls_client_cert_file").map(PathBuf::from);
        let key = settings.text("tls_client_key_file").map(PathBuf::from);
        let tls_client = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => return Err(ConfigError::missing("tls_client_key_file", "the certificate's key")),
            (None, Some(_)) => return Err(ConfigError::missing("tls_client_cert_file", "the key's certificate")),
        };
        Ok(Self {
            destinations,
            https_only: settings.flag("https_only")?.unwrap_or(false),
            tls_ca_file: settings.text("tls_ca_file").map(PathBuf::from),
            tls_client,
            connect: settings.millis("connect_timeout_ms")?.unwrap_or(Duration::from_secs(5)),
            idle: settings.millis("idle_timeout_ms")?.unwrap_or(Duration::from_secs(30)),
            max_requests: settings.parsed("max_requests", "a number")?.unwrap_or(1_000),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<LinkSettings, ConfigError> {
        let values = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        LinkSettings::read("a link", &values, &Values::new())
    }

    #[test]
    fn a_link_says_where_it_goes() {
        let settings = read(&[("allow", "example.com"), ("https_only", "yes"), ("connect_timeout_ms", "7")]).unwrap();
        assert!(settings.https_only);
        assert_eq!(settings.connect, Duration::from_millis(7));
        assert!(settings.destinations.allow_name("example.com", 443).is_ok());
    }

    #[test]
    fn what_a_person_misspells_is_refused_before_it_is_stored_and_lived_with_after() {
        let pairs = [("allow", "*"), ("http_only", "yes")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let values = Values::from(pairs);
        assert!(LinkSettings::read("a link", &values, &Values::new()).is_ok());
        let error = LinkSettings::check(&values, &Values::new()).unwrap_err().to_string();
        assert!(error.contains("`https_only` is"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_refused_by_its_key() {
        for (pairs, key) in [
            (vec![], "allow"),
            (vec![("allow", " ")], "allow"),
            (vec![("allow", "http://example.com/")], "allow"),
            (vec![("allow", "*"), ("allow_networks", "10.0.0.0/64")], "allow_networks"),
            (vec![("allow", "*"), ("tls_client_key_file", "/k")], "tls_client_cert_file"),
            (vec![("allow", "*"), ("tls_client_cert_file", "/c")], "tls_client_key_file"),
            (vec![("allow", "*"), ("idle_timeout_ms", "0")], "idle_timeout_ms"),
        ] {
            assert_eq!(read(&pairs).unwrap_err().key(), key);
        }
    }
}
