//! Every limit of a connection and of a request: its key, its default, and why it is there. All of them stand in the
//! provider's configuration; `max_body_bytes` and `timeout_ms` in a link's as well.
//!
//! | key | default | what it bounds |
//! |---|---|---|
//! | `header_timeout_ms` | 5000 | from a connection's opening, or a request's first byte, to the end of the head |
//! | `body_timeout_ms` | 10000 | the silence between two parts of a request's body |
//! | `idle_timeout_ms` | 60000 | a connection between two requests |
//! | `write_timeout_ms` | 10000 | a client that takes nothing of what is sent to it |
//! | `drain_delay_ms` | 1000 | how long a stopping server still listens and answers, so that balancers can leave |
//! | `max_connections` | ¾ of the descriptors | connections open at one time on one address |
//! | `max_head_bytes` | 65536 | a request's line and headers, in bytes |
//! | `max_headers` | 100 | the same in fields |
//! | `max_uri_bytes` | 16384 | a request's target |
//! | `max_body_bytes` | 1 GiB | a request's body; it streams, so this is no memory |
//! | `max_uploads` | 32 | calls that may run while their client still sends |
//! | `max_streams` | 128 | requests at one time on one HTTP/2 connection |
//! | `max_resets` | 100 | requests that one HTTP/2 connection may take back before it is closed |
//! | `ping_interval_ms` | 20000 | how often an HTTP/2 client is asked whether it is there; it has as long to answer |

use std::time::Duration;

use mesh_provider::{ConfigError, Settings};

use crate::descriptors;

/// The limits of one address.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// `header_timeout_ms`.
    pub header_timeout: Duration,
    /// `body_timeout_ms`.
    pub body_timeout: Duration,
    /// `idle_timeout_ms`.
    pub idle_timeout: Duration,
    /// `write_timeout_ms`.
    pub write_timeout: Duration,
    /// `drain_delay_ms`.
    pub drain_delay: Duration,
    /// `max_connections`.
    pub max_connections: usize,
    /// `max_head_bytes`.
    pub max_head: usize,
    /// `max_headers`.
    pub max_headers: usize,
    /// `max_uri_bytes`.
    pub max_uri: usize,
    /// `max_body_bytes`.
    pub max_body: u64,
    /// `max_uploads`.
    pub max_uploads: usize,
    /// `max_streams`.
    pub max_streams: u32,
    /// `max_resets`.
    pub max_resets: u32,
    /// `ping_interval_ms`.
    pub ping_interval: Duration,
}

/// The smallest head that the parser has room for.
const MIN_HEAD: usize = 8 << 10;

/// The headers that the parser takes where it is told nothing; it then needs no memory of its own for them.
pub(crate) const PARSER_HEADERS: usize = 100;

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(10),
            drain_delay: Duration::from_secs(1),
            max_connections: descriptors::for_connections(),
            max_head: 64 << 10,
            max_headers: PARSER_HEADERS,
            max_uri: 16 << 10,
            max_body: 1 << 30,
            max_uploads: 32,
            max_streams: 128,
            max_resets: 100,
            ping_interval: Duration::from_secs(20),
        }
    }
}

