//! How a connection behaves: how often it is checked, how it comes back, what it tells of itself.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_nats::{ConnectErrorKind, ConnectOptions, Event as NatsEvent};
use tokio::sync::watch;

use super::{CONNECT_TIMEOUT, ConnectConfig, ConnectError, Health, Role, Shared, TlsTrouble};

/// How often the connection itself is checked; after three unanswered ones it counts as down.
const PING_INTERVAL: Duration = Duration::from_secs(2);

/// Messages that one subscription holds before the newest is dropped. Readers never wait for work, so this is only
/// reached where the process itself stands still.
const SUBSCRIPTION_CAPACITY: usize = 16_384;

pub(super) fn addresses(config: &ConnectConfig) -> Result<Vec<async_nats::ServerAddr>, ConnectError> {
    let addresses = config.server.split(',').map(|address| address.trim().parse()).collect::<Result<Vec<_>, _>>();
    addresses.map_err(|error| ConnectError::Configuration {
        what: format!("{:?} is not the address of a nats-server: {error}", config.server),
    })
}

pub(super) async fn options(
    config: &ConnectConfig,
    role: Role,
    health: watch::Sender<Health>,
    shared: &Arc<Shared>,
) -> Result<ConnectOptions, ConnectError> {
    let name = match role {
        Role::Control => format!("{} control", config.name),
        Role::Data => format!("{} data", config.name),
        Role::Both => config.name.clone(),
    };
    let (reconnecting, noting) = (Arc::clone(shared), Arc::clone(shared));
    let mut options = ConnectOptions::new()
        .name(name)
        .ping_interval(PING_INTERVAL)
        .request_timeout(None)
        .connection_timeout(CONNECT_TIMEOUT)
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .max_reconnects(None)
        // Every subject is made by `mesh_lattice::subject` from parsed names, or is a reply that came with a message.
        .skip_subject_validation(true)
        .reconnect_delay_callback(move |attempts| {
            reconnect_delay(
                attempts,
                reconnecting.known_hosts.load(Ordering::Relaxed),
                uuid::Uuid::new_v4().as_u64_pair().0,
            )
        })
        .event_callback(move |event| {
            note(&health, &noting, role, &event);
            std::future::ready(())
        });
    if let Some(creds) = &config.creds {
        options = options.credentials_file(creds).await.map_err(|error| ConnectError::Configuration {
            what: format!("cannot use the credentials file {}: {error}", creds.display()),
        })?;
    }
    if let Some(ca) = &config.tls.ca {
        options = options.add_root_certificates(ca.clone()).require_tls(true);
    }
    match (&config.tls.cert, &config.tls.key) {
        (Some(cert), Some(key)) => options = options.add_client_certificate(cert.clone(), key.clone()),
        (None, None) => {}
        _ => return Err(ConnectError::Configuration { what: "a TLS certificate and its key go together".to_owned() }),
    }
    Ok(options)
}

/// Any moment of a window that grows to one second, or further where many hosts reconnect at once.
fn reconnect_delay(attempts: usize, known_hosts: usize, random: u64) -> Duration {
    let exponent = u32::try_from(attempts.min(10)).unwrap_or(10);
    let grown = first_window(known_hosts).saturating_mul(2u32.saturating_pow(exponent));
    let grown = grown.min(reconnect_window(known_hosts));
    let share = (random >> 11) as f64 / (1u64 << 53) as f64;
    grown.mul_f64(share)
}

fn first_window(known_hosts: usize) -> Duration {
    Duration::from_millis(u64::try_from(known_hosts).unwrap_or(u64::MAX).saturating_mul(10))
        .clamp(Duration::from_millis(100), Duration::from_secs(5))
}

/// The longest delay between two attempts.
pub(super) fn reconnect_window(known_hosts: usize) -> Duration {
    first_window(known_hosts).max(Duration::from_secs(1))
}

fn note(health: &watch::Sender<Health>, shared: &Shared, role: Role, event: &NatsEvent) {
    let up = match event {
        NatsEvent::Connected => true,
        NatsEvent::Disconnected | NatsEvent::Closed => false,
        NatsEvent::SlowConsumer(_) => {
            let dropped = shared.overflowed.fetch_add(1, Ordering::Relaxed) + 1;
            // Now and then: whoever floods this host is not to flood its log as well.
            if dropped.is_power_of_two() {
                tracing::warn!(dropped, "a subscription is full: messages are dropped");
            }
            return;
        }
        _ => return,
    };
    health.send_modify(|health| {
        if role != Role::Data {
            health.control_up = up;
            health.control_epoch += u64::from(up);
        }
        if role != Role::Control {
            health.data_up = up;
            health.data_epoch += u64::from(up);
            health.data_since = mesh_lattice::clock::Monotonic::now();
        }
    });
}

pub(super) fn refused_or_unreachable(server: &str, error: &async_nats::ConnectError) -> ConnectError {
    let (server, what) = (server.to_owned(), error.to_string());
    if let Some(trouble) = TlsTrouble::of(error) {
        let what = what.trim_start_matches("IO error: ").to_owned();
        return ConnectError::Tls { server, trouble, what };
    }
    match error.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            ConnectError::Refused { server, what }
        }
        ConnectErrorKind::ServerParse => ConnectError::Configuration { what },
        // TLS fails before anything is sent where its files are of no use.
        ConnectErrorKind::Tls => {
            ConnectError::Configuration { what: format!("the files for TLS cannot be used: {what}") }
        }
        _ => ConnectError::Unreachable { server, what },
    }
}

/// Whether a server of this version is fit: 2.12 from .12 on, 2.14 from .3 on, all that is later.
pub(super) fn is_fit(version: &str) -> bool {
    let core = version.trim_start_matches('v').split(['-', '+']).next().unwrap_or_default();
    let mut numbers = core.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    let version = (next(), next(), next());
    match (version.0, version.1) {
        (2, 12) => version.2 >= 12,
        (2, 14) => version.2 >= 3,
        later => later >= (2, 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_below_the_floor_are_told_apart() {
        for fit in ["2.12.12", "2.14.3", "2.15.0", "2.15.1", "v2.15.1-rc.1", "3.0.0"] {
            assert!(is_fit(fit), "{fit}");
        }
        for unfit in ["2.9.10", "2.12.11", "2.13.9", "2.14.2", "", "x"] {
            assert!(!is_fit(unfit), "{unfit}");
        }
    }

    #[test]
    fn attempts_are_spread_over_the_whole_window() {
        for attempts in 0..40 {
            assert_eq!(reconnect_delay(attempts, 1, 0), Duration::ZERO);
            assert!(reconnect_delay(attempts, 1, u64::MAX) <= Duration::from_secs(1));
            assert!(reconnect_delay(attempts, usize::MAX, u64::MAX) <= Duration::from_secs(5));
        }
        assert!(reconnect_delay(1, 300, u64::MAX) > Duration::from_secs(2));
    }

    #[test]
    fn what_overflows_is_counted_and_says_nothing_of_the_connection() {
        let (health, watched) = watch::channel(Health::default());
        let shared = Shared::default();
        for _ in 0..1_000 {
            note(&health, &shared, Role::Data, &NatsEvent::SlowConsumer(1));
        }
        assert_eq!(shared.overflowed.load(Ordering::Relaxed), 1_000);
        assert!(!watched.has_changed().unwrap());
        note(&health, &shared, Role::Data, &NatsEvent::Connected);
        assert!(watched.borrow().data_up && !watched.borrow().control_up);
    }
}
