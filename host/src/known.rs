//! What this host knows of the lattice: what is wanted, what it is to run itself, who serves what, whom to trust.
//!
//! One immutable value, made anew by whoever has a newer one (the lattice, a snapshot, an assignment file) and read
//! by `converge.rs`. Nothing in it says that something is to stop because it is missing: an assignment that is
//! `None` changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use mesh_claims::{Envelope, Trust};
use mesh_lattice::{
    HostId, Incarnation, Name,
    application::{Application, ConfigPart, Link, Values},
    key::Key,
    stored::{Assignment, Route},
};

use crate::links::{Declared, Links};

/// What was moved away from a host may finish what it does there: it may call for this long after.
const MOVED_AWAY: Duration = Duration::from_secs(60);

/// What this host knows.
#[derive(Debug, Clone)]
pub struct Known {
    /// Where it knows it from.
    pub origin: Origin,
    /// The life of the lattice's state that it belongs to.
    pub incarnation: Incarnation,
    /// The applications in their wanted revisions.
    pub apps: BTreeMap<Name, WantedApp>,
    /// Every revision that is kept, the wanted ones included.
    pub revisions: BTreeMap<(Name, u64), Arc<Application>>,
    /// Shared configurations.
    pub config: BTreeMap<Name, Values>,
    /// What this host is to run; `None` where nobody has said anything yet.
    pub assignment: Option<Assignment>,
    /// Who serves what.
    pub routes: BTreeMap<Name, Route>,
    /// What each host is to run.
    pub placements: BTreeMap<HostId, BTreeSet<Name>>,
    /// What was placed on a host until a while ago, and when that was last so.
    pub left: BTreeMap<(HostId, Name), Instant>,
    /// Whom to trust.
    pub trust: Arc<Trust>,
    /// The statements that the trust was made from, for the snapshot.
    pub statements: Vec<(Key, Envelope)>,
}

/// Where a host knows something from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// From nowhere yet.
    Nothing,
    /// From the file that it was told to run.
    File,
    /// From what it kept of an earlier life.
    Snapshot,
    /// From the lattice.
    Lattice,
}

/// An application in its wanted revision.
#[derive(Debug, Clone)]
pub struct WantedApp {
    /// The revision.
    pub revision: u64,
    /// What it says.
    pub application: Arc<Application>,
    /// For each of its links, in their order: a number that grows with the time at which it was first declared.
    pub links_since: Vec<u64>,
}

impl WantedApp {
    /// Another revision in its place: links that stay are as old as they were.
    pub(crate) fn followed_by(&self, revision: u64, application: Arc<Application>) -> Self {
        let before = self.application.as_ref();
        let age = |link: &Link| {
            let place = before.links.iter().position(|other| is_same(other, link));
            place.and_then(|place| self.links_since.get(place).copied()).unwrap_or(u64::MAX)
        };
        let links_since = application.links.iter().map(age).collect();
        Self { revision, application, links_since }
    }
}

impl Known {
    /// Nothing but whom to trust.
    #[must_use]
    pub fn nothing(trust: Trust) -> Self {
        Self {
            origin: Origin::Nothing,
            incarnation: Incarnation(uuid::Uuid::nil()),
            apps: BTreeMap::new(),
            revisions: BTreeMap::new(),
            config: BTreeMap::new(),
            assignment: None,
            routes: BTreeMap::new(),
            placements: BTreeMap::new(),
            left: BTreeMap::new(),
            trust: Arc::new(trust),
            statements: Vec::new(),
        }
    }

    /// Whether something is placed on a host, or was until a while ago.
    pub(crate) fn is_placed(&self, host: &HostId, name: &Name, now: Instant) -> bool {
        let placed = self.placements.get(host).is_some_and(|names| names.contains(name));
        let left = || self.left.get(&(host.clone(), name.clone()));
        placed || left().is_some_and(|left| now.saturating_duration_since(*left) < MOVED_AWAY)
    }

    /// Notes what was placed somewhere by what was known before, and is not any more.
    pub(crate) fn remember_placements(&mut self, before: &Self, now: Instant) {
        self.left.clone_from(&before.left);
        let placed = |host: &HostId, name: &Name| self.placements.get(host).is_some_and(|names| names.contains(name));
        for (host, names) in &before.placements {
            let gone = names.iter().filter(|name| !placed(host, name));
            self.left.extend(gone.map(|name| ((host.clone(), name.clone()), now)));
        }
        self.left.retain(|_, left| now.saturating_duration_since(*left) < MOVED_AWAY);
    }

    /// The links of all wanted applications.
    #[must_use]
    pub fn links(&self) -> Links {
        links_of(&self.apps)
    }

