//! An actor that does nothing wrong, called all the while.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use mesh_runtime::{Actor, Engine};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::guests::{alone, text};

/// Calls until it is stopped; every call must succeed.
pub(crate) struct Neighbour {
    stop: CancellationToken,
    calling: JoinHandle<(u32, Duration)>,
}

impl Neighbour {
    pub(crate) async fn start(engine: &Engine) -> Self {
        let actor = alone(engine, "hello").await;
        let stop = CancellationToken::new();
        let calling = tokio::spawn(call(actor, stop.clone()));
        Self { stop, calling }
    }

    /// How often it was called, and how long the slowest call took.
    pub(crate) async fn stop(self) -> (u32, Duration) {
        self.stop.cancel();
        self.calling.await.expect("a call of the neighbour failed")
    }
}

async fn call(actor: Arc<Actor>, stop: CancellationToken) -> (u32, Duration) {
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    let (mut calls, mut slowest) = (0, Duration::ZERO);
    while !stop.is_cancelled() || calls == 0 {
        pace.tick().await;
        let start = Instant::now();
        assert_eq!(text(&actor, "/").await, "1");
        slowest = slowest.max(start.elapsed());
        calls += 1;
    }
    (calls, slowest)
}
