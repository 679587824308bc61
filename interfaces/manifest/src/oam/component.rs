//! A component of an OAM application: an actor, a provider, or something of another application.

use std::sync::Arc;

use mesh_lattice::{
    Name,
    application::{Instances, Limits},
};

use super::{Made, Oam, Part, image, scale::Scaler, shape};
use crate::{
    draft::{Actor, Provider, Reference},
    fields::shown,
    kinds,
    source::{Span, Spanned},
    yaml::{Kind, Node},
};

const TRAITS: [&str; 3] = ["spreadscaler", "daemonscaler", "link"];

/// A component whose links are still to be read.
pub(super) struct Open {
    pub(super) part: Part,
    /// Where its name stands.
    pub(super) span: Span,
    /// The properties of each link.
    pub(super) links: Vec<Arc<Node>>,
}

/// What the traits of a component say.
struct Traits {
    scaler: Option<Scaler>,
    links: Vec<Arc<Node>>,
}

impl Oam<'_> {
    pub(super) fn component(&mut self, node: &Arc<Node>, made: &mut Made) -> Option<Open> {
        let fields = self.reader.fields(node, &shape::COMPONENT)?;
        let written = self.reader.text(fields.get("name"), "name");
        let name = written.clone().and_then(|name| self.name(name));
        let kind = self.reader.text(fields.get("type"), "type");
        let properties = fields.get("properties").and_then(|node| self.reader.fields(node, &shape::PROPERTIES));
        let traits = self.traits(fields.get("traits"));
        let (written, name, kind) = (written?, name?, kind?);
        let shared = properties.and_then(|properties| properties.get("application"));
        let part = match (shared, kind.value) {
            (Some(shared), _) => Part::Elsewhere(self.elsewhere(shared, properties?, traits.scaler.as_ref())?.value),
            (None, "component") => Part::Actor(name.value.clone()),
            (None, "capability") => Part::Provider(name.value.clone()),
            (None, _) => return self.no_kind(&kind),
        };
        // Links may lead to it also where it is wrong otherwise: that is said once.
        if self.parts.insert(written.value.to_owned(), part.clone()).is_some() {
            self.reader.fault(written.span, format!("two components are called `{}`", written.value));
        }
        match (&part, properties) {
            (Part::Actor(_), Some(properties)) => made.actors.extend(self.actor(&name, properties, traits.scaler)),
            (Part::Provider(_), Some(properties)) => {
                made.providers.extend(self.provider(&name, properties, traits.scaler))
            }
            _ => {}
        }
        Some(Open { part, span: written.span, links: traits.links })
    }

    fn no_kind(&mut self, kind: &Spanned<&str>) -> Option<Open> {
        let help = match kind.value {
            "actor" => "write `component`, and build it as a component for wasm32-wasip2: older actors do not run here",
            "provider" => "write `capability`",
            _ => "`component` for WebAssembly, `capability` for a provider",
        };
        let message = format!("`type` is `component` or `capability`, not `{}`", shown(kind.value));
        self.reader.fault_help(kind.span, message, help);
        None
    }

    fn actor(&mut self, name: &Spanned<Name>, properties: &Node, scaler: Option<Scaler>) -> Option<Actor> {
        let config = self.configs(properties.get("config"));
        self.shared_properties(name, properties);
        let image = self.image(properties)?;
        let artifact = self.reference(image)?;
        let scale = scaler.unwrap_or_else(|| Scaler::one(name.span)).scale(self.hosts);
        Some(Actor {
            name: name.clone(),
            artifact,
            replicas: scale.replicas,
            concurrency: scale.concurrency,
            instances: Instances::default(),
            limits: Limits::default(),
            placement: scale.placement,
            config,
        })
    }

    fn provider(&mut self, name: &Spanned<Name>, properties: &Node, scaler: Option<Scaler>) -> Option<Provider> {
        let config = self.configs(properties.get("config"));
        self.shared_properties(name, properties);
        let image = self.image(properties)?;
        let kind = self.kind(&image)?;
        let scale = scaler.unwrap_or_else(|| Scaler::one(name.span)).scale(self.hosts);
        Some(Provider { name: name.clone(), kind, replicas: Some(scale.replicas), placement: scale.placement, config })
    }

    /// What actors and providers both may say, and what does nothing here.
    fn shared_properties(&mut self, name: &Spanned<Name>, properties: &Node) {
        self.no_secrets(properties.get("secrets"));
        if let Some(id) = self.reader.text(properties.get("id"), "id")
            && id.value != name.as_str()
        {
            let message = format!("`id` does nothing: the lattice knows this component as `{}`", name.value);
            self.reader.warn(id.span, message, "leave it out, and give the component the name that others call it by");
        }
    }

    fn image<'n>(&mut self, properties: &'n Node) -> Option<Spanned<&'n str>> {
        let image = properties.get("image");
        if image.is_none() {
            let help = "`image`: a file (file://./build/a.wasm) or a reference of a registry (ghcr.io/acme/a:1.0)";
            self.reader.fault_help(properties.span, "`properties` needs `image`", help);
        }
        self.reader.text(image, "image")
    }

    fn reference(&mut self, image: Spanned<&str>) -> Option<Spanned<Reference>> {
        match image::reference(self.reader.source, image.value) {
            Ok(reference) => Some(Spanned::new(reference, image.span)),
            Err((message, help)) => {
                self.reader.fault_help(image.span, message, help);
                None
            }
        }
    }

    fn kind(&mut self, image: &Spanned<&str>) -> Option<Spanned<Name>> {
        let Some(kind) = image::kind(image.value) else {
            let message = format!("`{}` is none of the published providers", shown(image.value));
            let help = format!(
                "this version does not run providers of one's own yet: serve its interfaces with an actor, or use one of {}",
                kinds::listed()
            );
            self.reader.fault_help(image.span, message, help);
            return None;
        };
        let known = kind.parse().ok().filter(|kind| kinds::built_in().contains_key(kind));
        if known.is_none() {
            let message = format!("this version has no provider of the kind `{kind}` yet");
            let help = format!("take it and the links to it out; hosts have {}", kinds::listed());
            self.reader.fault_help(image.span, message, help);
        }
        known.map(|kind| Spanned::new(kind, image.span))
    }

    /// Something that another application has.
    fn elsewhere(&mut self, node: &Arc<Node>, properties: &Node, scaler: Option<&Scaler>) -> Option<Spanned<Name>> {
        let fields = self.reader.fields(node, &shape::SHARED)?;
        if let Some(image) = properties.get("image") {
            let message = "a component is of this application (`image`) or of another one (`application`), not both";
            self.reader.fault_help(image.span, message, "leave one of them out");
        }
        if let Some(scaler) = scaler {
            let message = "what another application has is scaled there";
            self.reader.fault_help(scaler.span, message, "take the scaler out");
        }
        let component = self.reader.text(fields.get("component"), "component")?;
        self.name(component)
    }

    fn traits(&mut self, node: Option<&Arc<Node>>) -> Traits {
        let mut traits = Traits { scaler: None, links: Vec::new() };
        if matches!(node.map(|node| &node.kind), Some(Kind::Null)) {
            return traits;
        }
        for node in self.reader.items(node, "traits") {
            let Some(fields) = self.reader.fields(node, &shape::TRAIT) else { continue };
            let properties = fields.get("properties").filter(|node| !matches!(node.kind, Kind::Null));
            let Some(kind) = self.reader.text(fields.get("type"), "type") else { continue };
            match kind.value {
                "link" => match properties {
                    Some(properties) => traits.links.push(Arc::clone(properties)),
                    None => {
                        self.reader.fault_help(kind.span, "a link needs `properties`", "its target and its interfaces")
                    }
                },
                "spreadscaler" | "daemonscaler" => {
                    let scaler = self.scaler(properties, kind.value == "daemonscaler", kind.span);
                    if traits.scaler.replace(scaler).is_some() {
                        self.reader.fault_help(kind.span, "a component has one scaler", "take the others out");
                    }
                }
                "linkdef" => {
                    let help = "write `type: link` with `target`, `namespace`, `package` and `interfaces`";
                    self.reader.fault_help(kind.span, "`linkdef` is of an older wasmCloud", help);
                }
                other => {
                    let message = format!("there is no trait `{}`", shown(other));
                    let meant = crate::fields::suggest(other, TRAITS.into_iter());
                    let help = meant.map_or_else(
                        || "take it out: there are `spreadscaler`, `daemonscaler` and `link`".to_owned(),
                        |meant| format!("did you mean `{meant}`?"),
                    );
                    self.reader.fault_help(kind.span, message, help);
                }
            }
        }
        traits
    }
}
