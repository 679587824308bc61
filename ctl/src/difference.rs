//! What differs between two revisions of an application, part by part and field by field, in the words of a manifest. Pure;
//! `rollout history`, `diff` and `apply` show it.
//!
//! Fields are found in the stored form, so that one which this file has no words for is shown as well, under the name that it
//! has there. What an actor imports and exports follows its artifact and is left out.

mod words;

use std::{collections::BTreeMap, fmt};

use mesh_lattice::application::{Actor, Application, Link, Provider};
use serde::Serialize;
use serde_json::Value;

use crate::client::Change;

/// A part of an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Actor,
    Provider,
    Link,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Actor => "actor",
            Self::Provider => "provider",
            Self::Link => "link",
        })
    }
}

/// What becomes of one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    pub(crate) kind: Kind,
    /// Its name; the ends of a link.
    pub(crate) name: String,
    #[serde(rename = "action")]
    pub(crate) change: Change,
    /// What differs; of a part that comes or goes, what it says.
    pub(crate) fields: Vec<Field>,
}

/// One field, before and after; `None` where it is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Field {
    pub(crate) field: String,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
}

/// All that differs, actors first, by their names.
pub(crate) fn differences(before: Option<&Application>, after: Option<&Application>) -> Vec<Difference> {
    let (old, new) = (before.map(parts).unwrap_or_default(), after.map(parts).unwrap_or_default());
    let mut all: Vec<Difference> = Vec::new();
    for (place, was) in &old {
        match new.get(place) {
            Some(is) if is == was => {}
            Some(is) => all.push(place.difference(Change::Updated, Some(was), Some(is))),
            None => all.push(place.difference(Change::Removed, Some(was), None)),
        }
    }
    let come = new.iter().filter(|(place, _)| !old.contains_key(*place));
    all.extend(come.map(|(place, is)| place.difference(Change::Created, None, Some(is))));
    all.sort_by(|one, other| (one.kind, &one.name).cmp(&(other.kind, &other.name)));
    all
}

/// Whether both want the same, in whatever order they say it.
pub(crate) fn is_same(one: &Application, other: &Application) -> bool {
    one.name == other.name && parts(one) == parts(other)
}

/// Where a part stands: links of one name between the same ends are told apart by their order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    kind: Kind,
    name: String,
    nth: usize,
}

type Fields = BTreeMap<String, String>;

/// What each part says.
fn parts(application: &Application) -> BTreeMap<Place, Fields> {
    let mut all = BTreeMap::new();
    let mut add = |kind, name: String, fields| {
        let nth = (0..).find(|nth| !all.contains_key(&Place { kind, name: name.clone(), nth: *nth }));
        all.insert(Place { kind, name, nth: nth.unwrap_or_default() }, fields);
    };
    for actor in &application.actors {
        add(Kind::Actor, actor.name.to_string(), actor_fields(actor));
    }
    for provider in &application.providers {
        add(Kind::Provider, provider.name.to_string(), provider_fields(provider));
    }
    let mut links: Vec<&Link> = application.links.iter().collect();
    links.sort_by_key(|link| (&link.source, &link.target, &link.name, &link.interfaces));
    for link in links {
        add(Kind::Link, link_name(link), link_fields(link));
    }
    all
}

/// What a link is called: its ends, and its name where it has one.
pub(crate) fn link_name(link: &Link) -> String {
    mesh_lattice::stored::Event::link_subject(&link.source, &link.target, &link.name)
}

fn actor_fields(actor: &Actor) -> Fields {
    let mut fields = fields(actor, &["name", "imports", "exports", "artifact"]);
    fields.insert("artifact".to_owned(), words::digest(&actor.artifact.digest));
    fields
}

fn provider_fields(provider: &Provider) -> Fields {
    fields(provider, &["name", "interfaces"])
}

fn link_fields(link: &Link) -> Fields {
    fields(link, &["source", "target", "name"])
}

fn fields<T: Serialize>(part: &T, left_out: &[&str]) -> Fields {
    let mut fields = Fields::new();
    if let Ok(Value::Object(values)) = serde_json::to_value(part) {
        for (name, value) in values.iter().filter(|(name, _)| !left_out.contains(&name.as_str())) {
            words::put(name, value, &mut fields);
        }
    }
    fields
}

impl Place {
    fn difference(&self, change: Change, was: Option<&Fields>, is: Option<&Fields>) -> Difference {
        let (none, mut fields) = (Fields::new(), Vec::new());
        let (was, is) = (was.unwrap_or(&none), is.unwrap_or(&none));
        let names: std::collections::BTreeSet<&String> = was.keys().chain(is.keys()).collect();
        for name in names {
            let (before, after) = (was.get(name), is.get(name));
            if before != after {
                let shown = |value: Option<&String>| value.map(|value| words::shown(name, value));
                fields.push(Field { field: name.clone(), before: shown(before), after: shown(after) });
            }
        }
        Difference { kind: self.kind, name: self.name.clone(), change, fields }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) if before == after => write!(f, "{} {after}, another", self.field),
            (Some(before), Some(after)) => write!(f, "{} {before} → {after}", self.field),
            (None, Some(after)) => write!(f, "{} {after}", self.field),
            (Some(before), None) => write!(f, "{} no longer {before}", self.field),
            (None, None) => f.write_str(&self.field),
        }
    }
}

