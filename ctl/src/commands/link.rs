//! `link put` and `link del`: "source may call target on these interfaces".
//!
//! A link is known by source, target, name and interface. Putting one again changes it; deleting takes one interface
//! away, and the link with the last.

use mesh_lattice::{
    InterfacePattern, LinkName, Name,
    application::{Application, ConfigPart, Link as Stored},
    control::LinkView,
};
use serde::Serialize;

use super::wait;
use crate::{
    cli::Global,
    client::{self, Change, Client},
    exit::Failure,
    output::{Output, Table},
    values,
};

/// Link a source to a target
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Link {
    /// Let SOURCE call TARGET on these interfaces
    Put(Put),
    /// Let SOURCE call TARGET on this interface no more
    Del(Del),
}

/// Let SOURCE call TARGET on these interfaces
#[derive(Debug, clap::Args)]
pub(crate) struct Put {
    /// Who calls
    source: Name,
    /// Who is called
    target: Name,
    /// ns:package, or ns:package/interface
    #[arg(required = true, value_name = "INTERFACE")]
    interfaces: Vec<InterfacePattern>,
    /// Tells apart several targets of one source on one interface
    #[arg(long, default_value_t)]
    name: LinkName,
    /// A value for the source, where it is a provider
    #[arg(long, value_name = "K=V", value_parser = values::pair)]
    source_config: Vec<(String, String)>,
    /// A value for the target, where it is a provider
    #[arg(long, value_name = "K=V", value_parser = values::pair)]
    target_config: Vec<(String, String)>,
    /// A call that got no answer may be made again elsewhere
    #[arg(long)]
    idempotent: bool,
    #[command(flatten)]
    waiting: wait::Waiting,
}

/// Let SOURCE call TARGET on this interface no more
#[derive(Debug, clap::Args)]
pub(crate) struct Del {
    /// Who calls
    source: Name,
    /// Who is called
    target: Name,
    /// ns:package, or ns:package/interface
    interface: InterfacePattern,
    /// The link's name
    #[arg(long, default_value_t)]
    name: LinkName,
}

#[derive(Serialize)]
struct Done<'a> {
    source: &'a Name,
    target: &'a Name,
    interfaces: &'a [InterfacePattern],
    name: &'a LinkName,
    app: Name,
    result: Change,
}

impl Link {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        client::connected(global, out, async |client| match &self {
            Self::Put(put) => put.put(client, out).await,
            Self::Del(del) => del.del(client, out).await,
        })
    }
}

impl Put {
    async fn put(&self, client: &Client, out: &Output) -> anyhow::Result<()> {
        let (source_config, target_config) =
            (values::config(&self.source_config)?, values::config(&self.target_config)?);
        let mut interfaces = self.interfaces.clone();
        interfaces.dedup();
        let link = self.link(interfaces, source_config, target_config);
        let holder = holder(client, &self.source, &self.target, &self.name, &self.interfaces).await?;
        let change = |application: &mut Application| Ok(put(application, &link));
        let (result, app) = match &holder {
            Some(app) => client.edit_app(app, change).await?,
            None => client.edit_owner_of(&self.source, change).await?,
        };
        if let Some(limit) = self.waiting.limit() {
            wait::for_link(client, &link, limit, out).await?;
        }
        let (source, target, name) = (&self.source, &self.target, &self.name);
        show(out, &Done { source, target, interfaces: &self.interfaces, name, app, result })
    }

    fn link(&self, interfaces: Vec<InterfacePattern>, source: Vec<ConfigPart>, target: Vec<ConfigPart>) -> Stored {
        Stored {
            source: self.source.clone(),
            target: self.target.clone(),
            interfaces,
            name: self.name.clone(),
            source_config: source,
            target_config: target,
            idempotent: self.idempotent,
            timeout_ms: None,
        }
    }
}

