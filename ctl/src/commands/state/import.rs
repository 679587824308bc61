//! `state import`: wants what an export holds. Everything is read and believed before anything changes; then whom to trust
//! comes first, and what runs comes last.

use std::path::PathBuf;

use anyhow::Context as _;
use bytes::Bytes;
use mesh_claims::{Trust, authority};
use mesh_lattice::{
    application::{Application, Values},
    key::{Key, TrustKey},
    stored::{AppPointer, NodeRecord, TrustStatement},
};
use serde::Serialize;

use super::{
    super::whole,
    files::{self, Exported},
};
use crate::{
    cli::Global,
    client::{self, Change, Client},
    exit::{Exit, Failure},
    output::{Output, Table},
};

/// Want what was exported
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// The folder of the export
    folder: PathBuf,
    /// Take it although this lattice's root does not vouch for who exported it: you do
    #[arg(long)]
    adopt: bool,
}

/// What became of one value.
#[derive(Serialize)]
struct Done {
    kind: &'static str,
    name: String,
    action: Change,
}

impl Import {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        let exported = files::read(&self.folder)?;
        let done = client::connected(global, out, async |client| self.import(client, &exported, out).await)?;
        out.show(&done, || {
            let mut table = Table::new(["KIND", "NAME", "ACTION"]);
            for Done { kind, name, action } in &done {
                table.row([(*kind).to_owned(), name.clone(), action.word().to_owned()]);
            }
            table
        })
    }

    async fn import(&self, client: &Client, exported: &Exported, out: &Output) -> anyhow::Result<Vec<Done>> {
        let same_root = self.vouched(client, exported)?;
        let mut done = trust(client, exported, same_root).await?;
        for digest in &exported.list.artifacts {
            client.upload(digest, Bytes::from(exported.artifact(digest)?), out).await?;
        }
        for key in exported.values.keys() {
            match key {
                Key::Config(name) => {
                    let wanted: Values = exported.get(key)?.unwrap_or_default();
                    let action = client.edit_value(key, |there| Ok(differs(there, &wanted))).await?;
                    done.push(Done { kind: "config", name: name.to_string(), action });
                }
                Key::Node(host) if same_root => {
                    let wanted: NodeRecord = exported.get(key)?.unwrap_or_default();
                    let action = client.edit_value(key, |there| Ok(differs(there, &wanted))).await?;
                    done.push(Done { kind: "host", name: host.to_string(), action });
                }
                _ => {}
            }
        }
        for key in exported.values.keys() {
            done.extend(application(client, exported, key).await?);
        }
        Ok(done)
    }

    /// Whether the root of this lattice vouches for the exporter; an error where nobody does.
    fn vouched(&self, client: &Client, exported: &Exported) -> anyhow::Result<bool> {
        let root = client.root()?.filter(|root| exported.list.root.as_ref() == Some(root));
        let Some(root) = root.filter(|_| !self.adopt) else {
            if self.adopt {
                return Ok(false);
            }
            let message = "the export is of a lattice with another root, or the root is not known here";
            let hint =
                "--adopt takes what is in it, without its hosts and users, on your own word; --root names the root";
            return Err(Failure::new(Exit::Refused, message).hint(hint).into());
        };
        let trust = exported_trust(exported, root);
        let any = Key::Config("any".parse().context("a name")?);
        authority::may_write(&any, &exported.exporter, &trust)
            .context("who exported it was no user of that lattice")?;
        Ok(true)
    }
}

/// Whom the exported lattice trusted, by the word of this root.
fn exported_trust(exported: &Exported, root: mesh_lattice::id::OperatorId) -> Trust {
    let mut trust = Trust::of_incarnation(root, exported.incarnation);
    for (key, envelope) in exported.values.iter().filter(|(key, _)| matches!(key, Key::Trust(_))) {
        // What does not count makes nobody a user.
        let _ = trust.apply(key, envelope);
    }
    trust
}

/// The statements that nothing has been said about here.
async fn trust(client: &Client, exported: &Exported, same_root: bool) -> anyhow::Result<Vec<Done>> {
    let mut statements = Vec::new();
    for key in exported.values.keys() {
        let Key::Trust(about) = key else { continue };
        let taken = same_root || matches!(about, TrustKey::Issuer(_) | TrustKey::Revoked(_));
        let statement: Option<TrustStatement> = exported.get(key)?;
        if let Some(statement) = statement.filter(|_| taken) {
            statements.push((about.clone(), statement));
        }
    }
    let missing = client.unsaid(statements).await?;
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    client.state(&missing, false).await.context("whom to trust")?;
    let done = |key: &TrustKey| {
        let (kind, name) = match key {
            TrustKey::Issuer(id) => ("issuer", id.to_string()),
            TrustKey::Host(id) => ("host", id.to_string()),
            TrustKey::User(id) => ("user", id.to_string()),
            TrustKey::Revoked(id) => ("revoked", id.clone()),
        };
        Done { kind, name, action: Change::Created }
    };
    Ok(missing.iter().map(|(key, _)| done(key)).collect())
}

/// Wants the application of this key.
async fn application(client: &Client, exported: &Exported, key: &Key) -> anyhow::Result<Option<Done>> {
    let Key::App(name) = key else { return Ok(None) };
    let pointer: Option<AppPointer> = exported.get(key)?;
    let Some(pointer) = pointer.filter(|pointer| !pointer.deleted) else { return Ok(None) };
    let wanted: Option<Application> = exported.get(&Key::AppRevision(name.clone(), pointer.revision))?;
    let wanted = wanted.with_context(|| format!("the export has no revision {} of {name}", pointer.revision))?;
    let judge = client.judge(&client.signer()?).await?;
    let base = client.base(name, &judge).await?;
    let done = whole::put(client, &base, Some(&wanted), &judge).await?;
    Ok(Some(Done { kind: "app", name: name.to_string(), action: done.change }))
}

fn differs<T: PartialEq + Clone>(there: Option<T>, wanted: &T) -> Option<T> {
    (there.as_ref() != Some(wanted)).then(|| wanted.clone())
}
