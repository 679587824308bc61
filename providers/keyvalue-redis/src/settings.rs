//! What the configuration of the provider and of its links may say. A link's own values win over the provider's. The
//! keys are those that users of other Redis providers have.

use std::{fmt, path::PathBuf};

use mesh_lattice::application::Values;
use mesh_provider::{ConfigError, Settings};

/// The server that is meant where nobody names one.
const DEFAULT_URL: &str = "redis://127.0.0.1:6379/";

/// The longest name of a bucket.
const MAX_BUCKET: usize = 200;

/// What a link comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkSettings {
    /// Where it connects to.
    pub server: ServerSettings,
    /// The bucket: `bucket`. Empty where its keys stand as they are.
    pub bucket: String,
}

/// A connection; links with the same share it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ServerSettings {
    /// The server, with user, password and number of the database: `url`. `rediss:` is TLS.
    pub url: String,
    /// Certificates to trust instead of the machine's: `tls_ca_file`.
    pub tls_ca_file: Option<PathBuf>,
}

impl fmt::Debug for ServerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("ServerSettings").field("tls_ca_file", &self.tls_ca_file).finish_non_exhaustive()
    }
}

/// Whether a bucket may be called so: what it is called and what its keys are called can be told apart.
#[must_use]
pub fn is_bucket(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !name.is_empty() && name.len() <= MAX_BUCKET && name.bytes().all(plain)
}

impl LinkSettings {
    /// Reads a link's configuration over the provider's.
    ///
    /// # Errors
    ///
    /// Names the key that holds something else than it should.
    pub fn read(of: &str, link: &Values, provider: &Values) -> Result<Self, ConfigError> {
        let values = Self::values(link, provider);
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
        let values = Self::values(said, provider);
        let mut settings = Settings::new(&values);
        let read = Self::of(&mut settings)?;
        settings.refuse_unknown(&Self::values(said, &Values::new()))?;
        Ok(read)
    }

    fn values(link: &Values, provider: &Values) -> Values {
        let mut values = provider.clone();
        values.extend(link.clone());
        // Settings of a provider that keeps a pool: here every link shares the connection of its URL anyway.
        let ours = |key: &str| !key.starts_with("backend_");
        values.retain(|key, _| ours(key));
        values
    }

    fn of(settings: &mut Settings<'_>) -> Result<Self, ConfigError> {
        for pooling in ["disable_default_connection", "share_connections_by_url"] {
            settings.flag(pooling)?;
        }
        let bucket = settings.text("bucket").unwrap_or_default().to_owned();
        if !bucket.is_empty() && !is_bucket(&bucket) {
            return Err(ConfigError::invalid("bucket", "letters, digits, `-`, `_` and `.`"));
        }
        let url = settings.first(&["url", "URL", "Url"]).map_or(DEFAULT_URL, |(_, url)| url).to_owned();
        redis::Client::open(url.as_str())
            .map_err(|_| ConfigError::invalid("url", "a Redis URL (redis://USER:PASSWORD@HOST:PORT/DATABASE)"))?;
        let tls_ca_file = settings.text("tls_ca_file").map(PathBuf::from);
        Ok(Self { server: ServerSettings { url, tls_ca_file }, bucket })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<LinkSettings, ConfigError> {
        let values = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        LinkSettings::read("a link", &values(pairs), &values(&[("url", "redis://provider/")]))
    }

    #[test]
    fn a_links_values_win_over_the_providers() {
        assert_eq!(read(&[]).unwrap().server.url, "redis://provider/");
        let own = read(&[("url", "redis://own:7000/3"), ("bucket", "carts")]).unwrap();
        assert_eq!((own.server.url.as_str(), own.bucket.as_str()), ("redis://own:7000/3", "carts"));
        assert_eq!(LinkSettings::read("", &Values::new(), &Values::new()).unwrap().server.url, DEFAULT_URL);
        let pooled = [("backend_pool_size", "9"), ("share_connections_by_url", "true")];
        assert!(read(&pooled).is_ok(), "what another provider was told is no error");
    }

    #[test]
    fn what_is_wrong_is_refused_by_its_key() {
        for (key, value) in [("url", "http://x/"), ("url", "127.0.0.1"), ("bucket", "a:b"), ("bucket", "a*")] {
            assert_eq!(read(&[(key, value)]).unwrap_err().key(), key, "{value}");
        }
        let said = |key: &str| Values::from([(key.to_owned(), "7".to_owned())]);
        assert!(LinkSettings::read("a link", &said("bukket"), &Values::new()).is_ok(), "what is stored is lived with");
        assert_eq!(LinkSettings::check(&said("bukket"), &Values::new()).unwrap_err().key(), "bukket");
        assert!(LinkSettings::check(&said("backend_pool_size"), &Values::new()).is_ok());
    }

    #[test]
    fn a_password_is_in_no_log() {
        let settings = read(&[("url", "redis://user:hush@own/")]).unwrap();
        assert!(!format!("{settings:?}").contains("hush"));
    }
}
