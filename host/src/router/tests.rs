use std::collections::HashMap;

use mesh_lattice::{Name, stored::RouteHost};
use parking_lot::Mutex;

use super::*;
use crate::{
    links::{Declared, Links},
    testing::{call, host_id},
};

/// Answers every call with one result, and remembers who was asked.
#[derive(Default)]
struct Recorder {
    asked: Mutex<Vec<HostId>>,
    ids: Mutex<Vec<mesh_lattice::CallId>>,
    answers: Mutex<HashMap<HostId, Code>>,
    /// Hosts that say nothing.
    silent: Mutex<Vec<HostId>>,
}

impl Recorder {
    fn refusing(hosts: &[(u8, Code)]) -> Arc<Self> {
        let answers = hosts.iter().map(|(seed, code)| (host_id(*seed), *code)).collect();
        Arc::new(Self { answers: Mutex::new(answers), ..Self::default() })
    }
}

impl Far for Recorder {
    fn call<'a>(
        &'a self,
        host: &'a HostId,
        call: Invocation,
        leave: Leave<'a>,
    ) -> BoxFuture<'a, Result<Reply, CallError>> {
        self.asked.lock().push(host.clone());
        self.ids.lock().push(call.id);
        let mut code = self.answers.lock().get(host).copied();
        if self.silent.lock().contains(host) {
            code = if leave() { Some(Code::Lost) } else { Some(Code::DeadlineExceeded) };
        }
        Box::pin(async move { code.map_or_else(|| Ok(answer()), |code| Err(CallError::new(code, "far"))) })
    }

    fn standing(&self, _: &HostId) -> Standing {
        Standing::default()
    }
}

/// Serves with one result.
struct Fixed(Option<Code>);

impl Serve for Fixed {
    fn serve(&self, _: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        let code = self.0;
        Box::pin(async move { code.map_or_else(|| Ok(answer()), |code| Err(CallError::new(code, "here"))) })
    }
}

/// Never answers.
struct Silent;

impl Serve for Silent {
    fn serve(&self, _: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        Box::pin(std::future::pending())
    }
}

fn answer() -> Reply {
    Reply::wire(bytes::Bytes::from_static(b"\xc0"))
}

fn local(serve: impl Serve + 'static, full: bool) -> Arc<Local> {
    Arc::new(Local { serve: Arc::new(serve), is_full: Box::new(move || full), keeps_deadlines: false })
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// `web` may call `counter`, which is served here by `here` and elsewhere by `hosts`.
fn table(here: Option<Arc<Local>>, hosts: &[u8]) -> Arc<Table> {
    let link = serde_json::json!({ "source": "web", "target": "counter", "interfaces": ["wasi:keyvalue"] });
    let declared = Declared { app: name("app"), since: 1, link: serde_json::from_value(link).unwrap() };
    let remote = hosts.iter().map(|seed| RouteHost { id: host_id(*seed), site: String::new() }).collect();
    Arc::new(Table::new(
        Arc::new(Links::new(vec![declared], &[].into())),
        here.into_iter().map(|local| (name("counter"), local)).collect(),
        [(name("counter"), remote)].into(),
        [name("web"), name("counter")].into(),
        String::new(),
    ))
}

fn router(table: Arc<Table>, far: &Arc<Recorder>) -> (Arc<Router>, watch::Sender<Arc<Table>>) {
    let (publish, tables) = watch::channel(table);
    (Router::new(tables, Some(far.clone()), None, Arc::default()), publish)
}

fn code(result: Result<Reply, CallError>) -> Option<Code> {
    result.err().map(|error| error.code)
}

#[tokio::test]
async fn what_is_ready_here_is_called_here() {
    let far = Arc::new(Recorder::default());
    let (router, _publish) = router(table(Some(local(Fixed(None), false)), &[1, 2]), &far);
    assert_eq!(code(router.serve(call("web", "counter")).await), None);
    assert!(far.asked.lock().is_empty());
}

#[tokio::test]
async fn a_full_local_target_spills_to_one_host() {
    let far = Arc::new(Recorder::default());
    let (router, _publish) = router(table(Some(local(Fixed(Some(Code::Busy)), true)), &[1]), &far);
    assert_eq!(code(router.serve(call("web", "counter")).await), None);
    assert_eq!(*far.asked.lock(), [host_id(1)]);
}

#[tokio::test]
async fn a_spill_that_finds_no_room_is_busy() {
    let far = Recorder::refusing(&[(1, Code::Busy), (2, Code::Busy)]);
    let (router, _publish) = router(table(Some(local(Fixed(Some(Code::Busy)), true)), &[1, 2]), &far);
    assert_eq!(code(router.serve(call("web", "counter")).await), Some(Code::Busy));
    assert_eq!(far.asked.lock().len(), 1, "it spills once");
}

#[tokio::test]
async fn a_host_that_is_gone_is_followed_by_the_other_one() {
    for gone in [Code::Unavailable, Code::Busy] {
        let far = Recorder::refusing(&[(1, gone)]);
        let (router, _publish) = router(table(None, &[1, 2]), &far);
        for _ in 0..20 {
            assert_eq!(code(router.serve(call("web", "counter")).await), None);
        }
        assert!(far.asked.lock().contains(&host_id(1)), "the draw reaches both");
    }
}

#[tokio::test]
async fn a_call_that_may_have_been_done_is_not_made_again() {
    for failed in [Code::Lost, Code::Trap, Code::Backend, Code::DeadlineExceeded] {
        let far = Recorder::refusing(&[(1, failed), (2, failed)]);
        let (router, _publish) = router(table(None, &[1, 2]), &far);
        assert_eq!(code(router.serve(call("web", "counter")).await), Some(failed));
        assert_eq!(far.asked.lock().len(), 1);
    }
}

/// A call that may run twice.
fn reading() -> Invocation {
    let mut reading = call("web", "counter");
    reading.operation = mesh_lattice::wit::keyvalue::operation::GET.into();
    reading
}

#[tokio::test]
async fn a_call_that_may_run_twice_leaves_a_silent_host_and_any_other_stays() {
    let far = Arc::new(Recorder::default());
    far.silent.lock().push(host_id(1));
    let (router, _publish) = router(table(None, &[1, 2]), &far);
    for _ in 0..20 {
        assert_eq!(code(router.serve(reading()).await), None);
    }
    assert!(far.asked.lock().contains(&host_id(1)), "the draw reaches both");
    assert_eq!(router.retries().granted(), far.asked.lock().len() as u64 - 20);
    let mut stayed = 0;
    for _ in 0..20 {
        stayed += u32::from(code(router.serve(call("web", "counter")).await) == Some(Code::DeadlineExceeded));
    }
    assert!(stayed > 0, "it is asked again, to the deadline");
}

#[tokio::test]
async fn a_call_that_was_lost_is_made_again_under_a_new_id_if_it_may_run_twice() {
    for unknown in [Code::Lost, Code::ReplyLost] {
        let far = Recorder::refusing(&[(1, unknown)]);
        let (router, _publish) = router(table(None, &[1, 2]), &far);
        for _ in 0..20 {
            assert_eq!(code(router.serve(reading()).await), None);
        }
        let ids = far.ids.lock();
        assert!(ids.len() > 20, "the draw reaches both");
        assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), ids.len());
    }
}

