//! Asynchronous functions of any interface: called, and calling, and what of them cannot cross a link.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use mesh_lattice::{
    Answer, CallError, Code, Deadline, Invocation, Params, Reply, Serve,
    application::Limits,
    wit::{self, Outcome},
};
use mesh_runtime::{Actor, ActorConfig};
use serde::{Deserialize, Serialize};
use tokio::sync::Barrier;

use crate::{
    guests::{config, engine, eventually, get, guest},
    peer::Peer,
};

const WORK: &str = "acme:tasks/work@1.0.0";

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Job {
    name: String,
    size: u32,
}

fn job(name: &str, size: u32) -> Job {
    Job { name: name.into(), size }
}

async fn tasks(calls: Arc<dyn Serve>, limits: Limits, reuse: u32) -> Arc<Actor> {
    let config = ActorConfig { limits, reuse, ..config("tasks") };
    engine(true).actor(&guest("tasks"), config, calls).await.unwrap()
}

fn work(operation: &str, params: &impl Serialize) -> Invocation {
    let params = Params::Wire(wit::to_wire(params).unwrap());
    Invocation { interface: WORK.parse().unwrap(), operation: operation.into(), params, body: None, ..get("/") }
}

async fn ask<R: for<'a> Deserialize<'a>>(actor: &Actor, operation: &str, params: &impl Serialize) -> R {
    match actor.serve(work(operation, params)).await.unwrap().answer {
        Answer::Wire(bytes) => wit::from_wire(&bytes).unwrap(),
        Answer::Http(_) => panic!("an answer of HTTP"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asynchronous_function_is_called_as_any_other() {
    for reuse in [1, 100] {
        let actor = tasks(Peer::nobody(), Limits::default(), reuse).await;
        for n in 0..20u32 {
            assert_eq!(ask::<u32>(&actor, "double", &(n,)).await, n * 2);
        }
        let stats = actor.stats();
        assert_eq!((stats.instances, stats.idle, stats.errors), (0, u32::from(reuse > 1), 0));
    }
}

/// Answers nobody before two have asked.
struct Both(Barrier);

impl Serve for Both {
    fn serve(&self, invocation: Invocation) -> BoxFuture<'_, Result<Reply, CallError>> {
        Box::pin(async move {
            self.0.wait().await;
            let Params::Wire(params) = &invocation.params else { panic!("a request of HTTP") };
            let (job,) = wit::from_wire::<(Job,)>(params)?;
            let said = Outcome::<_, String>::Ok(format!("{} of {}", job.name, job.size));
            wit::to_wire(&said).map(Reply::wire)
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_has_more_than_one_call_out_at_once() {
    let actor = tasks(Arc::new(Both(Barrier::new(2))), Limits::default(), 1).await;
    let answer: Outcome<Vec<String>, String> = ask(&actor, "both", &(job("a", 1), job("b", 2))).await;
    assert_eq!(answer, Outcome::Ok(vec!["a of 1".into(), "b of 2".into()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_guests_of_one_process_call_each_other_asynchronously() {
    let engine = engine(true);
    let helps = engine.actor(&guest("helps"), config("helps"), Peer::nobody()).await.unwrap();
    let tasks = engine.actor(&guest("tasks"), config("tasks"), helps.clone()).await.unwrap();
    for _ in 0..20 {
        let answer: Outcome<Vec<String>, String> = ask(&tasks, "both", &(job("a", 1), job("b", 2))).await;
        assert_eq!(answer, Outcome::Ok(vec!["a of 1".into(), "b of 2".into()]));
    }
    let answer: Outcome<Vec<String>, String> = ask(&tasks, "both", &(job("a", 1), job("", 2))).await;
    assert_eq!(answer, Outcome::Err("it has no name".into()));
    assert_eq!((helps.stats().calls, helps.stats().errors), (42, 0));
    // Whoever waits for it is gone: so is what it works on.
    let deadline = Deadline::after(Duration::from_millis(20));
    let error = tasks.serve(Invocation { deadline, ..work("both", &(job("a", 1), job("slow", 2))) }).await.unwrap_err();
    assert_eq!(error.code, Code::DeadlineExceeded);
    eventually("nothing is left", || helps.stats().instances + tasks.stats().instances == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_failed_is_the_functions_own_error_where_it_has_one() {
    let actor = tasks(Peer::nobody(), Limits::default(), 1).await;
    let answer: Outcome<Vec<String>, String> = ask(&actor, "both", &(job("a", 1), job("b", 2))).await;
    assert_eq!(answer, Outcome::Err("not_linked: there is no link".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guest_does_behind_its_answer_belongs_to_the_call() {
    let peer = Peer::answering(|_| Ok(Reply::wire(wit::to_wire(&Outcome::<_, String>::Ok("noted")).unwrap())));
    let actor = tasks(peer.clone(), Limits::default(), 100).await;
    assert_eq!(ask::<u32>(&actor, "behind", &(7u32,)).await, 7);
    let asked = peer.asked();
    assert_eq!(asked.len(), 1, "before the answer left");
    assert_eq!(wit::from_wire::<(Job,)>(&asked[0].params).unwrap().0, job("behind", 7));
    assert_eq!((actor.stats().instances, actor.stats().idle), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guest_does_behind_its_answer_ends_with_the_deadline() {
    let limits = Limits { time_ms: 20, ..Limits::default() };
    let peer = Peer::nobody();
    let actor = tasks(peer.clone(), limits, 100).await;
    let error = actor.serve(work("behind", &(7u32,))).await.unwrap_err();
    assert_eq!(error.code, Code::DeadlineExceeded);
    eventually("the guest is gone", || actor.stats().instances == 0).await;
    assert_eq!((actor.stats().idle, peer.asked().len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_with_a_stream_or_a_future_says_that_it_cannot_be_called() {
    let actor = tasks(Peer::nobody(), Limits::default(), 1).await;
    for (operation, reason) in [("feed", "a stream cannot cross a link"), ("later", "a future cannot cross a link")] {
        let error = actor.serve(work(operation, &())).await.unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (Code::Unsupported, reason));
    }
    let answered = tokio::time::timeout(Duration::from_secs(10), ask::<u32>(&actor, "double", &(4u32,))).await;
    assert_eq!(answered.expect("the others are"), 8);
}
