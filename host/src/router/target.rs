//! Which of those that serve a target takes a call: the pure choice. Called by the router for every call.
//!
//! Local first; then the hosts of the own site; then any. Among equals two are drawn and the one with the lower load
//! takes it, the load being what came back with its last answers: better than the lowest of all, because nobody's
//! knowledge is fresh and everybody would choose the same one. A host that let somebody wait in vain comes last of all
//! until it is heard again, whatever its site.

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

/// What is known of a host that serves the target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// How full it said it was when it last answered.
    pub load: Option<Load>,
    /// It let somebody wait in vain and has not been heard since.
    pub silent: bool,
}

/// Chooses. `hosts` are those of the route but for this one; `random` is spent on drawing.
pub fn choose<'a>(
    here: Here,
    hosts: &'a [RouteHost],
    site: &str,
    random: u64,
    about: impl Fn(&HostId) -> Standing,
) -> Choice<'a> {
    match here {
        Here::Room => Choice::Local,
        Here::Full => match draw(hosts, site, random, &about) {
            Some((first, _)) => Choice::LocalThen(first),
            None => Choice::Local,
        },
        Here::Nothing => match draw(hosts, site, random, &about) {
            Some((first, second)) => Choice::Remote(first, second),
            None => Choice::Nobody,
        },
    }
}

fn draw<'a>(
    hosts: &'a [RouteHost],
    site: &str,
    random: u64,
    about: &impl Fn(&HostId) -> Standing,
) -> Option<(&'a HostId, Option<&'a HostId>)> {
    let near = |host: &RouteHost| !site.is_empty() && host.site == site;
    let drawn = draw_near(hosts, near, random, about)?;
    let silent = |host: &HostId| about(host).silent;
    // Seldom: only then is it worth asking after every one of them.
    if silent(drawn.0) || drawn.1.is_some_and(silent) {
        let heard = |host: &RouteHost| !silent(&host.id);
        let first =
            draw_near(hosts, |host| near(host) && heard(host), random, about).filter(|(first, _)| !silent(first));
        let (first, _) = first.or_else(|| draw_near(hosts, heard, random, about)).unwrap_or(drawn);
        let others = || hosts.iter().filter(|host| host.id != *first);
        let second = others().find(|host| heard(host)).or_else(|| others().next());
        return Some((first, second.map(|host| &host.id)));
    }
    Some(drawn)
}

/// Two of those that are `near`, or of all where none is; where only one is, one that is not comes second.
fn draw_near<'a>(
    hosts: &'a [RouteHost],
    near: impl Fn(&RouteHost) -> bool,
    random: u64,
    about: &impl Fn(&HostId) -> Standing,
) -> Option<(&'a HostId, Option<&'a HostId>)> {
    let near = |host: &&RouteHost| near(host);
    let load = |host: &HostId| about(host).load;
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

    fn idle(_: &HostId) -> Standing {
        Standing::default()
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
        let about = |id: &HostId| Standing { load: loads(id), silent: false };
        let mut taken = [0; 5];
        for round in 0..10_000u64 {
            let random = round.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let Choice::Remote(first, Some(second)) = choose(Here::Nothing, &hosts, "", random, about) else {
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

    #[test]
    fn a_silent_host_comes_last_whatever_its_site_and_load() {
        let hosts = [host(1, "near"), host(2, "far"), host(3, "near"), host(4, "far")];
        let silent = |which: &'static [usize]| {
            let ids: Vec<_> = which.iter().map(|at| hosts[*at].id.clone()).collect();
            move |id: &HostId| Standing { load: Some(Load(9)), silent: ids.contains(id) }
        };
        for round in 0..1_000u64 {
            let random = round.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let chosen = |which| match choose(Here::Nothing, &hosts, "near", random, silent(which)) {
                Choice::Remote(first, Some(second)) => {
                    [first, second].map(|id| hosts.iter().position(|host| host.id == *id).unwrap())
                }
                other => panic!("{other:?}"),
            };
            assert_eq!(chosen(&[0])[0], 2, "the other one of the own site");
            assert_ne!(chosen(&[0])[1], 0);
            assert!(matches!(chosen(&[0, 2])[0], 1 | 3), "elsewhere");
            assert!(matches!(chosen(&[0, 2])[1], 1 | 3));
            assert_eq!(chosen(&[0, 1, 2]), [3, 0], "a silent one is better than none");
            assert_ne!(chosen(&[0, 1, 2, 3])[0], chosen(&[0, 1, 2, 3])[1]);
        }
        let alone = [host(1, "")];
        let all = |_: &HostId| Standing { load: None, silent: true };
        assert_eq!(choose(Here::Nothing, &alone, "", 7, all), Choice::Remote(&alone[0].id, None));
    }
}
