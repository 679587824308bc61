//! `push`: puts an artifact into a registry, so that it can be named by a tag from anywhere.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use mesh_claims::{RefusalCode, surface, verify};
use mesh_lattice::Digest;
use serde::Serialize;

use crate::{
    artifact::Reference,
    cli::Global,
    client,
    exit::Failure,
    output::{Output, Table},
    registry::{Image, MAX_ARTIFACT, Options, Pinned, Registries},
};

/// Put an artifact into a registry
#[derive(Debug, clap::Args)]
pub(crate) struct Push {
    /// Where it goes: registry/repository:tag
    reference: String,
    /// The artifact's file
    file: PathBuf,
    #[command(flatten)]
    registry: Options,
}

/// An image, as programs read of it.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    reference: String,
    digest: Digest,
    size: usize,
}

impl Shown {
    pub(super) fn of(pinned: &Pinned) -> Self {
        Self { reference: pinned.to_string(), digest: pinned.digest, size: pinned.size }
    }
}

impl Push {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        let image: Image = self.reference.parse()?;
        if image.is_pinned() {
            let failure = Failure::invalid(format!("{image}: what is put there has the digest that it has"));
            return Err(failure.hint("name a tag: registry/repository:tag").into());
        }
        let registries = Registries::new(&self.registry, global.timeout);
        let pinned = client::block_on(async {
            let artifact = Reference::File(self.file.clone()).read(&registries, None).await?;
            let surface = surface::read(&artifact.bytes).with_context(|| artifact.reference.clone())?;
            if artifact.bytes.len() > MAX_ARTIFACT {
                let message = format!("{} has {} bytes", artifact.reference, artifact.bytes.len());
                return Err(Failure::invalid(message)
                    .hint(format!("a host runs {} MiB at most", MAX_ARTIFACT >> 20))
                    .into());
            }
            let signed_at = signed_at(&artifact.bytes, &self.file, out)?;
            registries.push(&image, artifact.bytes, &surface, signed_at).await
        })?;
        out.show(&Shown::of(&pinned), || Table::of_line(format!("{pinned} pushed")))
    }
}

/// When it was signed. An artifact may be signed later, by who pulls it; a broken signature is no artifact to share.
fn signed_at(bytes: &Bytes, file: &Path, out: &Output) -> anyhow::Result<u64> {
    match verify::read(bytes) {
        Ok(claims) => Ok(claims.issued_at),
        Err(refusal) if refusal.code == RefusalCode::Unsigned => {
            let shown = file.display();
            out.say(&format!(
                "warning: {shown} is not signed, and no lattice runs it so: `meshctl claims sign {shown}`"
            ));
            Ok(0)
        }
        Err(refusal) => Err(refusal).with_context(|| file.display().to_string()),
    }
}
