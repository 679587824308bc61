//! `inspect`: who signed an artifact, what it imports and exports, every function with its types, and who can serve that.
//! Nobody is asked about a file.

use std::collections::BTreeMap;

use anyhow::Context as _;
use mesh_claims::{
    RefusalCode,
    surface::{self, Server, Surface, WASI_RELEASES},
};
use mesh_lattice::{Digest, Interface};
use mesh_wit::{Function, Signatures, signature::declaration};
use serde::Serialize;

use super::claims::Shown;
use crate::{
    artifact,
    cli::Global,
    output::{Output, Table},
    registry,
};

/// Show an artifact: who signed it, what it imports and exports
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// The artifact: a file, oci://registry/repository:tag, or sha256:DIGEST of one that the lattice has
    artifact: String,
    #[command(flatten)]
    registry: registry::Options,
}

#[derive(Debug, Serialize)]
struct Inspected {
    #[serde(flatten)]
    claims: Signature,
    imports: Vec<String>,
    exports: Vec<String>,
    linked: Vec<Interface>,
    unservable: Vec<String>,
    functions: Vec<Shape>,
}

/// A function with its types.
#[derive(Debug, Serialize)]
struct Shape {
    /// `import` or `export`.
    side: &'static str,
    /// None for one at the root.
    interface: Option<Interface>,
    name: String,
    /// As WIT writes it.
    signature: String,
    /// The types that it names, each as WIT declares it, what it is made of before it.
    types: Vec<String>,
    /// Why it cannot be called along a link; null where it can, and where a host serves it itself.
    uncrossable: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Signature {
    Signed(Shown),
    Unsigned { issuer: Option<String>, digest: Digest },
}

impl Inspect {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        let artifact::Artifact { bytes, reference: shown, .. } =
            artifact::look(&self.artifact, &self.registry, global, out)?;
        let surface = surface::read(&bytes).with_context(|| shown.clone())?;
        let claims = match Shown::read(&bytes) {
            Ok(claims) => Signature::Signed(claims),
            Err(refusal) if refusal.code == RefusalCode::Unsigned => {
                Signature::Unsigned { issuer: None, digest: Digest::of(&bytes) }
            }
            Err(refusal) => return Err(refusal).context(shown),
        };
        let signatures = Signatures::read(&bytes).with_context(|| shown.clone())?;
        let inspected = Inspected {
            functions: shapes(&signatures),
            claims,
            imports: names(&surface.imports, &surface.core_imports, &surface.other_imports),
            exports: names(&surface.exports, &[], &surface.other_exports),
            linked: surface.linked_imports(),
            unservable: surface.unservable(),
        };
        out.show(&inspected, || table(&inspected, &surface, &signatures))
    }
}

fn names(interfaces: &[Interface], core: &[String], other: &[String]) -> Vec<String> {
    interfaces.iter().map(ToString::to_string).chain(core.iter().chain(other).cloned()).collect()
}

fn shapes(signatures: &Signatures) -> Vec<Shape> {
    let sides = [
        ("import", &signatures.imports, &signatures.root_imports),
        ("export", &signatures.exports, &signatures.root_exports),
    ];
    let mut shapes = Vec::new();
    for (side, interfaces, root) in sides {
        let at_root = root.iter().map(|function| (None, function));
        let inside = interfaces.iter().flat_map(|(name, all)| all.iter().map(move |each| (Some(name.clone()), each)));
        shapes.extend(inside.chain(at_root).map(|(interface, function)| Shape {
            side,
            uncrossable: uncrossable(interface.as_ref(), function),
            interface,
            name: function.name.clone(),
            signature: function.to_string(),
            types: function.named().into_iter().map(|(name, ty)| declaration(name, ty)).collect(),
        }));
    }
    shapes
}

/// Why a function cannot be called along a link. Those of WASI's releases are the hosts' own: they know what crosses.
fn uncrossable(interface: Option<&Interface>, function: &Function) -> Option<String> {
    let known = interface.is_some_and(|interface| WASI_RELEASES.contains(&interface.package()));
    function.crosses().err().filter(|_| !known).map(|reason| reason.to_string())
}

/// A function as WIT writes it, and why nobody can call it.
fn line(interface: Option<&Interface>, function: &Function) -> String {
    match uncrossable(interface, function) {
        Some(reason) => format!("{function}   cannot be called: {reason}"),
        None => function.to_string(),
    }
}

/// The functions of an interface, a line each, behind the types that they name.
fn lines(interface: &Interface, functions: &BTreeMap<Interface, Vec<Function>>) -> Vec<(&'static str, String)> {
    let functions = functions.get(interface).map_or(&[][..], Vec::as_slice);
    let mut types: Vec<String> = Vec::new();
    for (name, ty) in functions.iter().flat_map(Function::named) {
        let declared = declaration(name, ty);
        if !types.contains(&declared) {
            types.push(declared);
        }
    }
    let functions = functions.iter().map(|function| line(Some(interface), function));
    types.into_iter().chain(functions).map(|line| ("", format!("  {line}"))).collect()
}

fn table(inspected: &Inspected, surface: &Surface, signatures: &Signatures) -> Table {
    let mut fields = match &inspected.claims {
        Signature::Signed(claims) => claims.fields(),
        Signature::Unsigned { digest, .. } => {
            vec![("issuer", "nobody: it is not signed".to_owned()), ("digest", digest.to_string())]
        }
    };
    for interface in &surface.imports {
        let server = match surface::server_of(interface) {
            Server::Host => "served by every host",
            Server::Link if !inspected.linked.contains(interface) => "types alone: nobody has to serve it",
            Server::Link => "needs a link",
            Server::Nobody => "cannot be served: no host has this version",
        };
        fields.push(("import", format!("{interface}   {server}")));
        // What every host serves is WASI's own: its hundred functions would hide what this artifact asks for.
        if surface::server_of(interface) != Server::Host {
            fields.extend(lines(interface, &signatures.imports));
        }
    }
    for name in &surface.core_imports {
        fields.push(("import", format!("{name}   cannot be served: a core module")));
    }
    for name in &surface.other_imports {
        fields.push(("import", format!("{name}   needs a link")));
    }
    for interface in &surface.exports {
        fields.push(("export", interface.to_string()));
        fields.extend(lines(interface, &signatures.exports));
    }
    for name in &surface.other_exports {
        let function = signatures.root_exports.iter().find(|function| function.name == *name);
        fields.push(("export", function.map_or_else(|| name.clone(), |function| line(None, function))));
    }
    Table::of_fields(fields)
}
