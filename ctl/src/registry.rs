//! Registries that speak the OCI distribution protocol: resolving a tag, downloading the artifact of an image, putting
//! one there. Called by `artifact` and by the commands `push` and `pull`.
//!
//! | part | owns |
//! |---|---|
//! | [`image`] | the name of an image, and the same pinned to a digest |
//! | [`credentials`] | who we are to a registry: docker's file, the environment |
//! | [`format`](mod@format) | which images hold a component, and how we write one |
//! | [`trouble`] | what went wrong, in a sentence with what to do |
//!
//! Nothing that a registry says is believed: the manifest must have the digest that was asked for, the artifact the
//! digest and the size that the manifest names, and a size above [`MAX_ARTIFACT`] is refused before a byte of it is read. Each
//! question has the time of one request for each of its steps, and a transfer must go on and end.

mod credentials;
mod format;
mod image;
mod trouble;

use std::{sync::Once, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use mesh_claims::surface::Surface;
use mesh_lattice::Digest;
use oci_client::{
    RegistryOperation,
    client::{ClientConfig, ClientProtocol},
    manifest::{IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE},
};
use tokio::time::{Instant, timeout, timeout_at};

pub(crate) use self::image::{Image, Pinned};
use self::{credentials::Credentials, trouble::Trouble};
use crate::exit::Failure;

/// No host runs a larger one.
pub(crate) const MAX_ARTIFACT: usize = 64 << 20;
/// A manifest names a handful of layers.
const MAX_MANIFEST: usize = 1 << 20;
/// Steps of one question: who are you, what is the token, what is asked.
const STEPS: u32 = 3;
/// How long one artifact may take to come or go, however steadily it does.
const TRANSFER_WITHIN: Duration = Duration::from_secs(600);
/// What registries are told of who asks.
const USER_AGENT: &str = concat!("meshctl/", env!("CARGO_PKG_VERSION"));

/// How registries are spoken to: options of each command that may name an image.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Options {
    /// A registry that is spoken to without TLS; those of this machine always are
    #[arg(long, value_name = "REGISTRY", env = "MESH_PLAIN_HTTP", value_delimiter = ',')]
    pub(crate) plain_http: Vec<String>,
}

/// All registries, as one command sees them.
#[derive(Debug, Clone)]
pub(crate) struct Registries {
    plain_http: Vec<String>,
    step: Duration,
}

/// What a command knows of one registry while it speaks with it.
struct Session {
    client: oci_client::Client,
    credentials: Credentials,
    reference: oci_client::Reference,
}

impl Registries {
    /// One request may take `step`.
    pub(crate) fn new(options: &Options, step: Duration) -> Self {
        Self { plain_http: options.plain_http.clone(), step }
    }

    /// What this name means now. What was pinned is looked up all the same: its size and its artifact are in its manifest.
    pub(crate) async fn resolve(&self, image: &Image) -> anyhow::Result<Pinned> {
        let session = self.session(image)?;
        let asked = timeout(self.step * STEPS, session.resolve(image));
        let resolved = asked.await.unwrap_or_else(|_| Err(Trouble::silent("it did not say what the image is")));
        Ok(resolved.map_err(|trouble| session.failure(image, trouble))?)
    }

    /// The artifact of an image: the bytes whose digest the pin says.
    pub(crate) async fn download(&self, pinned: &Pinned) -> anyhow::Result<Bytes> {
        let session = self.session(&pinned.image)?;
        let downloaded = session.download(pinned, self.step).await;
        Ok(downloaded.map_err(|trouble| session.failure(&pinned.image, trouble))?)
    }

    /// Puts a component there under a tag. The same bytes make the same image, whenever they are put.
    pub(crate) async fn push(
        &self,
        image: &Image,
        bytes: Bytes,
        surface: &Surface,
        signed_at: u64,
    ) -> anyhow::Result<Pinned> {
        let session = self.session(image)?;
        let pushed = timeout(TRANSFER_WITHIN, session.push(image, bytes, surface, signed_at));
        let pushed = pushed.await.unwrap_or_else(|_| Err(Trouble::silent("it did not take all of the image")));
        Ok(pushed.map_err(|trouble| session.failure(image, trouble))?)
    }

    fn session(&self, image: &Image) -> Result<Session, Failure> {
        let registry = image.registry();
        let plain = image.is_on_this_machine() || self.plain_http.iter().any(|name| name == registry);
        let config = ClientConfig {
            protocol: if plain { ClientProtocol::Http } else { ClientProtocol::Https },
            use_monolithic_push: true,
            connect_timeout: Some(self.step),
            user_agent: USER_AGENT,
            ..ClientConfig::default()
        };
        choose_cryptography();
        let client = oci_client::Client::try_from(config)
            .map_err(|error| Failure::invalid(format!("TLS cannot be used here: {error}")))?;
        Ok(Session { client, credentials: Credentials::find(registry)?, reference: image.reference() })
    }
}

