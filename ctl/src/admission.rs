//! Whether an artifact may be wanted: its structure, its signature, that every import can be served by somebody, and that the
//! lattice trusts who signed it. Hosts check all of it again before it runs; here it is said before anything changes.

use bytes::Bytes;
use mesh_claims::{
    Admission, RefusalCode, Trust,
    surface::{self, Surface},
    verify,
};
use mesh_lattice::Digest;

use crate::{
    artifact::Artifact,
    exit::{Exit, Failure},
    time,
};

/// An artifact that may be wanted, as far as that can be told without a lattice.
pub(crate) struct Checked {
    pub(crate) bytes: Bytes,
    pub(crate) digest: Digest,
    /// What people are told of where it came from.
    pub(crate) reference: String,
    /// The name in its claims.
    pub(crate) name: Option<String>,
    pub(crate) surface: Surface,
}

/// Structure, signature, and that every import can be served by somebody.
pub(crate) fn check(artifact: Artifact) -> anyhow::Result<Checked> {
    let Artifact { bytes, digest, reference } = artifact;
    let surface = surface::read(&bytes)?;
    let unservable = surface.unservable();
    if !unservable.is_empty() {
        let message = format!("it imports what no host can ever serve: {}", unservable.join(", "));
        return Err(Failure::invalid(message).into());
    }
    let claims = verify::read(&bytes).map_err(|refusal| {
        let hint = if refusal.code == RefusalCode::Unsigned { "sign it: `meshctl claims sign`" } else { "" };
        let exit = if refusal.code == RefusalCode::Malformed { Exit::Invalid } else { Exit::Refused };
        Failure::new(exit, refusal.to_string()).hint(hint)
    })?;
    Ok(Checked { digest, reference, name: claims.name, surface, bytes })
}

impl Checked {
    /// Every host would refuse what its root does not trust; here it can be said at once, where the root is known.
    pub(crate) fn check_trust(&self, trust: Option<&Trust>) -> Result<(), Failure> {
        let Some(trust) = trust else { return Ok(()) };
        let verified = verify::component(self.bytes.clone(), None, trust, time::now(), Admission::New);
        let Err(refusal) = verified else { return Ok(()) };
        let hint = match refusal.code {
            RefusalCode::UnknownIssuer => {
                let issuer = verify::read(&self.bytes).map(|claims| claims.issuer.to_string()).unwrap_or_default();
                format!("`meshctl trust add issuer {issuer}` lets it sign what runs here")
            }
            RefusalCode::Expired | RefusalCode::NotYetValid => "sign it again: `meshctl claims sign`".to_owned(),
            _ => String::new(),
        };
        Err(Failure::new(Exit::Refused, refusal.to_string()).hint(hint))
    }
}