/// All of it in a line.
pub(crate) fn in_a_line(differences: &[Difference]) -> String {
    let one = |difference: &Difference| {
        let Difference { kind, name, change, fields } = difference;
        match change {
            Change::Updated => {
                let fields: Vec<String> = fields.iter().map(ToString::to_string).collect();
                format!("{kind} {name}: {}", fields.join(", "))
            }
            Change::Created => format!("{kind} {name} added"),
            Change::Removed => format!("{kind} {name} removed"),
            Change::Unchanged => format!("{kind} {name} unchanged"),
        }
    };
    if differences.is_empty() {
        return "nothing but its signature".to_owned();
    }
    differences.iter().map(one).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn application(change: impl FnOnce(&mut Value)) -> Application {
        let mut text = json!({
            "name": "demo",
            "actors": [{ "name": "counter", "artifact": { "digest": mesh_lattice::Digest::of(b"one") },
                         "replicas": { "count": 2 }, "config": [{ "values": { "greeting": "hello", "token": "t" } }] }],
            "providers": [{ "name": "web", "use": "http-server", "replicas": "everywhere" }],
            "links": [{ "source": "web", "target": "counter", "interfaces": ["wasi:http/incoming-handler"] }],
        });
        change(&mut text);
        serde_json::from_value(text).unwrap()
    }

    fn line(change: impl FnOnce(&mut Value)) -> String {
        in_a_line(&differences(Some(&application(|_| {})), Some(&application(change))))
    }

    #[test]
    fn each_field_that_differs_is_named_in_the_words_of_a_manifest() {
        let actor = |field: &'static str, value: Value| line(|text| text["actors"][0][field] = value);
        assert_eq!(actor("replicas", json!({ "count": 3 })), "actor counter: replicas 2 → 3");
        assert_eq!(actor("replicas", json!("everywhere")), "actor counter: replicas 2 → everywhere");
        assert_eq!(
            actor("limits", json!({ "memory_bytes": 1 << 20, "cpu_ms": 20 })),
            "actor counter: limits.cpu 500ms → 20ms, limits.memory 64MiB → 1MiB"
        );
        let other = mesh_lattice::Digest::of(b"two");
        let artifact = actor("artifact", json!({ "digest": other, "reference": "x" }));
        assert!(artifact.starts_with("actor counter: artifact ") && artifact.contains(" → "), "{artifact}");
        assert_eq!(
            actor("config", json!([{ "values": { "greeting": "hi", "token": "u" } }])),
            "actor counter: config.greeting hello → hi, config.token (hidden), another"
        );
        assert_eq!(
            actor("config", json!([{ "shared": "s" }, { "values": { "greeting": "hello", "token": "t" } }])),
            "actor counter: config.@s yes, config.order @s, greeting, token"
        );
        assert_eq!(
            actor("placement", json!([{ "where": { "zone": "edge" }, "weight": 30 }])),
            "actor counter: placement zone=edge weight 30"
        );
        assert_eq!(actor("concurrency", json!(7)), "actor counter: concurrency 64 → 7");
        assert_eq!(
            line(|text| text["links"][0]["idempotent"] = json!(true)),
            "link web -> counter: idempotent no → yes"
        );
        assert_eq!(line(|text| text["links"][0]["timeout_ms"] = json!(2000)), "link web -> counter: timeout 2s");
    }

    #[test]
    fn parts_come_and_go_and_their_order_says_nothing() {
        assert_eq!(line(|text| text["links"] = json!([])), "link web -> counter removed");
        let more = |text: &mut Value| {
            let second = json!({ "source": "web", "target": "counter", "interfaces": ["a:b"], "name": "two" });
            text["links"].as_array_mut().unwrap().insert(0, second);
        };
        assert_eq!(line(more), "link web -> counter as two added");
        let both = application(more);
        let mut turned = both.clone();
        turned.links.reverse();
        assert!(is_same(&both, &turned) && differences(Some(&both), Some(&turned)).is_empty());
        let all = differences(None, Some(&both));
        assert_eq!(all.iter().filter(|difference| difference.change == Change::Created).count(), 4);
        assert_eq!(differences(Some(&both), None).len(), 4);
        let mut reference = both.clone();
        reference.actors[0].artifact.reference = "elsewhere/counter.wasm".into();
        assert!(is_same(&both, &reference), "what a person called it is not what runs");
    }
}
