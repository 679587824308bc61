//! What the configuration of the provider and of its links may say. The keys are those that users of other HTTP
//! providers have in their manifests, and `listen`; limits stand in `limits.rs`.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use http::{HeaderName, HeaderValue, header};
use mesh_lattice::application::Values;
use mesh_provider::{ConfigError, LinkError, ProviderLink, Settings, settings::with_json};

use crate::{
    cors::Cors,
    head::normal_path,
    limits::{Limits, max_body},
};

/// Where it listens when nobody says where: on this machine alone, because nobody asked for the whole world.
pub const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);

/// How long a call may take when nobody says how long.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

const ADDRESS: &str = "an address such as 127.0.0.1:8080, with a port above 0";

/// The provider's own configuration.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Where links listen that do not say where: `listen`, `default_address` or `port`.
    pub default_address: SocketAddr,
    /// Which header says the host name that links are told apart by: `header`.
    pub host_header: HeaderName,
    /// What connections and requests may do.
    pub limits: Limits,
}

impl ServerSettings {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// Names the key that holds something else than it should.
    pub fn read(values: &Values) -> Result<Self, ConfigError> {
        let values = with_json(values, "config_json")?;
        let mut settings = Settings::new(&values);
        let read = Self::of(&mut settings)?;
        settings.warn_unknown("an HTTP server");
        Ok(read)
    }

    /// Reads them as a person says them: what means nothing is refused.
    ///
    /// # Errors
    ///
    /// Names the key.
    pub fn check(values: &Values) -> Result<Self, ConfigError> {
        let values = with_json(values, "config_json")?;
        let mut settings = Settings::new(&values);
        let read = Self::of(&mut settings)?;
        settings.refuse_unknown(&values)?;
        Ok(read)
    }

    fn of(settings: &mut Settings<'_>) -> Result<Self, ConfigError> {
        let default_address = address(settings, &["listen", "default_address", "address"])?;
        let port = settings.parsed::<u16>("port", "a port above 0")?;
        if port == Some(0) {
            return Err(ConfigError::invalid("port", "a port above 0"));
        }
        if let Some(mode) = settings.text("routing_mode")
            && !matches!(mode, "address" | "host" | "path")
        {
            return Err(ConfigError::invalid("routing_mode", "address, host or path"));
        }
        let host_header = settings.parsed::<HeaderName>("header", "a header's name")?.unwrap_or(header::HOST);
        Ok(Self {
            default_address: match (default_address, port) {
                (Some(address), _) => address,
                (None, Some(port)) => SocketAddr::new(DEFAULT_ADDRESS.ip(), port),
                (None, None) => DEFAULT_ADDRESS,
            },
            host_header,
            limits: Limits::read(settings)?,
        })
    }
}

/// The configuration of one link.
#[derive(Debug, Clone)]
pub struct LinkSettings {
    /// Where it listens: `listen`, `address` or `port`.
    pub address: SocketAddr,
    /// The host name, in lower case; any where there is none: `host`.
    pub host: Option<String>,
    /// The path that requests begin with, without a slash at its end: `path`.
    pub path: String,
    /// From the beginning of the call to the head of the response: `timeout_ms`, or the link's own.
    pub timeout: Duration,
    /// The largest body of a request: `max_body_bytes`, or the provider's own.
    pub max_body: u64,
    /// Whether a connection ends with its first response: `disable_keepalive`.
    pub close: bool,
    /// Whether only GET and HEAD get through: `readonly_mode`.
    pub read_only: bool,
    /// The header `cache-control` of responses that bring none: `cache_control`.
    pub cache_control: Option<HeaderValue>,
    /// What pages of other origins may do: `cors_*`.
    pub cors: Option<Cors>,
}

impl LinkSettings {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// Names the key that holds something else than it should.
    pub fn read(link: &ProviderLink, server: &ServerSettings) -> Result<Self, LinkError> {
        let values = with_json(&link.config, "config_json")?;
        let mut settings = Settings::new(&values);
        let read = Self::of(&mut settings, link, server)?;
        settings.warn_unknown(&format!("an HTTP server's link to {}", link.peer));
        Ok(read)
    }

    /// Reads them as a person says them: what means nothing is refused.
    ///
    /// # Errors
    ///
    /// Names the key.
    pub fn check(link: &ProviderLink, server: &ServerSettings) -> Result<Self, LinkError> {
        let values = with_json(&link.config, "config_json")?;
        let mut settings = Settings::new(&values);
        let read = Self::of(&mut settings, link, server)?;
        settings.refuse_unknown(&values)?;
        Ok(read)
    }

    fn of(settings: &mut Settings<'_>, link: &ProviderLink, server: &ServerSettings) -> Result<Self, LinkError> {
        for key in ["tls_cert_file", "tls_priv_key_file"] {
            if settings.text(key).is_some() {
                return Err(LinkError::Unsupported(format!(
                    "`{key}`: this server speaks no TLS; put one that does before it"
                )));
            }
        }
        let address = address(settings, &["listen", "address"])?;
        let port = settings.parsed::<u16>("port", "a port above 0")?;
        if port == Some(0) {
            return Err(ConfigError::invalid("port", "a port above 0").into());
        }
        let at_port = port.map(|port| SocketAddr::new(server.default_address.ip(), port));
        Ok(Self {
            address: address.or(at_port).unwrap_or(server.default_address),
            host: settings.text("host").map(str::to_ascii_lowercase),
            path: path(settings)?,
            timeout: settings.millis("timeout_ms")?.or(link.timeout).unwrap_or(DEFAULT_TIMEOUT),
            max_body: max_body(settings)?.unwrap_or(server.limits.max_body),
            close: settings.flag("disable_keepalive")?.unwrap_or(false),
            read_only: settings.flag("readonly_mode")?.unwrap_or(false),
            cache_control: settings.parsed("cache_control", "the value of a header")?,
            cors: Cors::read(settings)?,
        })
    }
}

