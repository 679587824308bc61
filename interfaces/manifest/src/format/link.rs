//! The links of an actor, a provider or a whole application.

use std::sync::Arc;

use mesh_lattice::{Name, application::range, name::LinkName};

use super::shape;
use crate::{draft::Link, fields::Reader, source::Spanned, yaml::Node};

impl Reader<'_> {
    /// The links of `source`; where it has no name that is one, they are read for their faults alone.
    pub(super) fn links(&mut self, node: Option<&Arc<Node>>, source: Option<&Spanned<Name>>, links: &mut Vec<Link>) {
        for node in self.items(node, "links") {
            let Some(fields) = self.fields(node, &shape::LINK) else { continue };
            match source {
                Some(source) => links.extend(self.link_fields(fields, source)),
                None => {
                    if let Some(target) = self.name(fields.get("to"), "to") {
                        self.link_fields(fields, &target);
                    }
                }
            }
        }
    }

    pub(super) fn link_fields(&mut self, fields: &Node, source: &Spanned<Name>) -> Option<Link> {
        let target = self.name(fields.get("to"), "to");
        let patterns = self.items(fields.get("interfaces"), "interfaces");
        let mut interfaces = Vec::with_capacity(patterns.len());
        for node in patterns {
            interfaces.extend(self.interface(node));
        }
        if let Some(node) = fields.get("interfaces")
            && matches!(&node.kind, crate::yaml::Kind::List(items) if items.is_empty())
        {
            self.fault_help(node.span, "a link is for one interface at least", "for example `[ \"wasi:keyvalue\" ]`");
        }
        let name = self.link_name(fields.get("name"), "name");
        let config = self.config(fields.get("config"), "config");
        let source_config = self.config(fields.get("source_config"), "source_config");
        let target_config = self.config(fields.get("target_config"), "target_config");
        let timeout = self.millis(fields.get("timeout"), "timeout", range::TIMEOUT_MS);
        let idempotent = self.truth(fields.get("idempotent"), "idempotent").is_some_and(|truth| truth.value);
        let target = target?;
        Some(Link {
            source: source.clone(),
            name: name.unwrap_or_else(|| Spanned::new(LinkName::default(), target.span)),
            target,
            interfaces,
            config,
            source_config,
            target_config,
            idempotent,
            timeout_ms: timeout.map(|timeout| timeout.value),
        })
    }
}
