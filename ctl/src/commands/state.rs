//! `state export` and `state import`: all desired state as files, and back into the same lattice or another one.
//!
//! ```text
//! DIR/state.json            what is in it, signed by who exported it
//! DIR/state/KEY.json        one stored value: the envelope as its author signed it, and the value for people to read
//! DIR/artifacts/DIGEST.wasm the artifacts of all actors
//! ```
//!
//! **Signatures.** A stored value is signed for one key in one life (incarnation) of the lattice's state, so that nobody can
//! play it back into another: an exported envelope can never be written again as it is, and must not be. It is kept as what
//! it is, evidence of who said what. An import signs every value anew, as the one who imports, for the life that he imports
//! into, and each passes the checks of any other change. What makes him believe the files:
//!
//! - The list of all that belongs to the export is signed. A file that is missing, edited or added is told.
//! - Where this lattice has the same root, the exporter has to be a user by the exported statements of that root. Where it
//!   has another root, or nobody says which, nothing here can vouch for the exporter: only `--adopt` takes it, and then the
//!   one who imports vouches for it all.
//!
//! **Trust.** Statements about whom to trust come along where there is none yet under their key; what has been said here since
//! stands, a withdrawal and a revocation too, so that no old export brings back what was taken away. They need the key of the
//! root or of an admin. With `--adopt` only issuers and revocations are taken: hosts and users of another root are other
//! people's.
//!
//! **What is not in it.** What hosts write (assignments, routes, reports, pins) follows from the rest; data of providers is
//! theirs; of revisions only the wanted one. An import changes and adds, and takes nothing away.

mod export;
mod files;
mod import;

use crate::{cli::Global, output::Output};

/// Keep all desired state as files, or bring it back
#[derive(Debug, clap::Subcommand)]
pub(crate) enum State {
    /// Write all desired state into a new folder: applications, configuration, hosts' settings, trust, artifacts
    Export(export::Export),
    /// Want what was exported, signed with your own key; what else is wanted stays
    Import(import::Import),
}

impl State {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        match self {
            Self::Export(export) => export.run(global, out),
            Self::Import(import) => import.run(global, out),
        }
    }
}
