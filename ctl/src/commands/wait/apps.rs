//! Waiting for applications: each part says how far it is whenever that changes, and what is missing at the end is said with
//! its reason.

use std::{collections::BTreeMap, time::Duration};

use mesh_lattice::{
    Name,
    control::{AppState, Status, word},
};
use tokio::time::{Instant, sleep};

use super::LOOK_EVERY;
use crate::{
    client::Client,
    commands::whole::{self, Part},
    exit::{Exit, Failure},
    output::Output,
};

/// Waits until all of these applications are ready, each of this revision or a later one.
pub(crate) async fn for_apps(
    client: &Client,
    wanted: &[(Name, u64)],
    limit: Duration,
    out: &Output,
) -> anyhow::Result<()> {
    let end = Instant::now() + limit;
    let mut said = BTreeMap::new();
    loop {
        let late: Vec<String> = match client.status().await {
            Ok(status) => {
                wanted.iter().for_each(|(name, _)| tell(&status, name, &mut said, out));
                wanted.iter().filter_map(|(name, revision)| missing(&status, name, *revision)).collect()
            }
            Err(error) => vec![format!("{error:#}")],
        };
        if late.is_empty() {
            return Ok(());
        }
        if Instant::now() >= end {
            let message = format!("not ready after {limit:?}:\n{}", late.join("\n"));
            let ids: Vec<String> = wanted.iter().map(|(name, _)| format!("`meshctl wait app/{name}`")).collect();
            let hint = format!("it goes on by itself: {} waits again", ids.join(" or "));
            return Err(Failure::new(Exit::TimedOut, message).hint(hint).into());
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Says of each part what is new about it.
fn tell(status: &Status, app: &Name, said: &mut BTreeMap<String, String>, out: &Output) {
    for part in whole::parts(status, app) {
        let place = format!("{} {}", part.kind, part.name);
        let now = far(&part);
        if said.get(&place) != Some(&now) {
            out.say(&format!("{place}: {now}"));
            said.insert(place, now);
        }
    }
}

/// How far a part is.
fn far(part: &Part) -> String {
    let Part { state, ready, reason, .. } = part;
    let ready = if ready.is_empty() { String::new() } else { format!(" ({ready})") };
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    format!("{state}{ready}{reason}")
}

/// What an application lacks; `None` where it is ready.
fn missing(status: &Status, name: &Name, revision: u64) -> Option<String> {
    let Some(app) = status.apps.iter().find(|app| app.name == *name) else {
        return Some(format!("app {name}: no host has heard of it yet"));
    };
    if app.revision < revision {
        return Some(format!("app {name}: revision {} is still what is wanted there", app.revision));
    }
    if app.state == AppState::Ready {
        return None;
    }
    let late = whole::parts(status, name).into_iter().filter(|part| !part.is_well());
    let late: String = late.map(|part| format!("\n  {} {}: {}", part.kind, part.name, far(&part))).collect();
    Some(format!("app {name} is {}: {}{late}", word(&app.state), app.reason))
}
