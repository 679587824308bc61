//! What an `image` is: a file, a reference of a registry, or one of wasmCloud's published providers.

use crate::{draft::Reference, format, source::Source};

/// wasmCloud's published providers by the last part of their image, and ours of the same kind. Those without a host that
/// has them are here too, so that a person is told what it is that is missing.
const PUBLISHED: &[(&str, &str)] = &[
    ("http-server", "http-server"),
    ("http-server-provider", "http-server"),
    ("httpserver", "http-server"),
    ("http-client", "http-client"),
    ("http-client-provider", "http-client"),
    ("httpclient", "http-client"),
    ("keyvalue-redis", "keyvalue-redis"),
    ("keyvalue-redis-provider", "keyvalue-redis"),
    ("kvredis", "keyvalue-redis"),
    ("keyvalue-nats", "keyvalue-nats"),
    ("keyvalue-nats-provider", "keyvalue-nats"),
    ("keyvalue-vault", "keyvalue-vault"),
    ("kv-vault", "keyvalue-vault"),
    ("blobstore-fs", "blobstore-fs"),
    ("blobstore_fs", "blobstore-fs"),
    ("blobstore-s3", "blobstore-s3"),
    ("blobstore_s3", "blobstore-s3"),
    ("blobstore-nats", "blobstore-nats"),
    ("blobstore-azure", "blobstore-azure"),
    ("messaging-nats", "messaging-nats"),
    ("messaging-nats-provider", "messaging-nats"),
    ("nats_messaging", "messaging-nats"),
    ("messaging-kafka", "messaging-kafka"),
    ("sqldb-postgres", "sqldb-postgres"),
    ("couchbase", "keyvalue-couchbase"),
];

/// The kind of provider that an image is, where it is a published one.
pub(super) fn kind(image: &str) -> Option<&'static str> {
    let last = image.rsplit('/').next()?;
    let name = last.split([':', '@']).next()?;
    PUBLISHED.iter().find(|(published, _)| *published == name).map(|(_, kind)| *kind)
}

/// What an image refers to; otherwise what is wrong with it, and what to write.
pub(super) fn reference(source: &Source, image: &str) -> Result<Reference, (String, String)> {
    if let Some(path) = image.strip_prefix("file://") {
        return format::reference(source, path);
    }
    if image.contains("://") || image.starts_with("sha256:") || is_path(image) {
        return format::reference(source, image);
    }
    format::reference(source, &format!("oci://{image}"))
}

/// Whether it is a path: it says so, or it names a Wasm file and nothing that can only be a registry's.
fn is_path(image: &str) -> bool {
    let first = image.split('/').next().unwrap_or_default();
    let registry = first.contains([':', '.']) && !first.starts_with('.') || first == "localhost";
    image.starts_with(['.', '/']) || (image.ends_with(".wasm") && (!registry || first == image))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_files_references_or_published_providers() {
        let source = Source::new("wadm.yaml", "/app", Vec::new());
        for (image, path) in [
            ("file://./build/a_s.wasm", "/app/./build/a_s.wasm"),
            ("file:///opt/a.wasm", "/opt/a.wasm"),
            ("./a.wasm", "/app/./a.wasm"),
            ("build/a.wasm", "/app/build/a.wasm"),
            ("a.wasm", "/app/a.wasm"),
        ] {
            let read = reference(&source, image);
            assert!(
                matches!(&read, Ok(Reference::File { path: read, .. }) if read.to_str() == Some(path)),
                "{image}: {read:?}"
            );
        }
        for image in ["ghcr.io/acme/a:0.1", "localhost:5000/v2/a:0.1", "acme/a", "registry.io/a.wasm"] {
            assert_eq!(reference(&source, image), Ok(Reference::Oci(format!("oci://{image}"))), "{image}");
        }
        assert!(reference(&source, "justaword").is_err());
        assert_eq!(kind("ghcr.io/wasmcloud/http-server:0.22.0"), Some("http-server"));
        assert_eq!(kind("wasmcloud.azurecr.io/kvredis@sha256:00"), Some("keyvalue-redis"));
        assert_eq!(kind("ghcr.io/acme/my-http-server:1"), None);
    }
}
