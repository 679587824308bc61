//! Where an artifact comes from: what a person names, and the bytes behind it. Every command that names an artifact
//! reads it here.
//!
//! | what is written | what it is |
//! |---|---|
//! | `./build/counter.wasm`, `file://./build/counter.wasm` | a file |
//! | `sha256:DIGEST`, or the digits alone | an artifact in the lattice's store |
//! | `oci://registry/repository:tag`, with `@sha256:DIGEST` behind it where it is pinned | an image in a registry |
//! | `registry/repository:tag` | the same, where a manifest names an image |
//!
//! A tag is resolved once: what is kept of it is the pinned reference, and what runs is the digest of the bytes.

use std::{
    convert::Infallible,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use bytes::Bytes;
use mesh_lattice::Digest;

use crate::{
    cli::Global,
    client::{self, Client},
    exit::Failure,
    output::Output,
    registry::{Image, Options, Pinned, Registries},
};

/// Before the name of an image.
const OCI: &str = "oci://";
/// Before a path, in manifests of others.
const FILE: &str = "file://";
/// Before a digest.
const SHA256: &str = "sha256:";

/// What a person names as an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reference {
    /// A file.
    File(PathBuf),
    /// One that the lattice's store has.
    Stored(Digest),
    /// One in a registry.
    Image(Image),
}

/// An artifact that was read.
#[derive(Debug, Clone)]
pub(crate) struct Artifact {
    /// What it is.
    pub(crate) bytes: Bytes,
    /// The SHA-256 of these bytes: what runs.
    pub(crate) digest: Digest,
    /// What people are told of where it came from; a tag is pinned in it.
    pub(crate) reference: String,
}

impl Reference {
    /// What stands where a manifest names an image: there, the name of a registry needs nothing before it. What is
    /// no path by its form and begins with the name of a registry is an image.
    pub(crate) fn of_image(text: &str) -> Result<Self, Failure> {
        let is_path = text.starts_with(['.', '/', '~']) || text.contains("://") || text.starts_with(SHA256);
        let host = text.split_once('/').map(|(host, _)| host);
        match host {
            Some(host) if !is_path && (host.contains(['.', ':']) || host == "localhost") => {
                text.parse().map(Self::Image)
            }
            _ => text.parse(),
        }
    }

    /// Reads it. The store is needed for what lies there, and spares a download of an image that it has already.
    pub(crate) async fn read(&self, registries: &Registries, store: Option<&Client>) -> anyhow::Result<Artifact> {
        match self {
            Self::File(path) => Ok(Artifact::new(read_file(path)?.into(), path.display().to_string())),
            Self::Stored(digest) => {
                let Some(store) = store else {
                    let failure = Failure::invalid(format!("{self} lies in a lattice's store, and no lattice is used"));
                    return Err(failure.into());
                };
                Ok(Artifact::new(store.download(digest).await?, self.to_string()))
            }
            Self::Image(image) => {
                let pinned = registries.resolve(image).await?;
                let bytes = match stored(&pinned, store).await {
                    Some(bytes) => bytes,
                    None => registries.download(&pinned).await?,
                };
                Ok(Artifact::new(bytes, pinned.to_string()))
            }
        }
    }

    /// What the file or the image is called, for an actor that says no name of its own.
    pub(crate) fn stem(&self) -> Option<String> {
        match self {
            Self::File(path) => path.file_stem().map(|stem| stem.to_string_lossy().into_owned()),
            Self::Stored(_) => None,
            Self::Image(image) => Some(image.name().to_owned()),
        }
    }

    /// Whether only a lattice has it.
    pub(crate) fn is_stored(&self) -> bool {
        matches!(self, Self::Stored(_))
    }
}

/// The bytes of an image, where the store has them. It is an untrusted cache: what is wrong there is no reason to stop.
async fn stored(pinned: &Pinned, store: Option<&Client>) -> Option<Bytes> {
    store?.download(&pinned.digest).await.ok()
}

/// Reads one for a command that only looks: a lattice is asked for what lies in its store alone.
pub(crate) fn look(text: &str, options: &Options, global: &Global, out: &Output) -> anyhow::Result<Artifact> {
    let reference: Reference = text.parse()?;
    let registries = Registries::new(options, global.timeout);
    client::block_on(async {
        if !reference.is_stored() {
            return reference.read(&registries, None).await;
        }
        client::with(global, out, async |client| reference.read(&registries, Some(client)).await).await
    })
}

fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        let failure = Failure::invalid(format!("{} cannot be read: {error}", path.display()));
        // A path that could be an image's name is said to be one by what stands before it.
        let named = path.to_str().filter(|_| error.kind() == std::io::ErrorKind::NotFound);
        match named.map(|text| (text, Reference::of_image(text))) {
            Some((text, Ok(Reference::Image(_)))) => failure.hint(format!("an image of a registry is {OCI}{text}")),
            _ => failure,
        }
        .into()
    })
}

impl Artifact {
    fn new(bytes: Bytes, reference: String) -> Self {
        Self { digest: Digest::of(&bytes), bytes, reference }
    }
}

impl FromStr for Reference {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        match text.parse() {
            Ok(digest) => return Ok(Self::Stored(digest)),
            Err(error) if text.starts_with(SHA256) => return Err(Failure::invalid(format!("{text}: {error}"))),
            Err(_) => {}
        }
        if let Some(image) = text.strip_prefix(OCI) {
            return image.parse().map(Self::Image);
        }
        let path = text.strip_prefix(FILE).unwrap_or(text);
        match path.split_once("://") {
            Some((scheme, _)) if !scheme.contains('/') => {
                let failure = Failure::invalid(format!("{text}: an artifact does not come by {scheme}"));
                Err(failure.hint("name a file, oci://registry/repository:tag, or sha256:DIGEST of the lattice's store"))
            }
            _ if path.is_empty() => Err(Failure::invalid("no artifact is named")),
            _ => {
                let Ok(path) = PathBuf::from_str(path).map_err(|never: Infallible| never);
                Ok(Self::File(path))
            }
        }
    }
}

/// As a person writes it, and reads it back.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Stored(digest) => write!(f, "{SHA256}{digest}"),
            Self::Image(image) => image.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(reference: Result<Reference, Failure>) -> &'static str {
        match reference {
            Ok(Reference::File(_)) => "file",
            Ok(Reference::Stored(_)) => "stored",
            Ok(Reference::Image(_)) => "image",
            Err(_) => "refused",
        }
    }

    #[test]
    fn what_is_written_says_where_an_artifact_comes_from() {
        let digest = "ab".repeat(32);
        let (stored, short) = (format!("sha256:{digest}"), format!("sha256:{}", &digest[..63]));
        let pinned = format!("oci://ghcr.io/a/b:1@sha256:{digest}");
        for (text, typed, as_image) in [
            ("a.wasm", "file", "file"),
            ("./build/a.wasm", "file", "file"),
            ("build/a.wasm", "file", "file"),
            ("../b.d/a.wasm", "file", "file"),
            ("/tmp/a.wasm", "file", "file"),
            ("file://./build/a.wasm", "file", "file"),
            ("file:///tmp/a.wasm", "file", "file"),
            (&stored, "stored", "stored"),
            (&digest, "stored", "stored"),
            (&short, "refused", "refused"),
            ("oci://ghcr.io/a/b:1", "image", "image"),
            (&pinned, "image", "image"),
            ("ghcr.io/a/b:1", "file", "image"),
            ("localhost:5000/a:1", "file", "image"),
            ("127.0.0.1:5000/a/b", "file", "image"),
            ("oci://", "refused", "refused"),
            ("oci://ghcr.io/A/b:1", "refused", "refused"),
            ("oci://ghcr.io/a/b@sha256:12", "refused", "refused"),
            ("ghcr.io/a/b:1:2", "file", "refused"),
            ("https://ghcr.io/a/b:1", "refused", "refused"),
            ("", "refused", "refused"),
            ("file://", "refused", "refused"),
        ] {
            assert_eq!(form(text.parse()), typed, "{text}");
            assert_eq!(form(Reference::of_image(text)), as_image, "{text} as an image");
        }
    }

    #[test]
    fn what_is_said_of_a_reference_can_be_written_again() {
        for text in ["build/a.wasm", "oci://ghcr.io/a/b:1", &format!("sha256:{}", "ab".repeat(32))] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }
    }
}
