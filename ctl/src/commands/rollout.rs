//! `rollout`: the revisions of an application. They are immutable: going back to one writes it again as the newest, so that
//! the history tells what was wanted when, and every check is made again that a change has to pass.

use anyhow::Context as _;
use mesh_lattice::{
    Name,
    application::Application,
    control::{AppView, word},
};
use serde::Serialize;

use super::{wait, whole};
use crate::{
    cli::Global,
    client::{self, Client, History, Revision},
    difference,
    exit::Failure,
    output::{Output, Table},
    time,
};

/// Look at the revisions of an application, or go back to one
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Rollout {
    /// Show how far the wanted revision is; with --wait, until it is there
    Status {
        #[command(flatten)]
        app: whole::App,
        #[command(flatten)]
        waiting: wait::Waiting,
    },
    /// List the revisions that are kept: who signed them, when, and what they changed
    History {
        #[command(flatten)]
        app: whole::App,
    },
    /// Go back to an earlier revision, or bring back an application that was deleted
    Undo(Undo),
}

/// Go back to an earlier revision
#[derive(Debug, clap::Args)]
pub(crate) struct Undo {
    #[command(flatten)]
    app: whole::App,
    /// To this revision [default: the one before the wanted one]
    #[arg(long, value_name = "REV")]
    to: Option<u64>,
    #[command(flatten)]
    waiting: wait::Waiting,
}

/// A revision as it is listed.
#[derive(Serialize)]
struct Listed<'a> {
    revision: u64,
    wanted: bool,
    signer: &'a str,
    at: Option<u64>,
    /// What it changed against the one before that is kept.
    change: String,
}

impl Rollout {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        client::connected(global, out, async |client| match &self {
            Self::Status { app, waiting } => status(client, &app.name, waiting, out).await,
            Self::History { app } => list(client, &app.name, out).await,
            Self::Undo(undo) => undo.run(client, out).await,
        })
    }
}

async fn status(client: &Client, name: &Name, waiting: &wait::Waiting, out: &Output) -> anyhow::Result<()> {
    if let Some(limit) = waiting.limit() {
        wait::for_apps(client, &[(name.clone(), 0)], limit, out).await?;
    }
    let status = client.status().await?;
    let app = status.apps.iter().find(|app| app.name == *name);
    let app = app.ok_or_else(|| Failure::not_found(format!("there is no app {name}")))?;
    let parts = whole::parts(&status, name);
    #[derive(Serialize)]
    struct Shown<'a> {
        #[serde(flatten)]
        app: &'a AppView,
        parts: Vec<whole::Part>,
    }
    out.show(&Shown { app, parts: parts.clone() }, || {
        let mut table = Table::new(["KIND", "NAME", "STATE", "READY", "WHY"]);
        let revision = format!("revision {}", app.revision);
        table.row(["app".into(), name.to_string(), word(&app.state), revision, app.reason.clone()]);
        for part in parts {
            table.row([part.kind.to_string(), part.name, part.state, part.ready, part.reason]);
        }
        table
    })
}

async fn list(client: &Client, name: &Name, out: &Output) -> anyhow::Result<()> {
    let history = read(client, name).await?;
    let mut before: Option<&Application> = None;
    let mut listed = Vec::new();
    for (place, Revision { number, application, signer, at }) in history.revisions.iter().enumerate() {
        let change = match application {
            Err(doubt) => doubt.clone(),
            Ok(_) if place == 0 && *number > 1 => "the oldest that is kept".to_owned(),
            Ok(application) => difference::in_a_line(&difference::differences(before, Some(application))),
        };
        let wanted = *number == history.wanted && !history.deleted;
        listed.push(Listed { revision: *number, wanted, signer, at: *at, change });
        before = application.as_ref().ok();
    }
    if history.deleted {
        out.say(&format!("application {name} is deleted: `meshctl rollout undo app {name}` brings it back"));
    }
    out.show(&listed, || {
        let mut table = Table::new(["REVISION", "AT", "SIGNED BY", "CHANGE"]);
        for Listed { revision, wanted, signer, at, change } in &listed {
            let mark = if *wanted { " (wanted)" } else { "" };
            let at = at.map_or_else(|| "-".to_owned(), time::utc);
            table.row([format!("{revision}{mark}"), at, (*signer).to_owned(), change.clone()]);
        }
        table
    })
}

async fn read(client: &Client, name: &Name) -> anyhow::Result<History> {
    let judge = client.onlooker().await?;
    let history = client.history(name, &judge).await?;
    if history.revisions.is_empty() {
        return Err(Failure::not_found(format!("there is no app {name}, and never was one that is kept")).into());
    }
    Ok(history)
}

impl Undo {
    async fn run(&self, client: &Client, out: &Output) -> anyhow::Result<()> {
        let name = &self.app.name;
        let history = read(client, name).await?;
        let Revision { number, application, .. } = self.target(&history)?;
        let wanted = application.as_ref().map_err(|doubt| Failure::invalid(format!("revision {number}: {doubt}")))?;
        let judge = client.judge(&client.signer()?).await?;
        let base = client.base(name, &judge).await?;
        let done = whole::put(client, &base, Some(wanted), &judge).await?;
        if let Some(limit) = self.waiting.limit() {
            wait::for_apps(client, &[(name.clone(), done.revision)], limit, out).await?;
        }
        done.show(&format!("as in revision {number}"), out)
    }

    /// The revision that is meant.
    fn target<'a>(&self, history: &'a History) -> anyhow::Result<&'a Revision> {
        let name = &self.app.name;
        let earlier = |revision: &&Revision| {
            if history.deleted { revision.number <= history.wanted } else { revision.number < history.wanted }
        };
        let found = match self.to {
            Some(to) => history.revisions.iter().find(|revision| revision.number == to),
            None => history.revisions.iter().rev().find(earlier),
        };
        let kept: Vec<String> = history.revisions.iter().map(|revision| revision.number.to_string()).collect();
        let missing = match self.to {
            Some(to) => format!("revision {to} of application {name} is not kept"),
            None => format!("application {name} has no revision before {}", history.wanted),
        };
        found.ok_or_else(|| Failure::not_found(missing).hint(format!("kept are {}", kept.join(", ")))).context("undo")
    }
}
