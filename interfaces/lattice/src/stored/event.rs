//! What happened, as it is stored and listed.

use serde::{Deserialize, Serialize};

use crate::{
    id::{Digest, HostId},
    name::{LinkName, Name},
};

/// Something that happened, for people. What happens again is the same event, told again: a thing that breaks all the
/// time has one, however often it breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it happened last, in seconds since 1970 by the clock of the leader.
    pub at: u64,
    /// When it happened first.
    #[serde(default)]
    pub first: u64,
    /// How often it happened from then on.
    #[serde(default = "once")]
    pub count: u64,
    /// The host that it happened on, or that saw it.
    pub host: HostId,
    /// A word that programs match: `host_rejected`, `actor_failed`, `link_active` ...
    pub kind: String,
    /// What it is about: a name, a key, or for a link its ends: `source -> target`, with ` as name` where it has one.
    pub subject: String,
    /// A sentence.
    pub message: String,
}

fn once() -> u64 {
    1
}

impl Event {
    /// The one place of this kind of event about this subject.
    #[must_use]
    pub fn place(&self) -> Digest {
        Digest::of(format!("{}\n{}", self.kind, self.subject).as_bytes())
    }

    /// What it calls a link.
    #[must_use]
    pub fn link_subject(source: &Name, target: &Name, name: &LinkName) -> String {
        let named = if *name == LinkName::default() { String::new() } else { format!(" as {name}") };
        format!("{source} -> {target}{named}")
    }

    /// Whether it is about this: a name or a key, or one end of a link, or the link's name.
    #[must_use]
    pub fn is_about(&self, name: &str) -> bool {
        self.subject == name
            || (self.kind.starts_with("link_") && self.subject.split_whitespace().step_by(2).any(|part| part == name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_about_its_subject_and_that_of_a_link_about_both_its_ends_and_its_name() {
        let host = crate::id::key_text(13 << 3, &[7; 32]).parse().unwrap();
        let (source, target) = ("counter".parse().unwrap(), "kv".parse().unwrap());
        let of = |kind: &str, subject: String| Event {
            at: 1,
            first: 1,
            count: 1,
            host: HostId::clone(&host),
            kind: kind.to_owned(),
            subject,
            message: String::new(),
        };
        let link = of("link_active", Event::link_subject(&source, &target, &LinkName::default()));
        assert_eq!(link.subject, "counter -> kv");
        assert!(link.is_about("counter") && link.is_about("kv") && link.is_about("counter -> kv"));
        assert!(!link.is_about("->") && !link.is_about("count"));
        let named = of("link_active", Event::link_subject(&source, &target, &"spare".parse().unwrap()));
        assert!(named.is_about("spare") && !named.is_about("as"));
        assert_ne!(named.place(), link.place());
        assert!(of("actor_ready", "counter".to_owned()).is_about("counter"));
    }
}