    /// Every actor and provider that somebody wants.
    #[must_use]
    pub fn names(&self) -> HashSet<Name> {
        let actors = self.apps.values().flat_map(|app| &app.application.actors).map(|actor| actor.name.clone());
        actors.chain(provider_names(&self.apps)).collect()
    }
}

/// The links of these applications.
pub(crate) fn links_of(apps: &BTreeMap<Name, WantedApp>) -> Links {
    let mut declared = Vec::new();
    for (app, wanted) in apps {
        for (index, link) in wanted.application.links.iter().enumerate() {
            let since = wanted.links_since.get(index).copied().unwrap_or(u64::MAX);
            declared.push(Declared { app: app.clone(), since, link: link.clone() });
        }
    }
    Links::new(declared, &provider_names(apps))
}

fn provider_names(apps: &BTreeMap<Name, WantedApp>) -> HashSet<Name> {
    let wanted = apps.values().flat_map(|app| &app.application.providers);
    wanted.map(|provider| provider.name.clone()).collect()
}

/// The configuration that these parts make from these shared ones.
pub(crate) fn resolve<'a>(shared: &BTreeMap<Name, Values>, parts: &'a [ConfigPart]) -> Result<Values, &'a Name> {
    let mut values = Values::new();
    for part in parts {
        match part {
            ConfigPart::Values(own) => values.extend(own.clone()),
            ConfigPart::Shared(name) => values.extend(shared.get(name).ok_or(name)?.clone()),
        }
    }
    Ok(values)
}

/// When each link of the wanted revision was first declared, from the revisions that are kept: a link that stayed
/// through a change of its application is as old as it was. `revisions` in their order, each with a number that grows
/// with time; the last one is the wanted one.
#[must_use]
pub fn links_since(revisions: &[(u64, &Application)]) -> Vec<u64> {
    let applications: Vec<_> = revisions.iter().map(|(_, application)| *application).collect();
    let since = |place: usize| revisions.get(place).map_or(u64::MAX, |(since, _)| *since);
    declared_from(&applications).into_iter().map(since).collect()
}

/// The places of those revisions that say how old the links of the last one are: each that declared one first, and the
/// one before it, which did not.
#[must_use]
pub(crate) fn ages_rest_on(revisions: &[&Application]) -> BTreeSet<usize> {
    let firsts = declared_from(revisions).into_iter();
    firsts.flat_map(|first| [Some(first), first.checked_sub(1)]).flatten().collect()
}

/// For each link of the last revision, the place of the first one from which on all declared it.
fn declared_from(revisions: &[&Application]) -> Vec<usize> {
    let Some((wanted, older)) = revisions.split_last() else { return Vec::new() };
    let first = |link: &Link| {
        let same = |application: &&&Application| application.links.iter().any(|other| is_same(other, link));
        let unbroken = older.iter().rev().take_while(same);
        older.len() - unbroken.count()
    };
    wanted.links.iter().map(first).collect()
}

/// Whether one link is the other, whatever else it says now.
fn is_same(one: &Link, other: &Link) -> bool {
    (&one.source, &one.target, &one.name, &one.interfaces)
        == (&other.source, &other.target, &other.name, &other.interfaces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(links: &[(&str, &str)]) -> Application {
        let links: Vec<_> = links
            .iter()
            .map(|(source, target)| serde_json::json!({ "source": source, "target": target, "interfaces": ["a:b"] }))
            .collect();
        serde_json::from_value(serde_json::json!({ "name": "app", "links": links })).unwrap()
    }

    #[test]
    fn a_link_that_stayed_is_as_old_as_it_was() {
        let (first, second, third) =
            (app(&[("a", "b")]), app(&[("a", "b"), ("c", "d")]), app(&[("c", "d"), ("a", "b")]));
        assert_eq!(links_since(&[(10, &first), (20, &second), (30, &third)]), [20, 10]);
        let gone = app(&[]);
        assert_eq!(links_since(&[(10, &first), (20, &gone), (30, &first)]), [30]);
        assert!(links_since(&[]).is_empty());
    }

    #[test]
    fn later_parts_of_a_configuration_win_and_a_missing_one_is_named() {
        let root = mesh_claims::KeyPair::generate(mesh_claims::KeyKind::Operator);
        let mut known = Known::nothing(Trust::new(root.operator_id().unwrap()));
        let values = |pairs: &[(&str, &str)]| -> Values {
            pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
        };
        known.config.insert("shared".parse().unwrap(), values(&[("a", "shared"), ("b", "shared")]));
        let parts = [ConfigPart::Shared("shared".parse().unwrap()), ConfigPart::Values(values(&[("b", "own")]))];
        assert_eq!(resolve(&known.config, &parts).unwrap(), values(&[("a", "shared"), ("b", "own")]));
        let missing = [ConfigPart::Shared("missing".parse().unwrap())];
        assert_eq!(resolve(&known.config, &missing).unwrap_err().as_str(), "missing");
    }
}