/// The library takes whatever the process has chosen; it is the same as for NATS.
fn choose_cryptography() {
    static CHOSEN: Once = Once::new();
    // It fails where somebody has chosen before.
    CHOSEN.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

impl Session {
    fn failure(&self, image: &Image, trouble: Trouble) -> Failure {
        trouble.into_failure(image, &self.credentials)
    }

    /// The library asks for a token by itself, but keeps to itself why it got none.
    async fn authenticate(&self, operation: RegistryOperation) -> Result<(), Trouble> {
        self.client.auth(&self.reference, &self.credentials.auth, operation).await?;
        Ok(())
    }

    async fn resolve(&self, image: &Image) -> Result<Pinned, Trouble> {
        self.authenticate(RegistryOperation::Pull).await?;
        let accepted = [OCI_IMAGE_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE];
        let (manifest, _) = self.client.pull_manifest_raw(&self.reference, &self.credentials.auth, &accepted).await?;
        if manifest.len() > MAX_MANIFEST {
            return Err(Trouble::not_ours(format!("its manifest has {} bytes", manifest.len())));
        }
        let layer = format::layer(&manifest)?;
        if layer.size > MAX_ARTIFACT {
            return Err(Trouble::too_large(format!("it has {} bytes", layer.size)));
        }
        Ok(image.pin(&Digest::of(&manifest), layer.digest, layer.size))
    }

    async fn download(&self, pinned: &Pinned, step: Duration) -> Result<Bytes, Trouble> {
        let silent = || Trouble::silent("the download does not go on");
        let begun = async {
            self.authenticate(RegistryOperation::Pull).await?;
            let layer = format!("sha256:{}", pinned.digest);
            Ok::<_, Trouble>(self.client.pull_blob_stream(&self.reference, layer.as_str()).await?)
        };
        let mut stream = timeout(step * STEPS, begun).await.map_err(|_| silent())??;
        let until = Instant::now() + TRANSFER_WITHIN;
        let mut bytes = BytesMut::with_capacity(pinned.size);
        while let Some(chunk) =
            timeout_at(until.min(Instant::now() + step * STEPS), stream.next()).await.map_err(|_| silent())?
        {
            let chunk = chunk.map_err(Trouble::from_transfer)?;
            if bytes.len() + chunk.len() > pinned.size {
                return Err(Trouble::other_content(format!(
                    "it sends more than the {} bytes that it names",
                    pinned.size
                )));
            }
            bytes.extend_from_slice(&chunk);
        }
        let bytes = bytes.freeze();
        match Digest::of(&bytes) {
            digest if digest == pinned.digest => Ok(bytes),
            digest => Err(Trouble::other_content(format!("it sends sha256:{digest} for sha256:{}", pinned.digest))),
        }
    }

    async fn push(&self, image: &Image, bytes: Bytes, surface: &Surface, signed_at: u64) -> Result<Pinned, Trouble> {
        self.authenticate(RegistryOperation::Push).await?;
        let (digest, size) = (Digest::of(&bytes), bytes.len());
        let config = Bytes::from(format::config(surface, &digest, signed_at)?);
        let manifest = Bytes::from(format::manifest(&config, &digest, size)?);
        let pinned = image.pin(&Digest::of(&manifest), digest, size);
        for blob in [bytes, config] {
            self.put(blob).await?;
        }
        let kind = OCI_IMAGE_MEDIA_TYPE.parse().map_err(|_| Trouble::not_ours("its type is no header".to_owned()))?;
        self.client.push_manifest_raw(&self.reference, manifest, kind).await?;
        Ok(pinned)
    }

    /// Puts a blob there, unless it is there.
    async fn put(&self, blob: Bytes) -> Result<(), Trouble> {
        let digest = format!("sha256:{}", Digest::of(&blob));
        // Whoever may not ask may still be let put it: that answer is the one that counts.
        if let Ok(true) = self.client.blob_exists(&self.reference, &digest).await {
            return Ok(());
        }
        let size = u64::try_from(blob.len()).unwrap_or(u64::MAX);
        let whole = futures::stream::iter([Ok(blob)]);
        self.client.push_blob_stream(&self.reference, whole, &digest, Some(size)).await?;
        Ok(())
    }
}