impl Limits {
    /// Reads them; what is not said has its default.
    ///
    /// # Errors
    ///
    /// Names the key that holds something else than it should.
    pub fn read(settings: &mut Settings<'_>) -> Result<Self, ConfigError> {
        let default = Self::default();
        let max_connections = number(settings, "max_connections", 1, 1 << 20)?;
        Ok(Self {
            header_timeout: settings.millis("header_timeout_ms")?.unwrap_or(default.header_timeout),
            body_timeout: settings.millis("body_timeout_ms")?.unwrap_or(default.body_timeout),
            idle_timeout: settings.millis("idle_timeout_ms")?.unwrap_or(default.idle_timeout),
            write_timeout: settings.millis("write_timeout_ms")?.unwrap_or(default.write_timeout),
            drain_delay: settings.millis("drain_delay_ms")?.unwrap_or(default.drain_delay),
            max_connections: max_connections.map_or(default.max_connections, within_descriptors),
            max_head: number(settings, "max_head_bytes", MIN_HEAD, 1 << 20)?.unwrap_or(default.max_head),
            max_headers: number(settings, "max_headers", 1, 10_000)?.unwrap_or(default.max_headers),
            max_uri: number(settings, "max_uri_bytes", 64, 65_534)?.unwrap_or(default.max_uri),
            max_body: max_body(settings)?.unwrap_or(default.max_body),
            max_uploads: number(settings, "max_uploads", 1, 65_536)?.unwrap_or(default.max_uploads),
            max_streams: number(settings, "max_streams", 1, 65_536)?.unwrap_or(default.max_streams),
            max_resets: number(settings, "max_resets", 1, 1 << 20)?.unwrap_or(default.max_resets),
            ping_interval: settings.millis("ping_interval_ms")?.unwrap_or(default.ping_interval),
        })
    }
}

/// `max_body_bytes`, of a provider or of a link.
pub(crate) fn max_body(settings: &mut Settings<'_>) -> Result<Option<u64>, ConfigError> {
    settings.parsed("max_body_bytes", "a number of bytes")
}

fn number<T>(settings: &mut Settings<'_>, key: &'static str, from: T, to: T) -> Result<Option<T>, ConfigError>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    let expected = format!("a number from {from} to {to}");
    let read = settings.parsed::<T>(key, &expected)?;
    match read {
        Some(number) if number < from || number > to => Err(ConfigError::invalid(key, expected)),
        other => Ok(other),
    }
}

/// What is asked for, where this process may open as many descriptors.
fn within_descriptors(asked: usize) -> usize {
    let most = descriptors::for_connections();
    if asked > most {
        tracing::warn!(asked, most, "`max_connections` is more than this process may open descriptors for");
    }
    asked.min(most)
}

#[cfg(test)]
mod tests {
    use mesh_lattice::application::Values;

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Limits, ConfigError> {
        let values: Values = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Limits::read(&mut Settings::new(&values))
    }

    #[test]
    fn the_table_above_says_the_defaults() {
        let limits = read(&[]).unwrap();
        let page = include_str!("limits.rs");
        for (key, value) in [
            ("header_timeout_ms", limits.header_timeout.as_millis()),
            ("body_timeout_ms", limits.body_timeout.as_millis()),
            ("idle_timeout_ms", limits.idle_timeout.as_millis()),
            ("write_timeout_ms", limits.write_timeout.as_millis()),
            ("drain_delay_ms", limits.drain_delay.as_millis()),
            ("max_head_bytes", limits.max_head as u128),
            ("max_headers", limits.max_headers as u128),
            ("max_uri_bytes", limits.max_uri as u128),
            ("max_uploads", limits.max_uploads as u128),
            ("max_streams", limits.max_streams.into()),
            ("max_resets", limits.max_resets.into()),
            ("ping_interval_ms", limits.ping_interval.as_millis()),
        ] {
            assert!(page.contains(&format!("| `{key}` | {value} |")), "{key} is {value}");
        }
    }

    #[test]
    fn a_limit_that_makes_no_sense_is_refused_by_its_key() {
        for (key, value) in [
            ("header_timeout_ms", "0"),
            ("max_connections", "0"),
            ("max_head_bytes", "100"),
            ("max_headers", "many"),
            ("max_uri_bytes", "65535"),
            ("max_body_bytes", "-1"),
            ("max_streams", "0"),
        ] {
            assert_eq!(read(&[(key, value)]).unwrap_err().key(), key);
        }
        assert_eq!(read(&[("max_body_bytes", "0")]).unwrap().max_body, 0);
        assert!(read(&[("max_connections", "1048576")]).unwrap().max_connections <= descriptors::for_connections());
    }
}
