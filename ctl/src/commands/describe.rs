//! `describe`: everything about one thing, why it is in its state, and what happened to it lately.

use anyhow::Context as _;
use clap::ValueEnum;
use mesh_lattice::{control::Status, stored::Event};
use serde_json::{Map, Value, json};

use super::{
    get::{self, What},
    whole,
};
use crate::{
    cli::Global,
    client,
    exit::Failure,
    output::{Output, Table},
    time,
};

/// Show everything about one thing
#[derive(Debug, clap::Args)]
pub(crate) struct Describe {
    /// host, actor, provider, link, app or config
    kind: Kind,
    /// Its name; a host's may be its key, a link's is its SOURCE, its TARGET or its name
    name: String,
    /// The TARGET of the link, where NAME is its SOURCE
    target: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    #[value(alias = "hosts")]
    Host,
    #[value(alias = "actors")]
    Actor,
    #[value(alias = "providers")]
    Provider,
    #[value(alias = "links")]
    Link,
    #[value(alias = "apps")]
    App,
    Config,
}

impl Kind {
    fn what(self) -> (What, &'static str) {
        match self {
            Self::Host => (What::Hosts, "host"),
            Self::Actor => (What::Actors, "actor"),
            Self::Provider => (What::Providers, "provider"),
            Self::Link => (What::Links, "link"),
            Self::App => (What::Apps, "app"),
            Self::Config => (What::Config, "config"),
        }
    }
}

impl Describe {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        let status = client::connected(global, out, async |client| client.status_with_events().await)?;
        let found = self.find(&status)?;
        out.show(&found, || table(&found))
    }

    fn find(&self, status: &Status) -> anyhow::Result<Vec<Value>> {
        let (what, word) = self.kind.what();
        let mut entries = get::list(what, status, Some(&self.name))?.entries;
        let mut name = self.name.clone();
        if let Some(target) = &self.target {
            if self.kind != Kind::Link {
                return Err(Failure::invalid(format!("{word} {name} has no target: only a link has")).into());
            }
            let is = |entry: &Value, end: &str, name: &str| entry.get(end).and_then(Value::as_str) == Some(name);
            entries.retain(|(_, entry)| is(entry, "source", &self.name) && is(entry, "target", target));
            name = format!("{name} -> {target}");
        }
        if entries.is_empty() {
            return Err(Failure::not_found(format!("there is no {word} {name}")).into());
        }
        entries.into_iter().map(|(_, entry)| self.complete(entry, status)).collect()
    }

    /// What happened to it lately, oldest first.
    fn events(&self, entry: &Map<String, Value>, status: &Status) -> Option<Value> {
        let text = |field: &str| entry.get(field).and_then(Value::as_str);
        let parsed = |field: &str| text(field).and_then(|text| text.parse().ok());
        let subject = match self.kind {
            Kind::Host => text("id")?.to_owned(),
            Kind::Link => {
                let name = text("name").and_then(|name| name.parse().ok()).unwrap_or_default();
                Event::link_subject(&parsed("source")?, &parsed("target")?, &name)
            }
            Kind::Actor | Kind::Provider | Kind::App | Kind::Config => text("name")?.to_owned(),
        };
        let sort = format!("{}_", self.kind.what().1);
        let ours = |event: &&Event| event.subject == subject && event.kind.starts_with(&sort);
        let mut events: Vec<_> = status.events.iter().rev().filter(ours).take(RECENT).collect();
        events.reverse();
        serde_json::to_value(events).ok()
    }

    /// The entry with what belongs to it: its links or its parts, and what happened to it.
    fn complete(&self, entry: Value, status: &Status) -> anyhow::Result<Value> {
        let Value::Object(mut entry) = entry else { return Ok(entry) };
        let events = self.events(&entry, status).context("the events")?;
        if matches!(self.kind, Kind::Actor | Kind::Provider) {
            let links = status
                .links
                .iter()
                .filter(|link| link.source.as_str() == self.name || link.target.as_str() == self.name);
            let links = serde_json::to_value(links.collect::<Vec<_>>()).context("the links")?;
            entry.insert("links".to_owned(), links);
        }
        if self.kind == Kind::App
            && let Ok(name) = self.name.parse()
        {
            let parts = whole::parts(status, &name);
            entry.insert("parts".to_owned(), serde_json::to_value(parts).context("the parts")?);
        }
        entry.insert("events".to_owned(), events);
        Ok(Value::Object(entry))
    }
}

