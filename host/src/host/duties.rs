//! What a host does all the while beside its work: it answers on the admin port, says whether it is ready, and keeps
//! its snapshot.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use mesh_lattice::{
    name::Name,
    stored::{ActorState, ProviderState},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{BuildError, machine};
use crate::{
    admin::{Admin, metrics::Metrics},
    config::Config,
    converge::Report,
    files,
    known::{Known, Origin},
    readiness::{Concern, Readiness},
    snapshot,
};

/// Binds the admin port and writes down where it is, for those who asked for any free port.
pub(super) fn bind_admin(
    address: SocketAddr,
    config: &Config,
    readiness: &Readiness,
    metrics: Metrics,
) -> Result<Admin, BuildError> {
    let admin = Admin::bind(address, readiness.clone(), Arc::new(metrics))
        .map_err(|source| BuildError::Admin { address, source })?;
    let bound = admin.address().map_err(machine("the admin port's address cannot be told"))?;
    files::write_private(&config.dir.join("admin"), format!("{bound}\n").as_bytes())
        .map_err(machine("the admin port's address cannot be written down"))?;
    tracing::info!(address = %bound, "the admin port is open");
    Ok(admin)
}

pub(super) async fn run_admin(admin: Admin, cancel: CancellationToken) -> &'static str {
    if let Err(error) = admin.run(cancel).await {
        tracing::error!("the admin port: {error}");
    }
    "the admin port"
}

/// Says on `/readyz` that nobody has told this host what to run, and where it runs alone, which part of it is not
/// ready.
pub(super) async fn run_readiness(
    mut report: watch::Receiver<Arc<Report>>,
    readiness: Readiness,
    alone: bool,
    cancel: CancellationToken,
) -> &'static str {
    loop {
        let now = report.borrow_and_update().clone();
        if alone {
            readiness.set(Concern::Work, unready(&now));
        }
        let nothing = now.origin == Origin::Nothing;
        readiness.set(Concern::NothingKnown, nothing.then(|| "this host has not been told what to run yet".into()));
        tokio::select! {
            () = cancel.cancelled() => break,
            changed = report.changed() => if changed.is_err() { cancel.cancelled().await },
        }
    }
    "the readiness"
}

/// What is not ready and why, in one line.
fn unready(report: &Report) -> Option<String> {
    let say = |name: &Name, reason: &str| match reason {
        "" => format!("{name} is starting"),
        reason => format!("{name}: {reason}"),
    };
    let actors = report.actors.iter().filter(|(actor, _)| actor.state != ActorState::Ready);
    let actors = actors.map(|(actor, _)| say(&actor.name, &actor.reason));
    let providers = report.providers.iter().filter(|provider| provider.state != ProviderState::Running);
    let providers = providers.map(|provider| say(&provider.name, &provider.reason));
    let unready: Vec<_> = actors.chain(providers).collect();
    (!unready.is_empty()).then(|| unready.join("; "))
}

/// Writes the snapshot whenever it changes.
pub(super) async fn keep_snapshot(
    mut known: watch::Receiver<Arc<Known>>,
    path: PathBuf,
    cancel: CancellationToken,
) -> &'static str {
    let mut written: Option<Vec<u8>> = None;
    loop {
        let now = known.borrow_and_update().clone();
        let bytes = (now.origin == Origin::Lattice).then(|| snapshot::take(&now)).flatten();
        if let Some(bytes) = bytes.filter(|bytes| written.as_ref() != Some(bytes)) {
            let (path, content) = (path.clone(), bytes.clone());
            match tokio::task::spawn_blocking(move || snapshot::write(&path, &content)).await {
                Ok(Ok(())) => written = Some(bytes),
                Ok(Err(error)) => tracing::warn!("the snapshot is not written: {error}"),
                Err(_) => {}
            }
        }
        tokio::select! {
            () = cancel.cancelled() => break,
            changed = known.changed() => if changed.is_err() { cancel.cancelled().await },
        }
    }
    "the snapshot"
}
