//! The two ends of each link: that they exist, which of them the configuration is for, and that they fit.

use std::collections::BTreeMap;

use mesh_lattice::{
    InterfacePattern, Name,
    application::{self, Application},
    name::LinkName,
};
use mesh_wit::link::{self, End};

use super::{Is, Resolver};
use crate::{
    draft::{Draft, Link},
    fields::suggest,
    source::{Span, Spanned},
};

/// One interface of a link that has a place, and who declares it.
struct Placed<'a> {
    target: &'a Name,
    /// `None`: the whole package.
    interface: Option<&'a str>,
    by: By<'a>,
}

#[derive(Clone, Copy)]
enum By<'a> {
    Draft(&'a Draft, &'a Link),
    Other(&'a Application),
}

/// By source, link name and package: links that share them and an interface are in each other's way.
type Places<'a> = BTreeMap<(&'a Name, &'a LinkName, &'a str), Vec<Placed<'a>>>;

impl<'a> Resolver<'a> {
    /// The links of a draft as they are stored.
    pub(super) fn links(&mut self, draft: &Draft) -> Vec<application::Link> {
        draft.links.iter().map(|link| self.link(draft, link)).collect()
    }

    /// No two links stand in one place, of these applications and of those that stay.
    pub(super) fn check_places(&mut self) {
        let mut places = Places::new();
        for &other in &self.others {
            for link in &other.links {
                for (package, interface) in link.interfaces.iter().map(parts) {
                    let placed = Placed { target: &link.target, interface, by: By::Other(other) };
                    places.entry((&link.source, &link.name, package)).or_default().push(placed);
                }
            }
        }
        for draft in self.drafts {
            for link in &draft.links {
                self.place(draft, link, &mut places);
            }
        }
    }

    fn place(&mut self, draft: &'a Draft, link: &'a Link, places: &mut Places<'a>) {
        let several = self.names.get(&link.source.value) == Some(&Is::Provider);
        let mut in_the_way_of = None;
        for (package, interface) in link.interfaces.iter().map(|interface| parts(&interface.value)) {
            let placed = Placed { target: &link.target.value, interface, by: By::Draft(draft, link) };
            let held = places.entry((&link.source.value, &link.name.value, package)).or_default();
            let clash = held.iter().find(|other| !other.is_of(link) && other.clashes(&placed, several));
            in_the_way_of = in_the_way_of.or(clash.map(|other| other.by));
            held.push(placed);
        }
        if let Some(other) = in_the_way_of {
            self.faults.push(in_the_way(draft, link, other));
        }
    }

    fn link(&mut self, draft: &Draft, link: &Link) -> application::Link {
        let source = self.end(draft, &link.source);
        let target = self.end(draft, &link.target);
        let mut source_config = self.config(draft, &link.source_config);
        let mut target_config = self.config(draft, &link.target_config);
        let config = self.config(draft, &link.config);
        if let Some(first) = link.config.first() {
            match (source, target) {
                (Some(Is::Provider), Some(Is::Provider)) => self.faults.push(
                    draft
                        .fault(first.span, "both ends of this link are providers: `config` could be for either")
                        .help("write `source_config` and `target_config`"),
                ),
                (Some(Is::Actor), Some(Is::Actor)) => self.no_provider(draft, first.span),
                (Some(Is::Provider), _) => source_config.extend(config),
                (_, Some(Is::Provider)) | (Some(Is::Actor), _) => target_config.extend(config),
                _ => source_config.extend(config),
            }
        }
        for (end, parts) in [(source, &link.source_config), (target, &link.target_config)] {
            if let (Some(Is::Actor), Some(first)) = (end, parts.first()) {
                self.no_provider(draft, first.span);
            }
        }
        application::Link {
            source: link.source.value.clone(),
            target: link.target.value.clone(),
            interfaces: link.interfaces.iter().map(|interface| interface.value.clone()).collect(),
            name: link.name.value.clone(),
            source_config,
            target_config,
            idempotent: link.idempotent,
            timeout_ms: link.timeout_ms,
        }
    }

    fn no_provider(&mut self, draft: &Draft, span: Span) {
        let fault = draft.fault(span, "this would be for an actor, and a link configures providers alone");
        self.faults.push(fault.help("an actor's configuration is its own `config`"));
    }

