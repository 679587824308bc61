//! `keys gen`: makes a key pair.

use std::path::PathBuf;

use mesh_claims::{KeyKind, KeyPair};
use serde::Serialize;

use crate::{
    output::{Output, Table},
    seed,
};

/// Make keys
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Keys {
    /// Make a key pair: its seed goes to FILE (mode 0600), or to stdout
    Gen {
        /// operator, account, host, actor, provider, user or curve
        kind: KeyKind,
        /// Where the seed goes
        file: Option<PathBuf>,
    },
}

#[derive(Serialize)]
struct Made {
    kind: KeyKind,
    public: String,
    file: PathBuf,
}

#[derive(Serialize)]
struct Shown {
    kind: KeyKind,
    public: String,
    seed: String,
}

impl Keys {
    pub(crate) fn run(self, out: &Output) -> anyhow::Result<()> {
        let Self::Gen { kind, file } = self;
        let pair = KeyPair::generate(kind);
        let public = pair.public();
        match file {
            Some(file) => {
                seed::write(&file, &pair)?;
                let made = Made { kind, public, file };
                let fields = [("kind", kind.to_string()), ("public", made.public.clone())];
                out.show(&made, || Table::of_fields(fields))
            }
            None => {
                out.say(&format!("{kind} {public}"));
                let shown = Shown { kind, public, seed: pair.seed() };
                out.show(&shown, || Table::of_line(shown.seed.clone()))
            }
        }
    }
}
