//! `get`: lists, computed from what is observed. `-w` goes on, and shows what changes.

mod tables;

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use clap::ValueEnum;
use mesh_lattice::{control::Status, stored::Event};
use mesh_transport::EventLog;
use serde::Serialize;
use serde_json::Value;

use crate::{
    cli::Global,
    client::{self, Client},
    exit::Failure,
    output::{Output, Table},
};

/// Between two looks with `-w`.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// List what is there
#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// What to list. A host is ready, cordoned, draining, lost, or untrusted: not enrolled, or revoked
    what: What,
    /// Only this one
    name: Option<String>,
    /// Go on, and show what changes
    #[arg(short, long)]
    watch: bool,
}

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    #[value(alias = "host")]
    Hosts,
    #[value(alias = "actor")]
    Actors,
    #[value(alias = "provider")]
    Providers,
    #[value(alias = "link")]
    Links,
    #[value(alias = "app")]
    Apps,
    #[value(alias = "configs")]
    Config,
    #[value(alias = "event")]
    Events,
}

/// A list as programs read it, and as people do.
pub(crate) struct List {
    /// What each entry is called, and what it is.
    pub(crate) entries: Vec<(String, Value)>,
    /// The same entries as rows.
    pub(crate) table: Table,
}

/// Show what happened
#[derive(Debug, clap::Args)]
pub(crate) struct Events {
    /// Only what is about this
    name: Option<String>,
    /// Go on, and show what happens
    #[arg(short, long)]
    watch: bool,
}

impl Events {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        Get { what: What::Events, name: self.name, watch: self.watch }.run(global, out)
    }
}

impl Get {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        client::connected(global, out, async |client| {
            if self.watch { self.watch(client, out).await } else { self.once(client, out).await }
        })
    }

    async fn list(&self, client: &Client) -> anyhow::Result<List> {
        let status = match self.what {
            What::Events => client.status_with_events().await?,
            _ => client.status().await?,
        };
        list(self.what, &status, self.name.as_deref())
    }

    async fn once(&self, client: &Client, out: &Output) -> anyhow::Result<()> {
        let List { entries, table } = self.list(client).await?;
        if let (true, Some(name), false) = (entries.is_empty(), &self.name, self.what == What::Events) {
            let value = self.what.to_possible_value();
            let what = value.as_ref().map_or("", |value| value.get_name().trim_end_matches('s'));
            return Err(Failure::not_found(format!("there is no {what} {name}")).into());
        }
        let values: Vec<Value> = entries.into_iter().map(|(_, value)| value).collect();
        out.show(&values, || table)
    }

    /// Shows what happened, and what happens.
    async fn follow(&self, client: &Client, out: &Output) -> anyhow::Result<()> {
        // Listening begins before the list is read: what comes in between is shown twice rather than not at all.
        let mut coming = EventLog::new(client.connections()).follow().await?;
        let (trust, status) = (client.trust().await?, client.status_with_events().await?);
        let names = self.name.as_ref().map(|name| names(&status, name));
        let mut shown = BTreeMap::new();
        show_changes(list(self.what, &status, self.name.as_deref())?, &mut shown, out)?;
        loop {
            let event = coming.next(status.incarnation, trust.as_ref()).await.context("the connection was closed")?;
            if names.as_ref().is_none_or(|names| is_about(&event, names)) {
                let first = shown.is_empty();
                let list = tables::events(&[event])?;
                let values: Vec<&Value> = list.entries.iter().map(|(_, value)| value).collect();
                out.show_more(&values, || list.table.only(&[true], first))?;
                shown.extend(list.entries.iter().cloned());
            }
        }
    }

    async fn watch(&self, client: &Client, out: &Output) -> anyhow::Result<()> {
        if self.what == What::Events {
            return self.follow(client, out).await;
        }
        let mut shown = BTreeMap::new();
        show_changes(self.list(client).await?, &mut shown, out)?;
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            match self.list(client).await {
                Ok(list) => show_changes(list, &mut shown, out)?,
                // What runs goes on, and so do we.
                Err(error) => out.detail(&format!("{error:#}")),
            }
        }
    }
}

/// Shows what is new since the last look.
fn show_changes(list: List, shown: &mut BTreeMap<String, Value>, out: &Output) -> anyhow::Result<()> {
    let first = shown.is_empty();
    let now: BTreeMap<String, Value> = list.entries.iter().cloned().collect();
    let changed: Vec<bool> = list.entries.iter().map(|(name, value)| shown.get(name) != Some(value)).collect();
    let gone: Vec<String> = shown.keys().filter(|name| !now.contains_key(*name)).cloned().collect();
    for name in gone {
        out.say(&format!("{name} is gone"));
    }
    let values: Vec<&Value> = list.entries.iter().zip(&changed).filter(|(_, new)| **new).map(|((_, v), _)| v).collect();
    *shown = now.clone();
    if values.is_empty() {
        return Ok(());
    }
    out.show_more(&values, || list.table.only(&changed, first))
}

/// The entries of that kind, or the one of that name.
pub(crate) fn list(what: What, status: &Status, name: Option<&str>) -> anyhow::Result<List> {
    let named = |one: &str| name.is_none_or(|name| name == one);
    match what {
        What::Hosts => tables::hosts(status, |host| named(host.id.as_str()) || named(&host.name)),
        What::Actors => tables::actors(status, |actor| named(actor.name.as_str())),
        What::Providers => tables::providers(status, |provider| named(provider.name.as_str())),
        What::Links => tables::links(status, |link| {
            named(link.source.as_str()) || named(link.target.as_str()) || named(link.name.as_str())
        }),
        What::Apps => tables::apps(status, |app| named(app.name.as_str())),
        // A configuration without values is one that was deleted.
        What::Config => tables::config(status, |config| !config.values.is_empty() && named(config.name.as_str())),
        What::Events => {
            let names = name.map(|name| names(status, name));
            let shown = |event: &&Event| names.as_ref().is_none_or(|names| is_about(event, names));
            let events: Vec<Event> = status.events.iter().filter(shown).cloned().collect();
            tables::events(&events)
        }
    }
}

/// What something of this name is called in events: a host by its key too.
fn names<'a>(status: &'a Status, name: &'a str) -> Vec<&'a str> {
    let hosts = status.hosts.iter().filter(|host| host.name == name).map(|host| host.id.as_str());
    std::iter::once(name).chain(hosts).collect()
}

fn is_about(event: &Event, names: &[&str]) -> bool {
    names.iter().any(|name| event.is_about(name))
}

/// An entry as programs read it.
fn value<T: Serialize>(entry: &T) -> anyhow::Result<Value> {
    serde_json::to_value(entry).context("cannot be written as JSON")
}
