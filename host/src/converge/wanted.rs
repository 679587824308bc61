//! From what this host knows to what is to run here, and from there to what to do: both pure. Called by
//! `converge.rs` whenever anything changes.

use std::collections::BTreeMap;

use mesh_lattice::{
    Name,
    application::{Actor, Application, ConfigPart, Link, Provider, Values},
    stored::{FailedLink, Item, ItemKind},
};
use mesh_provider::{End, LinkId, ProviderLink};

use crate::{
    actors::{ActorRun, ActorSpec},
    known::{self, Known},
    links::Links,
    providers::{ProviderRun, ProviderSpec},
};

/// What is to run here. Where something cannot be told how to run, the reason stands in its place: what runs under
/// that name goes on.
#[derive(Debug, Default)]
pub struct Wanted {
    /// The actors.
    pub actors: BTreeMap<Name, Result<ActorSpec, Lack>>,
    /// The providers.
    pub providers: BTreeMap<Name, Result<ProviderSpec, Lack>>,
}

/// Why something that is assigned is not started.
#[derive(Debug, Clone, PartialEq)]
pub struct Lack {
    /// What is assigned.
    pub item: Item,
    /// What is missing.
    pub reason: String,
}

/// What is to run here; `None` where nobody has said anything yet, and then nothing changes.
#[must_use]
pub fn wanted(known: &Known, links: &Links) -> Option<Wanted> {
    let assignment = known.assignment.as_ref()?;
    let mut wanted = Wanted::default();
    for item in &assignment.items {
        let application = known.revisions.get(&(item.app.clone(), item.revision));
        let lack = |reason: String| Lack { item: item.clone(), reason };
        let missing = || lack(format!("revision {} of application {} has not arrived yet", item.revision, item.app));
        let absent = || lack(format!("revision {} of application {} has no {}", item.revision, item.app, item.name));
        match item.kind {
            ItemKind::Actor => {
                let spec = application.ok_or_else(missing).and_then(|application: &std::sync::Arc<Application>| {
                    let actor = application.actor(&item.name).ok_or_else(absent)?;
                    actor_spec(known, item, actor).map_err(lack)
                });
                wanted.actors.insert(item.name.clone(), spec);
            }
            ItemKind::Provider => {
                let spec = application.ok_or_else(missing).and_then(|application| {
                    let provider = application.provider(&item.name).ok_or_else(absent)?;
                    provider_spec(known, links, item, provider).map_err(lack)
                });
                wanted.providers.insert(item.name.clone(), spec);
            }
        }
    }
    Some(wanted)
}

fn actor_spec(known: &Known, item: &Item, actor: &Actor) -> Result<ActorSpec, String> {
    Ok(ActorSpec { app: item.app.clone(), revision: item.revision, run: actor_run(&known.config, actor)? })
}

/// What an actor is started with: it is started anew where this differs.
pub(crate) fn actor_run(shared: &BTreeMap<Name, Values>, actor: &Actor) -> Result<ActorRun, String> {
    Ok(ActorRun {
        digest: actor.artifact.digest,
        config: resolve(shared, &actor.config)?,
        limits: actor.limits,
        concurrency: actor.concurrency,
        reuse: actor.instances.reuse,
    })
}

/// What a provider is started with: it is started anew where this differs.
pub(crate) fn provider_run(shared: &BTreeMap<Name, Values>, provider: &Provider) -> Result<ProviderRun, String> {
    Ok(ProviderRun { kind: provider.kind.clone(), config: resolve(shared, &provider.config)? })
}

fn provider_spec(known: &Known, links: &Links, item: &Item, provider: &Provider) -> Result<ProviderSpec, String> {
    let run = provider_run(&known.config, provider)?;
    let (links, lacking) = provider_links(&known.config, links, &provider.name);
    Ok(ProviderSpec { app: item.app.clone(), revision: item.revision, run, links, lacking })
}

