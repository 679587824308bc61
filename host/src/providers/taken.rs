//! How a host says which links its providers have taken, and how the leader knows them again: a short mark of what
//! the provider was told. Two that are told the same have the same mark; where anything differs, a shared
//! configuration for instance, so does the mark. `get links` calls a link active only where its mark is there.

use mesh_lattice::Digest;
use mesh_provider::{End, ProviderLink};

/// Characters of a mark: hosts compare a link with its own earlier forms only, so short ones do.
const LENGTH: usize = 16;

/// The mark of a link, as the provider at one end of it is told.
pub(crate) fn mark(link: &ProviderLink) -> String {
    let text = serde_json::json!({
        "end": match link.end { End::Source => "source", End::Target => "target" },
        "peer": link.peer,
        "name": link.name,
        "interfaces": link.interfaces,
        "config": link.config,
        "timeout_ms": link.timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
    })
    .to_string();
    Digest::of(text.as_bytes()).to_string().chars().take(LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_of_everything_that_a_provider_is_told() {
        let link = || ProviderLink {
            end: End::Source,
            peer: "counter".parse().unwrap(),
            name: Default::default(),
            interfaces: vec!["wasi:http".parse().unwrap()],
            config: Default::default(),
            timeout: None,
        };
        assert_eq!(mark(&link()), mark(&link()));
        assert_eq!(mark(&link()).len(), LENGTH);
        let others = [
            ProviderLink { end: End::Target, ..link() },
            ProviderLink { peer: "other".parse().unwrap(), ..link() },
            ProviderLink { name: "other".parse().unwrap(), ..link() },
            ProviderLink { interfaces: vec!["wasi:keyvalue".parse().unwrap()], ..link() },
            ProviderLink { config: [("listen".to_owned(), "127.0.0.1:1".to_owned())].into(), ..link() },
            ProviderLink { timeout: Some(std::time::Duration::from_secs(1)), ..link() },
        ];
        for other in others {
            assert_ne!(mark(&other), mark(&link()), "{other:?}");
        }
    }
}
