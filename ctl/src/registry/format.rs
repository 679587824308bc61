//! Images that hold a component: one layer with its bytes as they are, beside a small configuration.
//!
//! What is read: the form of the CNCF's Wasm working group, which `wkg` and `wash` write, and the two older types of
//! layers. What is written: the first.

use mesh_claims::surface::Surface;
use mesh_lattice::Digest;
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciManifest};
use serde::Serialize;

use super::trouble::Trouble;

const LAYER: &str = "application/wasm";
const OLDER_LAYERS: [&str; 2] =
    ["application/vnd.module.wasm.content.layer.v1+wasm", "application/vnd.wasm.content.layer.v1+wasm"];
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
const PROVIDER: &str = "application/vnd.wasmcloud.provider.archive.layer.v1+par";

/// The artifact that a manifest names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layer {
    pub(super) digest: Digest,
    pub(super) size: usize,
}

/// The one layer of a manifest that is a component.
pub(super) fn layer(manifest: &[u8]) -> Result<Layer, Trouble> {
    let manifest = serde_json::from_slice(manifest)
        .map_err(|error| Trouble::not_ours(format!("its manifest cannot be read: {error}")))?;
    let OciManifest::Image(manifest) = manifest else {
        return Err(Trouble::not_ours("it is a list of images, one for each platform".to_owned()));
    };
    let is_wasm = |kind: &str| kind == LAYER || OLDER_LAYERS.contains(&kind);
    let mut layers = manifest.layers.iter().filter(|layer| is_wasm(&layer.media_type));
    let Some(layer) = layers.next() else {
        let kinds: Vec<&str> = manifest.layers.iter().map(|layer| layer.media_type.as_str()).collect();
        return Err(Trouble::not_ours(match kinds.as_slice() {
            [PROVIDER] => {
                "it is the archive of a provider, which runs here by its name (`start provider USE`)".to_owned()
            }
            [] => "it has no layers".to_owned(),
            kinds => format!("it has no layer that is a component: {}", kinds.join(", ")),
        }));
    };
    if layers.next().is_some() {
        return Err(Trouble::not_ours("it has several layers that are components".to_owned()));
    }
    let digest = layer.digest.strip_prefix("sha256:").and_then(|hex| hex.parse().ok());
    let digest = digest.ok_or_else(|| Trouble::not_ours(format!("{:?} is no SHA-256 of a layer", layer.digest)))?;
    let size =
        usize::try_from(layer.size).map_err(|_| Trouble::not_ours(format!("{} is no size of a layer", layer.size)))?;
    Ok(Layer { digest, size })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    created: String,
    author: Option<&'a str>,
    architecture: &'static str,
    os: &'static str,
    layer_digests: [String; 1],
    component: Component,
}

#[derive(Serialize)]
struct Component {
    exports: Vec<String>,
    imports: Vec<String>,
    target: Option<String>,
}

/// What is said about a component beside it. `signed_at` is its date, so that the same bytes make the same image.
pub(super) fn config(surface: &Surface, digest: &Digest, signed_at: u64) -> Result<Vec<u8>, Trouble> {
    let names = |interfaces: &[mesh_lattice::Interface], other: &[String]| {
        interfaces.iter().map(ToString::to_string).chain(other.iter().cloned()).collect()
    };
    let config = Config {
        created: rfc3339(signed_at),
        author: None,
        architecture: "wasm",
        os: "wasip2",
        layer_digests: [format!("sha256:{digest}")],
        component: Component {
            exports: names(&surface.exports, &surface.other_exports),
            imports: names(&surface.imports, &surface.other_imports),
            target: None,
        },
    };
    written(&config)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u8,
    media_type: &'static str,
    config: Descriptor,
    layers: [Descriptor; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: &'static str,
    digest: String,
    size: usize,
}

/// The manifest of an image with this configuration and this artifact.
pub(super) fn manifest(config: &[u8], digest: &Digest, size: usize) -> Result<Vec<u8>, Trouble> {
    let descriptor =
        |media_type, digest: &Digest, size| Descriptor { media_type, digest: format!("sha256:{digest}"), size };
    written(&Manifest {
        schema_version: 2,
        media_type: OCI_IMAGE_MEDIA_TYPE,
        config: descriptor(CONFIG, &Digest::of(config), config.len()),
        layers: [descriptor(LAYER, digest, size)],
    })
}

fn written(value: &impl Serialize) -> Result<Vec<u8>, Trouble> {
    serde_json::to_vec(value).map_err(|error| Trouble::not_ours(format!("it cannot be described: {error}")))
}

/// A date as programs write it.
fn rfc3339(seconds: u64) -> String {
    crate::time::utc(seconds).replacen(' ', "T", 1).replace(" UTC", "Z")
}
