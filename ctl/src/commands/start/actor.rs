//! `start actor`: checks the artifact, puts it into the store, and wants it. Hosts check it again before it runs.

use anyhow::Context as _;
use mesh_lattice::{
    Digest, Name,
    application::{self, ConfigPart, Replicas},
};

use crate::{
    admission::{self, Checked},
    artifact::Reference,
    cli::Global,
    client::{self, Change, Client},
    commands::{done, wait},
    exit::Failure,
    output::Output,
    registry::{self, Registries},
    time, values,
};

/// Start an actor, or replace it by another artifact
#[derive(Debug, clap::Args)]
pub(crate) struct Actor {
    /// The artifact: a file, oci://registry/repository:tag, or sha256:DIGEST of one that the lattice has
    artifact: String,
    /// Its name in the lattice [default: the one in its claims, or the file's]
    #[arg(long)]
    name: Option<Name>,
    /// On how many hosts it runs [default: 1, or as before]
    #[arg(long, value_name = "R")]
    replicas: Option<u32>,
    /// A value of its configuration; all that are given replace what was there, also where none is
    #[arg(long, value_name = "K=V", value_parser = values::pair)]
    config: Vec<(String, String)>,
    /// What it may use: memory=64MiB, cpu=500ms, time=5s, concurrency=64
    #[arg(long, value_name = "WHAT=V", value_parser = limit)]
    limit: Vec<Limit>,
    /// Calls that one instance serves: with more than 1, calls may see what earlier ones left in its memory [default: 1,
    /// or as before]
    #[arg(long, value_name = "N")]
    reuse: Option<u32>,
    #[command(flatten)]
    registry: registry::Options,
    #[command(flatten)]
    waiting: wait::Waiting,
}

/// One limit.
#[derive(Debug, Clone, Copy)]
enum Limit {
    Memory(u64),
    Cpu(u64),
    Time(u64),
    Concurrency(u32),
}

fn limit(text: &str) -> Result<Limit, String> {
    let milliseconds =
        |text: &str| time::parse(text).and_then(|time| u64::try_from(time.as_millis()).map_err(|e| e.to_string()));
    match text.split_once('=') {
        Some(("memory", value)) => values::bytes(value).map(Limit::Memory),
        Some(("cpu", value)) => milliseconds(value).map(Limit::Cpu),
        Some(("time", value)) => milliseconds(value).map(Limit::Time),
        Some(("concurrency", value)) => {
            value.parse().map(Limit::Concurrency).map_err(|_| format!("{value:?} is not a number"))
        }
        _ => Err(format!("{text:?} is not a limit: memory=64MiB, cpu=500ms, time=5s or concurrency=64")),
    }
}

impl Actor {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        let reference: Reference = self.artifact.parse()?;
        let registries = Registries::new(&self.registry, global.timeout);
        let config = values::config(&self.config)?;
        client::block_on(async {
            // What can be refused without a lattice is refused without one.
            let local = match reference.is_stored() {
                true => None,
                false => Some(self.read(&reference, &registries, None).await?),
            };
            client::with(global, out, async |client| {
                let artifact = match local {
                    Some(checked) => checked,
                    None => self.read(&reference, &registries, Some(client)).await?,
                };
                self.start(client, artifact, reference.stem(), config, out).await
            })
            .await
        })
    }

    async fn read(
        &self,
        reference: &Reference,
        registries: &Registries,
        store: Option<&Client>,
    ) -> anyhow::Result<Checked> {
        let artifact = reference.read(registries, store).await?;
        admission::check(artifact).with_context(|| self.artifact.clone())
    }

    async fn start(
        &self,
        client: &Client,
        artifact: Checked,
        stem: Option<String>,
        config: Vec<ConfigPart>,
        out: &Output,
    ) -> anyhow::Result<()> {
        let name = self.name(&artifact, stem)?;
        let judge = client.judge(&client.signer()?).await?;
        artifact.check_trust(judge.trust()).with_context(|| self.artifact.clone())?;
        client.upload(&artifact.digest, artifact.bytes.clone(), out).await?;
        let (change, app) =
            client.edit_owner_of(&name, |application| self.want(application, &name, &artifact, &config)).await?;
        if let Some(limit) = self.waiting.limit() {
            wait::for_actor(client, &name, Some(&artifact.digest), limit, out).await?;
        }
        done(out, "actor", &name, &app, change)
    }

    fn name(&self, artifact: &Checked, stem: Option<String>) -> anyhow::Result<Name> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let known = artifact.name.iter().chain(&stem).find_map(|name| name.to_lowercase().parse().ok());
        known.ok_or_else(|| {
            Failure::invalid("its claims say no name that an actor can have: name it with --name").into()
        })
    }

    fn want(
        &self,
        application: &mut application::Application,
        name: &Name,
        artifact: &Checked,
        config: &[ConfigPart],
    ) -> anyhow::Result<Change> {
        if application.provider(name).is_some() {
            return Err(Failure::invalid(format!("{name} is the name of a provider"))
                .hint("choose another name")
                .into());
        }
        let before = application.actor(name).cloned();
        let mut actor = before.clone().unwrap_or_else(|| empty(name, artifact.digest));
        if before.as_ref().is_none_or(|before| before.artifact.digest != artifact.digest) {
            actor.artifact = application::Artifact { digest: artifact.digest, reference: artifact.reference.clone() };
            actor.imports = artifact.surface.linked_imports();
            actor.exports = artifact.surface.exports.clone();
        }
        if let Some(replicas) = self.replicas {
            actor.replicas = Replicas::Count(replicas);
        }
        if let Some(reuse) = self.reuse {
            actor.instances.reuse = reuse;
        }
        actor.config = config.to_vec();
        for limit in &self.limit {
            match limit {
                Limit::Memory(bytes) => actor.limits.memory_bytes = *bytes,
                Limit::Cpu(milliseconds) => actor.limits.cpu_ms = *milliseconds,
                Limit::Time(milliseconds) => actor.limits.time_ms = *milliseconds,
                Limit::Concurrency(count) => actor.concurrency = *count,
            }
        }
        if before.as_ref() == Some(&actor) {
            return Ok(Change::Unchanged);
        }
        application.actors.retain(|other| other.name != *name);
        application.actors.push(actor);
        Ok(if before.is_some() { Change::Updated } else { Change::Created })
    }
}

fn empty(name: &Name, digest: Digest) -> application::Actor {
    application::Actor {
        name: name.clone(),
        artifact: application::Artifact { digest, reference: String::new() },
        replicas: Replicas::default(),
        concurrency: application::DEFAULT_CONCURRENCY,
        instances: application::Instances::default(),
        limits: application::Limits::default(),
        placement: Vec::new(),
        config: Vec::new(),
        imports: Vec::new(),
        exports: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_strictly() {
        assert!(matches!(limit("memory=64MiB"), Ok(Limit::Memory(67_108_864))));
        assert!(matches!(limit("cpu=500ms"), Ok(Limit::Cpu(500))));
        assert!(matches!(limit("time=2s"), Ok(Limit::Time(2_000))));
        assert!(matches!(limit("concurrency=8"), Ok(Limit::Concurrency(8))));
        for bad in ["memory", "memory=x", "cpu=5", "disk=1", "concurrency=-1"] {
            assert!(limit(bad).is_err(), "{bad}");
        }
    }
}
