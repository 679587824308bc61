//! meshd. Names the providers that are built in, and gives each half of a host a runtime of its own.

mod allocator;

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Parser as _;
use mesh_host::{
    config::{Config, Flags},
    host::{BuildError, Host, RunError},
    providers::Kinds,
    telemetry,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Builder;

/// The configuration is wrong, or a file or an address that it names.
const MISUSED: u8 = 2;
/// Another process runs under this host's key.
const IDENTITY_IN_USE: u8 = 4;

fn main() -> ExitCode {
    allocator::tune();
    let config = match Flags::parse().settle() {
        Ok(config) => config,
        Err(error) => {
            telemetry::start_logs(Default::default());
            tracing::error!("{:#}", anyhow::Error::from(error));
            return ExitCode::from(MISUSED);
        }
    };
    telemetry::start_logs(config.log_format);
    raise_descriptors();
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            let in_use = matches!(error.downcast_ref(), Some(RunError::IdentityInUse(_)));
            let misused = matches!(
                error.downcast_ref(),
                Some(
                    BuildError::Identity(_) | BuildError::Trust(_) | BuildError::Snapshot(_) | BuildError::Admin { .. }
                )
            );
            match (in_use, misused) {
                (true, _) => ExitCode::from(IDENTITY_IN_USE),
                (_, true) => ExitCode::from(MISUSED),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// As many descriptors as the system allows: each connection takes one, and the soft limit is for programs that use
/// `select`. Providers derive their limits from what is then allowed, so this comes first.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    if let Err(error) = raised {
        tracing::warn!(limit = ?limit.current, "the limit of open descriptors cannot be raised: {error}");
    }
}

/// After so many polls, sockets and timers are looked at, however many tasks are ready. tokio's own number is made for
/// polls of microseconds; a guest's may take milliseconds, and a busy host would hear of nothing for half a second.
const EVENTS: u32 = 31;

/// The lattice, leases and the admin port have threads that no guest ever uses.
fn run(config: Config) -> anyhow::Result<()> {
    let control = threads("mesh-control", 2).build().context("the threads of the lattice cannot start")?;
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let work =
        threads("mesh-work", cores).event_interval(EVENTS).build().context("the threads of work cannot start")?;
    let handle = work.handle().clone();
    let result = control.block_on(async move {
        let host = Host::build(config, built_in()?, handle).await?;
        Box::pin(host.run()).await.map_err(anyhow::Error::from)
    });
    work.shutdown_timeout(Duration::from_millis(500));
    control.shutdown_timeout(Duration::from_millis(500));
    result
}

fn threads(name: &'static str, count: usize) -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(count).thread_name(name).enable_all();
    builder
}

fn built_in() -> anyhow::Result<Kinds> {
    Ok(Kinds::new(vec![
        Arc::new(mesh_http_client::HttpClientFactory::new()?),
        Arc::new(mesh_http_server::HttpServerFactory::new()?),
        Arc::new(mesh_keyvalue_nats::KeyvalueNatsFactory::new()?),
        Arc::new(mesh_keyvalue_redb::KeyvalueRedbFactory::new()?),
        Arc::new(mesh_keyvalue_redis::KeyvalueRedisFactory::new()?),
        Arc::new(mesh_messaging_nats::MessagingNatsFactory::new()?),
        Arc::new(mesh_echo::EchoFactory::new()?),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// People are told what each provider serves before a host is asked: both must say the same.
    #[test]
    fn what_manifests_are_judged_by_is_what_the_providers_say() {
        let told = mesh_manifest::kinds::built_in();
        let said = built_in().unwrap();
        assert_eq!(told.keys().collect::<Vec<_>>(), said.iter().map(|(name, _)| name).collect::<Vec<_>>());
        for (name, kind) in told {
            let factory = said.get(&name).unwrap();
            let says = (factory.interfaces(), factory.calls(), factory.local_state());
            assert_eq!((kind.serves, kind.calls, kind.local_state), says, "{name}");
        }
    }
}
