//! `explain`: where a call of a source on an interface goes, link by link, or why it goes nowhere.

use mesh_lattice::{
    InterfacePattern, Name,
    control::{LinkState, LinkView, Status},
    stored::{ActorState, ProviderState},
};
use serde::Serialize;

use crate::{
    cli::Global,
    client,
    exit::Failure,
    output::{Output, Table},
};

/// Say where a call of SOURCE on INTERFACE goes, or why it goes nowhere
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// Who calls
    source: Name,
    /// ns:package, or ns:package/interface
    interface: InterfacePattern,
}

/// One link that such a call may take.
#[derive(Serialize)]
struct Way<'a> {
    link: &'a LinkView,
    /// The hosts that serve the target now.
    served_by: Vec<String>,
}

impl Explain {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        let status = client::connected(global, out, async |client| client.status().await)?;
        let ways = self.ways(&status)?;
        out.show(&ways, || {
            let mut table = Table::new(["TARGET", "INTERFACES", "NAME", "STATE", "SERVED BY", "WHY"]);
            for Way { link, served_by } in &ways {
                table.row([
                    link.target.to_string(),
                    link.interfaces.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
                    link.name.to_string(),
                    match link.state {
                        LinkState::Active => "active",
                        LinkState::Pending => "pending",
                        LinkState::Failed => "failed",
                    }
                    .to_owned(),
                    if served_by.is_empty() { "-".to_owned() } else { served_by.join(",") },
                    link.reason.clone(),
                ]);
            }
            table
        })
    }

    fn ways<'a>(&self, status: &'a Status) -> anyhow::Result<Vec<Way<'a>>> {
        let source = &self.source;
        let known = status.actors.iter().any(|actor| actor.name == *source)
            || status.providers.iter().any(|provider| provider.name == *source);
        if !known {
            return Err(Failure::not_found(format!("nothing is called {source}")).into());
        }
        let takes = |link: &&LinkView| {
            link.source == *source && link.interfaces.iter().any(|pattern| overlap(pattern, &self.interface))
        };
        let ways: Vec<_> = status
            .links
            .iter()
            .filter(takes)
            .map(|link| Way { link, served_by: served_by(status, &link.target) })
            .collect();
        if ways.is_empty() {
            let failure = Failure::not_found(format!("no link lets {source} call anybody on {}", self.interface));
            let hint = format!("`meshctl link put {source} TARGET {}` makes one", self.interface);
            return Err(failure.hint(hint).into());
        }
        Ok(ways)
    }
}

/// Whether both can mean one interface, whatever the version.
fn overlap(one: &InterfacePattern, other: &InterfacePattern) -> bool {
    let parts = |pattern: &InterfacePattern| {
        let path = pattern.as_str().split('@').next().unwrap_or_default().to_owned();
        match path.split_once('/') {
            Some((package, interface)) => (package.to_owned(), Some(interface.to_owned())),
            None => (path, None),
        }
    };
    let ((package, one), (other_package, other)) = (parts(one), parts(other));
    package == other_package && (one.is_none() || other.is_none() || one == other)
}

/// The hosts where calls to it succeed now, by name.
fn served_by(status: &Status, target: &Name) -> Vec<String> {
    let actors = status.actors.iter().filter(|actor| actor.name == *target).flat_map(|actor| &actor.hosts);
    let actors = actors.filter(|host| host.state == ActorState::Ready).map(|host| &host.id);
    let providers = status.providers.iter().filter(|p| p.name == *target).flat_map(|provider| &provider.hosts);
    let providers = providers.filter(|host| host.state == ProviderState::Running).map(|host| &host.id);
    actors.chain(providers).map(|id| status.host_name(id)).collect()
}
