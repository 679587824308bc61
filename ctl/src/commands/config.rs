//! `config put` and `config del`: shared configuration. One without values is one that was deleted: a deletion is
//! something that is said, not something that is missing.

use mesh_lattice::{Name, application::Values, key::Key};

use super::done_plain;
use crate::{
    cli::Global,
    client::{self, Change},
    exit::Failure,
    output::Output,
    values,
};

/// Keep a shared configuration
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Config {
    /// Keep these values under this name, instead of those that were there
    Put {
        /// Its name
        name: Name,
        /// The values
        #[arg(required = true, value_name = "K=V", value_parser = values::pair)]
        values: Vec<(String, String)>,
    },
    /// Delete it
    Del {
        /// Its name
        name: Name,
    },
}

impl Config {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        let (name, wanted) = match &self {
            Self::Put { name, values } => (name, values::values(values)?),
            Self::Del { name } => (name, Values::new()),
        };
        let change = client::connected(global, out, async |client| {
            client.edit_value(&Key::Config(name.clone()), |before| decide(name, before, &wanted)).await
        })?;
        let change = match change {
            Change::Updated if wanted.is_empty() => Change::Removed,
            change => change,
        };
        done_plain(out, "config", name.as_str(), change)
    }
}

fn decide(name: &Name, before: Option<Values>, wanted: &Values) -> anyhow::Result<Option<Values>> {
    let before = before.unwrap_or_default();
    if wanted.is_empty() && before.is_empty() {
        return Err(Failure::not_found(format!("there is no config {name}")).into());
    }
    Ok((before != *wanted).then(|| wanted.clone()))
}
