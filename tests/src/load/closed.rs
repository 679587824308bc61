//! Closed loops: each asks again once it was answered.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http::StatusCode;
use tokio::{sync::watch, task::JoinSet, time::Instant};

use super::{
    Tally,
    open::{Ask, Outcome, Turn},
};
use crate::http::Client;

/// Loops that ask until they are stopped.
#[derive(Debug)]
pub struct Closed {
    loops: JoinSet<Tally>,
    stop: watch::Sender<bool>,
}

impl Closed {
    /// Starts loops over the connections that each client is for.
    #[must_use]
    pub fn start(clients: impl IntoIterator<Item = Client>, path: &str) -> Self {
        let (stop, stopped) = watch::channel(false);
        let path: Arc<str> = path.into();
        let mut loops = JoinSet::new();
        for client in clients {
            loops.spawn(ask_until(client, path.clone(), stopped.clone()));
        }
        Self { loops, stop }
    }

    /// This many loops that keep their connections.
    #[must_use]
    pub fn keep_alive(connections: usize, address: SocketAddr, path: &str) -> Self {
        Self::start((0..connections).map(|_| Client::keep_alive(address)), path)
    }

    /// This many loops that connect for each request.
    #[must_use]
    pub fn one_shot(connections: usize, address: SocketAddr, path: &str) -> Self {
        Self::start((0..connections).map(|_| Client::one_shot(address)), path)
    }

    /// Lets each loop finish its request, and counts.
    pub async fn stop(mut self) -> Tally {
        self.stop.send_replace(true);
        let mut tally = Tally::default();
        while let Some(part) = self.loops.join_next().await {
            match part {
                Ok(part) => tally.add(part),
                Err(error) => tally.lost.push(error.to_string()),
            }
        }
        tally
    }
}

async fn ask_until(mut client: Client, path: Arc<str>, stopped: watch::Receiver<bool>) -> Tally {
    let mut tally = Tally::default();
    while !*stopped.borrow() {
        match client.get(&path).await {
            Ok(answer) => tally.note(&answer),
            Err(error) => {
                tally.lost.push(format!("{error:#}"));
                // A loop without a server would be a busy one.
                tokio::task::yield_now().await;
            }
        }
    }
    tally
}

/// Sends this many requests over these connections and counts.
pub async fn send(requests: u64, connections: u64, address: SocketAddr, path: &str) -> Tally {
    let mut loops = JoinSet::new();
    let path: Arc<str> = path.into();
    for number in 0..connections {
        let share = requests / connections + u64::from(number < requests % connections);
        let (path, mut client) = (path.clone(), Client::keep_alive(address));
        loops.spawn(async move {
            let mut tally = Tally::default();
            for _ in 0..share {
                match client.get(&path).await {
                    Ok(answer) => tally.note(&answer),
                    Err(error) => tally.lost.push(format!("{error:#}")),
                }
            }
            tally
        });
    }
    let mut tally = Tally::default();
    while let Some(part) = loops.join_next().await {
        match part {
            Ok(part) => tally.add(part),
            Err(error) => tally.lost.push(error.to_string()),
        }
    }
    tally
}

/// How many requests a second are answered with 200 while each of these asks again and again for so long: the
/// capacity that shares of are spoken of.
pub async fn capacity(workers: impl IntoIterator<Item = impl Ask>, time: Duration) -> f64 {
    let (mut loops, start) = (JoinSet::new(), Instant::now());
    let numbers = Arc::new(std::sync::atomic::AtomicU64::new(0));
    for mut worker in workers {
        let numbers = numbers.clone();
        loops.spawn(async move {
            let mut answered = 0;
            while start.elapsed() < time {
                let number = numbers.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let outcome = worker.ask(Turn { number, due: Instant::now() }).await;
                answered += u64::from(outcome == Outcome::Answered(StatusCode::OK.as_u16()));
            }
            answered
        });
    }
    let answered: u64 = loops.join_all().await.into_iter().sum();
    answered as f64 / start.elapsed().as_secs_f64()
}
