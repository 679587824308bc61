//! `top`: what is busy, the busiest first: actors, or the hosts that they run on. `-w` goes on.
//!
//! Hosts say how many calls they have answered about once a second, together with how long they have been up; two of
//! these reports make a rate, by the clock of the host itself.

use std::{collections::BTreeMap, io::IsTerminal as _, time::Duration};

use clap::ValueEnum;
use mesh_lattice::{
    HostId,
    control::{HostView, Status},
};
use serde::Serialize;
use tokio::time::sleep;

use crate::{
    cli::Global,
    client::{self, Client},
    output::{Output, Table},
};

/// Between the two looks that make a rate: a few reports of each host.
const BETWEEN: Duration = Duration::from_secs(3);
/// Moves to the upper left corner of a terminal, and clears what is below.
const CLEAR: &str = "\x1b[H\x1b[J";

/// Show what is busy
#[derive(Debug, clap::Args)]
pub(crate) struct Top {
    /// What to show
    #[arg(value_enum, default_value_t = What::Actors)]
    what: What,
    /// Go on, and show it again every three seconds
    #[arg(short, long)]
    watch: bool,
}

/// What can be busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Actors,
    Hosts,
}

/// How busy one of them is.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Busy {
    name: String,
    /// Hosts of an actor, actors of a host.
    #[serde(skip_serializing_if = "Option::is_none")]
    hosts: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actors: Option<usize>,
    instances: u32,
    /// None where no host has reported twice.
    calls_per_second: Option<f64>,
    calls: u64,
    breakdowns: u64,
}

impl Top {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        client::connected(global, out, async |client| self.show(client, out).await)
    }

    async fn show(&self, client: &Client, out: &Output) -> anyhow::Result<()> {
        let mut before = client.status().await?;
        loop {
            sleep(BETWEEN).await;
            let now = match client.status().await {
                // What runs goes on, and so do we.
                Err(error) if self.watch => {
                    out.detail(&format!("{error:#}"));
                    continue;
                }
                now => now?,
            };
            let busy = match self.what {
                What::Actors => actors(&before, &now),
                What::Hosts => hosts(&before, &now),
            };
            if self.watch && out.is_for_people() && std::io::stdout().is_terminal() {
                out.text(CLEAR)?;
            }
            out.show(&busy, || table(self.what, &busy))?;
            if !self.watch {
                return Ok(());
            }
            before = now;
        }
    }
}

/// The calls of each actor on each host.
fn counted(status: &Status) -> BTreeMap<(&str, &HostId), u64> {
    let all = status
        .actors
        .iter()
        .flat_map(|actor| actor.hosts.iter().map(move |host| ((actor.name.as_str(), &host.id), host.calls)));
    all.collect()
}

/// Calls a second on this host between two looks; none where it was not there, began anew or said nothing since.
fn rate(before: &Status, host: &HostView, calls: Option<u64>, now: u64) -> Option<f64> {
    let up = before.hosts.iter().find(|other| other.id == host.id)?.uptime_seconds;
    let seconds = host.uptime_seconds.checked_sub(up).filter(|seconds| *seconds > 0)?;
    let calls = now.checked_sub(calls?)?;
    Some(f64::from(u32::try_from(calls).unwrap_or(u32::MAX)) / f64::from(u32::try_from(seconds).unwrap_or(u32::MAX)))
}

/// The sum of what is known; none where nothing is.
fn sum(rates: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    rates.flatten().fold(None, |all, rate| Some(all.unwrap_or(0.0) + rate))
}

fn actors(before: &Status, now: &Status) -> Vec<Busy> {
    let earlier = counted(before);
    let busy = now.actors.iter().map(|actor| {
        let rates = actor.hosts.iter().map(|on| {
            let host = now.hosts.iter().find(|host| host.id == on.id)?;
            rate(before, host, earlier.get(&(actor.name.as_str(), &on.id)).copied(), on.calls)
        });
        Busy {
            name: actor.name.to_string(),
            hosts: Some(actor.hosts.len()),
            actors: None,
            instances: actor.hosts.iter().map(|on| on.instances).sum(),
            calls_per_second: sum(rates),
            calls: actor.hosts.iter().map(|on| on.calls).sum(),
            breakdowns: actor.hosts.iter().map(|on| on.breakdowns).sum(),
        }
    });
    sorted(busy.collect())
}

