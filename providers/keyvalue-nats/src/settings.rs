//! What the configuration of the provider and of its links may say. A link's own values win over the provider's, and
//! those over the lattice's default server. The keys are those that users of other NATS providers have.

use mesh_lattice::application::Values;
use mesh_nats::ServerSettings;
use mesh_provider::{ConfigError, NatsDefault, Settings};

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
        let url = settings.first(&["cluster_uri", "cluster_uris", "url"]).map(|(_, url)| url);
        let own = default.filter(|default| url.is_none_or(|url| url == default.url));
        Ok(Self {
            server: ServerSettings::read(settings, default)?,
            domain: settings
                .text("js_domain")
                .map(str::to_owned)
                .or_else(|| own.and_then(|default| default.js_domain.clone())),
            bucket,
            auto_create: settings.flag("enable_bucket_auto_create")?.unwrap_or(true),
        })
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
    }

    #[test]
    fn what_is_wrong_is_refused_by_its_key() {
        for (pairs, key) in [
            (vec![("bucket", "MESH_default")], "bucket"),
            (vec![("bucket", "mesh_x")], "bucket"),
            (vec![("bucket", "a.b")], "bucket"),
            (vec![("enable_bucket_auto_create", "perhaps")], "enable_bucket_auto_create"),
            (vec![("client_jwt", "x")], "client_seed"),
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