#[tokio::test]
async fn calls_are_made_again_elsewhere_within_the_budget_alone() {
    let far = Recorder::refusing(&[(1, Code::Busy), (2, Code::Busy)]);
    let (router, _publish) = router(table(None, &[1, 2]), &far);
    for _ in 0..1_000 {
        assert_eq!(code(router.serve(call("web", "counter")).await), Some(Code::Busy));
    }
    let again = far.asked.lock().len() - 1_000;
    assert_eq!(again as u64, router.retries().granted());
    assert!((200..=400).contains(&again), "a fifth, and what the bucket held and the time brought: {again}");
    assert_eq!(router.retries().refused(), 1_000 - router.retries().granted());
}

#[tokio::test]
async fn a_call_that_waits_is_one_call_to_the_budget_however_often_it_is_offered() {
    let far = Recorder::refusing(&[(1, Code::Unavailable), (2, Code::Unavailable)]);
    let (router, _publish) = router(table(None, &[1, 2]), &far);
    let calls = (0..300).map(|_| {
        let mut waiting = call("web", "counter");
        waiting.deadline = Deadline::after(Duration::from_millis(1_200));
        router.serve(waiting)
    });
    let ended = futures::future::join_all(calls).await;
    assert!(ended.into_iter().all(|ended| code(ended) == Some(Code::Unavailable)));
    assert!(far.asked.lock().len() > 1_000, "each was offered again and again");
    let granted = router.retries().granted();
    assert!(granted <= 100 + 300 / 5 + 30, "what the bucket held, a fifth, and what the time brought: {granted}");
}

#[tokio::test]
async fn an_unlinked_or_unknown_target_fails_at_once() {
    let far = Arc::new(Recorder::default());
    let (router, publish) = router(table(Some(local(Fixed(None), false)), &[]), &far);
    assert_eq!(code(router.serve(call("other", "counter")).await), Some(Code::NotLinked));
    assert_eq!(code(router.serve(call("web", "elsewhere")).await), Some(Code::NotLinked));
    let table = table(None, &[]);
    let unwanted = Table::new(table.links.clone(), [].into(), [].into(), [].into(), String::new());
    publish.send_replace(Arc::new(unwanted));
    assert_eq!(code(router.serve(call("web", "counter")).await), Some(Code::UnknownTarget));
}

