//! `up`: a development lattice on this machine.

use std::{path::PathBuf, time::Instant};

use anyhow::Context as _;
use mesh_lattice::name::{LabelKey, LabelValue};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
};

use crate::{
    cli::Global,
    lattice::{Lattice, Wanted, process::Life, record::Record},
    output::{Output, Table},
};

/// Start a lattice on this machine: nats-server and hosts
#[derive(Debug, clap::Args)]
pub(crate) struct Up {
    /// How many hosts [default: as many as before, or 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    hosts: Option<u16>,
    /// Return when it is ready, and leave it running
    #[arg(long)]
    detach: bool,
    /// Where its keys and its state live
    #[arg(long, value_name = "DIR", default_value = ".mesh")]
    dir: PathBuf,
    /// The port of nats-server, 0 for a free one [default: the one of before, or 4222]
    #[arg(long, value_name = "P")]
    port: Option<u16>,
    /// A label of the hosts that are started now
    #[arg(long = "label", value_name = "K=V", value_parser = label)]
    labels: Vec<(LabelKey, LabelValue)>,
}

fn label(text: &str) -> Result<(LabelKey, LabelValue), String> {
    let (key, value) = text.split_once('=').ok_or("a label is written key=value")?;
    let key = key.parse().map_err(|error: mesh_lattice::name::BadName| error.to_string())?;
    let value = value.parse().map_err(|error: mesh_lattice::name::BadName| error.to_string())?;
    Ok((key, value))
}

impl Up {
    /// Stays on this thread to the end: the children of a foreground lattice live as long as it does.
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.context("the runtime cannot be started")?.block_on(self.up(global, out))
    }

    async fn up(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        let start = Instant::now();
        let wanted = Wanted {
            dir: self.dir,
            lattice: global.lattice.clone(),
            hosts: self.hosts.map(usize::from),
            port: self.port,
            labels: self.labels,
            life: if self.detach { Life::OnItsOwn } else { Life::WithUs },
        };
        let hosts = wanted.hosts;
        let lattice = Lattice::up(wanted).await?;
        let more = hosts.map(|hosts| lattice.more_than(hosts)).unwrap_or_default();
        if !more.is_empty() {
            let goes = if more.len() == 1 { "goes" } else { "go" };
            out.say(&format!("{} {goes} on: `up` stops nothing; `meshctl down` stops all of it", more.join(", ")));
        }
        let own = lattice.own();
        out.say(&match own.len() {
            0 => "unchanged: all of it runs already".to_owned(),
            started => format!("ready after {:.1} s: {started} processes started", start.elapsed().as_secs_f64()),
        });
        out.show(&lattice.record, || how_to_reach(&lattice))?;
        if self.detach || own.is_empty() {
            return Ok(());
        }
        out.say("Ctrl-C stops it");
        stay(lattice, out).await
    }
}

fn how_to_reach(lattice: &Lattice) -> Table {
    let Record { server, monitor, lattice: name, key, hosts, .. } = &lattice.record;
    let file = lattice.file();
    let mut fields = vec![
        ("lattice", name.to_string()),
        ("server", server.clone()),
        ("monitor", monitor.clone()),
        ("key", key.display().to_string()),
        ("file", file.display().to_string()),
    ];
    fields.extend(hosts.iter().map(|host| ("host", format!("{} {} {}", host.name, host.id, host.admin))));
    Table::of_fields(fields)
}

/// Says what ends by itself, and stops the rest when it is asked to; asked again, at once.
async fn stay(mut lattice: Lattice, out: &Output) -> anyhow::Result<()> {
    let mut asked = Asked::new()?;
    let mut ends = JoinSet::new();
    for (name, process) in lattice.own() {
        ends.spawn(async move {
            process.ended().await;
            process.reap();
            name
        });
    }
    loop {
        tokio::select! {
            () = asked.wait() => break,
            ended = ends.join_next() => match ended {
                Some(Ok(name)) => out.say(&format!(
                    "{name} has ended; its log is {}; `meshctl up` again starts it",
                    lattice.log_of(&name).display()
                )),
                Some(Err(_)) => {}
                None => {
                    out.say("all of it has ended");
                    return Ok(());
                }
            },
        }
    }
    out.say("stopping; Ctrl-C again kills it");
    tokio::select! {
        () = lattice.stop_own() => {}
        // What still runs is killed by the kernel when we end.
        () = asked.wait() => {}
    }
    Ok(())
}

/// The signals that ask a program to end.
struct Asked {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Asked {
    fn new() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("signals cannot be listened to");
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hang_up: on(SignalKind::hangup())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_by_their_grammar() {
        assert!(label("zone=edge").is_ok() && label("zone=").is_ok() && label("a/b.c=1-2").is_ok());
        for bad in ["", "zone", "=edge", "a b=c", "a=b c", "a=b=c", "é=1"] {
            assert!(label(bad).is_err(), "{bad:?}");
        }
    }
}
