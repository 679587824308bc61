//! Whether a link can ever work, by what the leader knows of its two ends.
//!
//! An actor's side is the names as whoever started it read them from the component type, and the types as the leader read
//! them from the artifact. A provider's is what its kind says. Where an end is not known yet, or says nothing about
//! itself, nothing stands against the link.

use std::collections::BTreeMap;

use mesh_lattice::{
    Name,
    application::{Application, Link},
};
use mesh_wit::link::{self, End};

use super::{Kind, signatures::Read};

/// Why the link cannot work, where both its ends are known in `applications` and do not fit.
pub(super) fn misfit<'a>(
    link: &Link,
    applications: impl Iterator<Item = &'a Application> + Clone,
    kinds: &BTreeMap<Name, Kind>,
    read: &Read,
) -> Option<String> {
    judged(link, applications, kinds, read)?.err()
}

/// Whether it can work; `None` where an end is not known in `applications`.
pub(super) fn judged<'a>(
    link: &Link,
    applications: impl Iterator<Item = &'a Application> + Clone,
    kinds: &BTreeMap<Name, Kind>,
    read: &Read,
) -> Option<Result<(), String>> {
    let source = find(&link.source, applications.clone(), kinds, read)?;
    let target = find(&link.target, applications, kinds, read)?;
    Some(link.interfaces.iter().find_map(|wanted| link::misfit(wanted, &source, &target)).map_or(Ok(()), Err))
}

fn find<'a, 'r>(
    name: &Name,
    mut applications: impl Iterator<Item = &'a Application>,
    kinds: &BTreeMap<Name, Kind>,
    read: &'r Read,
) -> Option<End<'r>> {
    applications.find_map(|application| {
        let actor = application.actor(name).and_then(|actor| {
            End::actor(&actor.name, &actor.imports, &actor.exports, read.get(&actor.artifact.digest))
        });
        let provider = || {
            let kind = &application.provider(name)?.kind;
            let factory = &kinds.get(kind)?.factory;
            Some(End::provider(name, kind, factory.interfaces(), factory.calls()))
        };
        actor.or_else(provider)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mesh_lattice::Interface;
    use mesh_wit::{Function, Signatures, Type};
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
            (interface, vec![Function { name: "greet".into(), params, result: None, is_async: false, foreign: None }])
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
