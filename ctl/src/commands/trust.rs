//! `trust`: whom the lattice trusts. Statements are signed by the root, or by a user that the root made an admin.

use mesh_lattice::{
    control::Status,
    key::TrustKey,
    name::{LabelKey, LabelValue, Labels},
    stored::TrustStatement,
};

use super::{affected, done_plain};
use crate::{
    cli::Global,
    client::{self, Change, Client},
    exit::Failure,
    output::{Output, Table},
};

/// Say whom the lattice trusts
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Trust {
    /// Trust an issuer, a host or a user
    Add(Add),
    /// Take back what `add` said, or a revocation
    Remove {
        /// issuer, host, user or revoked
        kind: Kind,
        /// The public key, or a revoked digest
        id: String,
    },
    /// List whom the lattice trusts, and what is revoked
    List {
        /// Only these
        kind: Option<Kind>,
    },
}

/// Trust an issuer, a host or a user
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// issuer, host or user
    kind: Kind,
    /// The public key
    id: String,
    /// A label that the host may claim; any where none is named
    #[arg(long = "label", value_name = "K=V", value_parser = label)]
    labels: Vec<(LabelKey, LabelValue)>,
    /// The user may make trust statements too; only the root says that
    #[arg(long)]
    admin: bool,
}

/// What a statement speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    Issuer,
    Host,
    User,
    Revoked,
}

fn label(text: &str) -> Result<(LabelKey, LabelValue), String> {
    let (key, value) = text.split_once('=').ok_or("a label is written key=value")?;
    let key = key.parse().map_err(|error: mesh_lattice::name::BadName| error.to_string())?;
    let value = value.parse().map_err(|error: mesh_lattice::name::BadName| error.to_string())?;
    Ok((key, value))
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Issuer => "issuer",
            Self::Host => "host",
            Self::User => "user",
            Self::Revoked => "revoked",
        }
    }

    fn key(self, id: &str) -> Result<TrustKey, Failure> {
        let key = match self {
            Self::Issuer => id.parse().map(TrustKey::Issuer).map_err(|error| error.to_string()),
            Self::Host => id.parse().map(TrustKey::Host).map_err(|error| error.to_string()),
            Self::User => id.parse().map(TrustKey::User).map_err(|error| error.to_string()),
            Self::Revoked => {
                TrustKey::revoked(id).ok_or_else(|| format!("{id:?} is neither a public key nor a digest"))
            }
        };
        key.map_err(Failure::invalid)
    }
}

impl Add {
    fn statement(&self) -> Result<(TrustKey, TrustStatement), Failure> {
        let key = self.kind.key(&self.id)?;
        if self.admin && self.kind != Kind::User {
            return Err(Failure::invalid("--admin is said of users"));
        }
        if !self.labels.is_empty() && self.kind != Kind::Host {
            return Err(Failure::invalid("--label is said of hosts"));
        }
        let labels: Labels = self.labels.iter().cloned().collect();
        let statement = match &key {
            TrustKey::Issuer(id) => TrustStatement::Issuer { id: id.clone() },
            TrustKey::Host(id) => {
                TrustStatement::Host { id: id.clone(), labels: (!labels.is_empty()).then_some(labels) }
            }
            TrustKey::User(id) => TrustStatement::User { id: id.clone(), admin: self.admin },
            TrustKey::Revoked(_) => return Err(Failure::invalid("`meshctl revoke` revokes")),
        };
        Ok((key, statement))
    }
}

impl Trust {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        // What is typed wrongly is refused before anybody is asked.
        let stated = match &self {
            Self::Add(add) => Some(add.statement()?),
            Self::Remove { kind, id } => Some((kind.key(id)?, TrustStatement::Withdrawn)),
            Self::List { .. } => None,
        };
        client::connected(global, out, async |client| match (&self, stated) {
            (Self::Add(add), Some(stated)) => {
                let change = client.state(&[stated], false).await?;
                say_if_revoked(client, &add.id, out).await?;
                done_plain(out, add.kind.word(), &add.id, change)
            }
            (Self::Remove { kind, id }, Some((key, _))) => remove(client, *kind, id, key, out).await,
            (Self::List { kind }, _) => list(client, *kind, out).await,
            _ => Ok(()),
        })
    }
}

