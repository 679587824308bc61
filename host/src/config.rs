//! What meshd is told: flags, then `MESH_*`, then the file that `--config` names, then defaults. `main` reads it once.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Parser;
use mesh_lattice::{
    LatticeName,
    name::{LabelKey, LabelValue, Labels},
};
use serde::Deserialize;

/// One host of a lattice: runs signed actors and carries their calls.
#[derive(Debug, Default, Parser)]
#[command(name = "meshd", version)]
pub struct Flags {
    /// The NATS server of the lattice, for example nats://127.0.0.1:4222
    #[arg(long, short, env = "MESH_SERVER", value_name = "URL")]
    server: Option<String>,
    /// The name of the lattice
    #[arg(long, short, env = "MESH_LATTICE")]
    lattice: Option<LatticeName>,
    /// Where this host keeps its state
    #[arg(long, env = "MESH_DIR")]
    dir: Option<PathBuf>,
    /// The seed of this host's key (mode 0600); made in DIR where nothing is said
    #[arg(long, env = "MESH_HOST_KEY", value_name = "FILE")]
    host_key: Option<PathBuf>,
    /// The trust file: the lattice's root operator key
    #[arg(long, env = "MESH_TRUST", value_name = "FILE")]
    trust: Option<PathBuf>,
    /// A readable name; the machine's name where nothing is said
    #[arg(long, env = "MESH_NAME")]
    name: Option<String>,
    /// A label of this host, several times
    #[arg(long = "label", env = "MESH_LABELS", value_delimiter = ',', value_name = "K=V")]
    labels: Vec<String>,
    /// NATS credentials
    #[arg(long, env = "MESH_CREDS", value_name = "FILE")]
    creds: Option<PathBuf>,
    /// The JetStream domain
    #[arg(long, env = "MESH_JS_DOMAIN", value_name = "DOMAIN")]
    js_domain: Option<String>,
    /// Certificates to trust
    #[arg(long, env = "MESH_TLS_CA", value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// This host's certificate
    #[arg(long, env = "MESH_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The key of this host's certificate
    #[arg(long, env = "MESH_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// NATS credentials for providers that stand on the lattice's own NATS server
    #[arg(long, env = "MESH_PROVIDER_CREDS", value_name = "FILE")]
    provider_creds: Option<PathBuf>,
    /// Where /livez, /readyz and /metrics are served, for example 127.0.0.1:9090; port 0 takes a free one
    #[arg(long, env = "MESH_ADMIN", value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// Where spans go over OTLP/HTTP, for example http://127.0.0.1:4318
    #[arg(long, env = "MESH_OTEL", value_name = "URL")]
    otel: Option<String>,
    /// How long a stopping host may finish what it has
    #[arg(long, env = "MESH_DRAIN_DELAY", value_name = "DURATION")]
    drain_delay: Option<String>,
    /// Runs what this file says, with no NATS at all
    #[arg(long, env = "MESH_ASSIGNMENT", value_name = "FILE", conflicts_with = "server")]
    assignment: Option<PathBuf>,
    /// Where the hosts of one machine find each other
    #[arg(long, env = "MESH_RUNTIME_DIR", value_name = "DIR")]
    runtime_dir: Option<PathBuf>,
    /// How logs are written
    #[arg(long, env = "MESH_LOG_FORMAT", value_name = "text|json")]
    log_format: Option<LogFormat>,
    /// A TOML file with the same keys
    #[arg(long, env = "MESH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The same keys in a file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct File {
    server: Option<String>,
    lattice: Option<LatticeName>,
    dir: Option<PathBuf>,
    host_key: Option<PathBuf>,
    trust: Option<PathBuf>,
    name: Option<String>,
    labels: Labels,
    creds: Option<PathBuf>,
    js_domain: Option<String>,
    tls_ca: Option<PathBuf>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    provider_creds: Option<PathBuf>,
    admin: Option<SocketAddr>,
    otel: Option<String>,
    drain_delay: Option<String>,
    assignment: Option<PathBuf>,
    runtime_dir: Option<PathBuf>,
    log_format: Option<LogFormat>,
}

/// What meshd does, settled.
#[derive(Debug, Clone)]
pub struct Config {
    /// The NATS server; none where this host runs alone.
    pub server: Option<String>,
    /// The lattice.
    pub lattice: LatticeName,
    /// Where this host keeps its state.
    pub dir: PathBuf,
    /// The seed of this host's key.
    pub host_key: PathBuf,
    /// Whether it is made where it is missing: nobody named it.
    pub make_host_key: bool,
    /// The trust file.
    pub trust: PathBuf,
    /// A readable name.
    pub name: String,
    /// The labels that this host claims.
    pub labels: Labels,
    /// NATS credentials.
    pub creds: Option<PathBuf>,
    /// The JetStream domain.
    pub js_domain: Option<String>,
    /// Certificates to trust.
    pub tls_ca: Option<PathBuf>,
    /// This host's certificate.
    pub tls_cert: Option<PathBuf>,
    /// The key of this host's certificate.
    pub tls_key: Option<PathBuf>,
    /// NATS credentials for providers.
    pub provider_creds: Option<PathBuf>,
    /// The admin port.
    pub admin: Option<SocketAddr>,
    /// Where spans go.
    pub otel: Option<String>,
    /// How long a stopping host may finish what it has.
    pub drain_delay: Duration,
    /// Runs what this file says.
    pub assignment: Option<PathBuf>,
    /// Where the hosts of one machine find each other.
    pub runtime_dir: PathBuf,
    /// How logs are written.
    pub log_format: LogFormat,
}

