//! Our format: `apiVersion: mesh/v1`, `kind: Application`.
//!
//! Every field is read even where another is wrong, so that one run shows all of it. What is missing or wrong is a fault
//! and has a harmless value meanwhile; nothing with a fault ever becomes an application.

mod link;
mod parts;
pub(crate) mod shape;

use std::sync::Arc;

use mesh_lattice::application::{Instances, Limits, range};

use crate::{
    draft::{Actor, Draft, Link, Provider, Reference, in_order},
    fault::Faults,
    fields::{Reader, shown, suggest},
    kinds,
    source::{Source, Spanned},
    yaml::Node,
};

/// An application of our format.
pub(crate) fn read(source: &Arc<Source>, document: &Node) -> Result<Draft, Faults> {
    let mut reader = Reader::new(source);
    let draft = reader.document(document);
    match draft {
        Some(draft) => reader.faults.or(draft),
        None => Err(reader.faults),
    }
}

impl Reader<'_> {
    fn document(&mut self, document: &Node) -> Option<Draft> {
        let document = self.fields(document, &shape::DOCUMENT)?;
        self.one_of(document.get("apiVersion"), "apiVersion", &[shape::VERSION]);
        self.one_of(document.get("kind"), "kind", &["Application"]);
        let metadata = document.get("metadata").and_then(|node| self.fields(node, &shape::METADATA));
        let name = metadata.and_then(|node| self.name(node.get("name"), "name"));
        let spec = document.get("spec").and_then(|node| self.fields(node, &shape::SPEC))?;
        let mut links = Vec::new();
        let actors = self.items(spec.get("actors"), "actors");
        let actors: Vec<Actor> = actors.iter().filter_map(|node| self.actor(node, &mut links)).collect();
        let providers = self.items(spec.get("providers"), "providers");
        let providers: Vec<Provider> = providers.iter().filter_map(|node| self.provider(node, &mut links)).collect();
        for node in self.items(spec.get("links"), "links") {
            if let Some(fields) = self.fields(node, &shape::OWN_LINK) {
                let from = self.name(fields.get("from"), "from");
                links.extend(from.and_then(|from| self.link_fields(fields, &from)));
            }
        }
        let links = in_order(&actors, &providers, links);
        Some(Draft { source: Arc::clone(self.source), name: name?, actors, providers, links })
    }

    fn actor(&mut self, node: &Arc<Node>, links: &mut Vec<Link>) -> Option<Actor> {
        let fields = self.fields(node, &shape::ACTOR)?;
        let name = self.name(fields.get("name"), "name");
        let artifact = self.reference(fields.get("artifact"));
        let replicas = self.replicas(fields);
        let concurrency = self.count32(fields.get("concurrency"), "concurrency", range::CONCURRENCY);
        let instances = self.instances(fields.get("instances"));
        let limits = self.limits(fields.get("limits"));
        let placement = self.placement(fields.get("placement"));
        self.not_yet(
            fields.get("ready"),
            "this version does not ask actors whether they are ready yet",
            "leave it out: an actor is ready when it was instantiated and its links resolve",
        );
        self.update(fields.get("update"));
        self.secrets(fields.get("secrets"));
        let config = self.config(fields.get("config"), "config");
        self.links(fields.get("links"), name.as_ref(), links);
        let name = name?;
        let replicas =
            replicas.unwrap_or_else(|| Spanned::new(mesh_lattice::application::Replicas::default(), name.span));
        let concurrency = concurrency.unwrap_or(mesh_lattice::application::DEFAULT_CONCURRENCY);
        Some(Actor { name, artifact: artifact?, replicas, concurrency, instances, limits, placement, config })
    }

    fn provider(&mut self, node: &Arc<Node>, links: &mut Vec<Link>) -> Option<Provider> {
        let fields = self.fields(node, &shape::PROVIDER)?;
        let name = self.name(fields.get("name"), "name");
        let kind = self.name(fields.get("use"), "use");
        self.not_yet(
            fields.get("artifact"),
            "this version does not run providers of one's own yet",
            "leave it out, and say with `use` which built-in provider it is",
        );
        if fields.get("use").is_none() && fields.get("artifact").is_none() {
            let help = format!("`use`: one of {}", kinds::listed());
            self.fault_help(fields.span, "a provider needs `use`", help);
        }
        if let Some(run) = self.one_of(fields.get("run"), "run", &["builtin", "child"])
            && run.value == "child"
        {
            let message = "this version does not run providers as processes of their own yet";
            self.fault_help(run.span, message, "leave it out, or write `run: builtin`");
        }
        let replicas = self.replicas(fields);
        let placement = self.placement(fields.get("placement"));
        self.secrets(fields.get("secrets"));
        let config = self.config(fields.get("config"), "config");
        self.links(fields.get("links"), name.as_ref(), links);
        Some(Provider { name: name?, kind: kind?, replicas, placement, config })
    }

    fn reference(&mut self, node: Option<&Arc<Node>>) -> Option<Spanned<Reference>> {
        let text = self.text(node, "artifact")?;
        match reference(self.source, text.value) {
            Ok(reference) => Some(Spanned::new(reference, text.span)),
            Err((message, help)) => {
                self.fault_help(text.span, message, help);
                None
            }
        }
    }

    fn instances(&mut self, node: Option<&Arc<Node>>) -> Instances {
        let fields = node.and_then(|node| self.fields(node, &shape::INSTANCES));
        let reuse = fields.and_then(|fields| self.count32(fields.get("reuse"), "reuse", range::REUSE));
        reuse.map_or_else(Instances::default, |reuse| Instances { reuse })
    }

    fn limits(&mut self, node: Option<&Arc<Node>>) -> Limits {
        let mut limits = Limits::default();
        let Some(fields) = node.and_then(|node| self.fields(node, &shape::LIMITS)) else { return limits };
        if let Some(memory) = self.bytes(fields.get("memory"), "memory", range::MEMORY) {
            limits.memory_bytes = memory.value;
        }
        if let Some(cpu) = self.millis(fields.get("cpu"), "cpu", range::CPU_MS) {
            limits.cpu_ms = cpu.value;
        }
        if let Some(time) = self.millis(fields.get("time"), "time", range::TIME_MS) {
            limits.time_ms = time.value;
        }
        limits
    }
}

