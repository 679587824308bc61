//! What people want: an application's actors, providers and links, in the form that is signed and stored.

pub mod range;

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    id::Digest,
    interface::{Interface, InterfacePattern},
    name::{Labels, LinkName, Name},
};

/// Configuration as providers and actors see it: text by text.
pub type Values = BTreeMap<String, String>;

/// One revision of an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// Its name.
    pub name: Name,
    /// Its actors.
    #[serde(default)]
    pub actors: Vec<Actor>,
    /// Its providers.
    #[serde(default)]
    pub providers: Vec<Provider>,
    /// Its links.
    #[serde(default)]
    pub links: Vec<Link>,
}

/// Where the imperative commands keep what they make.
pub const ADHOC: &str = "adhoc";

impl Application {
    /// An application of this name with nothing in it.
    #[must_use]
    pub fn empty(name: Name) -> Self {
        Self { name, actors: Vec::new(), providers: Vec::new(), links: Vec::new() }
    }

    /// The actor of this name.
    #[must_use]
    pub fn actor(&self, name: &Name) -> Option<&Actor> {
        self.actors.iter().find(|actor| actor.name == *name)
    }

    /// The provider of this name.
    #[must_use]
    pub fn provider(&self, name: &Name) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.name == *name)
    }

    /// The names of its actors and providers.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        let actors = self.actors.iter().map(|actor| &actor.name);
        actors.chain(self.providers.iter().map(|provider| &provider.name))
    }
}

/// One wanted actor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Its name in the lattice.
    pub name: Name,
    /// The bytes that it is, and what a person called them.
    pub artifact: Artifact,
    /// On how many hosts it runs.
    #[serde(default)]
    pub replicas: Replicas,
    /// Live instances on one host; beyond that a queue of twice as many, then busy.
    #[serde(default = "default_concurrency")]
    pub concurrency: u32,
    /// How long an instance lives.
    #[serde(default, skip_serializing_if = "Instances::is_default")]
    pub instances: Instances,
    /// What one instance may use.
    #[serde(default)]
    pub limits: Limits,
    /// Where it runs; anywhere where this is empty.
    #[serde(default)]
    pub placement: Vec<Spread>,
    /// Its configuration, later parts win.
    #[serde(default)]
    pub config: Vec<ConfigPart>,
    /// The interfaces that it imports and that a link has to serve, from its component type.
    #[serde(default)]
    pub imports: Vec<Interface>,
    /// The interfaces that it exports.
    #[serde(default)]
    pub exports: Vec<Interface>,
}

/// Live instances on one host where nothing else is said.
pub const DEFAULT_CONCURRENCY: u32 = 64;

fn default_concurrency() -> u32 {
    DEFAULT_CONCURRENCY
}

/// An artifact that somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// The SHA-256 of its bytes: what is fetched, verified and run.
    pub digest: Digest,
    /// What the person wrote: a path or a reference. For people only.
    #[serde(default)]
    pub reference: String,
}

/// On how many hosts something runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replicas {
    /// On this many, each at most once.
    Count(u32),
    /// On every eligible host.
    Everywhere,
}

impl Default for Replicas {
    fn default() -> Self {
        Self::Count(1)
    }
}

/// How long an instance of an actor lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Instances {
    /// Calls that one instance serves, one after the other. With 1 each call has an instance of its own and sees
    /// nothing of any other. With more, a call may see what earlier calls of the same actor, whoever made them, left
    /// in the memory of its instance; never anything of another actor, revision or configuration. An instance that
    /// failed, was cancelled or keeps resources of the host is not used again, and one that idles goes after seconds:
    /// nothing may depend on finding something there.
    pub reuse: u32,
}

impl Default for Instances {
    /// An instance for each call.
    fn default() -> Self {
        Self { reuse: 1 }
    }
}

impl Instances {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What one instance of an actor may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes of linear memory.
    pub memory_bytes: u64,
    /// Processor time of one invocation, in milliseconds.
    pub cpu_ms: u64,
    /// Wall time until its reply begins, in milliseconds.
    pub time_ms: u64,
}