    /// What an end is; a fault where it is nothing.
    fn end(&mut self, draft: &Draft, name: &Spanned<Name>) -> Option<Is> {
        let is = self.names.get(&name.value).copied().or((!self.facts.complete).then_some(Is::Unknown));
        if is.is_none() {
            let help = match suggest(name.as_str(), self.names.keys().map(|name| name.as_str())) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "write it into this manifest, or apply the application that has it first".to_owned(),
            };
            let message = format!("there is no actor or provider `{}`", name.value);
            self.faults.push(draft.fault(name.span, message).help(help));
        }
        is
    }

    /// Every link can work, as far as its ends are known.
    pub(super) fn check_fit(&mut self, applications: &[Application]) {
        let all = || applications.iter().chain(self.others.iter().copied());
        let mut ends: BTreeMap<&Name, End<'_>> = BTreeMap::new();
        for application in all() {
            for actor in &application.actors {
                let read = self.read.get(&actor.artifact.digest).copied();
                let end = End::actor(&actor.name, &actor.imports, &actor.exports, read);
                ends.extend(end.map(|end| (&actor.name, end)));
            }
            for provider in &application.providers {
                let Some(kind) = self.facts.kinds.get(&provider.kind) else { continue };
                let end = End::provider(&provider.name, &provider.kind, kind.serves.clone(), kind.calls.clone());
                ends.insert(&provider.name, end);
            }
        }
        let links = self.drafts.iter().flat_map(|draft| draft.links.iter().map(move |link| (draft, link)));
        for (draft, link) in links {
            let both = ends.get(&link.source.value).zip(ends.get(&link.target.value));
            let Some((source, target)) = both else { continue };
            for interface in &link.interfaces {
                if let Some(reason) = link::misfit(&interface.value, source, target) {
                    let fault = draft.fault(interface.span, reason);
                    self.faults
                        .push(fault.help("`meshctl inspect ARTIFACT` shows what an artifact imports and exports"));
                }
            }
        }
    }
}

impl Placed<'_> {
    /// A provider as source may have several targets under one name: it says itself whom it means.
    fn clashes(&self, other: &Self, several: bool) -> bool {
        (!several || self.target == other.target)
            && (self.interface.is_none() || other.interface.is_none() || self.interface == other.interface)
    }

    fn is_of(&self, link: &Link) -> bool {
        matches!(self.by, By::Draft(_, own) if std::ptr::eq(own, link))
    }
}

/// Package and interface of a pattern. Versions are left out: what differs in its version only is told apart by nobody
/// who writes links.
fn parts(pattern: &InterfacePattern) -> (&str, Option<&str>) {
    let path = pattern.as_str().split('@').next().unwrap_or_default();
    path.split_once('/').map_or((path, None), |(package, interface)| (package, Some(interface)))
}

fn in_the_way(draft: &Draft, link: &Link, other: By<'_>) -> crate::Fault {
    let message = format!("`{}` has two links named `{}` on one interface", link.source.value, link.name.value);
    let fault = draft.fault(link.target.span, message);
    match other {
        By::Draft(first, other) if std::sync::Arc::ptr_eq(&first.source, &draft.source) => fault
            .other(other.target.span, "the other one")
            .help("give one of them a `name`, by which the actor chooses"),
        By::Draft(first, _) => fault.help(format!("the other one stands in {}", first.source.file())),
        By::Other(application) => fault.help(format!(
            "the other one is of application `{}`: take it out there, or give this one a `name`, by which the actor chooses",
            application.name
        )),
    }
}

#[cfg(test)]
mod tests {
    use mesh_lattice::application::ConfigPart;

    use crate::{Facts, Reading, Source, read};

    #[test]
    fn a_configuration_goes_to_the_end_that_is_a_provider() {
        let text = "{ apiVersion: mesh/v1, kind: Application, metadata: { name: a }, spec: { providers: [
            { name: web, use: http-server, links: [
                { to: one, interfaces: [ 'wasi:http' ], config: { path: / } } ] } ],
            links: [ { from: two, to: kv, interfaces: [ 'wasi:keyvalue' ], config: { bucket: b } } ] } }";
        let manifests = read(&[Source::new("a.yaml", ".", text.into())], &Reading::default()).unwrap();
        let resolved = crate::resolve(&manifests.drafts, &Facts::default()).unwrap();
        let [kv, web] = [0, 1].map(|n| resolved.applications[0].links[1 - n].clone());
        assert!(web.source_config.len() == 1 && web.target_config.is_empty());
        // Of neither end of the other is anything known.
        assert_eq!(kv.source_config.len() + kv.target_config.len(), 1);
        assert!(matches!(&web.source_config[0], ConfigPart::Values(values) if values["path"] == "/"));
    }
}
