//! What an actor still needs before calls to it can succeed: for each interface that it calls and no link serves,
//! the command that would link it. Pure.

use std::collections::HashSet;

use mesh_lattice::{Interface, Name};

use crate::{known::Known, links::Links};

/// Why this actor cannot do its work yet; `None` where all its links resolve.
#[must_use]
pub fn reason(
    name: &Name,
    imports: &[Interface],
    known: &Known,
    links: &Links,
    names: &HashSet<Name>,
) -> Option<String> {
    let mut reasons: Vec<String> = Vec::new();
    let mut packages: Vec<&str> = Vec::new();
    for import in imports {
        let targets: Vec<&Name> = links.targets(name, import).collect();
        if targets.is_empty() {
            if !packages.contains(&import.package()) {
                packages.push(import.package());
            }
            continue;
        }
        if !targets.iter().any(|target| names.contains(*target)) {
            let missing: Vec<_> = targets.into_iter().map(Name::as_str).collect();
            reasons.push(format!("{import} is linked to {}, which nobody has started", missing.join(", ")));
        }
    }
    for package in packages {
        let unserved: Vec<_> = imports
            .iter()
            .filter(|import| import.package() == package && links.targets(name, import).next().is_none())
            .collect();
        reasons.push(command(name, package, &unserved, known));
    }
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

fn command(name: &Name, package: &str, unserved: &[&Interface], known: &Known) -> String {
    let listed: Vec<_> = unserved.iter().map(|interface| interface.as_str()).collect();
    let target = unserved.iter().find_map(|interface| server(known, interface));
    let target = target.map_or("TARGET", Name::as_str);
    let verb = if listed.len() == 1 { "is" } else { "are" };
    format!("{} {verb} not linked: meshctl link put {name} {target} {package}", listed.join(", "))
}

/// Something wanted that serves this interface.
fn server<'a>(known: &'a Known, interface: &Interface) -> Option<&'a Name> {
    let applications = || known.apps.values().map(|app| &app.application);
    let provider = applications()
        .flat_map(|application| &application.providers)
        .find(|provider| provider.interfaces.iter().any(|pattern| pattern.names(interface)));
    let actor = || {
        applications()
            .flat_map(|application| &application.actors)
            .find(|actor| actor.exports.iter().any(|export| export.fits(interface)))
    };
    provider.map(|provider| &provider.name).or_else(|| actor().map(|actor| &actor.name))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mesh_claims::{KeyKind, KeyPair, Trust};
    use mesh_lattice::application::Application;

    use super::*;
    use crate::known::WantedApp;

    fn known(links: serde_json::Value) -> Known {
        let root = KeyPair::generate(KeyKind::Operator).operator_id().unwrap();
        let mut known = Known::nothing(Trust::new(root));
        let application: Application = serde_json::from_value(serde_json::json!({
            "name": "demo",
            "actors": [{ "name": "counter", "artifact": { "digest": mesh_lattice::Digest::of(b"") } }],
            "providers": [{ "name": "kv", "use": "keyvalue-redb", "interfaces": ["wasi:keyvalue"] }],
            "links": links,
        }))
        .unwrap();
        let name = application.name.clone();
        let wanted = WantedApp { revision: 1, application: Arc::new(application), links_since: vec![] };
        known.apps.insert(name, wanted);
        known
    }

    fn said(links: serde_json::Value) -> Option<String> {
        let known = known(links);
        let imports = ["wasi:keyvalue/store@0.2.0-draft", "wasi:keyvalue/atomics@0.2.0-draft", "acme:mail/send@1.0.0"];
        let imports: Vec<Interface> = imports.iter().map(|import| import.parse().unwrap()).collect();
        reason(&"counter".parse().unwrap(), &imports, &known, &known.links(), &known.names())
    }

    #[test]
    fn each_interface_is_named_with_the_command_that_links_it() {
        let said = said(serde_json::json!([])).unwrap();
        assert!(said.contains("wasi:keyvalue/store@0.2.0-draft, wasi:keyvalue/atomics@0.2.0-draft are not linked"));
        assert!(said.contains("meshctl link put counter kv wasi:keyvalue"), "{said}");
        assert!(
            said.contains("acme:mail/send@1.0.0 is not linked: meshctl link put counter TARGET acme:mail"),
            "{said}"
        );
    }

    #[test]
    fn a_link_to_what_nobody_started_does_not_resolve() {
        let links = serde_json::json!([
            { "source": "counter", "target": "kv", "interfaces": ["wasi:keyvalue"] },
            { "source": "counter", "target": "mail", "interfaces": ["acme:mail"] },
        ]);
        let said = said(links).unwrap();
        assert_eq!(said, "acme:mail/send@1.0.0 is linked to mail, which nobody has started");
    }

    #[test]
    fn nothing_is_said_where_every_link_resolves() {
        let links = serde_json::json!([
            { "source": "counter", "target": "kv", "interfaces": ["wasi:keyvalue", "acme:mail"] },
        ]);
        assert_eq!(said(links), None);
    }
}
