//! `version`.

use serde::Serialize;

use crate::output::{Output, Table};

/// Print the version
#[derive(Debug, clap::Args)]
pub(crate) struct Version;

#[derive(Serialize)]
struct Shown {
    version: &'static str,
}

impl Version {
    pub(crate) fn run(self, out: &Output) -> anyhow::Result<()> {
        let version = env!("CARGO_PKG_VERSION");
        out.show(&Shown { version }, || Table::of_line(format!("meshctl {version}")))
    }
}
