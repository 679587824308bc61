//! What the configuration of the provider and of its links may say. A link's own values win over the provider's, and
//! those over the lattice's default server. The keys are those that users of other NATS providers have.

use std::{fmt, path::PathBuf};

use mesh_lattice::application::Values;
use mesh_provider::{ConfigError, NatsDefault, Settings};

/// The server that is meant where nobody names one.
const DEFAULT_URL: &str = "nats://127.0.0.1:4222";

/// The bucket of links that name none.
const DEFAULT_BUCKET: &str = "default";

/// Buckets that begin so are the mesh's own.
const RESERVED: &str = "MESH_";

/// What a link comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkSettings {
    /// Where it connects to, and as whom.
    pub server: ServerSettings,
    /// The JetStream domain: `js_domain`.
    pub domain: Option<String>,
    /// The bucket: `bucket`.
    pub bucket: String,
    /// Whether a bucket that is not there is made: `enable_bucket_auto_create`, on where nothing is said.
    pub auto_create: bool,
}

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

/// Whether a bucket is one of the mesh's own.
#[must_use]
pub fn is_reserved(bucket: &str) -> bool {
    bucket.get(..RESERVED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED))
}

impl LinkSettings {
    /// Reads a link's configuration over the provider's.
    ///
    /// # Errors
    ///
    /// Names the key that holds something else than it should.
    pub fn read(
        of: &str,
        link: &Values,
        provider: &Values,
        default: Option<&NatsDefault>,
    ) -> Result<Self, ConfigError> {
        let mut values = provider.clone();
        values.extend(link.clone());
        let mut settings = Settings::new(&values);
        let read = Self::of(&mut settings, default)?;
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
        let read = Self::of(&mut settings, None)?;
        settings.refuse_unknown(said)?;
        Ok(read)
    }

    fn of(settings: &mut Settings<'_>, default: Option<&NatsDefault>) -> Result<Self, ConfigError> {
        let bucket = settings.text("bucket").unwrap_or(DEFAULT_BUCKET).to_owned();
        let named = !bucket.is_empty() && bucket.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if !named || is_reserved(&bucket) {
            return Err(ConfigError::invalid(
                "bucket",
                "letters, digits, - and _, and no bucket of the mesh (MESH_...)",
            ));
        }
        let url = settings.first(&["cluster_uri", "cluster_uris", "url"]);
        // Credentials of the default server are for the default server alone.
        let default = default.filter(|default| url.is_none_or(|(_, url)| url == default.url));
        let read = Self {
            server: ServerSettings {
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
            },
            domain: settings
                .text("js_domain")
                .map(str::to_owned)
                .or_else(|| default.and_then(|default| default.js_domain.clone())),
            bucket,
            auto_create: settings.flag("enable_bucket_auto_create")?.unwrap_or(true),
        };
        if read.server.jwt.is_some() && read.server.seed.is_none() {
            return Err(ConfigError::missing("client_seed", "the seed that belongs to `client_jwt`"));
        }
        if let Some(seed) = &read.server.seed {
            nkeys::KeyPair::from_seed(seed).map_err(|_| ConfigError::invalid("client_seed", "a seed (S...)"))?;
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(link: &[(&str, &str)], default: Option<&NatsDefault>) -> Result<LinkSettings, ConfigError> {
        let values = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        LinkSettings::read("a test", &values(link), &values(&[("bucket", "theirs")]), default)
    }

    #[test]
    fn a_link_goes_before_its_provider_and_that_before_the_lattice() {
        let default = NatsDefault {
            url: "nats://lattice:4222".into(),
            credentials_file: Some("/providers.creds".into()),
            ..Default::default()
        };
        let settings = read(&[], Some(&default)).unwrap();
        assert_eq!((settings.bucket.as_str(), settings.auto_create), ("theirs", true));
        assert_eq!(settings.server.url, "nats://lattice:4222");
        assert_eq!(settings.server.credentials_file, default.credentials_file);
        let settings = read(&[("cluster_uri", "nats://own:1"), ("bucket", "mine")], Some(&default)).unwrap();
        assert_eq!((settings.bucket.as_str(), settings.server.url.as_str()), ("mine", "nats://own:1"));
        assert_eq!(settings.server.credentials_file, None, "another server does not see the lattice's credentials");
        assert_eq!(read(&[], None).unwrap().server.url, DEFAULT_URL);
    }

    #[test]
    fn what_is_wrong_is_refused_by_its_key() {
        for (pairs, key) in [
            (vec![("bucket", "MESH_default")], "bucket"),
            (vec![("bucket", "mesh_x")], "bucket"),
            (vec![("bucket", "a.b")], "bucket"),
            (vec![("enable_bucket_auto_create", "perhaps")], "enable_bucket_auto_create"),
            (vec![("client_jwt", "x")], "client_seed"),
            (vec![("client_seed", "x")], "client_seed"),
        ] {
            assert_eq!(read(&pairs, None).unwrap_err().key(), key);
        }
    }

    #[test]
    fn what_a_person_misspells_is_refused_before_it_is_stored_and_lived_with_after() {
        let values = |key: &str, value: &str| Values::from([(key.to_owned(), value.to_owned())]);
        let stored = values("server", "nats://x");
        assert!(LinkSettings::read("a test", &stored, &stored, None).is_ok());
        assert_eq!(LinkSettings::check(&stored, &Values::new()).unwrap_err().key(), "server");
        assert_eq!(LinkSettings::check(&values("bucket", ""), &Values::new()).unwrap_err().key(), "bucket");
        assert!(
            LinkSettings::check(&values("bucket", "b"), &stored).is_ok(),
            "a link is not to blame for its provider"
        );
    }
}
