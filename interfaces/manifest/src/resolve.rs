//! From drafts to applications, by what their artifacts turned out to be and what the lattice has.
//!
//! Pure: who calls has read the artifacts and the state. What he could not read is a fault at the line that names it, so
//! that one run shows all that is wrong. The leader checks again what depends on the state: this is for people, who are
//! told where, and before anything changes.

mod ends;
mod names;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mesh_claims::surface::Surface;
use mesh_lattice::{
    Digest, Interface, Name,
    application::{self, Application, Artifact, ConfigPart, Replicas},
};
use mesh_wit::Signatures;

use crate::{
    draft::{Actor, Draft, Provider, Reference},
    fault::{Fault, Faults},
    fields::suggest,
    kinds::{self, Kind},
    source::Spanned,
};

/// What an artifact turned out to be.
#[derive(Debug, Clone)]
pub struct Component {
    /// The SHA-256 of its bytes.
    pub digest: Digest,
    /// The interfaces that it imports and that a link has to serve.
    pub imports: Vec<Interface>,
    /// The interfaces that it exports.
    pub exports: Vec<Interface>,
    /// Its functions; links are compared by them where they are there.
    pub signatures: Option<Arc<Signatures>>,
}

impl Component {
    /// A component by its surface.
    #[must_use]
    pub fn new(digest: Digest, surface: &Surface, signatures: Option<Arc<Signatures>>) -> Self {
        Self { digest, imports: surface.linked_imports(), exports: surface.exports.clone(), signatures }
    }
}

/// Why an artifact is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// What is wrong with it.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// What has to be known to turn drafts into applications.
#[derive(Debug)]
pub struct Facts {
    /// What each reference turned out to be.
    pub artifacts: BTreeMap<Reference, Result<Component, Unread>>,
    /// The kinds of providers.
    pub kinds: BTreeMap<Name, Kind>,
    /// The applications that the lattice has. Those of the drafts' names are about to be replaced, and left out.
    pub others: Vec<Application>,
    /// The functions of their actors, by digest, as far as they were read.
    pub read: BTreeMap<Digest, Arc<Signatures>>,
    /// The shared configurations; `None` where they are not known.
    pub shared: Option<BTreeSet<Name>>,
    /// Whether `others` is what the lattice has. Without a lattice, a target that is in no draft is taken on trust.
    pub complete: bool,
}

impl Default for Facts {
    /// Nothing is known but the providers that hosts have built in.
    fn default() -> Self {
        Self {
            artifacts: BTreeMap::new(),
            kinds: kinds::built_in(),
            others: Vec::new(),
            read: BTreeMap::new(),
            shared: None,
            complete: false,
        }
    }
}

/// Applications as they are stored.
#[derive(Debug)]
pub struct Resolved {
    /// One for each draft, in their order.
    pub applications: Vec<Application>,
    /// What is not wrong and should be known.
    pub warnings: Faults,
}

/// Turns drafts into applications. They are applied together: each may link to what another one has.
///
/// # Errors
///
/// All that is wrong with any of them.
pub fn resolve(drafts: &[Draft], facts: &Facts) -> Result<Resolved, Faults> {
    let mut resolver = Resolver::new(drafts, facts);
    resolver.check_names();
    let mut applications: Vec<Application> = drafts.iter().map(|draft| resolver.application(draft)).collect();
    for (draft, application) in drafts.iter().zip(&mut applications) {
        application.links = resolver.links(draft);
    }
    resolver.check_places();
    resolver.check_fit(&applications);
    let warnings = resolver.warnings.sorted();
    resolver.faults.or(Resolved { applications, warnings })
}

struct Resolver<'a> {
    drafts: &'a [Draft],
    facts: &'a Facts,
    /// The applications that stay as they are.
    others: Vec<&'a Application>,
    /// What each name stands for, in the drafts and elsewhere.
    names: BTreeMap<&'a Name, Is>,
    /// The functions of the artifacts.
    read: BTreeMap<Digest, &'a Signatures>,
    faults: Faults,
    warnings: Faults,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Actor,
    Provider,
    /// In no draft, and the lattice was not asked.
    Unknown,
}

