//! What the configuration of the provider and of its links may say. A link's own values win over the provider's, and
//! those over the lattice's default server.

use std::{num::NonZeroUsize, time::Duration};

use mesh_lattice::application::Values;
use mesh_nats::ServerSettings;
use mesh_provider::{ConfigError, End, NatsDefault, ProviderLink, Settings};

use crate::subject::subscribable;

/// How long a handler has where nothing is said.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Handler calls of one subscription that run at once, where nothing is said.
pub const DEFAULT_IN_FLIGHT: usize = 64;

/// Messages of one subscription that wait for a handler, where nothing is said.
pub const DEFAULT_PENDING: usize = 1_000;

/// The most of either that can be asked for.
const MOST: usize = 100_000;

/// What a link comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkSettings {
    /// Where it connects to, and as whom.
    pub server: ServerSettings,
    /// What arrives: `subscriptions`, "subject" or "subject|queue" between commas. For a link to a handler alone.
    pub subscriptions: Vec<Subscribed>,
    /// Handler calls of each subscription that run at once: `max_in_flight`.
    pub in_flight: NonZeroUsize,
    /// Messages of each subscription that wait for a handler: `max_pending`.
    pub pending: usize,
    /// From the arrival of a message to the end of its handling: `timeout_ms`, or the link's own.
    pub timeout: Duration,
}

/// One subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribed {
    /// The subject, perhaps with wildcards.
    pub subject: String,
    /// The queue group, where the link names one.
    pub queue: Option<String>,
}

impl LinkSettings {
    /// Reads a link's configuration over the provider's.
    ///
    /// # Errors
    ///
    /// Names the key that holds something else than it should.
    pub fn read(link: &ProviderLink, provider: &Values, default: Option<&NatsDefault>) -> Result<Self, ConfigError> {
        let mut values = provider.clone();
        values.extend(link.config.clone());
        let mut settings = Settings::new(&values);
        let read = Self::of(&mut settings, link.timeout, default)?;
        settings.warn_unknown(&format!("a link of {}", link.peer));
        read.for_end(link.end)
    }

    /// What the provider itself says, for who needs no link.
    ///
    /// # Errors
    ///
    /// Names the key that holds something else than it should.
    pub fn own(provider: &Values, default: Option<&NatsDefault>) -> Result<Self, ConfigError> {
        Self::of(&mut Settings::new(provider), None, default)
    }

    /// Reads the link as a person says it: what means nothing is refused.
    ///
    /// # Errors
    ///
    /// Names the key.
    pub fn check_link(link: &ProviderLink, provider: &Values) -> Result<(), ConfigError> {
        Self::check(&link.config, provider)?.for_end(link.end).map(drop)
    }

    /// The same of `said` alone, over what the provider says.
    ///
    /// # Errors
    ///
    /// Names the key.
    pub fn check(said: &Values, provider: &Values) -> Result<Self, ConfigError> {
        let mut values = provider.clone();
        values.extend(said.clone());
        let mut settings = Settings::new(&values);
        let read = Self::of(&mut settings, None, None)?;
        settings.refuse_unknown(said)?;
        Ok(read)
    }

    /// A link to a handler says what arrives.
    fn for_end(self, end: End) -> Result<Self, ConfigError> {
        if end == End::Source && self.subscriptions.is_empty() {
            return Err(ConfigError::missing("subscriptions", "a subject, or several between commas"));
        }
        Ok(self)
    }

    fn of(
        settings: &mut Settings<'_>,
        timeout: Option<Duration>,
        default: Option<&NatsDefault>,
    ) -> Result<Self, ConfigError> {
        let count = |number: Option<usize>, key: &'static str| match number {
            Some(number) if number > MOST => Err(ConfigError::invalid(key, format!("a number up to {MOST}"))),
            other => Ok(other),
        };
        let expected = "a number above zero";
        let in_flight = settings.parsed::<NonZeroUsize>("max_in_flight", expected)?;
        let in_flight = count(in_flight.map(NonZeroUsize::get), "max_in_flight")?.unwrap_or(DEFAULT_IN_FLIGHT);
        let pending = count(settings.parsed("max_pending", "a number")?, "max_pending")?;
        Ok(Self {
            server: ServerSettings::read(settings, default)?,
            subscriptions: settings.text("subscriptions").map(subscriptions).transpose()?.unwrap_or_default(),
            in_flight: NonZeroUsize::new(in_flight).unwrap_or(NonZeroUsize::MIN),
            pending: pending.unwrap_or(DEFAULT_PENDING),
            timeout: settings.millis("timeout_ms")?.or(timeout).unwrap_or(DEFAULT_TIMEOUT),
        })
    }
}

fn subscriptions(text: &str) -> Result<Vec<Subscribed>, ConfigError> {
    let wrong = |why: String| ConfigError::invalid("subscriptions", why);
    let one = |text: &str| {
        let (subject, queue) = match text.split_once('|') {
            Some((subject, queue)) => (subject.trim(), Some(queue.trim())),
            None => (text, None),
        };
        subscribable(subject).map_err(|error| wrong(format!("a list of subjects: {error}")))?;
        let visible =
            |queue: &str| !queue.is_empty() && queue.len() <= 200 && queue.chars().all(|c| c.is_ascii_graphic());
        if queue.is_some_and(|queue| !visible(queue)) {
            return Err(wrong("a list of subjects, each perhaps with the name of a queue behind |".into()));
        }
        Ok(Subscribed { subject: subject.to_owned(), queue: queue.map(str::to_owned) })
    };
    text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(end: End, config: &[(&str, &str)]) -> ProviderLink {
        ProviderLink {
            end,
            peer: "actor".parse().unwrap(),
            name: Default::default(),
            interfaces: vec!["wasmcloud:messaging".parse().unwrap()],
            config: config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            timeout: Some(Duration::from_secs(3)),
        }
    }

    #[test]
    fn a_link_says_what_arrives_and_how_much_at_once() {
        let config = [("subscriptions", "orders.>, bills|accounts"), ("max_in_flight", "3"), ("max_pending", "0")];
        let settings = LinkSettings::read(&link(End::Source, &config), &Values::new(), None).unwrap();
        let subscribed = |subject: &str, queue: Option<&str>| Subscribed {
            subject: subject.into(),
            queue: queue.map(str::to_owned),
        };
        assert_eq!(settings.subscriptions, [subscribed("orders.>", None), subscribed("bills", Some("accounts"))]);
        assert_eq!((settings.in_flight.get(), settings.pending), (3, 0));
        assert_eq!(settings.timeout, Duration::from_secs(3));
    }

    #[test]
    fn what_is_wrong_is_refused_by_its_key() {
        for (end, config, key) in [
            (End::Source, vec![], "subscriptions"),
            (End::Source, vec![("subscriptions", "a b")], "subscriptions"),
            (End::Source, vec![("subscriptions", "mesh.>")], "subscriptions"),
            (End::Source, vec![("subscriptions", ">")], "subscriptions"),
            (End::Source, vec![("subscriptions", "a|")], "subscriptions"),
            (End::Source, vec![("subscription", "a")], "subscription"),
            (End::Target, vec![("max_in_flight", "0")], "max_in_flight"),
            (End::Target, vec![("max_pending", "100001")], "max_pending"),
            (End::Target, vec![("client_jwt", "x")], "client_seed"),
        ] {
            let refused = LinkSettings::check_link(&link(end, &config), &Values::new()).unwrap_err();
            assert_eq!(refused.key(), key, "{config:?}: {refused}");
        }
        assert!(LinkSettings::check_link(&link(End::Target, &[]), &Values::new()).is_ok());
    }
}