/// The links that a provider is told of, and those that lack what they need.
pub(crate) fn provider_links(
    shared: &BTreeMap<Name, Values>,
    links: &Links,
    provider: &Name,
) -> (BTreeMap<LinkId, ProviderLink>, Vec<FailedLink>) {
    let (mut told, mut lacking) = (BTreeMap::new(), Vec::new());
    for link in links.held().iter().map(|declared| &declared.link) {
        let ends = [
            (End::Source, &link.source, &link.target, &link.source_config),
            (End::Target, &link.target, &link.source, &link.target_config),
        ];
        for (end, own, peer, parts) in ends {
            if own != provider {
                continue;
            }
            match resolve(shared, parts) {
                Ok(config) => {
                    let link = provider_link(end, peer, link, config);
                    told.insert(link.id(), link);
                }
                Err(reason) => {
                    let (source, target) = (link.source.clone(), link.target.clone());
                    lacking.push(FailedLink { source, target, link: link.name.clone(), reason });
                }
            }
        }
    }
    (told, lacking)
}

/// A link as the provider at this end of it is told.
pub(crate) fn provider_link(end: End, peer: &Name, link: &Link, config: Values) -> ProviderLink {
    ProviderLink {
        end,
        peer: peer.clone(),
        name: link.name.clone(),
        interfaces: link.interfaces.clone(),
        config,
        timeout: link.timeout_ms.map(std::time::Duration::from_millis),
    }
}

fn resolve(shared: &BTreeMap<Name, Values>, parts: &[ConfigPart]) -> Result<Values, String> {
    known::resolve(shared, parts)
        .map_err(|name| format!("there is no shared configuration {name}: meshctl config put {name} KEY=VALUE"))
}

/// One change of what runs here.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Start this actor, or change it to this.
    PutActor(Name, ActorSpec),
    /// Stop it.
    StopActor(Name),
    /// Start this provider, or change it to this.
    PutProvider(Name, ProviderSpec),
    /// Stop it.
    StopProvider(Name),
}

