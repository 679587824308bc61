//! Each list as rows.

use std::collections::BTreeMap;

use mesh_lattice::{
    HostId,
    control::{ActorView, AppView, ConfigView, HostView, LinkView, ProviderView, Status, word},
    name::Labels,
    stored::Event,
};
use serde::Serialize;

use super::{List, value};
use crate::{output::Table, time};

/// Hosts that are named in a cell; of more, the states are counted.
const NAMED: usize = 6;

pub(super) fn hosts(status: &Status, shown: impl Fn(&HostView) -> bool) -> anyhow::Result<List> {
    let titles = ["NAME", "STATE", "LEADER", "ACTORS", "PROVIDERS", "UPTIME", "+VERSION", "+LABELS", "ID"];
    list(titles, status.hosts.iter().filter(|host| shown(host)), |host| {
        let row = vec![
            if host.name.is_empty() { "-".to_owned() } else { host.name.clone() },
            word(&host.state),
            if host.leader { "yes".into() } else { String::new() },
            host.actors.to_string(),
            host.providers.to_string(),
            age(host.uptime_seconds),
            host.version.clone(),
            labels(&host.labels),
            host.id.to_string(),
        ];
        (host.id.to_string(), row)
    })
}

pub(super) fn actors(status: &Status, shown: impl Fn(&ActorView) -> bool) -> anyhow::Result<List> {
    let titles = [
        "NAME",
        "READY",
        "CALLS",
        "INSTANCES",
        "+HOSTS",
        "APP",
        "REVISION",
        "DIGEST",
        "+ISSUER",
        "+ARTIFACT",
        "+CONFIG",
        "WHY",
    ];
    list(titles, status.actors.iter().filter(|actor| shown(actor)), |actor| {
        let hosts = places(status, actor.hosts.iter().map(|host| (&host.id, word(&host.state))));
        let row = vec![
            actor.name.to_string(),
            format!("{}/{}", actor.replicas.ready, actor.replicas.desired),
            actor.hosts.iter().map(|host| host.calls).sum::<u64>().to_string(),
            actor.hosts.iter().map(|host| host.instances).sum::<u32>().to_string(),
            hosts,
            actor.app.to_string(),
            actor.revision.to_string(),
            actor.digest.to_string().chars().take(12).collect(),
            actor.issuer.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
            actor.artifact.clone(),
            pairs(&actor.config),
            actor.reason.clone(),
        ];
        (actor.name.to_string(), row)
    })
}

pub(super) fn providers(status: &Status, shown: impl Fn(&ProviderView) -> bool) -> anyhow::Result<List> {
    let titles = ["NAME", "USE", "HOSTS", "APP", "+INTERFACES", "+PINNED", "+CONFIG", "WHY"];
    list(titles, status.providers.iter().filter(|provider| shown(provider)), |provider| {
        let hosts = places(status, provider.hosts.iter().map(|host| (&host.id, word(&host.state))));
        let row = vec![
            provider.name.to_string(),
            provider.kind.to_string(),
            hosts,
            provider.app.to_string(),
            if provider.interfaces.is_empty() { "-".to_owned() } else { join(&provider.interfaces) },
            provider.pinned.as_ref().map_or_else(|| "-".to_owned(), |host| status.host_name(host)),
            pairs(&provider.config),
            provider.reason.clone(),
        ];
        (provider.name.to_string(), row)
    })
}

pub(super) fn links(status: &Status, shown: impl Fn(&LinkView) -> bool) -> anyhow::Result<List> {
    let titles = ["SOURCE", "TARGET", "INTERFACES", "NAME", "STATE", "APP", "+CONFIG", "WHY"];
    list(titles, status.links.iter().filter(|link| shown(link)), |link| {
        let row = vec![
            link.source.to_string(),
            link.target.to_string(),
            join(&link.interfaces),
            link.name.to_string(),
            word(&link.state),
            link.app.to_string(),
            pairs(link.source_config.iter().chain(&link.target_config)),
            link.reason.clone(),
        ];
        (format!("{} {} {} {}", link.source, link.target, link.name, join(&link.interfaces)), row)
    })
}

pub(super) fn apps(status: &Status, shown: impl Fn(&AppView) -> bool) -> anyhow::Result<List> {
    let titles = ["NAME", "REVISION", "STATE", "SINCE", "WHY"];
    list(titles, status.apps.iter().filter(|app| shown(app)), |app| {
        let row = vec![
            app.name.to_string(),
            app.revision.to_string(),
            word(&app.state),
            age(time::now().saturating_sub(app.since)),
            app.reason.clone(),
        ];
        (app.name.to_string(), row)
    })
}

pub(super) fn config(status: &Status, shown: impl Fn(&ConfigView) -> bool) -> anyhow::Result<List> {
    list(["NAME", "VALUES"], status.config.iter().filter(|config| shown(config)), |config| {
        (config.name.to_string(), vec![config.name.to_string(), pairs(&config.values)])
    })
}

pub(super) fn events(events: &[Event]) -> anyhow::Result<List> {
    list(["AT", "COUNT", "KIND", "SUBJECT", "MESSAGE", "+FIRST", "+HOST"], events.iter(), |event| {
        let row = vec![
            time::utc(event.at),
            event.count.to_string(),
            event.kind.clone(),
            event.subject.clone(),
            event.message.clone(),
            time::utc(if event.first == 0 { event.at } else { event.first }),
            event.host.to_string(),
        ];
        (format!("{} {} {}", event.at, event.kind, event.subject), row)
    })
}

fn list<'a, T: Serialize + 'a>(
    titles: impl IntoIterator<Item = &'static str>,
    items: impl Iterator<Item = &'a T>,
    row: impl Fn(&T) -> (String, Vec<String>),
) -> anyhow::Result<List> {
    let mut list = List { entries: Vec::new(), table: Table::new(titles) };
    for item in items {
        let (name, cells) = row(item);
        list.entries.push((name, value(item)?));
        list.table.row(cells);
    }
    Ok(list)
}

/// Each host and its state, or where there are many, how many are in each state.
fn places<'a>(status: &Status, hosts: impl Iterator<Item = (&'a HostId, String)>) -> String {
    let hosts: Vec<_> = hosts.collect();
    let places: Vec<String> = if hosts.len() <= NAMED {
        hosts.iter().map(|(id, state)| format!("{}={state}", status.host_name(id))).collect()
    } else {
        let mut states: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, state) in &hosts {
            *states.entry(state).or_default() += 1;
        }
        states.iter().map(|(state, count)| format!("{count} {state}")).collect()
    };
    if places.is_empty() { "-".to_owned() } else { places.join(",") }
}

fn join<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn pairs<'a>(values: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    let pairs: Vec<String> = values.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    if pairs.is_empty() { "-".to_owned() } else { pairs.join(" ") }
}

fn labels(labels: &Labels) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}