impl Del {
    async fn del(&self, client: &Client, out: &Output) -> anyhow::Result<()> {
        let interfaces = std::slice::from_ref(&self.interface);
        let (source, target, name) = (&self.source, &self.target, &self.name);
        let missing =
            || Failure::not_found(format!("there is no link {name} from {source} to {target} on {}", self.interface));
        let app = holder(client, source, target, name, interfaces).await?.ok_or_else(missing)?;
        let (result, app) = client
            .edit_app(&app, |application| {
                let before = application.links.clone();
                take_away(application, source, target, name, interfaces);
                if application.links == before { Err(missing().into()) } else { Ok(Change::Removed) }
            })
            .await?;
        show(out, &Done { source, target, interfaces, name, app, result })
    }
}

/// The application that declares this link now.
async fn holder(
    client: &Client,
    source: &Name,
    target: &Name,
    name: &LinkName,
    interfaces: &[InterfacePattern],
) -> anyhow::Result<Option<Name>> {
    let status = client.status().await?;
    let same = |link: &&LinkView| {
        link.source == *source
            && link.target == *target
            && link.name == *name
            && link.interfaces.iter().any(|interface| interfaces.contains(interface))
    };
    Ok(status.links.iter().find(same).map(|link| link.app.clone()))
}

fn put(application: &mut Application, link: &Stored) -> Change {
    if application.links.contains(link) {
        return Change::Unchanged;
    }
    let taken = take_away(application, &link.source, &link.target, &link.name, &link.interfaces);
    application.links.push(link.clone());
    if taken { Change::Updated } else { Change::Created }
}

/// Takes these interfaces out of the links between the two; whether there were any.
fn take_away(
    application: &mut Application,
    source: &Name,
    target: &Name,
    name: &LinkName,
    interfaces: &[InterfacePattern],
) -> bool {
    let mut taken = false;
    for link in &mut application.links {
        if link.source == *source && link.target == *target && link.name == *name {
            let before = link.interfaces.len();
            link.interfaces.retain(|interface| !interfaces.contains(interface));
            taken |= link.interfaces.len() < before;
        }
    }
    application.links.retain(|link| !link.interfaces.is_empty());
    taken
}

fn show(out: &Output, done: &Done<'_>) -> anyhow::Result<()> {
    out.show(done, || {
        let named = if *done.name == LinkName::default() { String::new() } else { format!(" ({})", done.name) };
        let interfaces: Vec<String> = done.interfaces.iter().map(ToString::to_string).collect();
        Table::of_line(format!(
            "link {} -> {} {}{named} {}",
            done.source,
            done.target,
            interfaces.join(","),
            done.result.word()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(target: &str, interfaces: &[&str]) -> Stored {
        let interfaces: Vec<_> = interfaces.iter().map(|text| serde_json::json!(text)).collect();
        let json = serde_json::json!({ "source": "a", "target": target, "interfaces": interfaces });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn putting_a_link_again_changes_it_and_deleting_takes_one_interface() {
        let mut application = Application::empty("adhoc".parse().unwrap());
        let both = link("kv", &["wasi:keyvalue/store", "wasi:keyvalue/atomics"]);
        assert_eq!(put(&mut application, &both), Change::Created);
        assert_eq!(put(&mut application, &both), Change::Unchanged);
        assert_eq!(put(&mut application, &link("other", &["wasi:blobstore"])), Change::Created);
        let changed = Stored { idempotent: true, ..link("kv", &["wasi:keyvalue/store"]) };
        assert_eq!(put(&mut application, &changed), Change::Updated);
        assert_eq!(application.links.len(), 3);
        assert_eq!(application.links[0].interfaces.len(), 1);
        let (source, target) = (&changed.source, &changed.target);
        assert!(take_away(&mut application, source, target, &LinkName::default(), &changed.interfaces));
        assert!(!take_away(&mut application, source, target, &LinkName::default(), &changed.interfaces));
        assert_eq!(application.links.len(), 2);
    }
}
