//! What happened, as the leader tells it: the differences between two looks at what `get` shows, and a bounded memory of
//! them. Pure; `lead.rs` looks, and publishes what is due.
//!
//! ```text
//!  status ──► differences ──► one place for each (kind, subject): count, first, last ──► due: at once, then every 5 s
//! ```
//!
//! A thing that breaks all the time fills one place, and is published no more often than one that breaks now and then.
//! Where there are too many places, the one that was told of longest ago is forgotten.
//!
//! A leader that takes office knows what was told before it, from the stream. It tells how things stand only where that
//! was not told last.

use std::collections::{BTreeMap, BTreeSet};

use mesh_lattice::{
    HostId,
    control::{ActorHostView, ActorView, ProviderHostView, ProviderView, Status, word},
    stored::{ActorState, Event, ProviderState},
};

use crate::ctl::UNREPORTED;

/// An event that goes on is published this often, in seconds.
const AGAIN: u64 = 5;

/// A sentence is this long at most, in characters.
const LENGTH: usize = 600;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Happening {
    pub(crate) kind: String,
    pub(crate) subject: String,
    pub(crate) host: HostId,
    pub(crate) message: String,
    /// How often it happened since the last look.
    pub(crate) times: u64,
}

/// An event and where it stands.
#[derive(Debug)]
struct Place {
    event: Event,
    /// Grows with each telling.
    last: u64,
    published: Option<u64>,
    is_due: bool,
}

/// What was told.
#[derive(Debug)]
pub(crate) struct Told {
    keep: usize,
    places: BTreeMap<(String, String), Place>,
    tellings: u64,
}

impl Told {
    /// A memory of this many events.
    pub(crate) fn new(keep: usize) -> Self {
        Self { keep, places: BTreeMap::new(), tellings: 0 }
    }

    /// Takes in what others told before, oldest first. What this one told already stays.
    pub(crate) fn recall(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            let key = (event.kind.clone(), event.subject.clone());
            if !self.places.contains_key(&key) {
                self.tellings += 1;
                let place = Place { published: Some(event.at), event, last: self.tellings, is_due: false };
                self.places.insert(key, place);
            }
        }
        self.forget();
    }

    /// Tells what happened.
    pub(crate) fn tell(&mut self, happening: Happening, now: u64) {
        let Happening { kind, subject, host, message, times } = happening;
        let message = message.chars().take(LENGTH).collect();
        self.tellings += 1;
        let last = self.tellings;
        let event = Event { at: now, first: now, count: times, host, kind, subject, message };
        let key = (event.kind.clone(), event.subject.clone());
        let place = match self.places.remove(&key) {
            Some(before) => {
                let (first, count) = (before.event.first, before.event.count.saturating_add(times));
                Place { event: Event { first, count, ..event }, last, is_due: true, ..before }
            }
            None => Place { event, last, published: None, is_due: true },
        };
        self.places.insert(key, place);
        self.forget();
    }

    fn forget(&mut self) {
        while self.places.len() > self.keep {
            let oldest = self.places.iter().min_by_key(|(_, place)| place.last).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { return };
            self.places.remove(&oldest);
        }
    }

    /// What is to be published now, in the order in which it happened.
    pub(crate) fn due(&mut self, now: u64) -> Vec<Event> {
        let ripe = |place: &&mut Place| {
            place.is_due && place.published.is_none_or(|published| now.saturating_sub(published) >= AGAIN)
        };
        let mut due: Vec<_> = self.places.values_mut().filter(ripe).collect();
        due.sort_by_key(|place| place.last);
        due.into_iter()
            .map(|place| {
                (place.published, place.is_due) = (Some(now), false);
                place.event.clone()
            })
            .collect()
    }

    /// Everything that was told, oldest first.
    pub(crate) fn list(&self) -> Vec<Event> {
        let mut all: Vec<_> = self.places.values().collect();
        all.sort_by_key(|place| place.last);
        all.into_iter().map(|place| place.event.clone()).collect()
    }

    /// Whether this is what was told last about its subject, out of what is told about things of its sort.
    pub(crate) fn is_last_word(&self, kind: &str, subject: &str) -> bool {
        let sort = kind.split('_').next().unwrap_or_default();
        let about = self.places.values().filter(|place| {
            place.event.subject == subject && place.event.kind.split('_').next().unwrap_or_default() == sort
        });
        about.max_by_key(|place| place.last).is_some_and(|place| place.event.kind == kind)
    }

    fn has(&self, kind: &str, subject: &str) -> bool {
        self.places.contains_key(&(kind.to_owned(), subject.to_owned()))
    }
}

/// How one thing stood when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stand {
    sort: &'static str,
    subject: String,
    host: HostId,
    /// The word for its state; none where nobody is told of it.
    word: Option<String>,
    message: String,
    /// How often it broke so far, the kind of event that tells of it, and what the last time came to.
    breaks: Option<(u64, &'static str, String)>,
    /// Whether others of the same subject stand beside it, on other hosts.
    one_of_many: bool,
}

