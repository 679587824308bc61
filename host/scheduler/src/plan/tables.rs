//! Each rule by example.

use std::collections::BTreeSet;

use mesh_lattice::{
    application::Replicas,
    stored::{ActorState, Assignment, Item, ItemKind},
};

use super::{plan, testing::*};
use crate::world::{Desired, Standing, World};

fn counter(hosts: u16, replicas: u32) -> World {
    let mut world = world(hosts, application(vec![actor("counter", Replicas::Count(replicas))], vec![], vec![]));
    world.settle();
    world
}

fn set(indexes: &[usize]) -> BTreeSet<usize> {
    indexes.iter().copied().collect()
}

#[test]
fn replicas_go_to_as_many_hosts() {
    for (hosts, replicas, placed) in [(3, 1, 1), (3, 2, 2), (3, 3, 3), (3, 5, 3), (3, 0, 0), (0, 1, 0)] {
        let world = counter(hosts, replicas);
        assert_eq!(world.assigned_to("counter").len(), placed, "{replicas} on {hosts}");
        let placement = &plan(&world).placements[&name("counter")];
        assert_eq!((placement.wanted, placement.hosts.len()), (replicas as usize, placed));
        assert_eq!(placement.reason.is_empty(), placed == replicas as usize, "{:?}", placement.reason);
    }
}

#[test]
fn an_unready_replica_is_not_routed() {
    let mut world = world(2, application(vec![actor("counter", Replicas::Count(2))], vec![], vec![]));
    let first = plan(&world);
    assert!(first.routes.is_empty(), "nothing serves yet");
    world.write(first);
    world.obey(1);
    let next = plan(&world);
    assert!(next.assignments.is_empty());
    world.write(next);
    assert_eq!(world.routed_to("counter"), set(&[1]));
}

#[test]
fn a_new_revision_is_the_same_thing_in_the_same_place() {
    let mut world = counter(5, 2);
    let before = world.assigned_to("counter");
    world.want(application(vec![actor("counter", Replicas::Count(2))], vec![], vec![]));
    let next = plan(&world);
    assert!(next.assignments.values().flat_map(|a| &a.items).all(|item| item.revision == 2));
    assert_eq!(next.assignments.len(), 2);
    assert!(next.routes.is_empty(), "what serves goes on being called");
    world.write(next);
    assert_eq!(world.assigned_to("counter"), before);
}

#[test]
fn a_draining_host_keeps_its_replica_until_the_new_one_serves() {
    let mut world = counter(3, 2);
    assert_eq!(world.assigned_to("counter"), set(&[0, 1]));
    world.stand(1, Standing::Draining);
    world.write(plan(&world));
    assert_eq!(world.assigned_to("counter"), set(&[0, 1, 2]), "new before old");
    assert_eq!(world.routed_to("counter"), set(&[0]), "a draining host is not called while another serves");
    assert!(plan(&world).is_empty(), "and it waits");
    world.obey(2);
    world.write(plan(&world));
    assert_eq!(world.assigned_to("counter"), set(&[0, 2]));
    assert_eq!(world.routed_to("counter"), set(&[0, 2]));
}

#[test]
fn a_draining_host_without_an_heir_keeps_the_last_replica_and_is_called() {
    let mut world = counter(1, 1);
    world.stand(0, Standing::Draining);
    world.settle();
    assert_eq!((world.assigned_to("counter"), world.routed_to("counter")), (set(&[0]), set(&[0])));
}

#[test]
fn a_drain_ends_where_all_other_hosts_have_a_replica_already() {
    let mut world = counter(2, 2);
    world.stand(1, Standing::Draining);
    world.settle();
    assert_eq!(world.assigned_to("counter"), set(&[0]));
}

#[test]
fn a_draining_host_does_not_keep_what_does_not_serve() {
    let mut world = counter(2, 1);
    world.host_mut(0).observed.as_mut().unwrap().actors[0].state = ActorState::Failed;
    world.stand(0, Standing::Draining);
    world.write(plan(&world));
    assert_eq!(world.assigned_to("counter"), set(&[1]));
}