#[tokio::test(start_paused = true)]
async fn a_wanted_target_is_waited_for_and_called_as_soon_as_it_is_ready() {
    let far = Arc::new(Recorder::default());
    let (router, publish) = router(table(None, &[]), &far);
    let waiting = router.serve(call("web", "counter"));
    let ready = async {
        tokio::task::yield_now().await;
        assert_eq!(router.waiting(), 1);
        publish.send_replace(table(Some(local(Fixed(None), false)), &[]));
    };
    let (result, ()) = tokio::join!(waiting, ready);
    assert_eq!(code(result), None);
    assert_eq!(router.waiting(), 0);
}

#[tokio::test]
async fn the_wait_for_a_target_ends_with_the_deadline() {
    let far = Recorder::refusing(&[(1, Code::Unavailable)]);
    let (router, _publish) = router(table(None, &[1]), &far);
    let mut late = call("web", "counter");
    late.deadline = Deadline::after(Duration::from_millis(50));
    assert_eq!(code(router.serve(late).await), Some(Code::Unavailable));
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_left_at_the_deadline() {
    let far = Arc::new(Recorder::default());
    let (router, _publish) = router(table(Some(local(Silent, false)), &[]), &far);
    let mut late = call("web", "counter");
    late.deadline = Deadline::after(Duration::from_millis(20));
    assert_eq!(code(router.serve(late).await), Some(Code::DeadlineExceeded));
}

#[tokio::test(start_paused = true)]
async fn a_call_from_another_host_is_served_here_or_refused() {
    let far = Arc::new(Recorder::default());
    let (router, publish) = router(table(Some(local(Fixed(None), false)), &[1]), &far);
    let inward = Inward(router);
    assert_eq!(code(inward.serve(call("web", "counter")).await), None);
    assert_eq!(code(inward.serve(call("other", "counter")).await), Some(Code::Denied));
    publish.send_replace(table(None, &[1]));
    assert_eq!(code(inward.serve(call("web", "counter")).await), Some(Code::Unavailable));
    assert!(far.asked.lock().is_empty(), "a call crosses the lattice once");
}

#[tokio::test]
async fn a_call_that_is_bound_to_a_host_is_made_there_and_nowhere_else() {
    let pinned = |pin| Invocation { pin: Some(pin), ..call("web", "counter") };
    let far = Arc::new(Recorder::default());
    let (with_room, _publish) = router(table(Some(local(Fixed(None), false)), &[1, 2]), &far);
    assert_eq!(code(with_room.serve(pinned(Pin::On(host_id(2)))).await), None);
    assert_eq!(*far.asked.lock(), [host_id(2)], "whoever has room here");

    let far = Recorder::refusing(&[(2, Code::Busy)]);
    let (full, _publish) = router(table(Some(local(Fixed(Some(Code::Busy)), true)), &[1, 2]), &far);
    assert_eq!(code(full.serve(pinned(Pin::Here)).await), Some(Code::Busy));
    assert!(far.asked.lock().is_empty(), "nothing spills");
    assert_eq!(code(full.serve(pinned(Pin::On(host_id(2)))).await), Some(Code::Busy));
    assert_eq!(*far.asked.lock(), [host_id(2)], "nobody comes second");
}

#[tokio::test]
async fn of_a_thousand_calls_one_has_a_link_and_the_others_are_refused_and_counted() {
    let link =
        serde_json::json!({ "source": "web", "target": "target-7", "interfaces": ["acme:targets/operation-3@1.0.0"] });
    let declared = Declared { app: name("app"), since: 1, link: serde_json::from_value(link).unwrap() };
    let far = Arc::new(Recorder::default());
    let targets: Vec<_> = (0..50).map(|at| name(&format!("target-{at}"))).collect();
    let table = Table::new(
        Arc::new(Links::new(vec![declared], &[].into())),
        targets.iter().map(|target| (target.clone(), local(Fixed(None), false))).collect(),
        HashMap::new(),
        targets.iter().cloned().chain([name("web")]).collect(),
        String::new(),
    );
    let (router, _publish) = router(Arc::new(table), &far);
    let mut codes = HashMap::new();
    for target in &targets {
        for operation in 0..20 {
            let interface = format!("acme:targets/operation-{operation}@1.0.0").parse().unwrap();
            let call = Invocation { interface, ..call("web", target.as_str()) };
            *codes.entry(code(router.serve(call).await)).or_insert(0) += 1;
        }
    }
    assert_eq!(codes, HashMap::from([(None, 1), (Some(Code::NotLinked), 999)]));
    assert_eq!(router.refusals().count(Kind::Call, Reason::NotLinked), 999);
    assert!(far.asked.lock().is_empty());
}