fn hosts(before: &Status, now: &Status) -> Vec<Busy> {
    let earlier = counted(before);
    let busy = now.hosts.iter().map(|host| {
        let here: Vec<_> = now
            .actors
            .iter()
            .filter_map(|actor| Some((actor.name.as_str(), actor.hosts.iter().find(|on| on.id == host.id)?)))
            .collect();
        let rates =
            here.iter().map(|(name, on)| rate(before, host, earlier.get(&(*name, &host.id)).copied(), on.calls));
        Busy {
            name: if host.name.is_empty() { host.id.to_string() } else { host.name.clone() },
            hosts: None,
            actors: Some(here.len()),
            instances: here.iter().map(|(_, on)| on.instances).sum(),
            calls_per_second: sum(rates),
            calls: here.iter().map(|(_, on)| on.calls).sum(),
            breakdowns: here.iter().map(|(_, on)| on.breakdowns).sum(),
        }
    });
    sorted(busy.collect())
}

/// The busiest first.
fn sorted(mut busy: Vec<Busy>) -> Vec<Busy> {
    let rank = |busy: &Busy| busy.calls_per_second.unwrap_or(-1.0);
    busy.sort_by(|one, other| {
        rank(other)
            .total_cmp(&rank(one))
            .then(other.instances.cmp(&one.instances))
            .then_with(|| one.name.cmp(&other.name))
    });
    busy
}

fn table(what: What, busy: &[Busy]) -> Table {
    let (first, second) = match what {
        What::Actors => ("ACTOR", "HOSTS"),
        What::Hosts => ("HOST", "ACTORS"),
    };
    let mut table = Table::new([first, second, "INSTANCES", "CALLS/S", "CALLS", "BREAKDOWNS"]);
    for one in busy {
        table.row([
            one.name.clone(),
            one.hosts.or(one.actors).unwrap_or_default().to_string(),
            one.instances.to_string(),
            one.calls_per_second.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}")),
            one.calls.to_string(),
            one.breakdowns.to_string(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use mesh_lattice::{
        Digest, Incarnation,
        control::{ActorHostView, ActorView, HostState, ReplicaView},
        stored::ActorState,
    };

    use super::*;

    fn id(n: u8) -> HostId {
        mesh_lattice::id::key_text(13 << 3, &[n; 32]).parse().unwrap()
    }

    fn host(n: u8, uptime_seconds: u64) -> HostView {
        HostView {
            id: id(n),
            name: format!("host-{n}"),
            labels: BTreeMap::new(),
            version: String::new(),
            state: HostState::Ready,
            leader: false,
            uptime_seconds,
            actors: 1,
            providers: 0,
        }
    }

    fn actor(name: &str, calls: &[(u8, u64)]) -> ActorView {
        let on = |(n, calls): &(u8, u64)| ActorHostView {
            id: id(*n),
            state: ActorState::Ready,
            behind: false,
            instances: 2,
            calls: *calls,
            breakdowns: 1,
            last_breakdown: String::new(),
            reason: String::new(),
        };
        ActorView {
            name: name.parse().unwrap(),
            app: "adhoc".parse().unwrap(),
            artifact: String::new(),
            digest: Digest::of(b""),
            issuer: None,
            revision: 1,
            config: BTreeMap::new(),
            replicas: ReplicaView { desired: 1, ready: 1 },
            reason: String::new(),
            hosts: calls.iter().map(on).collect(),
        }
    }

    fn status(hosts: Vec<HostView>, actors: Vec<ActorView>) -> Status {
        Status {
            answered_by: id(1),
            lattice: "default".parse().unwrap(),
            incarnation: Incarnation::new(),
            hosts,
            actors,
            providers: Vec::new(),
            links: Vec::new(),
            apps: Vec::new(),
            config: Vec::new(),
            trust: Vec::new(),
            events: Vec::new(),
        }
    }

    #[test]
    fn a_rate_is_made_of_two_reports_of_the_same_life_of_a_host() {
        let before = status(
            vec![host(1, 10), host(2, 100)],
            vec![actor("quiet", &[(1, 5)]), actor("busy", &[(1, 100), (2, 900)])],
        );
        // The second host began anew; a third one is new.
        let now = status(
            vec![host(1, 12), host(2, 1), host(3, 1)],
            vec![actor("quiet", &[(1, 5)]), actor("busy", &[(1, 300), (2, 7)]), actor("new", &[(3, 50)])],
        );
        let all = actors(&before, &now);
        let rates: Vec<_> = all.iter().map(|busy| (busy.name.as_str(), busy.calls_per_second, busy.calls)).collect();
        assert_eq!(rates, [("busy", Some(100.0), 307), ("quiet", Some(0.0), 5), ("new", None, 50)]);
        let all = hosts(&before, &now);
        let rates: Vec<_> = all.iter().map(|busy| (busy.name.as_str(), busy.calls_per_second, busy.actors)).collect();
        assert_eq!(rates, [("host-1", Some(100.0), Some(2)), ("host-2", None, Some(1)), ("host-3", None, Some(1))]);
        assert_eq!(hosts(&now, &now)[0].calls_per_second, None, "nobody has reported since");
    }
}
