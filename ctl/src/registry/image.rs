//! The name of an image, as people and manifests write it, and the same pinned to what it meant when it was asked for.

use std::{fmt, net::IpAddr, str::FromStr};

use mesh_lattice::Digest;
use oci_client::Reference;

use crate::exit::Failure;

/// `registry/repository:tag`, with `@sha256:DIGEST` behind it where it is pinned. Where no registry is named it is
/// Docker's, and where no tag is, `latest`, as every tool has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image(Reference);

/// What a name meant when the registry was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pinned {
    /// The name with the digest of its manifest.
    pub(crate) image: Image,
    /// The artifact in it: what will run.
    pub(crate) digest: Digest,
    /// How many bytes that is.
    pub(crate) size: usize,
}

impl Image {
    /// Who has it.
    pub(crate) fn registry(&self) -> &str {
        self.0.registry()
    }

    /// The last word of its name.
    pub(crate) fn name(&self) -> &str {
        self.0.repository().rsplit('/').next().unwrap_or_default()
    }

    /// Whether its name already says which bytes it is.
    pub(crate) fn is_pinned(&self) -> bool {
        self.0.digest().is_some()
    }

    /// Whether the registry runs on this machine.
    pub(super) fn is_on_this_machine(&self) -> bool {
        let host = self.registry().rsplit_once(':').map_or(self.registry(), |(host, _)| host);
        host == "localhost"
            || host.ends_with(".localhost")
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    pub(super) fn reference(&self) -> Reference {
        self.0.clone()
    }

    pub(super) fn pin(&self, manifest: &Digest, digest: Digest, size: usize) -> Pinned {
        let (registry, repository) = (self.0.registry().to_owned(), self.0.repository().to_owned());
        let manifest = format!("sha256:{manifest}");
        let pinned = match self.0.tag() {
            Some(tag) => Reference::with_tag_and_digest(registry, repository, tag.to_owned(), manifest),
            None => Reference::with_digest(registry, repository, manifest),
        };
        Pinned { image: Self(pinned), digest, size }
    }
}

impl FromStr for Image {
    type Err = Failure;

    /// Takes it with `oci://` before it and without.
    fn from_str(text: &str) -> Result<Self, Failure> {
        let bare = text.strip_prefix("oci://").unwrap_or(text);
        Reference::from_str(bare).map(Self).map_err(|error| {
            Failure::invalid(format!("{text:?} names no image: {error}"))
                .hint("an image is registry/repository:tag, in small letters")
        })
    }
}

/// As it is written wherever an artifact may be named.
impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oci://{}", self.0)
    }
}

impl fmt::Display for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.image.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_keeps_the_tag_and_is_read_again() {
        let image: Image = "ghcr.io/a/b:1".parse().unwrap();
        let pinned = image.pin(&Digest::of(b"manifest"), Digest::of(b"artifact"), 8);
        let text = format!("oci://ghcr.io/a/b:1@sha256:{}", Digest::of(b"manifest"));
        assert_eq!(pinned.to_string(), text);
        assert_eq!(text.parse::<Image>().unwrap(), pinned.image);
        assert!(pinned.image.is_pinned() && !image.is_pinned());
        assert_eq!(pinned.image.pin(&Digest::of(b"manifest"), pinned.digest, 8), pinned);
    }

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
        for (text, here) in [
            ("localhost:5000/a", true),
            ("registry.localhost/a", true),
            ("127.0.0.1:5000/a", true),
            ("127.8.8.8/a", true),
            ("128.0.0.1:5000/a", false),
            ("localhost.example/a", false),
            ("127.0.0.1.example:80/a", false),
            ("ghcr.io/localhost/a", false),
            ("a", false),
        ] {
            assert_eq!(text.parse::<Image>().unwrap().is_on_this_machine(), here, "{text}");
        }
    }
}
