//! The artifacts that manifests name: each is read once, checked as `start actor` checks it, and known by its digest. One that
//! cannot be read or is refused is a fault at the line that names it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use mesh_claims::Trust;
use mesh_lattice::Digest;
use mesh_manifest::{Component, Draft, Reference, Unread};
use mesh_wit::Signatures;

use crate::{
    admission::{self, Checked},
    artifact,
    client::Client,
    exit::{self, Exit},
    registry::Registries,
};

/// What all of them turned out to be.
pub(super) struct Found {
    pub(super) components: BTreeMap<Reference, Result<Component, Unread>>,
    /// Their bytes.
    pub(super) bytes: BTreeMap<Digest, Bytes>,
    /// Whether trust or a signature stands against one of them.
    pub(super) refused: bool,
}

/// Reads every artifact of these drafts.
pub(super) async fn read(client: &Client, drafts: &[Draft], registries: &Registries, trust: Option<&Trust>) -> Found {
    let references: BTreeSet<&Reference> =
        drafts.iter().flat_map(Draft::references).map(|reference| &reference.value).collect();
    let mut found = Found { components: BTreeMap::new(), bytes: BTreeMap::new(), refused: false };
    for reference in references {
        let component = match one(client, reference, registries, trust).await {
            Ok((component, checked)) => {
                found.bytes.insert(checked.digest, checked.bytes);
                Ok(component)
            }
            Err(error) => {
                found.refused |= exit::kind(&error) == Exit::Refused;
                let help = exit::hint(&error).filter(|hint| !hint.is_empty()).map(ToOwned::to_owned);
                Err(Unread { message: format!("{error:#}"), help })
            }
        };
        found.components.insert(reference.clone(), component);
    }
    found
}

async fn one(
    client: &Client,
    reference: &Reference,
    registries: &Registries,
    trust: Option<&Trust>,
) -> anyhow::Result<(Component, Checked)> {
    let source = match reference {
        Reference::File { path, .. } => artifact::Reference::File(path.clone()),
        Reference::Digest(digest) => artifact::Reference::Stored(*digest),
        Reference::Oci(text) => text.parse()?,
    };
    let checked = admission::check(source.read(registries, Some(client)).await?)?;
    checked.check_trust(trust)?;
    // What cannot be compared is not: the hosts that start it say what is wrong.
    let signatures = Signatures::read(&checked.bytes).ok().map(Arc::new);
    Ok((Component::new(checked.digest, &checked.surface, signatures), checked))
}
