//! Whether a link can ever work: the target serves what the link is for, and the source calls it.
//!
//! An actor's side is what its artifact exports and imports, as whoever started it read from the component type; a
//! provider's is what its kind says. Where an end is not known yet, or says nothing about itself, nothing stands
//! against the link.

use std::collections::BTreeMap;

use mesh_lattice::{
    Interface, InterfacePattern, Name,
    application::{Actor, Application, Link, Provider},
};

use super::Kind;

/// One end of a link.
#[derive(Clone, Copy)]
enum End<'a> {
    Actor(&'a Actor),
    Provider(&'a Provider, &'a Kind),
}

/// Why the link cannot work, where both its ends are known in `applications` and do not fit.
pub(super) fn misfit<'a>(
    link: &Link,
    applications: impl Iterator<Item = &'a Application> + Clone,
    kinds: &'a BTreeMap<Name, Kind>,
) -> Option<String> {
    let source = End::find(&link.source, applications.clone(), kinds)?;
    let target = End::find(&link.target, applications, kinds)?;
    link.interfaces.iter().find_map(|wanted| {
        let (serves, calls) = (target.serves(), source.calls());
        let serving = serves.iter().any(|served| overlap(served, wanted));
        let calling = calls.iter().any(|called| overlap(called, wanted));
        (!serving || !calling).then(|| {
            format!(
                "a link on {wanted} cannot work: {} serves {}, and {} calls {}",
                target.title(),
                listed(&serves),
                source.title(),
                listed(&calls)
            )
        })
    })
}

impl<'a> End<'a> {
    fn find(
        name: &Name,
        mut applications: impl Iterator<Item = &'a Application>,
        kinds: &'a BTreeMap<Name, Kind>,
    ) -> Option<Self> {
        applications.find_map(|application| {
            let actor = application.actors.iter().find(|actor| actor.name == *name);
            // One that says nothing at all was not read: nothing is known of it.
            let actor = actor.filter(|actor| !actor.imports.is_empty() || !actor.exports.is_empty());
            let provider = || {
                let provider = application.provider(name)?;
                Some(Self::Provider(provider, kinds.get(&provider.kind)?))
            };
            actor.map(Self::Actor).or_else(provider)
        })
    }

    fn title(&self) -> String {
        match self {
            Self::Actor(actor) => format!("actor {}", actor.name),
            Self::Provider(provider, _) => format!("provider {} ({})", provider.name, provider.kind),
        }
    }

    fn serves(&self) -> Vec<InterfacePattern> {
        match self {
            Self::Actor(actor) => patterns(&actor.exports),
            Self::Provider(_, kind) => kind.factory.interfaces(),
        }
    }

    fn calls(&self) -> Vec<InterfacePattern> {
        match self {
            Self::Actor(actor) => patterns(&actor.imports),
            Self::Provider(_, kind) => kind.factory.calls(),
        }
    }
}

fn patterns(interfaces: &[Interface]) -> Vec<InterfacePattern> {
    interfaces.iter().filter_map(|interface| interface.as_str().parse().ok()).collect()
}

fn listed(patterns: &[InterfacePattern]) -> String {
    let all: Vec<_> = patterns.iter().map(InterfacePattern::as_str).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
}

/// Whether there may be an interface that both name.
fn overlap(one: &InterfacePattern, other: &InterfacePattern) -> bool {
    let interface = |pattern: &InterfacePattern| pattern.as_str().parse::<Interface>().ok();
    match (interface(one), interface(other)) {
        (Some(interface), _) => other.names(&interface),
        (None, Some(interface)) => one.names(&interface),
        (None, None) => package(one) == package(other),
    }
}

fn package(pattern: &InterfacePattern) -> &str {
    pattern.as_str().split('@').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::ctl::commit::tests::Picky;

    fn kinds() -> BTreeMap<Name, Kind> {
        let kind = |serves: &str, calls: &str| Kind {
            factory: Arc::new(Picky { local_state: false, serves: serves.into(), calls: calls.into() }),
        };
        BTreeMap::from([
            ("keyvalue-nats".parse().unwrap(), kind("wasi:keyvalue", "")),
            ("http-server".parse().unwrap(), kind("", "wasi:http/incoming-handler")),
        ])
    }

    fn application() -> Application {
        let digest = mesh_lattice::Digest::of(b"counter");
        serde_json::from_value(json!({
            "name": "adhoc",
            "actors": [
                { "name": "counter", "artifact": { "digest": digest }, "imports": ["wasi:keyvalue/store@0.2.0-draft"],
                  "exports": ["wasi:http/incoming-handler@0.2.3"] },
                { "name": "unread", "artifact": { "digest": digest } }
            ],
            "providers": [{ "name": "kv", "use": "keyvalue-nats" }, { "name": "web", "use": "http-server" }]
        }))
        .unwrap()
    }

    fn judge(source: &str, target: &str, interface: &str) -> Option<String> {
        let link: Link = serde_json::from_value(json!({ "source": source, "target": target,
            "interfaces": [interface] }))
        .unwrap();
        misfit(&link, std::iter::once(&application()), &kinds())
    }

    #[test]
    fn a_link_that_can_work_is_not_stood_against() {
        for (source, target, interface) in [
            ("counter", "kv", "wasi:keyvalue"),
            ("counter", "kv", "wasi:keyvalue/store"),
            ("counter", "kv", "wasi:keyvalue/store@0.2.0-draft"),
            ("web", "counter", "wasi:http/incoming-handler"),
            ("web", "counter", "wasi:http"),
            ("counter", "later", "wasi:blobstore"),
            ("unread", "kv", "wasi:keyvalue"),
            ("web", "unread", "wasi:http/incoming-handler"),
        ] {
            assert_eq!(judge(source, target, interface), None, "{source} {target} {interface}");
        }
    }

    #[test]
    fn one_that_never_can_is_named_with_both_sides() {
        for (source, target, interface) in [
            ("counter", "kv", "wasi:http/incoming-handler"),
            ("counter", "kv", "wasi:blobstore"),
            ("counter", "kv", "wasi:keyvalue/nope"),
            ("counter", "counter", "wasi:http"),
            ("web", "kv", "wasi:http/incoming-handler"),
            ("kv", "counter", "wasi:keyvalue"),
            ("kv", "counter", "wasi:http/incoming-handler"),
        ] {
            let reason = judge(source, target, interface).unwrap_or_default();
            assert!(reason.contains(source) && reason.contains(target), "{source} {target} {interface}: {reason}");
        }
    }
}
