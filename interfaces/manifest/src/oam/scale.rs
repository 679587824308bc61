//! `spreadscaler` and `daemonscaler`: how many instances may run, and where.
//!
//! OAM counts instances, a lattice counts hosts and the instances on each. `instances` is the most that may run at once:
//! it is spread over as many hosts as there are, `min(instances, eligible hosts)`, and each gets its share, rounded up.
//! Where the hosts are not known, one for each spread is assumed. A daemon scaler counts the instances of each host.

use std::sync::Arc;

use mesh_lattice::{
    application::{Replicas, Spread, range},
    name::Labels,
};

use super::{Oam, shape};
use crate::{
    fields::Reader,
    source::{Span, Spanned},
    yaml::Node,
};

/// The most instances that a scaler may say.
const INSTANCES: std::ops::RangeInclusive<u64> = 0..=1_000_000;

/// What a scaler says.
#[derive(Debug, Clone)]
pub(super) struct Scaler {
    instances: u64,
    spread: Vec<Spread>,
    daemon: bool,
    pub(super) span: Span,
}

/// What it comes to in a lattice.
pub(super) struct Scale {
    pub(super) replicas: Spanned<Replicas>,
    pub(super) concurrency: u32,
    pub(super) placement: Vec<Spread>,
}

impl Scaler {
    /// What is meant where nothing is said.
    pub(super) fn one(span: Span) -> Self {
        Self { instances: 1, spread: Vec::new(), daemon: false, span }
    }

    pub(super) fn scale(self, hosts: Option<&[Labels]>) -> Scale {
        let (most_replicas, most_concurrency) = (*range::REPLICAS.end(), *range::CONCURRENCY.end());
        let (replicas, share) = if self.daemon {
            (Replicas::Everywhere, self.instances)
        } else {
            let hosts = self.eligible(hosts).clamp(1, most_replicas);
            let replicas = self.instances.min(hosts);
            (Replicas::Count(u32::try_from(replicas).unwrap_or(u32::MAX)), self.instances.div_ceil(replicas.max(1)))
        };
        let concurrency = u32::try_from(share.clamp(1, most_concurrency)).unwrap_or(u32::MAX);
        Scale { replicas: Spanned::new(replicas, self.span), concurrency, placement: self.spread }
    }

    fn eligible(&self, hosts: Option<&[Labels]>) -> u64 {
        let count = match hosts {
            None => self.spread.len(),
            Some(hosts) if self.spread.is_empty() => hosts.len(),
            Some(hosts) => {
                hosts.iter().filter(|host| self.spread.iter().any(|spread| carries(host, &spread.labels))).count()
            }
        };
        u64::try_from(count).unwrap_or(u64::MAX)
    }
}

fn carries(host: &Labels, wanted: &Labels) -> bool {
    wanted.iter().all(|(key, value)| host.get(key) == Some(value))
}

impl Oam<'_> {
    pub(super) fn scaler(&mut self, properties: Option<&Arc<Node>>, daemon: bool, span: Span) -> Scaler {
        let one = Scaler { daemon, ..Scaler::one(span) };
        let reader = &mut self.reader;
        let Some(fields) = properties.and_then(|node| reader.fields(node, &shape::SCALER)) else { return one };
        let instances = reader.count(fields.get("instances"), "instances", INSTANCES);
        let replicas = reader.count(fields.get("replicas"), "replicas", INSTANCES);
        if let (Some(_), Some(replicas)) = (&instances, &replicas) {
            let message = "`instances` and `replicas` are two words for one thing";
            reader.fault_help(replicas.span, message, "leave `replicas` out");
        }
        let said = instances.or(replicas);
        let spread = spread(reader, fields.get("spread"));
        let span = said.as_ref().map_or(span, |said| said.span);
        Scaler { instances: said.map_or(1, |said| said.value), spread, daemon, span }
    }
}

fn spread(reader: &mut Reader<'_>, node: Option<&Arc<Node>>) -> Vec<Spread> {
    let mut spreads = Vec::new();
    for node in reader.items(node, "spread") {
        let Some(fields) = reader.fields(node, &shape::SPREAD) else { continue };
        let labels = reader.labels(fields.get("requirements"), "requirements");
        let weight = reader.count(fields.get("weight"), "weight", range::WEIGHT);
        let weight = weight.and_then(|weight| u32::try_from(weight.value).ok()).unwrap_or(100);
        spreads.push(Spread { labels, weight });
    }
    spreads
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(instances: u64, hosts: Option<usize>, daemon: bool) -> (Replicas, u32) {
        let hosts: Option<Vec<Labels>> = hosts.map(|count| vec![Labels::new(); count]);
        let scaler = Scaler { instances, daemon, ..Scaler::one(Span::default()) };
        let scale = scaler.scale(hosts.as_deref());
        (scale.replicas.value, scale.concurrency)
    }

    #[test]
    fn instances_are_shared_by_the_hosts_that_there_are() {
        assert_eq!(scale(100, Some(3), false), (Replicas::Count(3), 34));
        assert_eq!(scale(2, Some(3), false), (Replicas::Count(2), 1));
        assert_eq!(scale(5_000, None, false), (Replicas::Count(1), 5_000));
        assert_eq!(scale(0, Some(3), false), (Replicas::Count(0), 1));
        assert_eq!(scale(10, Some(0), false), (Replicas::Count(1), 10));
        assert_eq!(scale(10, Some(3), true), (Replicas::Everywhere, 10));
    }

    #[test]
    fn only_hosts_of_the_spread_count() {
        let labels = |zone: &str| Labels::from([("zone".parse().unwrap(), zone.parse().unwrap())]);
        let hosts = [labels("a"), labels("a"), labels("b"), Labels::new()];
        let spread = vec![Spread { labels: labels("a"), weight: 100 }];
        let scaler = Scaler { instances: 9, spread, daemon: false, span: Span::default() };
        let scale = scaler.scale(Some(&hosts));
        assert_eq!((scale.replicas.value, scale.concurrency), (Replicas::Count(2), 5));
    }
}