fn table(found: &[Value]) -> Table {
    let mut table = Table::new(["", ""]);
    for (at, entry) in found.iter().enumerate() {
        if at > 0 {
            table.row([String::new(), String::new()]);
        }
        if let Value::Object(fields) = entry {
            rows(fields, "", &mut table);
        }
    }
    table
}

/// Events that are recent.
const RECENT: usize = 20;

/// Things of one list that a person is shown.
const LISTED: usize = 20;

/// What a person wants to read first.
const FIRST: [&str; 7] = ["name", "id", "source", "target", "state", "reason", "app"];

/// Fields that are moments, in seconds since 1970.
const MOMENTS: [&str; 3] = ["since", "expires", "not_before"];

/// Each field on a line of its own; lists of things indented below their name, last.
fn rows(fields: &Map<String, Value>, indent: &str, table: &mut Table) {
    let mut fields: Vec<_> = fields.iter().collect();
    let place = |name: &str| FIRST.iter().position(|first| *first == name).unwrap_or(FIRST.len());
    // What happened comes last of all.
    fields.sort_by_key(|(name, value)| (value.is_array() || value.is_object(), *name == "events", place(name)));
    for (name, value) in fields {
        let title = format!("{indent}{}:", name.replace('_', " "));
        match value {
            Value::Number(at) if MOMENTS.contains(&name.as_str()) => {
                table.row([title, at.as_u64().map_or_else(|| at.to_string(), time::utc)]);
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                table.row([title, String::new()]);
                for item in first_the_unwell(items).into_iter().take(LISTED) {
                    match item {
                        Value::Object(event) if event.contains_key("at") => {
                            table.row([format!("{indent}  -"), happened(event)])
                        }
                        Value::Object(fields) => {
                            table.row([format!("{indent}  -"), String::new()]);
                            rows(fields, &format!("{indent}    "), table);
                        }
                        other => table.row([format!("{indent}  -"), text(other)]),
                    }
                }
                if items.len() > LISTED {
                    let left = items.len() - LISTED;
                    table.row([format!("{indent}  -"), format!("{left} more: -o json lists all of them")]);
                }
            }
            Value::Object(inner) if !inner.is_empty() => {
                table.row([title, String::new()]);
                rows(inner, &format!("{indent}  "), table);
            }
            other => table.row([title, text(other)]),
        }
    }
}

/// Where not all are shown, those that have something to say come first.
fn first_the_unwell(items: &[Value]) -> Vec<&Value> {
    let mut all: Vec<&Value> = items.iter().collect();
    if all.len() > LISTED {
        all.sort_by_key(|item| item.get("reason").and_then(Value::as_str).is_none_or(str::is_empty));
    }
    all
}

fn happened(event: &Map<String, Value>) -> String {
    let field = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let at = event.get("at").and_then(Value::as_u64).unwrap_or_default();
    let number = |name: &str| event.get(name).and_then(Value::as_u64).unwrap_or_default();
    let often = match number("count") {
        0 | 1 => String::new(),
        count => format!(" ({count} times since {})", time::utc(number("first"))),
    };
    format!("{} {}: {}{often}", time::utc(at), field("kind"), field("message"))
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        Value::Object(fields) if fields.is_empty() => "-".to_owned(),
        other => json!(other).to_string(),
    }
}
