//! The fault proxy does to real traffic what it is told, and nothing else: other scenarios stand on it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use async_nats::{Client, Subscriber};
use futures::StreamExt as _;
use mesh_tests::{
    fault::{Conditions, Proxy, Way},
    lattice::Lattice,
    wait::eventually,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufStream},
    net::TcpStream,
    time::timeout,
};

const MESSAGES: usize = 200;
const SOON: Duration = Duration::from_secs(10);

/// A client of the protocol itself: what it sends is in the stream when it returns, and its PING comes back as a PONG
/// when everything before it has been through.
struct Raw(BufStream<TcpStream>);

impl Raw {
    async fn connect(to: SocketAddr) -> Result<Self> {
        let mut raw = Self(BufStream::new(TcpStream::connect(to).await?));
        raw.send("CONNECT {\"verbose\":false}\r\n").await?;
        Ok(raw)
    }

    async fn send(&mut self, text: &str) -> Result<()> {
        self.0.write_all(text.as_bytes()).await?;
        Ok(self.0.flush().await?)
    }

    async fn publish(&mut self, subject: &str, payload: &str) -> Result<()> {
        self.send(&format!("PUB {subject} {}\r\n{payload}\r\n", payload.len())).await
    }

    async fn round_trip(&mut self) -> Result<Duration> {
        let start = Instant::now();
        self.send("PING\r\n").await?;
        let mut line = String::new();
        while line != "PONG\r\n" {
            line.clear();
            ensure!(timeout(SOON, self.0.read_line(&mut line)).await?? > 0, "the connection was closed");
        }
        Ok(start.elapsed())
    }
}

struct Setup {
    _lattice: Lattice,
    proxy: Proxy,
    through: Raw,
    direct: Client,
    received: Subscriber,
}

/// One client behind the proxy sends, one beside it receives.
async fn setup() -> Result<Setup> {
    let lattice = Lattice::builder().start().await?;
    let server = lattice.server_address()?;
    let proxy = Proxy::start(Ipv4Addr::LOCALHOST.into(), server, 7).await?;
    let through = Raw::connect(proxy.address()).await?;
    let direct = async_nats::connect(server.to_string()).await?;
    let mut received = direct.subscribe("test.>").await?;
    // What comes back to the one who subscribed proves that the server knows.
    direct.publish("test.ready", "".into()).await?;
    timeout(SOON, received.next()).await?.context("the subscription ended")?;
    Ok(Setup { _lattice: lattice, proxy, through, direct, received })
}

impl Setup {
    /// Sends numbered messages and returns the numbers that arrive, to a last one that always does.
    async fn arrive(&mut self) -> Result<Vec<usize>> {
        for number in 0..MESSAGES {
            self.through.publish("test.n", &number.to_string()).await?;
        }
        self.through.round_trip().await?;
        self.direct.publish("test.last", "".into()).await?;
        let mut numbers = Vec::new();
        loop {
            let message = timeout(SOON, self.received.next()).await?.context("the subscription ended")?;
            if message.subject.as_str() == "test.last" {
                return Ok(numbers);
            }
            if message.subject.as_str() == "test.n" {
                numbers.push(std::str::from_utf8(&message.payload)?.parse()?);
            }
        }
    }
}

#[tokio::test]
async fn the_fault_proxy_loses_repeats_and_swaps_whole_messages_as_told() -> Result<()> {
    let mut setup = setup().await?;
    let all: Vec<_> = (0..MESSAGES).collect();
    assert_eq!(setup.arrive().await?, all, "a good network changes nothing");

    setup.proxy.set(Way::ToServer, Conditions { drop: 0.3, ..Conditions::default() });
    let numbers = setup.arrive().await?;
    let lost = MESSAGES - numbers.len();
    assert!((20..=100).contains(&lost), "{lost} of {MESSAGES} lost");
    assert_eq!(u64::try_from(lost)?, setup.proxy.done(Way::ToServer).dropped);

    setup.proxy.set(Way::ToServer, Conditions { duplicate: 0.3, ..Conditions::default() });
    let numbers = setup.arrive().await?;
    let twice = numbers.len() - MESSAGES;
    assert!((20..=100).contains(&twice), "{twice} of {MESSAGES} twice");
    assert!(all.iter().all(|number| numbers.contains(number)), "and none lost: {numbers:?}");

    setup.proxy.set(Way::ToServer, Conditions { reorder: 0.3, ..Conditions::default() });
    let mut numbers = setup.arrive().await?;
    assert_ne!(numbers, all, "some are swapped");
    numbers.sort_unstable();
    assert_eq!(numbers, all, "and all are there");

    setup.proxy.heal();
    assert_eq!(setup.arrive().await?, all, "healed");
    assert_eq!(setup.proxy.done(Way::FromServer).dropped, 0, "the other direction was left alone");
    Ok(())
}

#[tokio::test]
async fn the_fault_proxy_delays_slows_silences_and_resets() -> Result<()> {
    let mut setup = setup().await?;
    let late = Duration::from_millis(150);
    setup.proxy.set(Way::ToServer, Conditions { delay: late, ..Conditions::default() });
    let took = setup.through.round_trip().await?;
    assert!(took >= late, "a round trip of {took:?} through a delay of {late:?}");

    setup.proxy.set(Way::ToServer, Conditions { bytes_per_second: 64 << 10, ..Conditions::default() });
    setup.through.publish("test.big", &"x".repeat(32 << 10)).await?;
    let took = setup.through.round_trip().await?;
    assert!(took >= Duration::from_millis(400), "32 KiB in {took:?} at 64 KiB a second");

    setup.proxy.set(Way::ToServer, Conditions { silent: true, ..Conditions::default() });
    setup.through.publish("test.n", "7").await?;
    setup.through.send("PING\r\n").await?;
    let proxy = &setup.proxy;
    let swallowed = || async { Ok((proxy.done(Way::ToServer).dropped == 2).then_some(())) };
    eventually("a message and a PING are swallowed", SOON, swallowed).await?;
    setup.proxy.heal();
    assert_eq!(setup.arrive().await?.len(), MESSAGES, "the connection has lived through it");

    setup.proxy.reset();
    let reset = setup.through.round_trip().await;
    assert!(reset.is_err(), "a round trip over a connection that was reset");
    setup.through = Raw::connect(setup.proxy.address()).await?;
    assert_eq!(setup.arrive().await?.len(), MESSAGES, "another connection is a good one");
    Ok(())
}
