//! Asynchronous functions of its own, in and out; some that nobody can call from elsewhere.

mod bindings {
    wasip3::wit_bindgen::generate!({
        path: "wit/tasks.wit",
        world: "tasks",
        runtime_path: "wasip3::wit_bindgen::rt",
    });
}

use std::{
    future::poll_fn,
    pin::pin,
    task::{Context, Poll},
};

use bindings::{
    acme::tasks::{helper, jobs::Job},
    exports::acme::tasks::work::Guest,
    wit_future,
};
use wasip3::{
    clocks::monotonic_clock,
    wit_bindgen::{FutureReader, StreamReader, spawn_local},
};

struct Tasks;

bindings::export!(Tasks with_types_in bindings);

impl Guest for Tasks {
    async fn double(n: u32) -> u32 {
        monotonic_clock::wait_for(1_000_000).await;
        n * 2
    }

    /// Has two calls out at once.
    async fn both(one: Job, other: Job) -> Result<Vec<String>, String> {
        let (mut one, mut other) = (pin!(helper::describe(one)), pin!(helper::describe(other)));
        let (mut first, mut second) = (None, None);
        poll_fn(|cx: &mut Context<'_>| {
            if first.is_none()
                && let Poll::Ready(done) = one.as_mut().poll(cx)
            {
                first = Some(done);
            }
            if second.is_none()
                && let Poll::Ready(done) = other.as_mut().poll(cx)
            {
                second = Some(done);
            }
            if first.is_some() && second.is_some() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        Ok(vec![first.unwrap()?, second.unwrap()?])
    }

    /// Answers, and has something left to do then.
    async fn behind(n: u32) -> u32 {
        spawn_local(async move {
            monotonic_clock::wait_for(50_000_000).await;
            helper::describe(Job { name: "behind".into(), size: n }).await.unwrap();
        });
        n
    }

    async fn feed(bytes: StreamReader<u8>) -> u64 {
        bytes.collect().await.len() as u64
    }

    fn later() -> FutureReader<u32> {
        wit_future::new(|| 7).1
    }
}
