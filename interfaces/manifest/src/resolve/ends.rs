//! The two ends of each link: that they exist, which of them the configuration is for, and that they fit.

use std::collections::BTreeSet;

use mesh_lattice::{
    Name,
    application::{self, Application},
};
use mesh_wit::link::{self, End};

use super::Resolver;
use crate::{
    draft::{Draft, Link},
    fields::suggest,
    source::{Span, Spanned},
};

/// What an end of a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Actor,
    Provider,
    /// In no draft, and the lattice was not asked.
    Unknown,
}

impl<'a> Resolver<'a> {
    /// The links of a draft as they are stored.
    pub(super) fn links(&mut self, draft: &Draft) -> Vec<application::Link> {
        let links: Vec<_> = draft.links.iter().map(|link| self.link(draft, link)).collect();
        for (index, one) in draft.links.iter().enumerate() {
            let clash = draft.links.iter().take(index).find(|other| self.clash(one, other));
            if let Some(other) = clash {
                let message =
                    format!("`{}` has two links named `{}` on one interface", one.source.value, one.name.value);
                let fault = draft.fault(one.target.span, message).other(other.target.span, "the other one");
                self.faults.push(fault.help("give one of them a `name`, by which the actor chooses"));
            }
        }
        links
    }

    /// Whether two links stand in one place. A provider as source may have several targets under one name: it says
    /// itself whom it means.
    fn clash(&self, one: &Link, other: &Link) -> bool {
        one.source.value == other.source.value
            && one.name.value == other.name.value
            && (one.target.value == other.target.value || self.is(&one.source) != Some(Is::Provider))
            && one.interfaces.iter().any(|one| other.interfaces.iter().any(|other| one.value.overlaps(&other.value)))
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
        let is = self.is(name);
        if is.is_none() {
            let names = self.all_names();
            let help = match suggest(name.as_str(), names.iter().map(|name| name.as_str())) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "write it into this manifest, or apply the application that has it first".to_owned(),
            };
            let message = format!("there is no actor or provider `{}`", name.value);
            self.faults.push(draft.fault(name.span, message).help(help));
        }
        is
    }

    fn is(&self, name: &Name) -> Option<Is> {
        let drafted = self.drafts.iter().find_map(|draft| {
            let provider = draft.providers.iter().any(|provider| provider.name.value == *name);
            let actor = draft.actors.iter().any(|actor| actor.name.value == *name);
            provider.then_some(Is::Provider).or(actor.then_some(Is::Actor))
        });
        let stored = || {
            self.others().find_map(|other| {
                other.provider(name).map(|_| Is::Provider).or_else(|| other.actor(name).map(|_| Is::Actor))
            })
        };
        drafted.or_else(stored).or((!self.facts.complete).then_some(Is::Unknown))
    }

    fn all_names(&self) -> BTreeSet<&Name> {
        let drafted = self.drafts.iter().flat_map(Draft::names).map(|name| &name.value);
        let stored = self.others().flat_map(|other| {
            let actors = other.actors.iter().map(|actor| &actor.name);
            actors.chain(other.providers.iter().map(|provider| &provider.name))
        });
        drafted.chain(stored).collect()
    }

    /// Every link can work, as far as its ends are known.
    pub(super) fn check_fit(&mut self, applications: &[Application]) {
        for draft in self.drafts {
            for link in &draft.links {
                let all = applications.iter().chain(self.others());
                let ends = self.known(&link.source, all.clone()).zip(self.known(&link.target, all));
                let Some((source, target)) = ends else { continue };
                for interface in &link.interfaces {
                    if let Some(reason) = link::misfit(&interface.value, &source, &target) {
                        let fault = draft.fault(interface.span, reason);
                        self.faults
                            .push(fault.help("`meshctl inspect ARTIFACT` shows what an artifact imports and exports"));
                    }
                }
            }
        }
    }

    fn known<'b>(&self, name: &Name, mut applications: impl Iterator<Item = &'b Application>) -> Option<End<'a>> {
        applications.find_map(|application| {
            if let Some(actor) = application.actor(name) {
                let digest = actor.artifact.digest;
                let component = self.facts.artifacts.values().flatten().find(|component| component.digest == digest);
                let read = component.and_then(|component| component.signatures.as_deref());
                let read = read.or_else(|| self.facts.read.get(&digest).map(AsRef::as_ref));
                return End::actor(name, &actor.imports, &actor.exports, read);
            }
            let provider = application.provider(name)?;
            let kind = self.facts.kinds.get(&provider.kind)?;
            Some(End::provider(name, &provider.kind, kind.serves.clone(), kind.calls.clone()))
        })
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
