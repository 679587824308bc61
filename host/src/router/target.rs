//! Which of those that serve a target takes a call: the pure choice. Called by the router for every call.
//!
//! Local first; then the hosts of the own site; then any. Among equals two are drawn and the one with the lower load
//! takes it, the load being what came back with its last answers: better than the lowest of all, because nobody's
//! knowledge is fresh and everybody would choose the same one.

use mesh_lattice::{HostId, frame::Load, stored::RouteHost};

/// What serves on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Here {
    /// Nothing that is ready.
    Nothing,
    /// It has room.
    Room,
    /// It is so full that it may refuse.
    Full,
}

/// Where a call goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice<'a> {
    /// To what serves here.
    Local,
    /// To what serves here, and if that is busy to this host.
    LocalThen(&'a HostId),
    /// To a host, and if that has certainly not done it, to the other.
    Remote(&'a HostId, Option<&'a HostId>),
    /// Nobody serves it now.
    Nobody,
}

/// Chooses. `hosts` are those of the route but for this one; `random` is spent on drawing.
pub fn choose<'a>(
    here: Here,
    hosts: &'a [RouteHost],
    site: &str,
    random: u64,
    load: impl Fn(&HostId) -> Option<Load>,
) -> Choice<'a> {
    match here {
        Here::Room => Choice::Local,
        Here::Full => match draw(hosts, site, random, load) {
            Some((first, _)) => Choice::LocalThen(first),
            None => Choice::Local,
        },
        Here::Nothing => match draw(hosts, site, random, load) {
            Some((first, second)) => Choice::Remote(first, second),
            None => Choice::Nobody,
        },
    }
}

fn draw<'a>(
    hosts: &'a [RouteHost],
    site: &str,
    random: u64,
    load: impl Fn(&HostId) -> Option<Load>,
) -> Option<(&'a HostId, Option<&'a HostId>)> {
    let near = |host: &&RouteHost| !site.is_empty() && host.site == site;
    let near_count = hosts.iter().filter(near).count();
    if near_count == 0 {
        return draw_two(hosts.len(), |at| hosts.get(at).map(|host| &host.id), random, load);
    }
    let (first, second) =
        draw_two(near_count, |at| hosts.iter().filter(near).nth(at).map(|host| &host.id), random, load)?;
    let second = second.or_else(|| hosts.iter().find(|host| !near(host)).map(|host| &host.id));
    Some((first, second))
}

/// Two of `count`, the less loaded one first.
fn draw_two<'a>(
    count: usize,
    host: impl Fn(usize) -> Option<&'a HostId>,
    random: u64,
    load: impl Fn(&HostId) -> Option<Load>,
) -> Option<(&'a HostId, Option<&'a HostId>)> {
    if count < 2 {
        return host(0).map(|only| (only, None));
    }
    let pick = |bits: u64, among: usize| usize::try_from(bits % among as u64).unwrap_or(0);
    let first = pick(random & 0xffff_ffff, count);
    let other = pick(random >> 32, count - 1);
    let second = if other >= first { other + 1 } else { other };
    let (first, second) = (host(first)?, host(second)?);
    // One that nobody has heard of yet counts as idle: it has to be tried for its load to be known.
    let load = |id| load(id).unwrap_or_default().0;
    if load(second) < load(first) { Some((second, Some(first))) } else { Some((first, Some(second))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(seed: u8, site: &str) -> RouteHost {
        RouteHost { id: crate::testing::host_id(seed), site: site.into() }
    }

    fn idle(_: &HostId) -> Option<Load> {
        None
    }

    #[test]
    fn what_is_here_and_has_room_is_taken_whoever_else_serves() {
        let hosts = [host(1, ""), host(2, "")];
        assert_eq!(choose(Here::Room, &hosts, "", 7, idle), Choice::Local);
    }

    #[test]
    fn what_is_full_here_spills_to_one_other_and_to_nobody_where_there_is_none() {
        let hosts = [host(1, "")];
        assert_eq!(choose(Here::Full, &hosts, "", 7, idle), Choice::LocalThen(&hosts[0].id));
        assert_eq!(choose(Here::Full, &[], "", 7, idle), Choice::Local);
        assert_eq!(choose(Here::Nothing, &[], "", 7, idle), Choice::Nobody);
    }

    #[test]
    fn the_own_site_comes_first_and_the_others_are_the_second_choice() {
        let hosts = [host(1, "far"), host(2, "near"), host(3, "far")];
        for random in 0..64 {
            let choice = choose(Here::Nothing, &hosts, "near", random * 0x1_0001_0001, idle);
            assert_eq!(choice, Choice::Remote(&hosts[1].id, Some(&hosts[0].id)));
        }
        assert!(matches!(choose(Here::Nothing, &hosts, "elsewhere", 9, idle), Choice::Remote(_, Some(_))));
    }

    #[test]
    fn every_host_is_drawn_and_the_busier_of_two_never_comes_first() {
        let hosts: Vec<_> = (1..=5).map(|seed| host(seed, "")).collect();
        let loads = |id: &HostId| hosts.iter().position(|host| host.id == *id).map(|at| Load(at as u16));
        let mut taken = [0; 5];
        for round in 0..10_000u64 {
            let random = round.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let Choice::Remote(first, Some(second)) = choose(Here::Nothing, &hosts, "", random, loads) else {
                panic!("two hosts");
            };
            assert_ne!(first, second);
            let load = |id| loads(id).unwrap().0;
            assert!(load(first) <= load(second));
            taken[usize::from(load(first))] += 1;
        }
        assert_eq!(taken[4], 0, "the busiest is never the less busy of two");
        assert!(taken[0] > taken[1] && taken[1] > taken[2] && taken[2] > taken[3] && taken[3] > 0, "{taken:?}");
    }
}
