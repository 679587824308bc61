//! What holds for any world.

use std::{collections::BTreeMap, time::Instant};

use mesh_lattice::application::Replicas;
use proptest::prelude::*;

use super::{plan, testing::*};
use crate::world::{Desired, Standing, World};

fn actors(replicas: &[u32]) -> World {
    world(0, application(named(replicas), vec![], vec![]))
}

fn named(replicas: &[u32]) -> Vec<mesh_lattice::application::Actor> {
    replicas.iter().enumerate().map(|(n, count)| actor(&format!("a{n}"), Replicas::Count(*count))).collect()
}

fn loads(world: &World) -> Vec<usize> {
    world.hosts.keys().map(|id| world.assigned.get(id).map_or(0, |assigned| assigned.items.len())).collect()
}

/// A world of actors, providers of every rule and links between them, on hosts of any standing.
fn any_world() -> impl Strategy<Value = World> {
    let standing = prop_oneof![
        4 => Just(Standing::Ready),
        1 => Just(Standing::Cordoned),
        1 => Just(Standing::Draining),
        1 => Just(Standing::Leaving),
        1 => Just(Standing::Lost),
        1 => Just(Standing::Untrusted),
    ];
    let replicas = prop_oneof![4 => (0..6u32).prop_map(Replicas::Count), 1 => Just(Replicas::Everywhere)];
    let hosts = prop::collection::vec((standing, any::<bool>()), 1..8);
    let actors = prop::collection::vec((replicas.clone(), any::<bool>()), 0..6);
    let providers = prop::collection::vec((prop::option::of(replicas), any::<bool>()), 0..4);
    let links = prop::collection::vec((0..6usize, 0..4usize, any::<bool>()), 0..8);
    (hosts, actors, providers, links).prop_map(|(hosts, actors, providers, links)| {
        let place = |edge| if edge { vec![spread(&[("zone", "edge")], 30), spread(&[], 70)] } else { vec![] };
        let actors = actors.into_iter().enumerate().map(|(n, (replicas, edge))| {
            let mut actor = actor(&format!("a{n}"), replicas);
            actor.placement = place(edge);
            actor
        });
        let providers = providers.into_iter().enumerate().map(|(n, (replicas, local))| {
            let mut provider = provider(&format!("p{n}"), replicas);
            provider.local_state = local;
            provider
        });
        let links = links.into_iter().map(|(a, p, calls)| match (format!("a{a}"), format!("p{p}"), calls) {
            (a, p, true) => link(&a, &p),
            (a, p, false) => link(&p, &a),
        });
        let mut world = world(hosts.len() as u16, application(actors.collect(), providers.collect(), links.collect()));
        for (index, (standing, edge)) in hosts.into_iter().enumerate() {
            world.stand(index, standing);
            world.host_mut(index).labels = labels(if edge { &[("zone", "edge")] } else { &[] });
        }
        world
    })
}

fn at_most_once(world: &World) -> bool {
    world.assigned.values().all(|assigned| {
        let mut names: Vec<_> = assigned.items.iter().map(|item| &item.name).collect();
        names.sort();
        names.windows(2).all(|pair| pair[0] != pair[1])
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn replicas_are_even_within_one(count in 1..12u16, replicas in prop::collection::vec(0..12u32, 0..12)) {
        let mut world = world(count, actors(&replicas).apps.into_values().find_map(|desired| match desired {
            Desired::Wanted { application, .. } => Some((*application).clone()),
            _ => None,
        }).unwrap());
        world.settle();
        let loads = loads(&world);
        prop_assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1, "{loads:?}");
        let wanted: usize = replicas.iter().map(|wanted| (*wanted).min(count.into()) as usize).sum();
        prop_assert_eq!(loads.iter().sum::<usize>(), wanted);
    }

    #[test]
    fn a_plan_that_is_done_is_followed_by_none(mut world in any_world()) {
        let rounds = world.settle();
        prop_assert!(rounds <= 4, "{rounds} rounds");
        prop_assert!(at_most_once(&world));
        for (id, host) in &world.hosts {
            prop_assert!(host.standing != Standing::Untrusted || !world.assigned.contains_key(id));
        }
    }

    #[test]
    fn any_change_of_standing_settles_and_moves_no_pin(
        mut world in any_world(),
        changes in prop::collection::vec((0..8usize, 0..6usize), 1..6),
    ) {
        world.settle();
        for (host, standing) in changes {
            let all = [Standing::Ready, Standing::Cordoned, Standing::Draining, Standing::Leaving, Standing::Lost,
                Standing::Untrusted];
            let pins = world.pins.clone();
            world.stand(host % world.hosts.len(), all[standing]);
            world.settle();
            prop_assert!(at_most_once(&world));
            for (name, pin) in &pins {
                prop_assert_eq!(&world.pins[name], pin);
                let elsewhere = world.assigned.iter().any(|(id, assigned)| {
                    *id != pin.host && assigned.items.iter().any(|item| item.name == *name)
                });
                prop_assert!(!elsewhere, "{name} runs away from its data");
            }
        }
    }

    #[test]
    fn when_one_host_goes_only_what_it_had_moves(
        count in 2..10u16,
        replicas in prop::collection::vec(0..9u32, 1..10),
        gone in 0..10usize,
        way in 0..3usize,
    ) {
        let mut world = world(count, application(named(&replicas), vec![], vec![]));
        world.settle();
        let gone = gone % usize::from(count);
        let before: BTreeMap<_, _> = (0..replicas.len()).map(|n| (n, world.assigned_to(&format!("a{n}")))).collect();
        world.stand(gone, [Standing::Lost, Standing::Leaving, Standing::Draining][way]);
        world.settle();
        for (n, before) in before {
            let mut after = world.assigned_to(&format!("a{n}"));
            let mut stayed = before.clone();
            after.remove(&gone);
            let moved = usize::from(stayed.remove(&gone));
            prop_assert!(after.is_superset(&stayed), "a{n} left a host that stays: {before:?} to {after:?}");
            prop_assert!(after.len() - stayed.len() <= moved);
            prop_assert_eq!(after.len(), before.len().min(usize::from(count) - 1));
        }
    }

    #[test]
    fn while_hosts_are_emptied_something_always_serves(
        count in 2..8u16,
        replicas in 1..8u32,
        order in Just((0..8usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let mut world = world(count, application(named(&[replicas]), vec![], vec![]));
        world.settle();
        for host in order.into_iter().filter(|host| *host < usize::from(count)) {
            world.stand(host, Standing::Draining);
            for _ in 0..4 {
                world.write(plan(&world));
                prop_assert!(!world.routed_to("a0").is_empty());
                for routed in world.routed_to("a0") {
                    prop_assert!(world.assigned_to("a0").contains(&routed));
                }
                world.converge();
            }
        }
    }
}

#[test]
fn hundreds_of_hosts_are_planned_fast() {
    let replicas: Vec<_> = (0..200).map(|n| n % 12).collect();
    let mut providers: Vec<_> = (0..20).map(|n| provider(&format!("p{n}"), None)).collect();
    providers.push(provider("web", Some(Replicas::Everywhere)));
    let links = (0..200).map(|n| link(&format!("a{n}"), &format!("p{}", n % 20))).collect();
    let mut world = world(300, application(named(&replicas), providers, links));
    let start = Instant::now();
    let first = plan(&world);
    let placing = start.elapsed();
    world.write(first);
    world.converge();
    world.write(plan(&world));
    let start = Instant::now();
    assert!(plan(&world).is_empty());
    println!("300 hosts, 200 actors, 21 providers: first plan {placing:?}, nothing to do {:?}", start.elapsed());
}
