//! `schema`: the JSON Schema of manifests, for editors.

use anyhow::Context as _;

use crate::output::Output;

/// Print the JSON Schema of manifests, for editors
#[derive(Debug, clap::Args)]
pub(crate) struct Schema {}

impl Schema {
    pub(crate) fn run(self, out: &Output) -> anyhow::Result<()> {
        let schema = serde_json::to_string_pretty(&mesh_manifest::schema::schema()).context("a schema is text")?;
        out.text(&format!("{schema}\n"))
    }
}