#[test]
fn a_lost_host_is_replaced_and_its_assignment_left_alone() {
    let mut world = counter(3, 2);
    world.stand(0, Standing::Lost);
    let next = plan(&world);
    assert!(!next.assignments.contains_key(&world.id(0)));
    world.write(next);
    assert_eq!(world.routed_to("counter"), set(&[1]));
    world.settle();
    assert_eq!(world.routed_to("counter"), set(&[1, 2]));
    world.stand(0, Standing::Ready);
    world.settle();
    assert_eq!(world.assigned_to("counter").len(), 2, "one too many when it is back");
    assert_eq!(world.routed_to("counter"), world.assigned_to("counter"));
}

#[test]
fn the_last_route_leads_to_a_lost_host_only_where_nothing_takes_its_place() {
    let mut alone = counter(1, 1);
    alone.stand(0, Standing::Lost);
    alone.settle();
    assert_eq!(alone.routed_to("counter"), set(&[0]));
    let mut replaced = counter(2, 1);
    replaced.stand(0, Standing::Lost);
    replaced.write(plan(&replaced));
    assert_eq!(replaced.routed_to("counter"), set(&[]), "callers wait for the replacement");
}

#[test]
fn a_host_that_restarts_comes_back_with_its_assignment() {
    let mut world = counter(2, 2);
    world.stand(0, Standing::Leaving);
    let next = plan(&world);
    assert!(next.assignments.is_empty());
    world.write(next);
    assert_eq!(world.routed_to("counter"), set(&[1]));
    world.stand(0, Standing::Ready);
    world.settle();
    assert_eq!(world.routed_to("counter"), set(&[0, 1]));
}

#[test]
fn a_cordoned_host_keeps_what_it_has_and_gets_nothing_new() {
    let mut world = counter(2, 1);
    assert_eq!(world.assigned_to("counter"), set(&[0]));
    world.stand(0, Standing::Cordoned);
    let two = vec![actor("counter", Replicas::Count(2)), actor("other", Replicas::Everywhere)];
    world.want(application(two, vec![], vec![]));
    world.settle();
    assert_eq!(world.assigned_to("counter"), set(&[0, 1]));
    assert_eq!(world.routed_to("counter"), set(&[0, 1]));
    assert_eq!(world.assigned_to("other"), set(&[1]));
}

#[test]
fn an_untrusted_host_gets_nothing_and_is_told_nothing() {
    let mut world = counter(2, 2);
    world.stand(1, Standing::Untrusted);
    world.want(application(vec![actor("other", Replicas::Everywhere)], vec![], vec![]));
    let next = plan(&world);
    assert!(!next.assignments.contains_key(&world.id(1)));
    world.write(next);
    assert_eq!(world.routed_to("counter"), set(&[]));
    assert_eq!(world.assigned_to("other"), set(&[0]));
}

#[test]
fn everywhere_follows_the_hosts_and_their_labels() {
    let mut edge = actor("edge", Replicas::Everywhere);
    edge.placement = vec![spread(&[("zone", "edge")], 1), spread(&[("zone", "rim")], 1)];
    let mut world = world(3, application(vec![edge, actor("all", Replicas::Everywhere)], vec![], vec![]));
    world.host_mut(0).labels = labels(&[("zone", "edge")]);
    world.host_mut(2).labels = labels(&[("zone", "rim"), ("site", "s1")]);
    world.settle();
    assert_eq!(world.assigned_to("edge"), set(&[0, 2]));
    assert_eq!(world.assigned_to("all"), set(&[0, 1, 2]));
    assert_eq!(world.routes[&name("edge")].hosts[1].site, "s1");
    world.host_mut(0).labels.clear();
    world.settle();
    assert_eq!(world.assigned_to("edge"), set(&[2]));
}

#[test]
fn weights_split_the_replicas() {
    let mut counter = actor("counter", Replicas::Count(5));
    counter.placement = vec![spread(&[], 50), spread(&[("zone", "edge")], 50)];
    let mut world = world(8, application(vec![counter], vec![], vec![]));
    for index in [0, 1, 2] {
        world.host_mut(index).labels = labels(&[("zone", "edge")]);
    }
    world.settle();
    let edge = world.assigned_to("counter").into_iter().filter(|index| *index < 3).count();
    assert!(edge >= 2, "two of five go to the edge, the rest anywhere: {edge}");
    assert_eq!(world.assigned_to("counter").len(), 5);
}

