//! `revoke`: nothing with this key or digest is trusted any more, whatever else is said about it.

use mesh_claims::{KeyKind, keys};
use mesh_lattice::{Digest, key::TrustKey, stored::TrustStatement};

use super::{done_plain, trust};
use crate::{
    cli::Global,
    client::{self, Client},
    exit::Failure,
    output::Output,
};

/// Revoke a key or an artifact
#[derive(Debug, clap::Args)]
pub(crate) struct Revoke {
    /// What it is
    kind: Kind,
    /// The public key, or sha256:DIGEST
    id: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Issuer,
    Host,
    User,
    Actor,
    Provider,
    Artifact,
}

impl Revoke {
    /// The key or digest, of the kind that was named: a slip here would revoke nothing and look as if it had.
    fn subject(&self) -> Result<String, Failure> {
        let wanted = match self.kind {
            Kind::Issuer => KeyKind::Account,
            Kind::Host => KeyKind::Host,
            Kind::User => KeyKind::User,
            Kind::Actor => KeyKind::Actor,
            Kind::Provider => KeyKind::Provider,
            Kind::Artifact => {
                let digest = self.id.parse::<Digest>().map_err(|error| Failure::invalid(error.to_string()))?;
                return Ok(digest.to_string());
            }
        };
        match keys::kind_of(&self.id) {
            Some(kind) if kind == wanted => Ok(self.id.clone()),
            Some(kind) => Err(Failure::invalid(format!("{} is the key of a {kind}", self.id))),
            None => Err(Failure::invalid(format!("{:?} is not a public key", self.id))),
        }
    }

    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        let subject = self.subject()?;
        let key = TrustKey::revoked(&subject).ok_or_else(|| Failure::invalid("neither a public key nor a digest"))?;
        let change = client::connected(global, out, async |client| revoke(client, key, &subject, out).await)?;
        done_plain(out, "revocation", &subject, change)
    }
}

async fn revoke(client: &Client, key: TrustKey, subject: &str, out: &Output) -> anyhow::Result<client::Change> {
    let statement = TrustStatement::Revoked { subject: subject.to_owned() };
    if keys::kind_of(subject) == Some(KeyKind::User) {
        let status = client.status().await?;
        return trust::part_with(client, &status, subject, (key, statement), out).await;
    }
    client.state(&[(key, statement)], false).await
}
