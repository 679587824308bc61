//! `inspect`: who signed an artifact, what it imports and exports, and who can serve that. Offline.

use std::path::PathBuf;

use anyhow::Context as _;
use mesh_claims::{
    RefusalCode,
    surface::{self, Server, Surface},
};
use mesh_lattice::{Digest, Interface};
use serde::Serialize;

use super::claims::{self, Shown};
use crate::output::{Output, Table};

/// Show an artifact: who signed it, what it imports and exports
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// The artifact's file
    artifact: PathBuf,
}

#[derive(Debug, Serialize)]
struct Inspected {
    #[serde(flatten)]
    claims: Signature,
    imports: Vec<String>,
    exports: Vec<String>,
    linked: Vec<Interface>,
    unservable: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Signature {
    Signed(Shown),
    Unsigned { issuer: Option<String>, digest: Digest },
}

impl Inspect {
    pub(crate) fn run(self, out: &Output) -> anyhow::Result<()> {
        let shown = self.artifact.display().to_string();
        let bytes = claims::read(&self.artifact)?;
        let surface = surface::read(&bytes).with_context(|| shown.clone())?;
        let claims = match Shown::read(&bytes) {
            Ok(claims) => Signature::Signed(claims),
            Err(refusal) if refusal.code == RefusalCode::Unsigned => {
                Signature::Unsigned { issuer: None, digest: Digest::of(&bytes) }
            }
            Err(refusal) => return Err(refusal).context(shown),
        };
        let inspected = Inspected {
            claims,
            imports: names(&surface.imports, &surface.core_imports, &surface.other_imports),
            exports: names(&surface.exports, &[], &surface.other_exports),
            linked: surface.linked_imports(),
            unservable: surface.unservable(),
        };
        out.show(&inspected, || table(&inspected, &surface))
    }
}

fn names(interfaces: &[Interface], core: &[String], other: &[String]) -> Vec<String> {
    interfaces.iter().map(ToString::to_string).chain(core.iter().chain(other).cloned()).collect()
}

fn table(inspected: &Inspected, surface: &Surface) -> Table {
    let mut fields = match &inspected.claims {
        Signature::Signed(claims) => claims.fields(),
        Signature::Unsigned { digest, .. } => {
            vec![("issuer", "nobody: it is not signed".to_owned()), ("digest", digest.to_string())]
        }
    };
    for interface in &surface.imports {
        let server = match surface::server_of(interface) {
            Server::Host => "served by every host",
            Server::Link => "needs a link",
            Server::Nobody => "cannot be served: no host has this version",
        };
        fields.push(("import", format!("{interface}   {server}")));
    }
    for name in &surface.core_imports {
        fields.push(("import", format!("{name}   cannot be served: a core module")));
    }
    for name in &surface.other_imports {
        fields.push(("import", format!("{name}   needs a link")));
    }
    for interface in &surface.exports {
        let functions = surface.export_functions.get(interface).map(|names| names.join(", ")).unwrap_or_default();
        fields.push(("export", format!("{interface}   {functions}")));
    }
    fields.extend(surface.other_exports.iter().map(|name| ("export", name.clone())));
    Table::of_fields(fields)
}