fn path(settings: &mut Settings<'_>) -> Result<String, ConfigError> {
    let path = settings.text("path").unwrap_or("/");
    if !path.starts_with('/') || path.bytes().any(|b| !b.is_ascii_graphic() || matches!(b, b'?' | b'#')) {
        return Err(ConfigError::invalid("path", "a path that begins with / and has no ? or #"));
    }
    Ok(normal_path(path).trim_end_matches('/').to_owned())
}

/// An address as people write it: `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, `:8080`.
fn address(settings: &mut Settings<'_>, keys: &[&'static str]) -> Result<Option<SocketAddr>, ConfigError> {
    let Some((key, text)) = settings.first(keys) else { return Ok(None) };
    let short = text.rsplit_once(':').and_then(|(host, port)| {
        let host = match host {
            "localhost" => Ipv4Addr::LOCALHOST,
            "" | "*" => Ipv4Addr::UNSPECIFIED,
            _ => return None,
        };
        port.parse().ok().map(|port| SocketAddr::new(host.into(), port))
    });
    // Port 0 would be another port on each host, and one that nobody could know.
    let address = text.parse().ok().or(short).filter(|address: &SocketAddr| address.port() != 0);
    address.map(Some).ok_or_else(|| ConfigError::invalid(key, ADDRESS))
}

#[cfg(test)]
mod tests {
    use mesh_lattice::LinkName;
    use mesh_provider::End;

    use super::*;

    fn values(pairs: &[(&str, &str)]) -> Values {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn link(pairs: &[(&str, &str)]) -> Result<LinkSettings, LinkError> {
        let link = ProviderLink {
            end: End::Source,
            peer: "hello".parse().unwrap(),
            name: LinkName::default(),
            interfaces: vec!["wasi:http".parse().unwrap()],
            config: values(pairs),
            timeout: Some(Duration::from_secs(2)),
        };
        LinkSettings::read(&link, &ServerSettings::read(&Values::new()).unwrap())
    }

    #[test]
    fn a_link_without_configuration_takes_everything_at_the_default_address() {
        let link = link(&[]).unwrap();
        assert_eq!((link.address, link.path.as_str(), link.host), (DEFAULT_ADDRESS, "", None));
        assert!(link.address.ip().is_loopback(), "nobody asked for more");
        assert_eq!(link.timeout, Duration::from_secs(2));
    }

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, address) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("[::1]:80", "[::1]:80"),
            ("localhost:81", "127.0.0.1:81"),
            (":82", "0.0.0.0:82"),
        ] {
            assert_eq!(link(&[("listen", text)]).unwrap().address, address.parse().unwrap());
            assert_eq!(link(&[("address", text)]).unwrap().address, address.parse().unwrap());
        }
        for text in ["127.0.0.1:0", "8080", "example.com", "127.0.0.1:99999", "x:80"] {
            let error = link(&[("listen", text)]).unwrap_err().reason();
            assert!(error.starts_with("`listen` is not an address"), "{error}");
        }
        let server = ServerSettings::read(&values(&[("config_json", r#"{"port": 9000}"#)])).unwrap();
        assert_eq!(server.default_address, "127.0.0.1:9000".parse().unwrap());
    }

    #[test]
    fn a_link_says_its_host_its_path_and_its_time() {
        let link = link(&[("host", "API.example.com"), ("path", "/v1/"), ("timeout_ms", "250")]).unwrap();
        assert_eq!((link.host.as_deref(), link.path.as_str()), (Some("api.example.com"), "/v1"));
        assert_eq!(link.timeout, Duration::from_millis(250));
        assert_eq!(self::link(&[("max_body_bytes", "7")]).unwrap().max_body, 7);
    }

    #[test]
    fn what_a_person_misspells_is_refused_before_it_is_stored_and_lived_with_after() {
        let misspelt = values(&[("lsten", "127.0.0.1:1")]);
        assert!(ServerSettings::read(&misspelt).is_ok());
        assert!(ServerSettings::check(&misspelt).unwrap_err().to_string().contains("`listen` is"));
        assert!(ServerSettings::check(&values(&[("config_json", r#"{"port": 9000}"#)])).is_ok());
        assert_eq!(ServerSettings::check(&values(&[("config_json", r#"{"prt": 9}"#)])).unwrap_err().key(), "prt");
    }

    #[test]
    fn what_cannot_be_served_is_refused_by_its_key() {
        for (key, value) in [
            ("path", "api"),
            ("path", "/a?b"),
            ("timeout_ms", "soon"),
            ("readonly_mode", "maybe"),
            ("tls_cert_file", "/cert.pem"),
            ("cache_control", "a\nb"),
        ] {
            let error = link(&[(key, value)]).unwrap_err().reason();
            assert!(error.contains(&format!("`{key}`")), "{error}");
        }
        assert_eq!(ServerSettings::read(&values(&[("routing_mode", "x")])).unwrap_err().key(), "routing_mode");
    }
}
