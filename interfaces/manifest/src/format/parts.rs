//! The fields that actors and providers share, and those that are there for later.

use std::{ops::RangeInclusive, sync::Arc};

use mesh_lattice::application::{Replicas, Spread, range};

use super::shape;
use crate::{
    fields::Reader,
    source::Spanned,
    yaml::{Kind, Node},
};

impl Reader<'_> {
    pub(super) fn count32(&mut self, node: Option<&Arc<Node>>, name: &str, range: RangeInclusive<u64>) -> Option<u32> {
        self.count(node, name, range).and_then(|count| u32::try_from(count.value).ok())
    }

    /// `replicas` or `everywhere`, not both.
    pub(super) fn replicas(&mut self, fields: &Node) -> Option<Spanned<Replicas>> {
        let count = self.count(fields.get("replicas"), "replicas", range::REPLICAS);
        let everywhere = self.truth(fields.get("everywhere"), "everywhere");
        match (count, everywhere) {
            (Some(count), Some(everywhere)) if everywhere.value => {
                self.fault_help(
                    count.span,
                    "`replicas` and `everywhere` contradict each other",
                    "leave one of them out",
                );
                None
            }
            (Some(count), _) => {
                let number = u32::try_from(count.value).ok()?;
                Some(Spanned::new(Replicas::Count(number), count.span))
            }
            (None, Some(everywhere)) if everywhere.value => Some(Spanned::new(Replicas::Everywhere, everywhere.span)),
            _ => None,
        }
    }

    pub(super) fn placement(&mut self, node: Option<&Arc<Node>>) -> Vec<Spread> {
        let mut placement = Vec::new();
        for node in self.items(node, "placement") {
            let Some(fields) = self.fields(node, &shape::SPREAD) else { continue };
            let labels = self.labels(fields.get("where"), "where");
            let weight = self.count32(fields.get("weight"), "weight", range::WEIGHT).unwrap_or(100);
            placement.push(Spread { labels, weight });
        }
        placement
    }

    /// Something that the format has and hosts do not do yet: never ignored in silence.
    pub(super) fn not_yet(&mut self, node: Option<&Arc<Node>>, message: &str, help: &str) {
        if let Some(node) = node {
            self.fault_help(node.span, message, help);
        }
    }

    pub(super) fn secrets(&mut self, node: Option<&Arc<Node>>) {
        if !matches!(node.map(|node| &node.kind), Some(Kind::List(items)) if items.is_empty()) {
            self.not_yet(
                node,
                "this version does not hold secrets yet",
                "leave it out, and write what is needed into `config`: everybody who may read the lattice's state sees it there",
            );
        }
    }

    /// One replica more and none less is how a revision takes over: other numbers are refused, these may be said.
    pub(super) fn update(&mut self, node: Option<&Arc<Node>>) {
        let Some(fields) = node.and_then(|node| self.fields(node, &shape::UPDATE)) else { return };
        for (name, number) in [("maxSurge", 1), ("maxUnavailable", 0)] {
            let Some(given) = self.count(fields.get(name), name, range::REPLICAS) else { continue };
            if given.value != number {
                let message = format!("this version does not roll with another `{name}` than {number} yet");
                self.fault_help(given.span, message, format!("leave it out, or write `{name}: {number}`"));
            }
        }
    }
}