impl<'a> Resolver<'a> {
    fn new(drafts: &'a [Draft], facts: &'a Facts) -> Self {
        let replaced: BTreeSet<&Name> = drafts.iter().map(|draft| &draft.name.value).collect();
        let others: Vec<_> = facts.others.iter().filter(|other| !replaced.contains(&other.name)).collect();
        let mut names = BTreeMap::new();
        for other in &others {
            names.extend(other.actors.iter().map(|actor| (&actor.name, Is::Actor)));
            names.extend(other.providers.iter().map(|provider| (&provider.name, Is::Provider)));
        }
        for draft in drafts {
            names.extend(draft.actors.iter().map(|actor| (&actor.name.value, Is::Actor)));
            names.extend(draft.providers.iter().map(|provider| (&provider.name.value, Is::Provider)));
        }
        let components = facts.artifacts.values().flatten();
        let known = components.filter_map(|component| Some((component.digest, component.signatures.as_deref()?)));
        let read = facts.read.iter().map(|(digest, read)| (*digest, read.as_ref())).chain(known).collect();
        Self { drafts, facts, others, names, read, faults: Faults::default(), warnings: Faults::default() }
    }

    fn application(&mut self, draft: &Draft) -> Application {
        let actors = draft.actors.iter().filter_map(|actor| self.actor(draft, actor)).collect();
        let providers = draft.providers.iter().filter_map(|provider| self.provider(draft, provider)).collect();
        Application { name: draft.name.value.clone(), actors, providers, links: Vec::new() }
    }

    fn actor(&mut self, draft: &Draft, actor: &Actor) -> Option<application::Actor> {
        let config = self.config(draft, &actor.config);
        let component = match self.facts.artifacts.get(&actor.artifact.value) {
            Some(Ok(component)) => component,
            Some(Err(Unread { message, help })) => {
                self.faults.push(draft.fault(actor.artifact.span, message).maybe_help(help.clone()));
                return None;
            }
            None => {
                self.faults.push(draft.fault(actor.artifact.span, "this artifact was not read"));
                return None;
            }
        };
        Some(application::Actor {
            name: actor.name.value.clone(),
            artifact: Artifact { digest: component.digest, reference: actor.artifact.value.to_string() },
            replicas: actor.replicas.value,
            concurrency: actor.concurrency,
            instances: actor.instances,
            limits: actor.limits,
            placement: actor.placement.clone(),
            config,
            imports: component.imports.clone(),
            exports: component.exports.clone(),
        })
    }

    fn provider(&mut self, draft: &Draft, provider: &Provider) -> Option<application::Provider> {
        let config = self.config(draft, &provider.config);
        let Some(kind) = self.facts.kinds.get(&provider.kind.value) else {
            let known = || self.facts.kinds.keys().map(Name::as_str);
            let help = match suggest(provider.kind.as_str(), known()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("hosts have {}", crate::fields::listed(known())),
            };
            let message = format!("no host has a provider `{}`", provider.kind.value);
            self.faults.push(draft.fault(provider.kind.span, message).help(help));
            return None;
        };
        let replicas = provider.replicas.as_ref();
        if let Some(replicas) = replicas
            && kind.local_state
            && replicas.value != Replicas::Count(1)
        {
            let message = format!(
                "{} keeps its data on its host: more than one of it would be several stores",
                provider.kind.value
            );
            self.faults
                .push(draft.fault(replicas.span, message).help("leave it out: it is placed once and stays there"));
        }
        Some(application::Provider {
            name: provider.name.value.clone(),
            kind: provider.kind.value.clone(),
            replicas: replicas.map(|replicas| replicas.value),
            placement: provider.placement.clone(),
            config,
            local_state: kind.local_state,
            interfaces: kind.serves.clone(),
        })
    }

    /// The parts of a configuration; a shared one that is not there is waited for, and worth a word.
    fn config(&mut self, draft: &Draft, parts: &[Spanned<ConfigPart>]) -> Vec<ConfigPart> {
        for part in parts {
            if let (ConfigPart::Shared(name), Some(shared)) = (&part.value, &self.facts.shared)
                && !shared.contains(name)
            {
                self.warnings.push(missing_config(draft, part, name, shared));
            }
        }
        parts.iter().map(|part| part.value.clone()).collect()
    }
}

fn missing_config(draft: &Draft, part: &Spanned<ConfigPart>, name: &Name, shared: &BTreeSet<Name>) -> Fault {
    let help = match suggest(name.as_str(), shared.iter().map(Name::as_str)) {
        Some(meant) => format!("did you mean `@{meant}`?"),
        None => format!("`meshctl config put {name} key=value` makes it; until then what needs it waits"),
    };
    draft.fault(part.span, format!("the lattice has no shared configuration `{name}`")).help(help)
}
