//! OAM applications as wasmCloud 1.x takes them: `apiVersion: core.oam.dev/v1beta1`.
//!
//! | theirs | here |
//! |---|---|
//! | component | actor; a capability of one of their published images: provider of that kind |
//! | `properties.application` | the actor or provider of that name in the other application: links lead to it |
//! | names, which may be upper-case and begin with anything | lower-case, without what a name cannot begin with; that is said |
//! | `config` with properties, and by name alone | values of its own, and a shared configuration |
//! | spread and daemon scalers | replicas, concurrency, placement; `scale` says how |
//! | `link` in both of its shapes | link; what it says to an end that is a component is left out, which theirs ignores too |
//! | secrets, policies | refused where something uses them |
//!
//! Keys that OAM or they do not have are warned about, for their own tools let them pass.

mod component;
mod image;
mod link;
mod scale;
pub(crate) mod shape;

use std::{collections::BTreeMap, sync::Arc};

use mesh_lattice::{Name, application::ConfigPart, name::Labels};

use crate::{
    draft::{Actor, Draft, Link, Provider, in_order},
    fault::{Fault, Faults},
    fields::{Reader, shown},
    source::{Source, Span, Spanned},
    yaml::{Kind, Node},
};

/// What a component of the manifest is, for the links that lead to it.
#[derive(Debug, Clone)]
enum Part {
    Actor(Name),
    Provider(Name),
    /// Of another application.
    Elsewhere(Name),
}

impl Part {
    fn name(&self) -> &Name {
        match self {
            Self::Actor(name) | Self::Provider(name) | Self::Elsewhere(name) => name,
        }
    }
}

/// What a document comes to.
#[derive(Default)]
struct Made {
    actors: Vec<Actor>,
    providers: Vec<Provider>,
    links: Vec<Link>,
}

/// Reads one document.
struct Oam<'a> {
    reader: Reader<'a>,
    hosts: Option<&'a [Labels]>,
    /// The components by the names that the manifest gives them.
    parts: BTreeMap<String, Part>,
}

/// An OAM application, and what should be known about it.
pub(crate) fn read(
    source: &Arc<Source>,
    document: &Node,
    hosts: Option<&[Labels]>,
    warnings: &mut Faults,
) -> Result<Draft, Faults> {
    let mut oam = Oam { reader: Reader::lenient(source), hosts, parts: BTreeMap::new() };
    let draft = oam.document(document);
    warnings.extend(oam.reader.warnings);
    match draft {
        Some(draft) => oam.reader.faults.or(draft),
        None => Err(oam.reader.faults),
    }
}

impl Oam<'_> {
    fn document(&mut self, document: &Node) -> Option<Draft> {
        let document = self.reader.fields(document, &shape::DOCUMENT)?;
        self.reader.one_of(document.get("kind"), "kind", &["Application"]);
        let metadata = document.get("metadata").and_then(|node| self.reader.fields(node, &shape::METADATA));
        let name = metadata.and_then(|node| self.reader.text(node.get("name"), "name"));
        let name = name.and_then(|name| self.name(name));
        let spec = document.get("spec").and_then(|node| self.reader.fields(node, &shape::SPEC))?;
        self.policies(spec.get("policies"));
        let components = self.reader.items(spec.get("components"), "components");
        let mut made = Made::default();
        let open: Vec<_> = components.iter().filter_map(|node| self.component(node, &mut made)).collect();
        // Links may lead to what stands further down.
        for open in open {
            self.links(&open, &mut made);
        }
        let Made { actors, providers, links } = made;
        let links = in_order(&actors, &providers, links);
        Some(Draft { source: Arc::clone(self.reader.source), name: name?, actors, providers, links })
    }

    fn policies(&mut self, node: Option<&Arc<Node>>) {
        for node in self.reader.items(node, "policies") {
            let Some(fields) = self.reader.fields(node, &shape::POLICY) else { continue };
            let message = "this version has no policies: this one does nothing";
            self.reader.warn(fields.span, message, "it can be left out");
        }
    }

    /// A name of theirs as one of ours.
    fn name(&mut self, name: Spanned<&str>) -> Option<Spanned<Name>> {
        let theirs =
            !name.value.is_empty() && name.value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        let lower = name.value.to_ascii_lowercase();
        match lower.trim_start_matches(['-', '_']).parse::<Name>() {
            Ok(ours) if theirs => {
                if ours.as_str() != name.value {
                    let message = format!("`{}` is called `{ours}` here", name.value);
                    self.reader.warn(
                        name.span,
                        message,
                        "names of a lattice are lower-case and begin with a letter or digit",
                    );
                }
                Some(Spanned::new(ours, name.span))
            }
            _ => {
                let message = format!("`{}` cannot be a name", shown(name.value));
                let help = "write letters, digits, `-` and `_`, at most 63, one letter or digit among them";
                self.reader.fault_help(name.span, message, help);
                None
            }
        }
    }

    /// Configurations: with properties they are values of their own, by name alone they are shared.
    fn configs(&mut self, node: Option<&Arc<Node>>) -> Vec<Spanned<ConfigPart>> {
        let mut parts = Vec::new();
        for node in self.reader.items(node, "config") {
            let Some(fields) = self.reader.fields(node, &shape::CONFIG) else { continue };
            let name = self.reader.text(fields.get("name"), "name");
            if let Some(properties) = fields.get("properties").filter(|node| !matches!(node.kind, Kind::Null)) {
                parts.extend(self.reader.values(properties, "properties"));
            } else if let Some(name) = name.and_then(|name| self.name(name)) {
                parts.push(Spanned::new(ConfigPart::Shared(name.value), name.span));
            }
        }
        parts
    }

    fn no_secrets(&mut self, node: Option<&Arc<Node>>) {
        if let Some(node) = node
            && !matches!(&node.kind, Kind::List(items) if items.is_empty())
        {
            let help = "leave it out, and write what is needed into `config` under the secret's name: everybody who may read \
                        the lattice's state sees it there";
            self.reader.fault_help(node.span, "this version does not hold secrets yet", help);
        }
    }
}

impl Reader<'_> {
    fn warn(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.warnings.push(Fault::at(self.source, span, message).help(help));
    }
}
