//! `convert`: a manifest of OAM as one of ours; the lattice is not asked.

use std::path::PathBuf;

use anyhow::Context as _;
use mesh_lattice::name::Labels;
use mesh_manifest::Reading;

use crate::{manifest, output::Output};

/// Print an OAM manifest in our format
#[derive(Debug, clap::Args)]
pub(crate) struct Convert {
    /// The manifest; `-` reads standard input
    file: PathBuf,
    /// The hosts that its instances are shared out to [default: one for each spread]
    #[arg(long, value_name = "N")]
    hosts: Option<u16>,
}

impl Convert {
    pub(crate) fn run(self, out: &Output) -> anyhow::Result<()> {
        let source = manifest::source(&self.file)?;
        let hosts = self.hosts.map(|hosts| vec![Labels::new(); usize::from(hosts)]);
        let reading = Reading { hosts: hosts.as_deref(), ..Reading::default() };
        let manifests = mesh_manifest::read(&[source], &reading)?;
        out.warn(&manifests.warnings);
        out.text(&mesh_manifest::convert(&manifests.drafts).context("it cannot be written in our format")?)
    }
}