/// Why meshd does not know what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{} is not a configuration of meshd", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A value is wrong.
    #[error("{key}: {what}")]
    Value {
        /// Its key.
        key: &'static str,
        /// What is wrong with it.
        what: String,
    },
}

impl Flags {
    /// Everything settled.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, or a value is wrong or missing.
    pub fn settle(self) -> Result<Config, ConfigError> {
        let file = self.config.as_deref().map(read).transpose()?.unwrap_or_default();
        let server = self.server.or(file.server);
        let assignment = self.assignment.or(file.assignment);
        if server.is_some() == assignment.is_some() {
            let what =
                "say where the lattice's NATS server is, or give a file to run alone with --assignment; not both";
            return Err(ConfigError::Value { key: "server", what: what.into() });
        }
        let dir = self.dir.or(file.dir).unwrap_or_else(|| PathBuf::from(".mesh/host"));
        let mut labels = file.labels;
        for label in &self.labels {
            let (key, value) = parse_label(label)?;
            labels.insert(key, value);
        }
        let drain_delay = self.drain_delay.or(file.drain_delay);
        Ok(Config {
            server,
            lattice: self.lattice.or(file.lattice).unwrap_or_default(),
            make_host_key: self.host_key.is_none() && file.host_key.is_none(),
            host_key: self.host_key.or(file.host_key).unwrap_or_else(|| dir.join("host.nk")),
            trust: self.trust.or(file.trust).unwrap_or_else(|| dir.join("trust.toml")),
            name: self.name.or(file.name).unwrap_or_else(machine_name),
            labels,
            creds: self.creds.or(file.creds),
            js_domain: self.js_domain.or(file.js_domain),
            tls_ca: self.tls_ca.or(file.tls_ca),
            tls_cert: self.tls_cert.or(file.tls_cert),
            tls_key: self.tls_key.or(file.tls_key),
            provider_creds: self.provider_creds.or(file.provider_creds),
            admin: self.admin.or(file.admin),
            otel: self.otel.or(file.otel),
            drain_delay: drain_delay.as_deref().map_or(Ok(Duration::from_secs(10)), parse_duration)?,
            assignment,
            runtime_dir: self.runtime_dir.or(file.runtime_dir).unwrap_or_else(runtime_dir),
            log_format: self.log_format.or(file.log_format).unwrap_or_default(),
            dir,
        })
    }
}

fn read(path: &Path) -> Result<File, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    toml::from_str(&text).map_err(|source| ConfigError::Malformed { path: path.to_owned(), source: Box::new(source) })
}

fn parse_label(text: &str) -> Result<(LabelKey, LabelValue), ConfigError> {
    let wrong = |what: String| ConfigError::Value { key: "label", what };
    let (key, value) = text.split_once('=').ok_or_else(|| wrong(format!("{text:?} is not KEY=VALUE")))?;
    let key = key.parse().map_err(|error| wrong(format!("{error}")))?;
    let value = value.parse().map_err(|error| wrong(format!("{error}")))?;
    Ok((key, value))
}

fn parse_duration(text: &str) -> Result<Duration, ConfigError> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..) {
        Some("ms") => Some(1),
        Some("s") => Some(1_000),
        Some("m") => Some(60_000),
        _ => None,
    };
    let parsed = digits.parse::<u64>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    parsed.map(Duration::from_millis).ok_or_else(|| ConfigError::Value {
        key: "drain-delay",
        what: format!("{text:?} is not a duration: 500ms, 10s or 2m"),
    })
}

fn machine_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "host".into() } else { name.into() }
}

/// The same for every host that one user runs on a machine.
fn runtime_dir() -> PathBuf {
    std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from).join("mesh")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(arguments: &[&str]) -> Flags {
        Flags::try_parse_from([&["meshd"], arguments].concat()).unwrap()
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("meshd.toml");
        std::fs::write(
            &path,
            "server = \"nats://a\"\nlattice = \"east\"\ndrain-delay = \"2m\"\n[labels]\nsite = \"x\"\n",
        )
        .unwrap();
        let config = flags(&["--config", path.to_str().unwrap(), "--server", "nats://b", "--label", "zone=1"]);
        let config = config.settle().unwrap();
        assert_eq!(config.server.as_deref(), Some("nats://b"));
        assert_eq!(config.lattice.as_str(), "east");
        assert_eq!(config.drain_delay, Duration::from_secs(120));
        assert_eq!(config.labels.len(), 2);
        assert_eq!(config.host_key, PathBuf::from(".mesh/host/host.nk"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(flags(&[]).settle().is_err(), "neither a server nor an assignment");
        assert!(Flags::try_parse_from(["meshd", "--server", "x", "--lattice", "a.b"]).is_err());
        assert!(flags(&["--server", "x", "--label", "novalue"]).settle().is_err());
        for bad in ["10", "s", "1h", "-1s", "99999999999999999999s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("meshd.toml");
        std::fs::write(&path, "sever = \"nats://a\"\n").unwrap();
        let error = flags(&["--config", path.to_str().unwrap()]).settle().unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("sever"), "{source}");
    }
}
