//! `logs`: what an actor prints and logs, from all hosts that it runs on, in one order. `-f` goes on.
//!
//! The hosts keep the last lines and number them; this asks each of them for what comes after the last number that it
//! saw. What is missing between two numbers was lost, and is said.

mod lines;

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt as _, stream};
use mesh_lattice::{
    BootId, HostId, Name,
    control::{ControlCode, HostState, Status},
    logs::{LogLine, Logs as Page, LogsRequest},
};
use mesh_transport::RequestError;
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::lines::{Part, Shown};
use crate::{
    cli::Global,
    client::{self, Client},
    exit::Failure,
    output::Output,
};

/// Between two looks with `-f`.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Between two looks at where it runs.
const FIND_EVERY: Duration = Duration::from_secs(2);
/// Hosts that are asked at once.
const AT_ONCE: usize = 32;
/// Pages that one host is asked for at a time. What does not fit into them is fetched with the next look, or is lost and
/// said.
const PAGES: usize = 16;

/// Show what an actor prints and logs
#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// The actor
    name: Name,
    /// Go on, and show what comes
    #[arg(short, long)]
    follow: bool,
    /// No more than the last so many lines of each host
    #[arg(long, value_name = "N", default_value_t = 100)]
    tail: u32,
    /// On this host alone, by its name or its key
    #[arg(long)]
    host: Option<String>,
}

/// How far one host was read.
#[derive(Debug, Default, Clone, Copy)]
struct Place {
    boot: Option<BootId>,
    next: u64,
}

/// What one host said.
#[derive(Default)]
struct Heard {
    place: Place,
    /// Each with the number of those that are missing just before it.
    lines: Vec<(u64, LogLine)>,
}

impl Heard {
    /// Takes a page; `from` is the number that was asked for, where it is one of this boot.
    fn take(&mut self, page: Page, from: Option<u64>) {
        let mut expected = from;
        for line in page.lines {
            let lost = expected.map_or(0, |expected| line.number.saturating_sub(expected));
            expected = Some(line.number.saturating_add(1));
            self.lines.push((lost, line));
        }
        self.place = Place { boot: Some(page.boot), next: page.next };
    }
}

impl Logs {
    pub(crate) fn run(self, global: &Global, out: &Output) -> anyhow::Result<()> {
        client::connected(global, out, async |client| self.show(client, out).await)
    }

