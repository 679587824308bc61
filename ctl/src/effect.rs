//! What a change will do, as a person reads it: made from what the leader says that it would do. Pure.

use std::collections::BTreeMap;

use mesh_lattice::{
    HostId,
    application::{Application, Replicas, Spread},
    control::{Effect, Status},
    stored::ItemKind,
};

use crate::{
    client::Change,
    difference::{Difference, Kind},
};

/// Hosts that are named; more are counted.
const NAMED: usize = 3;

/// What hosts call themselves.
pub(crate) struct Hosts(BTreeMap<HostId, String>);

impl Hosts {
    pub(crate) fn of(status: &Status) -> Self {
        Self(status.hosts.iter().map(|host| (host.id.clone(), host.name.clone())).collect())
    }

    fn list(&self, hosts: &[HostId]) -> String {
        if hosts.len() > NAMED {
            return format!("{} hosts", hosts.len());
        }
        let name = |id: &HostId| self.0.get(id).filter(|name| !name.is_empty()).cloned();
        let mut names: Vec<String> = hosts.iter().map(|id| name(id).unwrap_or_else(|| id.to_string())).collect();
        names.sort();
        names.join(", ")
    }
}

/// What becomes of one part of `wanted`, by what the leader says of all of them.
pub(crate) fn of_part(
    difference: &Difference,
    wanted: Option<&Application>,
    effects: &[Effect],
    hosts: &Hosts,
) -> String {
    if difference.kind == Kind::Link {
        return of_link(difference, effects);
    }
    let kind = if difference.kind == Kind::Actor { ItemKind::Actor } else { ItemKind::Provider };
    let found = effects.iter().find(|effect| effect.kind == kind && effect.name.as_str() == difference.name);
    match found {
        Some(effect) => sentence(effect, difference.change, placement(wanted, &difference.name), hosts),
        None if difference.change == Change::Updated => "restarts nothing".to_owned(),
        None => String::new(),
    }
}

/// What becomes of something that is not part of what changes.
pub(crate) fn beside(effect: &Effect, hosts: &Hosts) -> String {
    sentence(effect, Change::Unchanged, None, hosts)
}

fn sentence(effect: &Effect, change: Change, placed: Option<Placed<'_>>, hosts: &Hosts) -> String {
    let mut parts = Vec::new();
    let Effect { starts, stops, restarts, relinks, reason, .. } = effect;
    match (restarts.len(), effect.kind) {
        (0, _) => {}
        (1, ItemKind::Actor) => parts.push("rolls 1 replica".to_owned()),
        (count, ItemKind::Actor) => parts.push(format!("rolls {count} replicas")),
        (_, ItemKind::Provider) => parts.push(format!("restarts on {}", hosts.list(restarts))),
    }
    let everywhere = placed.as_ref().is_some_and(|placed| placed.everywhere);
    match (starts.is_empty(), stops.is_empty()) {
        (true, true) => {}
        (false, true) if everywhere && change == Change::Created => {
            parts.push(format!("starts on every host ({})", hosts.list(starts)));
        }
        (false, true) => parts.push(format!("starts on {}", hosts.list(starts))),
        (true, false) => parts.push(format!("stops on {}", hosts.list(stops))),
        (false, false) => {
            let labels = placed.as_ref().map(|placed| labels(placed.spreads)).unwrap_or_default();
            let to = if labels.is_empty() { String::new() } else { format!("{labels}: ") };
            parts.push(format!("moves to {to}{} from {}", hosts.list(starts), hosts.list(stops)));
        }
    }
    match relinks {
        0 => {}
        1 => parts.push("is told 1 link".to_owned()),
        count => parts.push(format!("is told {count} links")),
    }
    if parts.is_empty() {
        parts.push(match change {
            Change::Created if reason.is_empty() => "runs where an actor runs that is linked to it".to_owned(),
            Change::Created => "waits".to_owned(),
            _ => "restarts nothing".to_owned(),
        });
    }
    if !reason.is_empty() {
        parts.push(reason.clone());
    }
    parts.join("; ")
}

/// Where a part is wanted.
struct Placed<'a> {
    everywhere: bool,
    spreads: &'a [Spread],
}

