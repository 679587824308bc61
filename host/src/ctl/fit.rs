//! Whether a link can ever work: the target serves what the link is for, and the source calls it, with the same types.
//!
//! An actor's side is what its artifact exports and imports: the names as whoever started it read them from the
//! component type, the types as the leader read them from the artifact. A provider's is what its kind says, with the
//! types of the published interfaces. Where an end is not known yet, or says nothing about itself, nothing stands against
//! the link.

use std::{borrow::Cow, collections::BTreeMap};

use mesh_claims::surface::WASI_RELEASES;
use mesh_lattice::{
    Interface, InterfacePattern, Name,
    application::{Actor, Application, Link, Provider},
};
use mesh_wit::{Function, fit, published};

use super::{Kind, signatures::Read};

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
    read: &Read,
) -> Option<String> {
    let source = End::find(&link.source, applications.clone(), kinds)?;
    let target = End::find(&link.target, applications, kinds)?;
    link.interfaces.iter().find_map(|wanted| {
        let (serves, calls) = (target.serves(), source.calls());
        let serving = serves.iter().any(|served| overlap(served, wanted));
        let calling = calls.iter().any(|called| overlap(called, wanted));
        if serving && calling {
            return types_differ(wanted, &source, &target, read)
                .map(|reason| format!("a link on {wanted} cannot work: {reason}"));
        }
        Some(format!(
            "a link on {wanted} cannot work: {} serves {}, and {} calls {}",
            target.title(),
            listed(&serves),
            source.title(),
            listed(&calls)
        ))
    })
}

/// The first function that the source calls along this link and that the target serves otherwise.
fn types_differ(wanted: &InterfacePattern, source: &End<'_>, target: &End<'_>, read: &Read) -> Option<String> {
    let (called, served) = (source.called(wanted, read)?, target.served(wanted, read)?);
    let mut met = called.is_empty();
    for (interface, functions) in &called {
        if let Some((_, offered)) = served.iter().find(|(other, _)| interface.fits(other)) {
            met = true;
            if let Some(misfit) = fit::misfit(interface, functions, offered) {
                return Some(
                    misfit.between(&format!("{} calls", source.title()), &format!("{} serves", target.title())),
                );
            }
        } else if !matches!(target, End::Actor(_)) {
            // What is published is not all that a provider may serve.
            met = true;
        } else if let Some((other, _)) = served.iter().find(|(other, _)| same_name(interface, other)) {
            return Some(format!(
                "{} calls {interface}, and {} serves {other}: these versions do not fit",
                source.title(),
                target.title()
            ));
        }
    }
    let names = |side: &Side<'_>| side.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    (!met).then(|| {
        let (calls, serves) = (names(&called), names(&served));
        format!("{} calls {calls}, and {} serves {serves}: none of them is the same", source.title(), target.title())
    })
}

/// The functions of one end, interface by interface.
type Side<'a> = Vec<(Cow<'a, Interface>, &'a [Function])>;

fn same_name(one: &Interface, other: &Interface) -> bool {
    one.package() == other.package() && one.interface() == other.interface()
}

/// The interfaces that a link is for. Those of WASI's releases are the host's own business: it checks them where it
/// starts the actor.
fn along<'a>(side: &'a BTreeMap<Interface, Vec<Function>>, wanted: &InterfacePattern) -> Side<'a> {
    let linked = side.iter().filter(|(interface, functions)| {
        !functions.is_empty() && !WASI_RELEASES.contains(&interface.package()) && wanted.names(interface)
    });
    linked.map(|(interface, functions)| (Cow::Borrowed(interface), functions.as_slice())).collect()
}

