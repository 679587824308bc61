//! What a host is built from: what it knew before, and what its settings say.

use std::{collections::HashSet, io};

use mesh_lattice::name::LabelKey;
use mesh_provider::NatsDefault;

use super::{BuildError, machine};
use crate::{
    config::Config,
    known::Known,
    snapshot::{self, SnapshotError},
    telemetry::Spans,
    trust::TrustFile,
};

/// What a host knows before it has heard anything.
pub(super) struct Beginning {
    pub(super) known: Known,
    pub(super) spare: Option<Known>,
    pub(super) ran_before: HashSet<mesh_lattice::Digest>,
}

/// A host that runs alone knows what its file says. One with a lattice waits for that, with what it kept as a spare.
pub(super) fn beginning(config: &Config, trust: &TrustFile) -> Result<Beginning, BuildError> {
    let cache = config.dir.join("artifacts");
    let alone = match &config.assignment {
        Some(file) => Some(snapshot::read_assignment(file, &cache, trust.alone())?),
        None => None,
    };
    let kept = snapshot::read(&config.dir.join(snapshot::FILE), mesh_claims::Trust::new(trust.root.clone()));
    let kept = kept.unwrap_or_else(|error| {
        tracing::warn!("what was kept of an earlier life is of no use: {error}");
        None
    });
    let ran_before = kept
        .iter()
        .flat_map(|kept| kept.revisions.values())
        .flat_map(|application| application.actors.iter().map(|actor| actor.artifact.digest));
    let ran_before = ran_before.collect();
    Ok(match alone {
        Some(known) => Beginning { known, spare: None, ran_before },
        None => {
            let nothing = Known::nothing(mesh_claims::Trust::new(trust.root.clone()));
            Beginning { known: nothing, spare: kept, ran_before }
        }
    })
}

/// Whether the assignment that the host was told to run can be read: asked first of all, so that whoever mistyped it
/// hears of that, and not of a key or a trust file that is missing beside it.
pub(super) fn assignment_is_there(config: &Config) -> Result<(), SnapshotError> {
    let Some(path) = &config.assignment else { return Ok(()) };
    let opened = std::fs::File::open(path);
    opened.map(drop).map_err(|source| SnapshotError::Io { path: path.clone(), source })
}

/// The exporter's client blocks while it is built, and may not be built where tasks are polled.
pub(super) async fn export(config: &Config, url: &str, host: &str) -> Result<Spans, BuildError> {
    let (config, url, host) = (config.clone(), url.to_owned(), host.to_owned());
    let built = tokio::task::spawn_blocking(move || Spans::export(&config, &url, &host)).await;
    match built {
        Ok(built) => Ok(built?),
        Err(_) => Err(machine("the exporter of spans cannot start")(io::Error::other("its thread ended"))),
    }
}

pub(super) fn site(config: &Config) -> String {
    let site: Option<LabelKey> = "site".parse().ok();
    site.and_then(|site| config.labels.get(&site)).map_or_else(String::new, ToString::to_string)
}

pub(super) fn default_nats(config: &Config) -> Option<NatsDefault> {
    config.server.as_ref().map(|server| NatsDefault {
        url: server.clone(),
        credentials_file: config.provider_creds.clone(),
        tls_ca_file: config.tls_ca.clone(),
        js_domain: config.js_domain.clone(),
    })
}