/// What tells one thing from another.
type Thing = (&'static str, String, String);

/// What was seen when everything was looked at last.
#[derive(Debug, Default)]
pub(crate) struct Seen(Option<BTreeMap<Thing, Stand>>);

impl Seen {
    /// Looks at everything, and says what is different.
    pub(crate) fn look(&mut self, status: &Status, told: &Told) -> Vec<Happening> {
        let now = stands(status);
        let Some(before) = self.0.replace(now.clone()) else {
            return now
                .into_values()
                .filter(|stand| is_new(stand, told))
                .filter_map(|stand| happened(&stand))
                .collect();
        };
        let mut happenings = Vec::new();
        for (thing, stand) in &now {
            let before = before.get(thing);
            if before.is_none_or(|before| before.word != stand.word) {
                happenings.extend(happened(stand));
            }
            happenings.extend(broke(before, stand));
        }
        for (thing, stand) in before.iter().filter(|(thing, _)| !now.contains_key(*thing)) {
            happenings.extend(gone(thing, stand, &now));
        }
        happenings
    }
}

/// Whether what is seen at the first look was not told by whoever led before.
fn is_new(stand: &Stand, told: &Told) -> bool {
    let Some(word) = &stand.word else { return false };
    let kind = format!("{}_{word}", stand.sort);
    // Of many, each may have been told of last, so it is enough that it was told.
    !(told.is_last_word(&kind, &stand.subject) || (stand.one_of_many && told.has(&kind, &stand.subject)))
}

fn happened(stand: &Stand) -> Option<Happening> {
    let word = stand.word.as_ref()?;
    Some(Happening {
        kind: format!("{}_{word}", stand.sort),
        subject: stand.subject.clone(),
        host: stand.host.clone(),
        message: stand.message.clone(),
        times: 1,
    })
}

/// What appeared since the last look has counted from nothing.
fn broke(before: Option<&Stand>, now: &Stand) -> Option<Happening> {
    let (count, kind, message) = now.breaks.as_ref()?;
    let then = before.and_then(|before| before.breaks.as_ref()).map_or(0, |(count, ..)| *count);
    let times = match count.checked_sub(then) {
        _ if now.sort == "app" => u64::from(*count != then),
        // One that was started anew counts from the beginning.
        None => *count,
        Some(more) => more,
    };
    (times > 0).then(|| Happening {
        kind: (*kind).to_owned(),
        subject: now.subject.clone(),
        host: now.host.clone(),
        message: message.clone(),
        times,
    })
}

fn gone((sort, ..): &Thing, stand: &Stand, now: &BTreeMap<Thing, Stand>) -> Option<Happening> {
    let elsewhere = now.values().any(|other| other.sort == *sort && other.subject == stand.subject);
    // A thing with several places leaves one of them: that is the planner's business.
    (!elsewhere).then(|| Happening {
        kind: format!("{sort}_removed"),
        subject: stand.subject.clone(),
        host: stand.host.clone(),
        message: if stand.one_of_many { "it is on no host any more" } else { "it is not wanted any more" }.to_owned(),
        times: 1,
    })
}

fn stands(status: &Status) -> BTreeMap<Thing, Stand> {
    let names: BTreeMap<&HostId, &str> = status
        .hosts
        .iter()
        .map(|host| (&host.id, if host.name.is_empty() { host.id.as_str() } else { &host.name }))
        .collect();
    let name = |id: &HostId| names.get(id).copied().unwrap_or(id.as_str()).to_owned();
    let mut all = BTreeMap::new();
    for actor in &status.actors {
        for host in &actor.hosts {
            all.insert(("actor", actor.name.to_string(), host.id.to_string()), of_actor(actor, host, &name(&host.id)));
        }
    }
    for provider in &status.providers {
        for host in &provider.hosts {
            let thing = ("provider", provider.name.to_string(), host.id.to_string());
            all.insert(thing, of_provider(provider, host, &name(&host.id)));
        }
    }
    let of_all = |sort, subject: String, word: String, message: String| Stand {
        sort,
        subject,
        host: status.answered_by.clone(),
        word: Some(word),
        message,
        breaks: None,
        one_of_many: false,
    };
    for link in &status.links {
        let subject = Event::link_subject(&link.source, &link.target, &link.name);
        let interfaces: BTreeSet<_> = link.interfaces.iter().map(ToString::to_string).collect();
        let on = interfaces.into_iter().collect::<Vec<_>>().join(", ");
        let message = if link.reason.is_empty() { format!("on {on}") } else { format!("on {on}: {}", link.reason) };
        all.insert(
            ("link", subject.clone(), format!("{on} {}", link.app)),
            of_all("link", subject, word(&link.state), message),
        );
    }
    for app in &status.apps {
        let message = match (app.reason.is_empty(), app.revision) {
            (true, revision) => format!("revision {revision}"),
            (false, revision) => format!("revision {revision}: {}", app.reason),
        };
        let stand = of_all("app", app.name.to_string(), word(&app.state), message);
        let breaks = Some((app.revision, "app_changed", format!("revision {} is wanted", app.revision)));
        all.insert(("app", app.name.to_string(), String::new()), Stand { breaks, ..stand });
    }
    all
}

fn of_actor(actor: &ActorView, host: &ActorHostView, name: &str) -> Stand {
    let telling = match host.state {
        ActorState::Ready | ActorState::Failed => true,
        ActorState::Pending => !host.reason.is_empty() && host.reason != UNREPORTED,
        ActorState::Starting | ActorState::Draining => false,
    };
    Stand {
        sort: "actor",
        subject: actor.name.to_string(),
        host: host.id.clone(),
        word: telling.then(|| word(&host.state)),
        message: on(name, &host.reason),
        breaks: Some((host.breakdowns, "actor_broke", on(name, &host.last_breakdown))),
        one_of_many: true,
    }
}

fn of_provider(provider: &ProviderView, host: &ProviderHostView, name: &str) -> Stand {
    let telling = host.state != ProviderState::Starting;
    Stand {
        sort: "provider",
        subject: provider.name.to_string(),
        host: host.id.clone(),
        word: telling.then(|| word(&host.state)),
        message: on(name, &host.reason),
        breaks: Some((u64::from(host.restarts), "provider_restarted", on(name, &host.reason))),
        one_of_many: true,
    }
}

fn on(name: &str, reason: &str) -> String {
    if reason.is_empty() { format!("on {name}") } else { format!("on {name}: {reason}") }
}

#[cfg(test)]
mod tests;