#[test]
fn a_provider_runs_beside_the_actors_that_it_is_linked_to() {
    let app = |replicas| {
        application(
            vec![actor("counter", Replicas::Count(replicas))],
            vec![provider("web", None), provider("kv", None), provider("idle", None)],
            vec![link("web", "counter"), link("counter", "kv")],
        )
    };
    let mut world = world(4, app(2));
    world.settle();
    assert_eq!(world.assigned_to("counter").len(), 2);
    assert_eq!(world.assigned_to("web"), world.assigned_to("counter"));
    assert_eq!(world.assigned_to("kv"), world.assigned_to("counter"));
    assert_eq!(world.assigned_to("idle"), set(&[]));
    assert!(plan(&world).placements[&name("idle")].reason.contains("no link"));
    world.want(app(4));
    world.settle();
    assert_eq!(world.assigned_to("web").len(), 4);
    world.want(app(0));
    world.settle();
    assert_eq!(world.assigned_to("web"), set(&[]));
    assert!(plan(&world).placements[&name("web")].reason.ends_with("none of them is placed"));
    let mut elsewhere = app(2);
    elsewhere.providers[0].placement = vec![spread(&[("disk", "ssd")], 100)];
    world.want(elsewhere);
    world.settle();
    let reason = &plan(&world).placements[&name("web")].reason;
    assert!(reason.contains("on a host with disk=ssd; `replicas` gives it"), "{reason}");
}

#[test]
fn providers_leave_a_draining_host_with_the_actors_that_they_serve() {
    let app = application(
        vec![actor("counter", Replicas::Count(1))],
        vec![provider("web", None)],
        vec![link("web", "counter")],
    );
    let mut world = world(2, app);
    world.settle();
    world.stand(0, Standing::Draining);
    world.write(plan(&world));
    assert_eq!(world.assigned_to("web"), set(&[0, 1]));
    world.obey(1);
    world.host_mut(1).observed.as_mut().unwrap().providers.clear();
    world.write(plan(&world));
    assert_eq!(world.assigned_to("counter"), set(&[1]));
    assert_eq!(world.assigned_to("web"), set(&[0, 1]), "until the other one serves");
    world.settle();
    assert_eq!(world.assigned_to("web"), set(&[1]));
}

#[test]
fn local_data_is_placed_once_pinned_and_waited_for() {
    let mut redb = provider("kv", Some(Replicas::Count(3)));
    redb.local_state = true;
    let mut world = world(3, application(vec![], vec![redb.clone()], vec![]));
    world.settle();
    assert_eq!(world.assigned_to("kv"), set(&[0]));
    assert_eq!(world.pins[&name("kv")].host, world.id(0));
    for standing in [Standing::Cordoned, Standing::Draining, Standing::Leaving, Standing::Lost, Standing::Ready] {
        world.stand(0, standing);
        world.settle();
        assert_eq!(world.assigned_to("kv"), set(&[0]), "{standing:?}");
    }
    world.stand(0, Standing::Lost);
    assert!(plan(&world).placements[&name("kv")].reason.contains("lost"));
    world.want(application(vec![], vec![], vec![]));
    world.stand(0, Standing::Ready);
    world.settle();
    assert_eq!(world.assigned_to("kv"), set(&[]));
    world.stand(0, Standing::Lost);
    world.want(application(vec![], vec![redb], vec![]));
    world.settle();
    assert_eq!(world.assigned_to("kv"), set(&[]), "its data is where it was, and that host is lost");
}

#[test]
fn a_pin_goes_to_where_the_data_runs_already() {
    let mut redb = provider("kv", None);
    redb.local_state = true;
    let mut world = world(3, application(vec![], vec![redb], vec![]));
    let item = Item { app: name("app"), revision: 1, name: name("kv"), kind: ItemKind::Provider };
    let assignment = Assignment { incarnation: world.incarnation, term: 1, items: vec![item] };
    world.assigned.insert(world.id(2), assignment);
    world.settle();
    assert_eq!(world.pins[&name("kv")].host, world.id(2));
    assert_eq!(world.assigned_to("kv"), set(&[2]));
}

