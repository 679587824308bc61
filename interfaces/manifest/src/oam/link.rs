//! The trait `link`, in both of its shapes.
//!
//! ```text
//! newer: { target: { name, config, secrets }, source: { config, secrets }, namespace, package, interfaces, name }
//! older: { target: name, source_config, target_config, namespace, package, interfaces, name }
//! ```

use std::sync::Arc;

use mesh_lattice::{InterfacePattern, application::ConfigPart, name::LinkName};

use super::{Made, Oam, Part, component::Open, shape};
use crate::{
    draft::Link,
    fields::{shown, suggest},
    source::{Span, Spanned},
    yaml::{Kind, Node},
};

impl Oam<'_> {
    pub(super) fn links(&mut self, open: &Open, made: &mut Made) {
        for node in &open.links {
            made.links.extend(self.link(open, node));
        }
    }

    fn link(&mut self, open: &Open, node: &Arc<Node>) -> Option<Link> {
        let fields = self.reader.fields(node, &shape::LINK)?;
        let (target, mut target_config) = self.target(fields.get("target"))?;
        target_config.extend(self.configs(fields.get("target_config")));
        let mut source_config = self.configs(fields.get("source_config"));
        if let Some(source) = fields.get("source").and_then(|node| self.reader.fields(node, &shape::END)) {
            self.no_secrets(source.get("secrets"));
            source_config.extend(self.configs(source.get("config")));
        }
        let interfaces = self.interfaces(fields);
        let name = match fields.get("name").filter(|node| !matches!(node.kind, Kind::Null)) {
            Some(node) => self.link_name(node),
            None => Some(Spanned::new(LinkName::default(), target.span)),
        };
        let part = self.parts.get(target.value).cloned();
        if part.is_none() {
            self.no_target(&target);
        }
        let part = part?;
        self.for_providers(&open.part, &mut source_config);
        self.for_providers(&part, &mut target_config);
        let interfaces = interfaces?;
        Some(Link {
            source: Spanned::new(open.part.name().clone(), open.span),
            target: Spanned::new(part.name().clone(), target.span),
            interfaces,
            name: name?,
            config: Vec::new(),
            source_config,
            target_config,
            idempotent: false,
            timeout_ms: None,
        })
    }

    /// The name of the target, and what the link says to it.
    fn target<'n>(&mut self, node: Option<&'n Arc<Node>>) -> Option<(Spanned<&'n str>, Vec<Spanned<ConfigPart>>)> {
        if !matches!(node?.kind, Kind::Map(_)) {
            return Some((self.reader.text(node, "target")?, Vec::new()));
        }
        let fields = self.reader.fields(node?, &shape::END)?;
        self.no_secrets(fields.get("secrets"));
        let config = self.configs(fields.get("config"));
        if fields.get("name").is_none() {
            self.reader.fault_help(fields.span, "`target` needs `name`", "`name`: the component that is called");
        }
        Some((self.reader.text(fields.get("name"), "name")?, config))
    }

    fn no_target(&mut self, target: &Spanned<&str>) {
        let message = format!("no component of this manifest is called `{}`", shown(target.value));
        let help = match suggest(target.value, self.parts.keys().map(String::as_str)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "where another application has it, add a component with `properties: { application: { name, component } }`"
                .to_owned(),
        };
        self.reader.fault_help(target.span, message, help);
    }

    /// What a link says to an end that is a component does nothing, there as here.
    fn for_providers(&mut self, end: &Part, config: &mut Vec<Spanned<ConfigPart>>) {
        if let (Part::Actor(name), Some(first)) = (end, config.first()) {
            let message = format!("a link configures providers alone, and `{name}` is a component: this does nothing");
            self.reader.warn(first.span, message, "a component's configuration is `config` of its `properties`");
            config.clear();
        }
    }

    fn link_name(&mut self, node: &Arc<Node>) -> Option<Spanned<LinkName>> {
        let text = self.reader.text(Some(node), "name")?;
        let name = text.value.parse().ok();
        if name.is_none() {
            let message = format!("`{}` cannot be the name of a link", shown(text.value));
            let help = "write lower-case letters, digits, `-` and `_`, at most 63, and choose the link by that name in the component";
            self.reader.fault_help(text.span, message, help);
        }
        name.map(|name| Spanned::new(name, text.span))
    }

    /// `None` where one of them is none.
    fn interfaces(&mut self, fields: &Node) -> Option<Vec<Spanned<InterfacePattern>>> {
        let namespace = self.reader.text(fields.get("namespace"), "namespace")?;
        let package = self.reader.text(fields.get("package"), "package")?;
        let (package_name, version) = match package.value.split_once('@') {
            Some((name, version)) => (name, format!("@{version}")),
            None => (package.value, String::new()),
        };
        let whole = format!("{}:{package_name}", namespace.value);
        let items = self.reader.items(fields.get("interfaces"), "interfaces");
        if items.is_empty() {
            return Some(vec![self.pattern(&format!("{whole}{version}"), package.span)?]);
        }
        let mut patterns = Vec::with_capacity(items.len());
        for item in items {
            let interface = self.reader.text(Some(item), "interfaces")?;
            let versioned = if interface.value.contains('@') { "" } else { version.as_str() };
            patterns.push(self.pattern(&format!("{whole}/{}{versioned}", interface.value), interface.span)?);
        }
        Some(patterns)
    }

    fn pattern(&mut self, text: &str, span: Span) -> Option<Spanned<InterfacePattern>> {
        let pattern = text.parse().ok();
        if pattern.is_none() {
            let message = format!("`{}` is no interface", shown(text));
            let help = "write `namespace: wasi`, `package: keyvalue`, `interfaces: [store]`";
            self.reader.fault_help(span, message, help);
        }
        pattern.map(|pattern| Spanned::new(pattern, span))
    }
}