/// A revocation stands before every other word: whoever adds what is revoked has changed nothing.
async fn say_if_revoked(client: &Client, id: &str, out: &Output) -> anyhow::Result<()> {
    if client.status().await?.trust.iter().any(|view| view.kind == "revoked" && view.id == id) {
        out.say(&format!(
            "warning: {id} is revoked, which goes before this; `meshctl trust remove revoked {id} --key ROOT` takes it back"
        ));
    }
    Ok(())
}

async fn list(client: &Client, kind: Option<Kind>, out: &Output) -> anyhow::Result<()> {
    let mut trust = client.status().await?.trust;
    trust.retain(|view| kind.is_none_or(|kind| kind.word() == view.kind));
    out.show(&trust, || {
        let mut table = Table::new(["KIND", "ID", "ADMIN", "SIGNER"]);
        for view in &trust {
            let admin = if view.admin { "yes".to_owned() } else { String::new() };
            table.row([view.kind.clone(), view.id.clone(), admin, view.signer.clone()]);
        }
        table
    })
}

async fn remove(client: &Client, kind: Kind, id: &str, key: TrustKey, out: &Output) -> anyhow::Result<()> {
    let status = client.status().await?;
    let there = status.trust.iter().any(|view| client::key_of(view).as_ref() == Some(&key));
    if !there && kind == Kind::User {
        // He is gone already; what he signed may still wait for somebody to sign it again.
        let departed = client.part_with(id, &[]).await?;
        if departed.taken_over > 0 {
            out.say(&format!("{} records that this user signed last are signed again", departed.taken_over));
            return done_plain(out, kind.word(), id, Change::Updated);
        }
    }
    if !there {
        return Err(Failure::not_found(format!("the lattice has no statement about {} {id}", kind.word())).into());
    }
    match kind {
        Kind::User => part_with(client, &status, id, (key, TrustStatement::Withdrawn), out).await?,
        _ => client.state(&[(key, TrustStatement::Withdrawn)], true).await?,
    };
    if kind == Kind::Issuer {
        affected::say(&status, id, out);
    }
    done_plain(out, kind.word(), id, Change::Removed)
}

/// Says of a user that his word counts no more, and keeps what hangs on it: the work that he set up goes on in the
/// name of whoever removes him, and what he revoked stays revoked. What he granted falls with him, and is named.
pub(super) async fn part_with(
    client: &Client,
    status: &Status,
    user: &str,
    statement: (TrustKey, TrustStatement),
    out: &Output,
) -> anyhow::Result<Change> {
    let kept = kept_revocations(status, user);
    let revocations = kept.len();
    let statements: Vec<_> = kept.into_iter().chain(std::iter::once(statement)).collect();
    let departed = client.part_with(user, &statements).await?;
    if revocations > 0 {
        out.say(&format!("{revocations} revocations that this user signed are signed again, so that they stay"));
    }
    if departed.taken_over > 0 {
        let records = departed.taken_over;
        out.say(&format!("{records} records that this user signed last are signed again: what he set up goes on"));
    }
    if departed.left {
        out.say(
            "warning: what this user signed last kept changing, and is not signed again; what was believed last goes \
             on. Say this command once more",
        );
    }
    let fallen = status.trust.iter().filter(|view| view.signer == user && view.kind != "revoked");
    for view in fallen {
        out.say(&format!(
            "warning: {} {} is no longer trusted: this user had granted it; `meshctl trust add {} {}` says it again",
            view.kind, view.id, view.kind, view.id
        ));
    }
    Ok(departed.change)
}

/// The revocations that a user signed. What he granted falls with him; what he revoked has to stay revoked, so
/// whoever takes his word away signs these again.
fn kept_revocations(status: &Status, signer: &str) -> Vec<(TrustKey, TrustStatement)> {
    let his = status.trust.iter().filter(|view| view.kind == "revoked" && view.signer == signer);
    his.filter_map(|view| {
        let key = client::key_of(view)?;
        let TrustKey::Revoked(subject) = &key else { return None };
        let statement = TrustStatement::Revoked { subject: subject.clone() };
        Some((key, statement))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_another_kind_is_refused() {
        let host = mesh_claims::KeyPair::generate(mesh_claims::KeyKind::Host).public();
        assert!(Kind::Host.key(&host).is_ok() && Kind::Revoked.key(&host).is_ok());
        assert!(Kind::Issuer.key(&host).is_err() && Kind::User.key(&host).is_err());
        assert!(Kind::Revoked.key("host-1").is_err());
    }
}
