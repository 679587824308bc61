//! Links: who may call whom, on what. An immutable table, made anew whenever what is wanted changes, and asked for
//! every call by the router; what it answered once is found again by one hash lookup there.
//!
//! A place is (source, link name, interface). Where two links claim one place, the older holds it and the other one
//! is refused: see [`Links::refused`]. A provider as source says itself which of several targets it means, so its
//! links share a place as long as their targets differ.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use mesh_lattice::{
    Interface, InterfacePattern, LinkName, Name,
    application::{ConfigPart, Link},
};

/// A link and where it comes from.
#[derive(Debug, Clone)]
pub struct Declared {
    /// The application that declares it.
    pub app: Name,
    /// Grows with the time at which it was declared.
    pub since: u64,
    /// The link.
    pub link: Link,
}

/// What a link lets its source do.
#[derive(Debug)]
pub struct Grant {
    /// Who is called.
    pub target: Name,
    /// On what.
    pub interfaces: Vec<InterfacePattern>,
    /// How long a call may take.
    pub timeout: Option<Duration>,
    /// Whether a call that got no answer may be made again elsewhere.
    pub idempotent: bool,
    name: LinkName,
}

/// A link that another one stands before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The application that declares it.
    pub app: Name,
    /// The link.
    pub link: Link,
    /// The application whose link holds the place.
    pub holder: Name,
    /// Whom that one lets its source call.
    pub target: Name,
}

/// Why there is nobody to call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoGrant {
    /// No link from the source covers the interface under this name.
    NotLinked,
    /// Several do, and the source did not say which target it means.
    Ambiguous,
}

/// Every link that holds its place.
#[derive(Debug, Default)]
pub struct Links {
    by_source: HashMap<Name, Vec<Arc<Grant>>>,
    held: Vec<Declared>,
    refused: Vec<Refused>,
}

impl Links {
    /// The links of these declarations; `providers` are the names of all wanted providers.
    #[must_use]
    pub fn new(mut declared: Vec<Declared>, providers: &HashSet<Name>) -> Self {
        declared.sort_by(|one, other| (one.since, &one.app).cmp(&(other.since, &other.app)));
        let mut links = Self::default();
        let mut placed: HashMap<(Name, LinkName), Vec<usize>> = HashMap::new();
        for candidate in declared {
            let place = placed.entry((candidate.link.source.clone(), candidate.link.name.clone())).or_default();
            let several = providers.contains(&candidate.link.source);
            let holder = place.iter().filter_map(|index| links.held.get(*index)).find(|held| {
                !(several && held.link.target != candidate.link.target) && overlap(&held.link, &candidate.link)
            });
            if let Some(holder) = holder {
                links.refused.push(Refused {
                    holder: holder.app.clone(),
                    target: holder.link.target.clone(),
                    app: candidate.app,
                    link: candidate.link,
                });
                continue;
            }
            place.push(links.held.len());
            links.by_source.entry(candidate.link.source.clone()).or_default().push(Arc::new(grant(&candidate.link)));
            links.held.push(candidate);
        }
        links
    }

    /// The link that lets `source` call on `interface` under this name; the one to `target` where the source says so.
    ///
    /// # Errors
    ///
    /// Where there is no such link, or more than one.
    pub fn find(
        &self,
        source: &Name,
        interface: &Interface,
        name: &LinkName,
        target: Option<&Name>,
    ) -> Result<Arc<Grant>, NoGrant> {
        let covers = |grant: &&Arc<Grant>| {
            grant.name == *name
                && target.is_none_or(|target| grant.target == *target)
                && grant.interfaces.iter().any(|pattern| pattern.names(interface))
        };
        let mut found = self.by_source.get(source).into_iter().flatten().filter(covers);
        let first = found.next().ok_or(NoGrant::NotLinked)?;
        if found.any(|other| other.target != first.target) { Err(NoGrant::Ambiguous) } else { Ok(first.clone()) }
    }

