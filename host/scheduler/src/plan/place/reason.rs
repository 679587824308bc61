//! Why a thing is on fewer hosts than it is wanted on: one line for a person, of a length that does not grow with the
//! number of replicas or of hosts.

use mesh_lattice::application::Spread;

use super::super::want::{Rule, Want};
use crate::world::{Standing, World};

/// Sets of labels that are named.
const NAMED: usize = 3;

/// The line; empty where as many are placed as are wanted.
pub(super) fn short(world: &World, want: &Want<'_>, placed: usize, wanted: usize) -> String {
    match &want.rule {
        Rule::Beside(actors) if placed == 0 && actors.is_empty() => {
            return "it runs beside its actors, and no link names it".to_owned();
        }
        Rule::Beside(_) if placed == 0 => return "it runs beside its actors, and none of them is placed".to_owned(),
        _ if placed >= wanted => return String::new(),
        _ => {}
    }
    let standing = |wanted: Standing| world.hosts.values().filter(|host| host.standing == wanted).count();
    let ready = standing(Standing::Ready);
    let asked = labels(want.placement);
    let takes = if ready == 1 { "1 host takes work".to_owned() } else { format!("{ready} hosts take work") };
    let room = if asked.is_empty() {
        takes
    } else {
        let fitting = world.hosts.values().filter(|host| host.standing == Standing::Ready && host.fits(want.placement));
        format!("{takes}, {} of them with {asked}", fitting.count())
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
    format!("{} of {wanted} pending: a host runs one of it at most, and {room}{others}", wanted - placed)
}

/// The labels that are asked for, as people write them.
fn labels(spreads: &[Spread]) -> String {
    let sets: Vec<_> = spreads
        .iter()
        .filter(|spread| !spread.labels.is_empty())
        .map(|spread| spread.labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(","))
        .collect();
    let named = sets.iter().take(NAMED).cloned().collect::<Vec<_>>().join(" or ");
    if sets.len() > NAMED { format!("{named} or {} others", sets.len() - NAMED) } else { named }
}
