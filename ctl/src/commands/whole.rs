//! What the commands share that put or take away an application as a whole: what became of it, the conflict with somebody
//! who was faster, and its parts as they are observed.

use mesh_lattice::{
    Name,
    application::Application,
    control::{ActorView, LinkView, ProviderView, Status, word},
    stored::ProviderState,
};
use serde::Serialize;

use crate::{
    client::{Applied, Base, Change, Client, Judge},
    difference::{self, Difference, Kind},
    exit::{Exit, Failure},
    output::{Output, Table},
};

/// `app NAME`, as the commands take it that are about applications alone.
#[derive(Debug, clap::Args)]
pub(crate) struct App {
    /// What kind of thing: app
    #[arg(value_name = "KIND")]
    _kind: AppKind,
    /// Its name
    pub(crate) name: Name,
}

/// The one kind of thing that has revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum AppKind {
    #[value(alias = "apps")]
    App,
}

/// What became of an application.
#[derive(Debug, Serialize)]
pub(crate) struct Done {
    kind: &'static str,
    pub(crate) name: Name,
    app: Name,
    #[serde(rename = "action")]
    pub(crate) change: Change,
    /// The revision that is wanted now.
    pub(crate) revision: u64,
}

impl Done {
    /// Shows it; `more` is said to people behind it, where something was changed.
    pub(crate) fn show(&self, more: &str, out: &Output) -> anyhow::Result<()> {
        out.show(&self, || {
            let Self { name, change, revision, .. } = self;
            Table::of_line(match change {
                Change::Unchanged => format!("app {name} unchanged"),
                Change::Removed => format!("app {name} removed"),
                Change::Created | Change::Updated => {
                    format!("app {name} {}: revision {revision} {more}", change.word()).trim_end().to_owned()
                }
            })
        })
    }
}

/// Puts an application in the place of what was read, or takes it away; a conflict is an error that shows what somebody
/// else did.
pub(crate) async fn put(
    client: &Client,
    base: &Base,
    wanted: Option<&Application>,
    judge: &Judge,
) -> anyhow::Result<Done> {
    let name = base.name.clone();
    match client.put_whole(base, wanted, judge).await? {
        Applied::Done(change, revision) => Ok(Done { kind: "app", app: name.clone(), name, change, revision }),
        Applied::Conflict(now) => Err(conflict(base, &now).into()),
    }
}

/// Somebody else changed it while this change was made.
pub(crate) fn conflict(base: &Base, now: &Base) -> Failure {
    let name = &base.name;
    let differences = difference::differences(base.before.as_ref(), now.before.as_ref());
    let what = match (&base.before, &now.before) {
        (None, Some(_)) => format!("somebody else made it, revision {}", now.revision()),
        (Some(_), None) => "somebody else deleted it".to_owned(),
        _ => format!("somebody else changed it from revision {} to {}", base.revision(), now.revision()),
    };
    let lines: Vec<String> = differences.iter().flat_map(lines).map(|line| format!("\n  {line}")).collect();
    Failure::new(Exit::Refused, format!("app {name} is not changed: {what} in the meantime:{}", lines.concat()))
        .hint("look at it with `meshctl diff` or `meshctl rollout history`, decide, and apply again")
}

/// One difference as people read it.
pub(crate) fn lines(difference: &Difference) -> Vec<String> {
    let Difference { kind, name, change, fields } = difference;
    let mark = match change {
        Change::Created => '+',
        Change::Removed => '-',
        Change::Updated => '~',
        Change::Unchanged => ' ',
    };
    let fields = fields.iter().map(|field| format!("    {field}"));
    std::iter::once(format!("{mark} {kind} {name}")).chain(fields).collect()
}

/// A part of an application as it is observed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Part {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) state: String,
    /// How many of how many.
    pub(crate) ready: String,
    pub(crate) reason: String,
}

impl Part {
    /// Whether nothing is missing of it.
    pub(crate) fn is_well(&self) -> bool {
        matches!(self.state.as_str(), "ready" | "running" | "active")
    }
}

/// The parts of an application.
pub(crate) fn parts(status: &Status, app: &Name) -> Vec<Part> {
    let actors = status.actors.iter().filter(|actor| actor.app == *app).map(actor);
    let providers = status.providers.iter().filter(|provider| provider.app == *app).map(provider);
    let links = status.links.iter().filter(|link| link.app == *app).map(link);
    actors.chain(providers).chain(links).collect()
}

fn actor(actor: &ActorView) -> Part {
    let mesh_lattice::control::ReplicaView { desired, ready } = actor.replicas;
    let least = actor.hosts.iter().find(|host| host.state != mesh_lattice::stored::ActorState::Ready);
    let state = match least {
        _ if actor.hosts.iter().any(|host| host.behind) => "rolling".to_owned(),
        _ if ready >= desired => "ready".to_owned(),
        Some(host) => word(&host.state),
        None => "pending".to_owned(),
    };
    let (name, ready, reason) = (actor.name.to_string(), format!("{ready}/{desired}"), actor.reason.clone());
    Part { kind: Kind::Actor, name, state, ready, reason }
}

fn provider(provider: &ProviderView) -> Part {
    let running = provider.hosts.iter().filter(|host| host.state == ProviderState::Running).count();
    let late = provider.hosts.iter().find(|host| host.state != ProviderState::Running);
    let state = late.map_or_else(
        || if running > 0 { "running".to_owned() } else { "pending".to_owned() },
        |host| word(&host.state),
    );
    let ready = format!("{running}/{}", provider.hosts.len());
    Part { kind: Kind::Provider, name: provider.name.to_string(), state, ready, reason: provider.reason.clone() }
}

fn link(link: &LinkView) -> Part {
    let name = mesh_lattice::stored::Event::link_subject(&link.source, &link.target, &link.name);
    Part { kind: Kind::Link, name, state: word(&link.state), ready: String::new(), reason: link.reason.clone() }
}