    /// Whom `source` may call on `interface`, under whatever name.
    pub fn targets(&self, source: &Name, interface: &Interface) -> impl Iterator<Item = &Name> {
        let grants = self.by_source.get(source).into_iter().flatten();
        grants
            .filter(|grant| grant.interfaces.iter().any(|pattern| pattern.names(interface)))
            .map(|grant| &grant.target)
    }

    /// The links that hold, oldest first.
    #[must_use]
    pub fn held(&self) -> &[Declared] {
        &self.held
    }

    /// The links that do not.
    #[must_use]
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }
}

fn grant(link: &Link) -> Grant {
    Grant {
        target: link.target.clone(),
        interfaces: link.interfaces.clone(),
        timeout: link.timeout_ms.map(Duration::from_millis),
        idempotent: link.idempotent,
        name: link.name.clone(),
    }
}

/// Whether an interface can be meant by both of these links.
pub(crate) fn overlap(one: &Link, other: &Link) -> bool {
    one.interfaces.iter().any(|one| other.interfaces.iter().any(|other| one.overlaps(other)))
}

/// Whether this part of a configuration names a shared one.
pub(crate) fn shared_name(part: &ConfigPart) -> Option<&Name> {
    match part {
        ConfigPart::Shared(name) => Some(name),
        ConfigPart::Values(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn declared(app: &str, since: u64, source: &str, target: &str, interface: &str) -> Declared {
        let link = serde_json::json!({ "source": source, "target": target, "interfaces": [interface] });
        Declared { app: name(app), since, link: serde_json::from_value(link).unwrap() }
    }

    fn store() -> Interface {
        "wasi:keyvalue/store@0.2.0-draft".parse().unwrap()
    }

    #[test]
    fn a_link_covers_what_it_names_and_nothing_else() {
        let links = Links::new(vec![declared("a", 1, "counter", "kv", "wasi:keyvalue")], &HashSet::new());
        let default = LinkName::default();
        assert_eq!(links.find(&name("counter"), &store(), &default, None).unwrap().target, name("kv"));
        let other = "wasi:blobstore/container@0.2.0-draft".parse().unwrap();
        assert_eq!(links.find(&name("counter"), &other, &default, None).unwrap_err(), NoGrant::NotLinked);
        assert_eq!(links.find(&name("other"), &store(), &default, None).unwrap_err(), NoGrant::NotLinked);
        let backup = "backup".parse().unwrap();
        assert_eq!(links.find(&name("counter"), &store(), &backup, None).unwrap_err(), NoGrant::NotLinked);
        let target = name("elsewhere");
        assert_eq!(links.find(&name("counter"), &store(), &default, Some(&target)).unwrap_err(), NoGrant::NotLinked);
    }

    #[test]
    fn the_older_of_two_links_holds_the_place_whatever_their_order() {
        let young = declared("young", 9, "counter", "kv2", "wasi:keyvalue/store");
        let old = declared("old", 3, "counter", "kv", "wasi:keyvalue");
        for order in [vec![young.clone(), old.clone()], vec![old, young]] {
            let links = Links::new(order, &HashSet::new());
            let found = links.find(&name("counter"), &store(), &LinkName::default(), None).unwrap();
            assert_eq!(found.target, name("kv"));
            assert_eq!(links.refused().len(), 1);
            assert_eq!((&links.refused()[0].app, &links.refused()[0].holder), (&name("young"), &name("old")));
        }
    }

    #[test]
    fn a_provider_calls_several_targets_and_says_which() {
        let handler: Interface = "wasi:http/incoming-handler@0.2.2".parse().unwrap();
        let declared = vec![
            declared("a", 1, "web", "one", "wasi:http/incoming-handler"),
            declared("b", 2, "web", "two", "wasi:http/incoming-handler"),
        ];
        let links = Links::new(declared, &HashSet::from([name("web")]));
        let default = LinkName::default();
        assert!(links.refused().is_empty());
        assert_eq!(links.find(&name("web"), &handler, &default, None).unwrap_err(), NoGrant::Ambiguous);
        let two = links.find(&name("web"), &handler, &default, Some(&name("two"))).unwrap();
        assert_eq!(two.target, name("two"));
    }
}
