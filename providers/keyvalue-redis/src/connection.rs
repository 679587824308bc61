//! One multiplexed connection for each server. It is made by the first command, and again by the first one after it
//! broke: a server that is away makes calls fail in time, not links. Nothing is sent twice by itself.
//!
//! A command is not handed to the connection once its deadline has passed. Redis knows no deadlines: what the connection
//! has, and has not written when the process is stopped or the network stands still, is done when it goes on. The kernel
//! keeps sending for two seconds and not for a quarter of an hour, so that a command on its way comes no later than that.

use std::{fmt, future::Future, io, pin::pin, time::Duration};

use mesh_lattice::Deadline;
use mesh_provider::keyvalue::StoreError;
use redis::{
    Client, Cmd, FromRedisValue, IntoConnectionInfo as _, RedisError, TlsCertificates,
    aio::{ConnectionManager, ConnectionManagerConfig},
    io::tcp::TcpSettings,
};

use crate::settings::ServerSettings;

/// The longest wait on Redis for one answer.
const ANSWER: Duration = Duration::from_secs(5);

/// How long one attempt to connect may take.
const CONNECT: Duration = Duration::from_secs(2);

/// What the server has not acknowledged for so long ends the connection, with all that is on its way.
const UNACKNOWLEDGED: Duration = Duration::from_secs(2);

/// Commands that wait to be written; further ones wait for room.
const UNDER_WAY: usize = 4_096;

/// A connection.
pub(crate) struct Connection {
    manager: ConnectionManager,
    /// Host and port: the URL may hold a password.
    server: String,
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis at {}", self.server)
    }
}

impl Connection {
    /// Prepares one; nothing is connected yet.
    pub(crate) async fn open(settings: &ServerSettings) -> io::Result<Self> {
        // The process may have chosen one already: either does.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let info = settings.url.as_str().into_connection_info().map_err(io::Error::other)?;
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true).set_user_timeout(UNACKNOWLEDGED));
        let client = match &settings.tls_ca_file {
            Some(file) => {
                let root_cert = Some(tokio::fs::read(file).await?);
                Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert })
            }
            None => Client::open(info),
        };
        let client = client.map_err(io::Error::other)?;
        let server = client.get_connection_info().addr().to_string();
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER))
            .set_number_of_retries(1)
            .set_max_delay(Duration::from_millis(200))
            .set_pipeline_buffer_size(UNDER_WAY);
        let manager = ConnectionManager::new_lazy_with_config(client, config).map_err(io::Error::other)?;
        Ok(Self { manager, server })
    }

    /// The answer to one command, in time.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &Cmd, deadline: Deadline) -> Result<T, Failed> {
        let mut manager = self.manager.clone();
        let answer = command.query_async(&mut manager);
        within(deadline, answer).await.ok_or(Failed::Late)?.map_err(Failed::Said)
    }

    /// Whether the server answers.
    pub(crate) async fn ping(&self) -> Result<(), String> {
        let pong: Result<redis::Value, _> = self.ask(&redis::cmd("PING"), Deadline::after(CONNECT)).await;
        pong.map(drop).map_err(|failed| format!("{self}: {failed}"))
    }
}

/// Why a command has no answer that is of use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error("it did not answer in time")]
    Late,
    #[error(transparent)]
    Said(RedisError),
}

impl Failed {
    /// What the guest or its caller hears.
    pub(crate) fn into_error(self, connection: &Connection) -> StoreError {
        match self.code() {
            Some("NOPERM") => StoreError::access_denied(),
            Some("WRONGTYPE") => {
                StoreError::Guest(mesh_lattice::wit::keyvalue::Error::Other("the key holds no plain value".into()))
            }
            _ => StoreError::backend(format!("{connection}: {self}")),
        }
    }

    /// What the server calls it.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Said(error) => error.code(),
            Self::Late => None,
        }
    }

    /// Whether `INCRBY` found something that it cannot add to within 63 bits and a sign.
    pub(crate) fn is_out_of_range(&self) -> bool {
        let Self::Said(error) = self else { return false };
        let text = error.to_string();
        self.code() == Some("ERR") && (text.contains("not an integer") || text.contains("overflow"))
    }
}

async fn within<T>(deadline: Deadline, answer: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(deadline.remaining().min(ANSWER), deadline.bounds(pin!(answer))).await.ok().flatten()
}