/// The published interfaces of a provider that a link is for.
fn published_along(patterns: &[InterfacePattern], wanted: &InterfacePattern) -> Side<'static> {
    let known = published::interfaces().filter(|(interface, functions)| {
        !functions.is_empty() && wanted.names(interface) && patterns.iter().any(|pattern| pattern.names(interface))
    });
    known.map(|(interface, functions)| (Cow::Borrowed(interface), functions)).collect()
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

    /// What it calls along a link; `None` where that is not known.
    fn called<'r>(&self, wanted: &InterfacePattern, read: &'r Read) -> Option<Side<'r>> {
        match self {
            Self::Actor(actor) => Some(along(&read.get(&actor.artifact.digest)?.imports, wanted)),
            Self::Provider(_, kind) => Some(published_along(&kind.factory.calls(), wanted)),
        }
    }

    /// What it serves along a link; `None` where that is not known.
    fn served<'r>(&self, wanted: &InterfacePattern, read: &'r Read) -> Option<Side<'r>> {
        match self {
            Self::Actor(actor) => Some(along(&read.get(&actor.artifact.digest)?.exports, wanted)),
            Self::Provider(_, kind) => {
                let known = published_along(&kind.factory.interfaces(), wanted);
                (!known.is_empty()).then_some(known)
            }
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

    use mesh_wit::{Signatures, Type};
    use serde_json::json;

    use super::*;
    use crate::ctl::commit::testing::Picky;

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
        misfit(&link, std::iter::once(&application()), &kinds(), &Read::default())
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

    /// What an actor of this digest calls and serves: `greet` of these versions with these parameters.
    fn greeting(calls: Option<(&str, Type)>, serves: Option<(&str, Type)>) -> Signatures {
        let side = |(version, ty): (&str, Type)| {
            let interface: Interface = format!("acme:greeting/greet@{version}").parse().unwrap();
            let params = vec![("who".to_owned(), ty)];
            (interface, vec![Function { name: "greet".into(), params, result: None, is_async: false }])
        };
        let (imports, exports) = (calls.map(side).into_iter().collect(), serves.map(side).into_iter().collect());
        Signatures { imports, exports, ..Signatures::default() }
    }

    fn judge_types(calls: (&str, Type), serves: (&str, Type)) -> Option<String> {
        let (caller, greeter) = (mesh_lattice::Digest::of(b"caller"), mesh_lattice::Digest::of(b"greeter"));
        let name = |version: &str| format!("acme:greeting/greet@{version}");
        let application: Application = serde_json::from_value(json!({
            "name": "adhoc",
            "actors": [
                { "name": "caller", "artifact": { "digest": caller }, "imports": [name(calls.0)] },
                { "name": "greeter", "artifact": { "digest": greeter }, "exports": [name(serves.0)] }
            ]
        }))
        .unwrap();
        let link: Link = serde_json::from_value(json!({ "source": "caller", "target": "greeter",
            "interfaces": ["acme:greeting"] }))
        .unwrap();
        assert_eq!(misfit(&link, std::iter::once(&application), &kinds(), &Read::default()), None, "nothing was read");
        let read = Read::of([(caller, greeting(Some(calls), None)), (greeter, greeting(None, Some(serves)))]);
        misfit(&link, std::iter::once(&application), &kinds(), &read)
    }

    #[test]
    fn two_ends_have_the_same_types_or_both_signatures_are_shown() {
        assert_eq!(judge_types(("1.0.0", Type::String), ("1.0.0", Type::String)), None);
        assert_eq!(
            judge_types(("1.0.0", Type::String), ("1.0.0", Type::List(Box::new(Type::U8)))).unwrap(),
            "a link on acme:greeting cannot work: greet of acme:greeting/greet@1.0.0 has other types at its two ends\n  \
             actor caller calls    greet: func(who: string)\n  \
             actor greeter serves  greet: func(who: list<u8>)"
        );
        let versions = judge_types(("1.0.0", Type::String), ("2.0.0", Type::String)).unwrap();
        assert!(versions.contains("@1.0.0, and actor greeter serves"), "{versions}");
        assert!(versions.ends_with("acme:greeting/greet@2.0.0: these versions do not fit"), "{versions}");
    }
}