/// What to do so that what is wanted runs. Something stops only because an assignment is there and does not name it.
pub fn changes<'a>(
    wanted: &Wanted,
    actors: impl Iterator<Item = (&'a Name, Option<ActorSpec>)>,
    providers: impl Iterator<Item = (&'a Name, Option<ProviderSpec>)>,
) -> Vec<Action> {
    let actors: BTreeMap<_, _> = actors.collect();
    let providers: BTreeMap<_, _> = providers.collect();
    let mut actions = Vec::new();
    // A name may move from one kind to the other: what stops comes first.
    for name in actors.keys().filter(|name| !wanted.actors.contains_key(**name)) {
        actions.push(Action::StopActor((*name).clone()));
    }
    for name in providers.keys().filter(|name| !wanted.providers.contains_key(**name)) {
        actions.push(Action::StopProvider((*name).clone()));
    }
    // What is called starts before what calls.
    for (name, spec) in &wanted.providers {
        if let Ok(spec) = spec
            && providers.get(name).is_none_or(|running| running.as_ref() != Some(spec))
        {
            actions.push(Action::PutProvider(name.clone(), spec.clone()));
        }
    }
    for (name, spec) in &wanted.actors {
        if let Ok(spec) = spec
            && actors.get(name).is_none_or(|running| running.as_ref() != Some(spec))
        {
            actions.push(Action::PutActor(name.clone(), spec.clone()));
        }
    }
    actions
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mesh_claims::{KeyKind, KeyPair, Trust};
    use mesh_lattice::stored::Assignment;

    use super::*;
    use crate::known::WantedApp;

    /// One application with a counter, its key-value provider and a web server.
    fn known() -> Known {
        let root = KeyPair::generate(KeyKind::Operator).operator_id().unwrap();
        let application: Application = serde_json::from_value(serde_json::json!({
            "name": "demo",
            "actors": [{ "name": "counter", "artifact": { "digest": mesh_lattice::Digest::of(b"") } }],
            "providers": [{ "name": "kv", "use": "keyvalue-redb" }, { "name": "web", "use": "http-server" }],
            "links": [
                { "source": "counter", "target": "kv", "interfaces": ["wasi:keyvalue"],
                  "target_config": [{ "values": { "bucket": "b" } }] },
                { "source": "web", "target": "counter", "interfaces": ["wasi:http/incoming-handler"],
                  "source_config": [{ "shared": "listen" }] },
            ],
        }))
        .unwrap();
        let mut known = Known::nothing(Trust::new(root));
        let item =
            |name: &str, kind| Item { app: application.name.clone(), revision: 1, name: name.parse().unwrap(), kind };
        let items =
            vec![item("counter", ItemKind::Actor), item("kv", ItemKind::Provider), item("web", ItemKind::Provider)];
        known.assignment = Some(Assignment { incarnation: known.incarnation, term: 1, items });
        let application = Arc::new(application);
        known.revisions.insert((application.name.clone(), 1), application.clone());
        let wanted = WantedApp { revision: 1, application: application.clone(), links_since: vec![1, 1] };
        known.apps.insert(application.name.clone(), wanted);
        known
    }

    #[test]
    fn an_actor_is_started_as_its_application_says() {
        let run = |more: serde_json::Value| {
            let mut actor = serde_json::json!({ "name": "a", "artifact": { "digest": mesh_lattice::Digest::of(b"") } });
            actor.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            actor_run(&BTreeMap::new(), &serde_json::from_value(actor).unwrap()).unwrap()
        };
        let plain = run(serde_json::json!({}));
        assert_eq!(plain.reuse, 1, "each call has an instance of its own unless it is said otherwise");
        let said = run(serde_json::json!({ "concurrency": 7, "instances": { "reuse": 5 } }));
        assert_eq!((said.concurrency, said.reuse), (7, 5));
        assert_ne!(said, plain, "what is started otherwise is started anew");
    }

    fn specs(wanted: &Wanted) -> (BTreeMap<Name, ActorSpec>, BTreeMap<Name, ProviderSpec>) {
        let actors = wanted.actors.iter().filter_map(|(name, spec)| Some((name.clone(), spec.clone().ok()?)));
        let providers = wanted.providers.iter().filter_map(|(name, spec)| Some((name.clone(), spec.clone().ok()?)));
        (actors.collect(), providers.collect())
    }

    fn changes_from(wanted: &Wanted, running: &Wanted) -> Vec<Action> {
        let (actors, providers) = specs(running);
        changes(
            wanted,
            actors.iter().map(|(name, spec)| (name, Some(spec.clone()))),
            providers.iter().map(|(name, spec)| (name, Some(spec.clone()))),
        )
    }

    #[test]
    fn what_is_assigned_is_started_with_its_links_and_then_nothing_changes() {
        let known = known();
        let wanted = wanted(&known, &known.links()).unwrap();
        let actions = changes_from(&wanted, &Wanted::default());
        assert_eq!(actions.len(), 3);
        let Action::PutProvider(name, kv) = &actions[0] else { panic!("providers come first: {actions:?}") };
        assert_eq!(name.as_str(), "kv");
        let link = kv.links.values().next().unwrap();
        assert_eq!((link.end, link.peer.as_str()), (End::Target, "counter"));
        assert_eq!(link.config.get("bucket").map(String::as_str), Some("b"));
        assert!(changes_from(&wanted, &wanted).is_empty());
    }

    #[test]
    fn a_link_that_lacks_its_configuration_is_named_and_the_rest_runs() {
        let mut known = known();
        let before = wanted(&known, &known.links()).unwrap();
        let web = before.providers["web"].as_ref().unwrap();
        assert!(web.links.is_empty());
        assert!(web.lacking[0].reason.contains("meshctl config put listen"), "{:?}", web.lacking);
        known.config.insert("listen".parse().unwrap(), Values::new());
        let after = wanted(&known, &known.links()).unwrap();
        assert!(matches!(&changes_from(&after, &before)[..], [Action::PutProvider(name, _)] if name.as_str() == "web"));
    }

    #[test]
    fn nothing_stops_because_something_is_absent() {
        let mut known = known();
        let running = wanted(&known, &known.links()).unwrap();
        known.revisions.clear();
        known.apps.clear();
        let later = wanted(&known, &known.links()).unwrap();
        assert!(changes_from(&later, &running).is_empty(), "an application that is not there stops nothing");
        assert!(later.actors.values().all(Result::is_err));
        known.assignment = None;
        assert!(wanted(&known, &known.links()).is_none(), "without an assignment nothing changes");
    }

    #[test]
    fn an_assignment_that_does_not_name_something_stops_it() {
        let mut known = known();
        let running = wanted(&known, &known.links()).unwrap();
        known.assignment.as_mut().unwrap().items.clear();
        let wanted = wanted(&known, &known.links()).unwrap();
        assert_eq!(changes_from(&wanted, &running).len(), 3);
    }
}