    async fn show(&self, client: &Client, out: &Output) -> anyhow::Result<()> {
        let mut hosts = self.hosts(&client.status().await?)?;
        let mut places = BTreeMap::new();
        let first = self.look(client, &hosts, &mut places, out).await?;
        if !self.follow {
            if places.is_empty() {
                let failure = Failure::not_found(format!("no host has run an actor {} since it started", self.name));
                return Err(failure.hint("`meshctl get actors` lists what there is").into());
            }
            return lines::show(&first, &hosts, Part::Whole, out);
        }
        lines::show(&first, &hosts, Part::First, out)?;
        let mut begun = !first.is_empty();
        let (mut looks, mut found) = (interval(LOOK_EVERY), Instant::now());
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if found.elapsed() > FIND_EVERY {
                found = Instant::now();
                // Who cannot be asked where it runs now is asked where it ran.
                match client.status().await {
                    Ok(status) => hosts = self.hosts(&status).unwrap_or(hosts),
                    Err(error) => out.detail(&format!("{error:#}")),
                }
            }
            let news = self.look(client, &hosts, &mut places, out).await?;
            lines::show(&news, &hosts, if begun { Part::More } else { Part::First }, out)?;
            begun |= !news.is_empty();
        }
    }

    /// Whom to ask: the hosts that it runs on, all of them where it runs nowhere.
    fn hosts(&self, status: &Status) -> anyhow::Result<BTreeMap<HostId, String>> {
        if status.providers.iter().any(|provider| provider.name == self.name) {
            let failure =
                Failure::invalid(format!("{} is a provider: what it says is in the log of its host", self.name));
            return Err(failure
                .hint(format!("`meshctl describe provider {}` says on which host it runs", self.name))
                .into());
        }
        let actor = status.actors.iter().find(|actor| actor.name == self.name);
        let runs = |id: &HostId| {
            actor.is_none_or(|actor| actor.hosts.is_empty() || actor.hosts.iter().any(|host| host.id == *id))
        };
        let present = status.hosts.iter().filter(|host| !matches!(host.state, HostState::Lost | HostState::Untrusted));
        let asked = present.filter(|host| match &self.host {
            Some(name) => host.id.as_str() == name || host.name == *name,
            None => runs(&host.id),
        });
        let hosts: BTreeMap<_, _> = asked.map(|host| (host.id.clone(), host.name.clone())).collect();
        match &self.host {
            Some(name) if hosts.is_empty() => Err(Failure::not_found(format!("there is no host {name} here")).into()),
            _ => Ok(hosts),
        }
    }

    /// What is new on these hosts, in the order of its time.
    async fn look(
        &self,
        client: &Client,
        hosts: &BTreeMap<HostId, String>,
        places: &mut BTreeMap<HostId, Place>,
        out: &Output,
    ) -> anyhow::Result<Vec<Shown>> {
        let asked = hosts.keys().map(|host| {
            let place = places.get(host).copied();
            async move { (host.clone(), self.ask(client, host, place).await) }
        });
        let mut heard: Vec<_> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
        heard.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut shown = Vec::new();
        for (host, heard) in heard {
            match heard {
                Ok(Heard { place, lines }) => {
                    places.insert(host.clone(), place);
                    shown.extend(lines.into_iter().map(|(lost, line)| Shown::new(&host, line, lost)));
                }
                Err(RequestError::Refused(refused)) if refused.code == ControlCode::NotFound => {}
                Err(RequestError::Refused(refused)) => return Err(RequestError::Refused(refused).into()),
                // It may be on its way out, or of a version that does not tell.
                Err(error) => out.detail(&format!("the host {host} does not tell: {error}")),
            }
        }
        shown.sort_by_key(Shown::at);
        Ok(shown)
    }

    async fn ask(&self, client: &Client, host: &HostId, place: Option<Place>) -> Result<Heard, RequestError> {
        let mut request = LogsRequest {
            actor: self.name.clone(),
            boot: place.and_then(|place| place.boot),
            from: place.map_or(0, |place| place.next),
            last: place.is_none().then_some(self.tail),
        };
        let mut heard = Heard::default();
        for _ in 0..PAGES {
            let page = mesh_transport::control::logs(client.connections(), host, &request, client.timeout()).await?;
            let (boot, next, more) = (page.boot, page.next, page.more);
            heard.take(page, (request.boot == Some(boot)).then_some(request.from));
            if !more {
                break;
            }
            request = LogsRequest { boot: Some(boot), from: next, last: None, ..request };
        }
        Ok(heard)
    }
}

#[cfg(test)]
mod tests {
    use mesh_lattice::logs::LogSource;

    use super::*;

    fn page(boot: BootId, numbers: &[u64], next: u64) -> Page {
        let line = |number: &u64| LogLine {
            number: *number,
            at: 0,
            source: LogSource::Stdout,
            context: String::new(),
            text: String::new(),
        };
        let host = mesh_lattice::id::key_text(13 << 3, &[7; 32]).parse().unwrap();
        Page { host, boot, lines: numbers.iter().map(line).collect(), next, more: false }
    }

    #[test]
    fn a_gap_in_the_numbers_of_one_boot_is_what_was_lost() {
        let boot = BootId::new();
        let lost = |heard: &Heard| heard.lines.iter().map(|(lost, _)| *lost).collect::<Vec<_>>();
        let mut heard = Heard::default();
        heard.take(page(boot, &[40, 41, 54], 55), None);
        assert_eq!(lost(&heard), [0, 0, 12], "what was before the first that one sees is not missed");
        heard.take(page(boot, &[60], 61), Some(55));
        assert_eq!(lost(&heard), [0, 0, 12, 5]);
        assert_eq!((heard.place.boot, heard.place.next), (Some(boot), 61));
    }
}