/// What a text refers to; otherwise what is wrong with it, and what to write.
pub(crate) fn reference(source: &Source, text: &str) -> Result<Reference, (String, String)> {
    if text.starts_with("sha256:") {
        return text.parse().map(Reference::Digest).map_err(|_| {
            (
                "a digest is `sha256:` and 64 lower-case hexadecimal digits".to_owned(),
                "`meshctl claims show FILE` prints it".to_owned(),
            )
        });
    }
    if let Some(reference) = text.strip_prefix("oci://") {
        let named = reference.split_once('/').is_some_and(|(registry, rest)| !registry.is_empty() && !rest.is_empty());
        return if named && !reference.contains(|c: char| c.is_whitespace() || c.is_control()) {
            Ok(Reference::Oci(text.to_owned()))
        } else {
            Err((
                format!("`{}` is no reference of a registry", shown(text)),
                "write `oci://registry/repository:tag`, for example `oci://ghcr.io/acme/counter:1.2.0`".to_owned(),
            ))
        };
    }
    if text.is_empty() || text.contains(char::is_control) {
        return Err((
            "`artifact` is the name of a file, a reference or a digest".to_owned(),
            "for example `./build/counter.wasm`".to_owned(),
        ));
    }
    if let Some((scheme, _)) = text.split_once("://") {
        let meant = suggest(scheme, ["oci"].into_iter()).map_or("", |_| ": did you mean `oci://`?");
        return Err((
            format!("an artifact does not come by `{}://`{meant}", shown(scheme)),
            "write a path relative to this file, `oci://registry/repository:tag` or `sha256:digest`".to_owned(),
        ));
    }
    Ok(Reference::File { path: source.folder().join(text), written: text.to_owned() })
}
