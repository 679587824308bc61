//! Our format as text, from a draft of either format: what is written reads back as the same draft.
//!
//! What is as it would be anyway is left out. A `${` that is meant is written `$${`, for our format is filled.

use std::collections::BTreeMap;

use mesh_lattice::{
    Name,
    application::{self, ConfigPart, Instances, Limits, Replicas},
};
use serde::Serialize;

use crate::{
    draft::{Actor, Draft, Link, Provider},
    format::shape::VERSION,
    quantity::{show_bytes, show_millis},
    source::Spanned,
};

/// A draft that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("the manifest cannot be written")]
pub struct Unwritable(#[from] serde_saphyr::ser::Error);

/// These applications in our format, a document each.
///
/// # Errors
///
/// Where the library that writes YAML refuses something.
pub fn convert(drafts: &[Draft]) -> Result<String, Unwritable> {
    let mut text = String::new();
    for draft in drafts {
        if !text.is_empty() {
            text.push_str("---\n");
        }
        let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
        text.push_str(&serde_saphyr::to_string_with_options(&Document::of(draft), options)?);
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    Ok(text)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    spec: Spec<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Spec<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    actors: Vec<ActorText<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    providers: Vec<ProviderText<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<LinkText<'a>>,
}

impl<'a> Document<'a> {
    fn of(draft: &'a Draft) -> Self {
        let links = |source: &Name| -> Vec<LinkText<'a>> {
            let own = draft.links.iter().filter(|link| link.source.value == *source);
            own.map(|link| LinkText::of(link, false)).collect()
        };
        let actors = draft.actors.iter().map(|actor| ActorText::of(actor, links(&actor.name.value)));
        let providers = draft.providers.iter().map(|provider| ProviderText::of(provider, links(&provider.name.value)));
        let elsewhere = draft.links.iter().filter(|link| draft.names().all(|name| name.value != link.source.value));
        Self {
            api_version: VERSION,
            kind: "Application",
            metadata: Metadata { name: draft.name.as_str() },
            spec: Spec {
                actors: actors.collect(),
                providers: providers.collect(),
                links: elsewhere.map(|link| LinkText::of(link, true)).collect(),
            },
        }
    }
}

#[derive(Serialize)]
struct ActorText<'a> {
    name: &'a str,
    artifact: String,
    #[serde(flatten)]
    replicas: ReplicasText,
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instances: Option<InstancesText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<LimitsText>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    placement: Vec<SpreadText<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<ConfigText>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<LinkText<'a>>,
}

impl<'a> ActorText<'a> {
    fn of(actor: &'a Actor, links: Vec<LinkText<'a>>) -> Self {
        let said = Some(actor.replicas.value).filter(|replicas| *replicas != Replicas::default());
        let reuse = actor.instances.reuse;
        Self {
            name: actor.name.as_str(),
            artifact: unfilled(&actor.artifact.to_string()),
            replicas: ReplicasText::of(said),
            concurrency: Some(actor.concurrency).filter(|count| *count != application::DEFAULT_CONCURRENCY),
            instances: (reuse != Instances::default().reuse).then_some(InstancesText { reuse }),
            limits: LimitsText::of(actor.limits),
            placement: SpreadText::all(&actor.placement),
            config: ConfigText::of(&actor.config),
            links,
        }
    }
}

#[derive(Serialize)]
struct ProviderText<'a> {
    name: &'a str,
    #[serde(rename = "use")]
    kind: &'a str,
    #[serde(flatten)]
    replicas: ReplicasText,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    placement: Vec<SpreadText<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<ConfigText>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<LinkText<'a>>,
}

impl<'a> ProviderText<'a> {
    fn of(provider: &'a Provider, links: Vec<LinkText<'a>>) -> Self {
        Self {
            name: provider.name.as_str(),
            kind: provider.kind.as_str(),
            replicas: ReplicasText::of(provider.replicas.as_ref().map(|replicas| replicas.value)),
            placement: SpreadText::all(&provider.placement),
            config: ConfigText::of(&provider.config),
            links,
        }
    }
}

#[derive(Serialize)]
struct ReplicasText {
    #[serde(skip_serializing_if = "Option::is_none")]
    replicas: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    everywhere: Option<bool>,
}

impl ReplicasText {
    fn of(replicas: Option<Replicas>) -> Self {
        match replicas {
            None => Self { replicas: None, everywhere: None },
            Some(Replicas::Count(count)) => Self { replicas: Some(count), everywhere: None },
            Some(Replicas::Everywhere) => Self { replicas: None, everywhere: Some(true) },
        }
    }
}

#[derive(Serialize)]
struct InstancesText {
    reuse: u32,
}

#[derive(Serialize)]
struct LimitsText {
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
}

impl LimitsText {
    fn of(limits: Limits) -> Option<Self> {
        let usual = Limits::default();
        (limits != usual).then(|| Self {
            memory: (limits.memory_bytes != usual.memory_bytes).then(|| show_bytes(limits.memory_bytes)),
            cpu: (limits.cpu_ms != usual.cpu_ms).then(|| show_millis(limits.cpu_ms)),
            time: (limits.time_ms != usual.time_ms).then(|| show_millis(limits.time_ms)),
        })
    }
}

#[derive(Serialize)]
struct SpreadText<'a> {
    #[serde(rename = "where", skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'a str, &'a str>,
    weight: u32,
}

impl<'a> SpreadText<'a> {
    fn all(placement: &'a [application::Spread]) -> Vec<Self> {
        let spreads = placement.iter().map(|spread| Self {
            labels: spread.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
            weight: spread.weight,
        });
        spreads.collect()
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum ConfigText {
    Values(BTreeMap<String, String>),
    Parts(Vec<ConfigPartText>),
}

#[derive(Serialize)]
#[serde(untagged)]
enum ConfigPartText {
    Shared(String),
    Values(BTreeMap<String, String>),
}

impl ConfigText {
    fn of(parts: &[Spanned<ConfigPart>]) -> Option<Self> {
        let values = |values: &application::Values| -> BTreeMap<String, String> {
            values.iter().map(|(key, value)| (key.clone(), unfilled(value))).collect()
        };
        match parts {
            [] => None,
            [Spanned { value: ConfigPart::Values(own), .. }] => Some(Self::Values(values(own))),
            parts => {
                let parts = parts.iter().map(|part| match &part.value {
                    ConfigPart::Shared(name) => ConfigPartText::Shared(format!("@{name}")),
                    ConfigPart::Values(own) => ConfigPartText::Values(values(own)),
                });
                Some(Self::Parts(parts.collect()))
            }
        }
    }
}

#[derive(Serialize)]
struct LinkText<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    to: &'a str,
    interfaces: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<ConfigText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_config: Option<ConfigText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_config: Option<ConfigText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    idempotent: bool,
}

impl<'a> LinkText<'a> {
    fn of(link: &'a Link, from: bool) -> Self {
        Self {
            from: from.then(|| link.source.as_str()),
            to: link.target.as_str(),
            interfaces: link.interfaces.iter().map(|interface| interface.as_str()).collect(),
            name: (link.name.value != Default::default()).then(|| link.name.as_str()),
            config: ConfigText::of(&link.config),
            source_config: ConfigText::of(&link.source_config),
            target_config: ConfigText::of(&link.target_config),
            timeout: link.timeout_ms.map(show_millis),
            idempotent: link.idempotent,
        }
    }
}

/// A text that filling turns into this one.
fn unfilled(text: &str) -> String {
    text.replace("${", "$${")
}
