//! Whom a link connects to, and as whom. The keys are those that users of other NATS providers have.

use std::{fmt, path::PathBuf};

use mesh_provider::{ConfigError, NatsDefault, Settings};

/// The server that is meant where nobody names one.
pub const DEFAULT_URL: &str = "nats://127.0.0.1:4222";

/// A connection; links with the same share it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ServerSettings {
    /// The server, or several between commas: `cluster_uri`, `cluster_uris` or `url`.
    pub url: String,
    /// The user's token: `client_jwt`.
    pub jwt: Option<String>,
    /// The user's seed: `client_seed`.
    pub seed: Option<String>,
    /// Both in a file: `credentials_file`.
    pub credentials_file: Option<PathBuf>,
    /// Certificates to trust: `tls_ca_file`.
    pub tls_ca_file: Option<PathBuf>,
    /// The same as text: `tls_ca`.
    pub tls_ca: Option<String>,
}

impl fmt::Debug for ServerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Seeds and tokens stay out of every log.
        f.debug_struct("ServerSettings").field("url", &self.url).finish_non_exhaustive()
    }
}

impl ServerSettings {
    /// Reads the keys of a server. Where they name none, it is `default`, and where there is none either, the one on
    /// this machine.
    ///
    /// # Errors
    ///
    /// Names the key that holds something else than it should.
    pub fn read(settings: &mut Settings<'_>, default: Option<&NatsDefault>) -> Result<Self, ConfigError> {
        let url = settings.first(&["cluster_uri", "cluster_uris", "url"]);
        // Credentials of the default server are for the default server alone.
        let default = default.filter(|default| url.is_none_or(|(_, url)| url == default.url));
        let read = Self {
            url: url
                .map(|(_, url)| url.to_owned())
                .or_else(|| default.map(|default| default.url.clone()))
                .unwrap_or_else(|| DEFAULT_URL.to_owned()),
            jwt: settings.text("client_jwt").map(str::to_owned),
            seed: settings.text("client_seed").map(str::to_owned),
            credentials_file: settings
                .text("credentials_file")
                .map(PathBuf::from)
                .or_else(|| default.and_then(|default| default.credentials_file.clone())),
            tls_ca_file: settings
                .text("tls_ca_file")
                .map(PathBuf::from)
                .or_else(|| default.and_then(|default| default.tls_ca_file.clone())),
            tls_ca: settings.text("tls_ca").map(str::to_owned),
        };
        if read.jwt.is_some() && read.seed.is_none() {
            return Err(ConfigError::missing("client_seed", "the seed that belongs to `client_jwt`"));
        }
        if let Some(seed) = &read.seed {
            nkeys::KeyPair::from_seed(seed).map_err(|_| ConfigError::invalid("client_seed", "a seed (S...)"))?;
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use mesh_lattice::application::Values;

    use super::*;

    fn read(pairs: &[(&str, &str)], default: Option<&NatsDefault>) -> Result<ServerSettings, ConfigError> {
        let values: Values = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        ServerSettings::read(&mut Settings::new(&values), default)
    }

    #[test]
    fn another_server_does_not_see_the_credentials_of_the_lattices_own() {
        let default = NatsDefault {
            url: "nats://lattice:4222".into(),
            credentials_file: Some("/providers.creds".into()),
            ..Default::default()
        };
        let settings = read(&[], Some(&default)).unwrap();
        assert_eq!((settings.url, settings.credentials_file), (default.url.clone(), default.credentials_file.clone()));
        let settings = read(&[("cluster_uri", "nats://own:1")], Some(&default)).unwrap();
        assert_eq!((settings.url.as_str(), settings.credentials_file), ("nats://own:1", None));
        assert_eq!(read(&[], None).unwrap().url, DEFAULT_URL);
    }

    #[test]
    fn what_is_wrong_is_refused_by_its_key() {
        for pairs in [[("client_jwt", "x")], [("client_seed", "x")]] {
            assert_eq!(read(&pairs, None).unwrap_err().key(), "client_seed");
        }
    }
}