impl Default for Limits {
    /// 64 MiB, 500 ms of processor time, 5 s until the reply begins.
    fn default() -> Self {
        Self { memory_bytes: 64 << 20, cpu_ms: 500, time_ms: 5_000 }
    }
}

impl Limits {
    /// Wall time until the reply begins.
    #[must_use]
    pub fn time(&self) -> Duration {
        Duration::from_millis(self.time_ms)
    }

    /// Processor time of one invocation.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        Duration::from_millis(self.cpu_ms)
    }
}

/// A share of the replicas and the hosts that it goes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// Labels that a host must carry.
    #[serde(default, rename = "where")]
    pub labels: Labels,
    /// Its share among the spreads.
    #[serde(default = "default_weight")]
    pub weight: u32,
}

fn default_weight() -> u32 {
    100
}

/// One part of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigPart {
    /// A shared configuration, by name.
    Shared(Name),
    /// Values of its own.
    Values(Values),
}

/// One wanted provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// Its name in the lattice.
    pub name: Name,
    /// Which built-in provider it is.
    #[serde(rename = "use")]
    pub kind: Name,
    /// On how many hosts it runs; where nothing is said, on every host that runs an actor linked to it, or where its
    /// local data lives.
    #[serde(default)]
    pub replicas: Option<Replicas>,
    /// Where it runs; anywhere where this is empty.
    #[serde(default)]
    pub placement: Vec<Spread>,
    /// Its configuration.
    #[serde(default)]
    pub config: Vec<ConfigPart>,
    /// Whether its data lives on its host: then it is placed once and pinned.
    #[serde(default)]
    pub local_state: bool,
    /// The packages that it serves.
    #[serde(default)]
    pub interfaces: Vec<InterfacePattern>,
}

/// "Source may call target on these interfaces."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Who may call.
    pub source: Name,
    /// Who is called.
    pub target: Name,
    /// On what.
    pub interfaces: Vec<InterfacePattern>,
    /// Tells apart several targets of one source on one interface.
    #[serde(default)]
    pub name: LinkName,
    /// For the end that calls, where it is a provider.
    #[serde(default)]
    pub source_config: Vec<ConfigPart>,
    /// For the end that is called, where it is a provider.
    #[serde(default)]
    pub target_config: Vec<ConfigPart>,
    /// Whether a call that got no answer may be made again elsewhere.
    #[serde(default)]
    pub idempotent: bool,
    /// How long a call along this link may take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

impl Link {
    /// Whether this link lets `source` call on `interface` under the name `link`.
    #[must_use]
    pub fn grants(&self, source: &Name, interface: &Interface, link: &LinkName) -> bool {
        self.source == *source && self.name == *link && self.interfaces.iter().any(|pattern| pattern.names(interface))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_application_with_fields_of_a_later_version_is_still_read() {
        let text = r#"{ "name": "adhoc", "later": 1, "links": [
            { "source": "a", "target": "b", "interfaces": ["wasi:keyvalue"], "canary": 3 } ] }"#;
        let application: Application = serde_json::from_str(text).unwrap();
        let link = &application.links[0];
        assert_eq!(link.name, LinkName::default());
        let store = "wasi:keyvalue/store@0.2.0-draft".parse().unwrap();
        assert!(link.grants(&"a".parse().unwrap(), &store, &LinkName::default()));
        assert!(!link.grants(&"b".parse().unwrap(), &store, &LinkName::default()));
        assert!(!link.grants(&"a".parse().unwrap(), &store, &"other".parse().unwrap()));
    }

    #[test]
    fn an_instance_serves_one_call_where_nothing_else_is_said() {
        let actor = |more: &str| {
            let text = format!(r#"{{ "name": "a", "artifact": {{ "digest": "{}" }}{more} }}"#, Digest::of(b""));
            serde_json::from_str::<Actor>(&text).unwrap()
        };
        assert_eq!(actor("").instances.reuse, 1);
        assert_eq!(actor(r#", "instances": {}"#).instances.reuse, 1);
        assert_eq!(actor(r#", "instances": { "reuse": 50 }"#).instances.reuse, 50);
        let text = serde_json::to_string(&actor("")).unwrap();
        assert!(!text.contains("instances"), "hosts that do not know the field read what does not use it: {text}");
    }
}
