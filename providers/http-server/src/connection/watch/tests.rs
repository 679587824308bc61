use std::net::Ipv4Addr;

use super::*;

const PATIENCE: Patience = Patience { head: 5_500, idle: 60_500, write: 10_500, resets: 3 };

fn watch() -> Arc<Watch> {
    Watch::new(Ipv4Addr::LOCALHOST.into(), &PATIENCE)
}

/// The first verdict that is not to go on, and after how many ticks.
fn ticks(watch: &Watch, leaving: bool, most: u32) -> Option<(u32, Verdict)> {
    (1..=most).map(|tick| (tick, watch.tick(TICK, leaving, &PATIENCE))).find(|(_, verdict)| *verdict != Verdict::Keep)
}

#[test]
fn each_stage_has_its_own_limit() {
    let one = watch();
    assert_eq!(ticks(&one, false, 20), Some((12, Verdict::Cut(Reason::Header))), "a head that does not begin");
    let one = watch();
    assert_eq!(ticks(&one, false, 6), None);
    one.read();
    assert_eq!(ticks(&one, false, 20), Some((6, Verdict::Cut(Reason::Header))), "its first byte buys it no time");
    let request = one.begin();
    assert_eq!(ticks(&one, false, 1_000), None, "a request has its deadline elsewhere");
    drop(request);
    assert_eq!(ticks(&one, false, 1_000), Some((122, Verdict::Finish(Some(Reason::Idle)))));
    assert_eq!(ticks(&one, false, 1), Some((1, Verdict::Finish(Some(Reason::Idle)))));
    assert_eq!(ticks(&one, false, 1), Some((1, Verdict::Cut(Reason::Idle))), "one that does not end by itself");
    one.read();
    assert_eq!(ticks(&one, false, 20), Some((12, Verdict::Cut(Reason::Header))));
}

#[test]
fn a_client_that_takes_nothing_is_cut() {
    let one = watch();
    let _request = one.begin();
    one.written(false);
    assert_eq!(ticks(&one, false, 15), None);
    one.written(true);
    assert_eq!(ticks(&one, false, 100), None);
    one.written(false);
    assert_eq!(ticks(&one, false, 100), Some((22, Verdict::Cut(Reason::Write))));
}

#[test]
fn while_the_server_leaves_only_what_has_begun_goes_on() {
    let one = watch();
    assert_eq!(ticks(&one, true, 10), Some((3, Verdict::Finish(None))), "the first request may be on its way");
    one.read();
    assert_eq!(ticks(&one, true, 3), None, "a request that has begun is read to its end");
    let request = one.begin();
    assert_eq!(ticks(&one, true, 1), Some((1, Verdict::Finish(None))));
    drop(request);
    let soon = Duration::from_millis(50);
    let keeps = (0..10).take_while(|_| one.tick(soon, true, &PATIENCE) == Verdict::Keep).count();
    assert_eq!(keeps, 4, "its client may be sending the next one");
    one.is_http2();
    assert_eq!(one.tick(soon, true, &PATIENCE), Verdict::Finish(None), "it was told, and takes what is on its way");
}

#[test]
fn a_connection_of_many_requests_is_idle_when_the_last_has_ended() {
    let one = watch();
    one.is_http2();
    let (first, second) = (one.begin(), one.begin());
    one.read();
    drop(first);
    assert_eq!((one.stage(), ticks(&one, false, 1_000)), (Stage::Serving, None));
    drop(second);
    one.read();
    assert_eq!(one.stage(), Stage::Idle, "a ping is no request");
    assert_eq!(ticks(&one, false, 1_000), Some((122, Verdict::Finish(Some(Reason::Idle)))));
}

#[test]
fn requests_that_are_taken_back_use_up_a_budget_and_others_fill_it() {
    let one = watch();
    one.is_http2();
    for _ in 0..100 {
        drop(one.begin());
        let mut request = one.begin();
        request.finish();
    }
    assert_eq!(one.is_cut(), None, "as many were finished");
    (0..3).for_each(|_| drop(one.begin()));
    assert_eq!(one.is_cut(), None);
    drop(one.begin());
    assert_eq!(one.is_cut(), Some(Reason::Resets));
}

#[test]
fn places_are_taken_from_those_who_make_least_use_of_them() {
    let later = |watch: &Watch, ticks: u32| (0..ticks).for_each(|_| _ = watch.tick(TICK, false, &PATIENCE));
    let (head, old_head, idle, body, reader) = (watch(), watch(), watch(), watch(), watch());
    later(&old_head, 3);
    drop(idle.begin());
    let _uploads = body.begin();
    body.body(true);
    assert_eq!(body.claim(), None, "a body may take a moment");
    later(&body, 1);
    let _downloads = reader.begin();
    reader.written(false);
    later(&reader, 1);
    let mut all = [("idle", idle), ("reader", reader), ("body", body), ("head", head), ("old", old_head)]
        .map(|(name, watch)| (watch.claim().unwrap().order(1), name));
    all.sort();
    assert_eq!(all.map(|(_, name)| name), ["old", "head", "body", "reader", "idle"]);

    let busy = watch();
    let _request = busy.begin();
    assert_eq!(busy.claim(), None, "a request that is being served keeps its place");
    let claim = watch().claim().unwrap();
    assert!(claim.order(9) < claim.order(2), "who has more gives first");
}

#[test]
fn a_request_that_begins_while_its_place_is_taken_is_served() {
    let (lucky, other) = (watch(), watch());
    lucky.cut(Reason::Evicted);
    other.cut(Reason::Evicted);
    let request = lucky.begin();
    assert_eq!((lucky.is_cut(), other.is_cut()), (None, Some(Reason::Evicted)));
    drop(request);
    assert_eq!(lucky.is_cut(), None, "and it stays");
}

#[test]
fn one_customer_of_ipv6_is_one_peer() {
    let peer = |text: &str| neighbourhood(text.parse().unwrap());
    assert_eq!(peer("2001:db8:1:2:3::4"), peer("2001:db8:1:2:ffff::1"));
    assert_ne!(peer("2001:db8:1:2::1"), peer("2001:db8:1:3::1"));
    assert_eq!(peer("::ffff:10.0.0.1"), peer("10.0.0.1"));
    assert_ne!(peer("10.0.0.1"), peer("10.0.0.2"));
}