#[test]
fn only_a_statement_stops_work() {
    let settled = counter(2, 2);
    let mut unreadable = settled.clone();
    unreadable.apps.insert(name("app"), Desired::Unreadable);
    assert!(plan(&unreadable).is_empty());
    let mut unknown = settled.clone();
    unknown.apps.clear();
    assert!(plan(&unknown).is_empty());
    let mut unassigned = unknown.clone();
    unassigned.assigned.clear();
    assert!(plan(&unassigned).is_empty(), "what hosts report to run counts as assigned");
    unassigned.apps = settled.apps.clone();
    assert!(plan(&unassigned).is_empty());
    let mut unreported = settled.clone();
    unreported.host_mut(0).observed = None;
    assert!(plan(&unreported).is_empty(), "a report that cannot be read changes no route");
    let mut deleted = settled;
    deleted.apps.insert(name("app"), Desired::Deleted);
    deleted.stand(1, Standing::Lost);
    deleted.settle();
    assert_eq!((deleted.assigned_to("counter"), deleted.routed_to("counter")), (set(&[]), set(&[])));
}

#[test]
fn a_provider_stays_while_links_to_it_may_be_unread() {
    let app = application(
        vec![actor("counter", Replicas::Count(1))],
        vec![provider("kv", None)],
        vec![link("counter", "kv")],
    );
    let mut world = world(2, app);
    world.settle();
    world.want(application(vec![], vec![provider("kv", None)], vec![]));
    world.apps.insert(name("theirs"), Desired::Unreadable);
    world.settle();
    assert_eq!(world.assigned_to("kv"), set(&[0]));
    world.apps.insert(name("theirs"), Desired::Deleted);
    world.settle();
    assert_eq!(world.assigned_to("kv"), set(&[]));
}

#[test]
fn another_life_of_the_state_is_written_anew() {
    let mut world = counter(2, 2);
    world.incarnation = mesh_lattice::Incarnation::new();
    let next = plan(&world);
    assert_eq!(next.assignments.len(), 2);
    assert!(next.assignments.values().all(|assignment| assignment.incarnation == world.incarnation));
}

#[test]
fn a_name_that_two_applications_claim_runs_once() {
    let mut world = counter(3, 1);
    let mut other = application(vec![actor("counter", Replicas::Count(3))], vec![], vec![]);
    other.name = name("other");
    world.want(other);
    world.settle();
    assert_eq!(world.assigned_to("counter").len(), 1);
}

#[test]
fn what_is_missing_is_said_in_one_line_however_many_there_are() {
    let reason = |world: &World| plan(world).placements[&name("counter")].reason.clone();
    let mut world = counter(6, 500);
    world.stand(0, Standing::Cordoned);
    world.stand(1, Standing::Lost);
    let said = reason(&world);
    let expected = "495 of 500 pending: a host runs one of it at most, and 4 hosts take work (1 cordoned, 1 lost); \
                    `meshctl uncordon HOST` gives one work again";
    assert_eq!(said, expected);
    let mut asking = actor("counter", Replicas::Count(500));
    asking.placement = (0..20).map(|zone| spread(&[("zone", &zone.to_string())], 100)).collect();
    let mut world = super::testing::world(300, application(vec![asking], vec![], vec![]));
    world.host_mut(7).labels = labels(&[("zone", "3")]);
    let started = std::time::Instant::now();
    let said = reason(&world);
    println!("500 replicas on 300 hosts planned in {:?}: {said}", started.elapsed());
    assert!(
        said.contains("499 of 500 pending") && said.contains("1 of them with zone=0 or zone=1 or zone=2"),
        "{said}"
    );
    assert!(said.len() < 200, "{said}");
    let mut asking = actor("counter", Replicas::Count(2));
    asking.placement = vec![spread(&[("disk", "ssd"), ("zone", "3")], 100)];
    let world = super::testing::world(2, application(vec![asking], vec![], vec![]));
    let said = reason(&world);
    assert!(
        said.ends_with("0 of them with disk=ssd,zone=3; `meshctl label HOST disk=ssd zone=3` makes one fit"),
        "{said}"
    );
    let mut world = counter(500, 500);
    assert_eq!(reason(&world), "");
    world.stand(0, Standing::Draining);
    assert!(reason(&world).starts_with("1 of 500 pending"), "{}", reason(&world));
}