fn placement<'a>(wanted: Option<&'a Application>, name: &str) -> Option<Placed<'a>> {
    let name = name.parse().ok()?;
    let wanted = wanted?;
    let actor = wanted.actor(&name).map(|actor| (Some(actor.replicas), &actor.placement));
    let provider = || wanted.provider(&name).map(|provider| (provider.replicas, &provider.placement));
    let (replicas, spreads) = actor.or_else(provider)?;
    Some(Placed { everywhere: replicas == Some(Replicas::Everywhere), spreads })
}

fn labels(spreads: &[Spread]) -> String {
    let one = |spread: &Spread| {
        spread.labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
    };
    let all: Vec<String> = spreads.iter().map(one).filter(|labels| !labels.is_empty()).collect();
    all.join(" or ")
}

fn of_link(difference: &Difference, effects: &[Effect]) -> String {
    let (ends, _) = difference.name.split_once(" as ").unwrap_or((&difference.name, ""));
    let Some((source, target)) = ends.split_once(" -> ") else { return String::new() };
    let what = match difference.change {
        Change::Created => format!("lets {source} call {target}"),
        Change::Removed => format!("{source} may call {target} no more"),
        Change::Updated | Change::Unchanged => "restarts nothing".to_owned(),
    };
    let told = effects.iter().filter(|effect| effect.relinks > 0 && [source, target].contains(&effect.name.as_str()));
    let told: Vec<&str> = told.map(|effect| effect.name.as_str()).collect();
    if told.is_empty() { what } else { format!("{what}; {} is told, without a restart", told.join(" and ")) }
}

#[cfg(test)]
mod tests {
    use mesh_claims::{KeyKind, KeyPair};

    use super::*;

    fn said(change: Change, text: serde_json::Value, fill: impl FnOnce(&mut Effect, &[HostId])) -> String {
        let mut ids: Vec<HostId> = (0..5).map(|_| KeyPair::generate(KeyKind::Host).host_id().unwrap()).collect();
        ids.sort();
        let hosts = Hosts(ids.iter().enumerate().map(|(n, id)| (id.clone(), format!("host-{}", n + 1))).collect());
        let mut actor = serde_json::json!({ "name": "a", "artifact": { "digest": mesh_lattice::Digest::of(b"") } });
        actor.as_object_mut().unwrap().extend(text.as_object().unwrap().clone());
        let wanted: Application =
            serde_json::from_value(serde_json::json!({ "name": "x", "actors": [actor] })).unwrap();
        let mut effect = Effect {
            kind: ItemKind::Actor,
            name: "a".parse().unwrap(),
            app: "x".parse().unwrap(),
            wanted: 1,
            starts: Vec::new(),
            stops: Vec::new(),
            restarts: Vec::new(),
            relinks: 0,
            reason: String::new(),
        };
        fill(&mut effect, &ids);
        let difference = Difference { kind: Kind::Actor, name: "a".into(), change, fields: Vec::new() };
        of_part(&difference, Some(&wanted), &[effect], &hosts)
    }

    #[test]
    fn what_a_change_does_is_a_sentence() {
        let none = || serde_json::json!({});
        let edge = serde_json::json!({ "placement": [{ "where": { "zone": "edge" } }] });
        for (is, sentence) in [
            (said(Change::Updated, none(), |_, _| {}), "restarts nothing"),
            (said(Change::Updated, none(), |effect, ids| effect.restarts = ids[..3].to_vec()), "rolls 3 replicas"),
            (
                said(Change::Created, none(), |effect, ids| effect.starts = ids[..2].to_vec()),
                "starts on host-1, host-2",
            ),
            (said(Change::Removed, none(), |effect, ids| effect.stops = ids.to_vec()), "stops on 5 hosts"),
            (
                said(Change::Created, serde_json::json!({ "replicas": "everywhere" }), |effect, ids| {
                    effect.starts = ids[..1].to_vec();
                }),
                "starts on every host (host-1)",
            ),
            (
                said(Change::Updated, edge, |effect, ids| {
                    effect.starts = ids[..1].to_vec();
                    effect.stops = ids[1..2].to_vec();
                }),
                "moves to zone=edge: host-1 from host-2",
            ),
            (
                said(Change::Created, none(), |effect, _| effect.reason = "1 of 1 pending".into()),
                "waits; 1 of 1 pending",
            ),
            (said(Change::Updated, none(), |effect, _| effect.relinks = 2), "is told 2 links"),
        ] {
            assert_eq!(is, sentence);
        }
    }
}
