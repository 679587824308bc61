//! A proxy between one host and its nats-server that loses, repeats, delays or holds whole messages.
//!
//! It understands the protocol just as far as to know where a message ends, so that what it does to one never damages
//! the next.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use mesh_lattice::LatticeName;
use mesh_transport::ConnectConfig;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// Which way a message goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// From the host to the server.
    Out,
    /// From the server to the host.
    In,
}

/// What one message is to the rules: its way, its subject (empty where it has none) and the length of its payload.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) way: Way,
    pub(crate) subject: &'a str,
    pub(crate) length: usize,
}

/// What is done to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Lose,
    Twice,
    /// So much later, and later than what follows it, unless that is as late.
    Late(Duration),
    /// It takes so long on the line, and what follows on this connection waits behind it.
    Slow(Duration),
}

type Rule = Arc<dyn Fn(Seen<'_>) -> Verdict + Send + Sync>;

/// The proxy; it ends with the test.
pub(crate) struct Proxy {
    port: u16,
    rule: Arc<Mutex<Rule>>,
    held: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// In front of the server on this port.
    pub(crate) async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let pass: Rule = Arc::new(|_| Verdict::Pass);
        let rule = Arc::new(Mutex::new(pass));
        let (held, holds) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, server, Arc::clone(&rule), holds));
        Self { port, rule, held, _tasks: tasks }
    }

    pub(crate) fn config(&self) -> ConnectConfig {
        ConnectConfig::new(format!("nats://127.0.0.1:{}", self.port), LatticeName::default())
    }

    /// From now on this is done to messages.
    pub(crate) fn rule(&self, rule: impl Fn(Seen<'_>) -> Verdict + Send + Sync + 'static) {
        *self.rule.lock().unwrap() = Arc::new(rule);
    }

    pub(crate) fn pass(&self) {
        self.rule(|_| Verdict::Pass);
    }

    /// Nothing passes any more, as if the host's process stood still; nothing is lost.
    pub(crate) fn hold(&self) {
        self.held.send_replace(true);
    }

    pub(crate) fn release(&self) {
        self.held.send_replace(false);
    }
}

async fn accept(listener: TcpListener, server: u16, rule: Arc<Mutex<Rule>>, held: watch::Receiver<bool>) {
    let mut pumps = JoinSet::new();
    loop {
        let Ok((host, _)) = listener.accept().await else { return };
        let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { continue };
        let (rule, held) = (Arc::clone(&rule), held.clone());
        pumps.spawn(async move {
            let ((from_host, to_host), (from_server, to_server)) = (host.into_split(), server.into_split());
            // Either way's end is the end of both.
            tokio::select! {
                () = pump(Way::Out, from_host, to_server, Arc::clone(&rule), held.clone()) => {}
                () = pump(Way::In, from_server, to_host, rule, held) => {}
            }
        });
    }
}

async fn pump(
    way: Way,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    rule: Arc<Mutex<Rule>>,
    mut held: watch::Receiver<bool>,
) {
    let mut buffer = Vec::new();
    let mut late: BTreeMap<(Instant, u64), Vec<u8>> = BTreeMap::new();
    let mut count = 0;
    loop {
        while let Some((length, subject, payload)) = message(&buffer) {
            let rest = buffer.split_off(length);
            let bytes = std::mem::replace(&mut buffer, rest);
            if held.wait_for(|held| !*held).await.is_err() {
                return;
            }
            let rule = Arc::clone(&rule.lock().unwrap());
            let times = match rule(Seen { way, subject: &subject, length: payload }) {
                Verdict::Pass => 1,
                Verdict::Lose => 0,
                Verdict::Twice => 2,
                Verdict::Slow(takes) => {
                    tokio::time::sleep(takes).await;
                    1
                }
                Verdict::Late(delay) => {
                    count += 1;
                    late.insert((Instant::now() + delay, count), bytes.clone());
                    0
                }
            };
            for _ in 0..times {
                if to.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        }
        let due = late.first_key_value().map_or_else(Instant::now, |((due, _), _)| *due);
        tokio::select! {
            read = from.read_buf(&mut buffer) => if !matches!(read, Ok(1..)) { return },
            () = sleep_until(due), if !late.is_empty() => {
                let Some((_, bytes)) = late.pop_first() else { continue };
                if to.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// The length of the first whole message, its subject and the length of its payload.
fn message(buffer: &[u8]) -> Option<(usize, String, usize)> {
    let line = buffer.windows(2).position(|two| two == b"\r\n")?;
    let text = String::from_utf8_lossy(buffer.get(..line)?);
    let mut words = text.split_ascii_whitespace();
    let verb = words.next().unwrap_or_default().to_ascii_uppercase();
    if !matches!(verb.as_str(), "PUB" | "HPUB" | "MSG" | "HMSG") {
        return Some((line + 2, String::new(), 0));
    }
    let subject = words.next()?.to_owned();
    let payload: usize = words.last()?.parse().ok()?;
    let length = line + 2 + payload + 2;
    (buffer.len() >= length).then_some((length, subject, payload))
}
