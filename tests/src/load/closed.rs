//! Closed loops: each asks again once it was answered.

use std::{net::SocketAddr, sync::Arc};

use tokio::{sync::watch, task::JoinSet};

use super::Tally;
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
            Ok(answer) => *tally.answers.entry(answer.status.as_u16()).or_default() += 1,
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
                    Ok(answer) => *tally.answers.entry(answer.status.as_u16()).or_default() += 1,
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
