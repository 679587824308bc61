//! The fault rig: scenarios that break a lattice under load and judge what came of it. Called by the program
//! `mesh-rig`, and with short settings by the end-to-end tests.
//!
//! | scenario | breaks | promises |
//! |---|---|---|
//! | [`nats_restarts`] | nats-server, killed and started again | local calls never fail; remote ones outlast it |
//! | [`away`] | one of two hosts: cut off, stopped, killed | routed around; at most the calls in flight fail |
//! | [`network`] | the messages of one host: lost, twice, swapped, late, slow | nothing runs twice, nothing late |
//! | [`overload`] | nothing: three times of what fits is asked for | what fits is done, the rest refused at once |
//! | [`streams`] | a reader that stops for a while | equal bytes, bounded memory |
//! | [`slow`] | thousands of connections that do next to nothing | honest requests do not notice |
//! | [`soak`] | links and configuration, changed all the time | nothing grows |
//!
//! A scenario says what it does in a timeline and ends in a [`Verdict`]. A seed decides its schedule; what the machine
//! adds to that it cannot.

use std::time::Duration;

use anyhow::Result;

pub mod away;
pub mod nats_restarts;
pub mod network;
pub mod overload;
pub mod slow;
pub mod soak;
pub mod streams;
pub mod verdict;
pub mod world;

pub use verdict::Verdict;

/// The scenarios by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// nats-server is killed and started again
    NatsRestarts,
    /// The link of a host in a network namespace of its own is taken down
    Partition,
    /// A host is stopped and goes on later (SIGSTOP, SIGCONT)
    Stop,
    /// A host is killed
    Kill,
    /// Messages of one host are lost, repeated, swapped, late and slow
    Network,
    /// Three times the capacity is asked for
    Overload,
    /// Bytes go through HTTP to a remote actor and back to a reader that stops for a while
    Streams,
    /// Thousands of slow connections beside honest ones
    Slow,
    /// Links and configuration change all the time
    Soak,
}

/// How a scenario is to run; what is not said is as the scenario has it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// Decides the schedule.
    pub seed: u64,
    /// How often the fault happens.
    pub rounds: Option<u32>,
    /// Requests a second, where they are a share of the capacity otherwise.
    pub rate: Option<f64>,
    /// How long it lasts, where it is a matter of time.
    pub duration: Option<Duration>,
    /// How many bytes, or connections, where it is a matter of these.
    pub amount: Option<u64>,
}

/// Runs one.
///
/// # Errors
///
/// Where it could not be set up: what the lattice did wrong is in the verdict.
pub async fn run(scenario: Scenario, settings: Settings) -> Result<Verdict> {
    match scenario {
        Scenario::NatsRestarts => Box::pin(nats_restarts::run(settings)).await,
        Scenario::Partition => Box::pin(away::partition(settings)).await,
        Scenario::Stop => Box::pin(away::stop(settings)).await,
        Scenario::Kill => Box::pin(away::kill(settings)).await,
        Scenario::Network => Box::pin(network::run(settings)).await,
        Scenario::Overload => Box::pin(overload::run(settings)).await,
        Scenario::Streams => Box::pin(streams::run(settings)).await,
        Scenario::Slow => Box::pin(slow::run(settings)).await,
        Scenario::Soak => Box::pin(soak::run(settings)).await,
    }
}
