//! Why a thing is on fewer hosts than it is wanted on, and what a person can type against it: one line, of a length that
//! does not grow with the number of replicas or of hosts.

use mesh_lattice::application::Spread;

use super::super::want::{Rule, Want};
use crate::world::{Host, Standing, World};

/// Sets of labels that are named.
const NAMED: usize = 3;

/// The line; empty where as many are placed as are wanted.
pub(super) fn short(world: &World, want: &Want<'_>, placed: usize, wanted: usize) -> String {
    match &want.rule {
        Rule::Beside(actors) if placed == 0 && actors.is_empty() => {
            return "it runs beside its actors, and no link names it".to_owned();
        }
        Rule::Beside(_) if placed == 0 => {
            let asked = labels(want.placement);
            return if asked.is_empty() {
                "it runs beside its actors, and none of them is placed".to_owned()
            } else {
                format!(
                    "it runs beside its actors, and none of them is placed on a host with {asked}; `replicas` gives it \
                     places of its own"
                )
            };
        }
        _ if placed >= wanted => return String::new(),
        _ => {}
    }
    let standing = |wanted: Standing| world.hosts.values().filter(|host| host.standing == wanted).count();
    let ready = standing(Standing::Ready);
    let asked = labels(want.placement);
    let takes = if ready == 1 { "1 host takes work".to_owned() } else { format!("{ready} hosts take work") };
    let ready_and =
        |fits: bool| move |host: &&Host| host.standing == Standing::Ready && host.fits(want.placement) == fits;
    let room = if asked.is_empty() {
        takes
    } else {
        format!("{takes}, {} of them with {asked}", world.hosts.values().filter(ready_and(true)).count())
    };
    let others = [
        (standing(Standing::Cordoned), "cordoned"),
        (standing(Standing::Draining) + standing(Standing::Leaving), "draining"),
        (standing(Standing::Lost), "lost"),
        (standing(Standing::Untrusted), "untrusted"),
    ];
    let others: Vec<_> =
        others.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    let others = if others.is_empty() { String::new() } else { format!(" ({})", others.join(", ")) };
    let remedy = if standing(Standing::Cordoned) + standing(Standing::Draining) > 0 {
        "; `meshctl uncordon HOST` gives one work again".to_owned()
    } else if let [spread] = want.placement
        && !spread.labels.is_empty()
        && world.hosts.values().any(|host| ready_and(false)(&host))
    {
        format!("; `meshctl label HOST {}` makes one fit", set(spread, " "))
    } else {
        String::new()
    };
    format!("{} of {wanted} pending: a host runs one of it at most, and {room}{others}{remedy}", wanted - placed)
}

/// The labels of one spread.
fn set(spread: &Spread, between: &str) -> String {
    spread.labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(between)
}

/// The labels that are asked for, as people write them.
fn labels(spreads: &[Spread]) -> String {
    let asking = spreads.iter().filter(|spread| !spread.labels.is_empty());
    let sets: Vec<_> = asking.map(|spread| set(spread, ",")).collect();
    let named = sets.iter().take(NAMED).cloned().collect::<Vec<_>>().join(" or ");
    if sets.len() > NAMED { format!("{named} or {} others", sets.len() - NAMED) } else { named }
}
