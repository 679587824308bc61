//! What the numbers of an application may be: who writes one refuses what is outside where it was written, and who stores
//! one refuses it again.

use std::ops::RangeInclusive;

use super::{Actor, Link, Replicas};

/// Live instances on one host.
pub const CONCURRENCY: RangeInclusive<u64> = 1..=100_000;
/// Calls that one instance serves.
pub const REUSE: RangeInclusive<u64> = 1..=1_000_000;
/// Bytes of linear memory.
pub const MEMORY: RangeInclusive<u64> = 65_536..=4 << 30;
/// Milliseconds of processor time of one invocation.
pub const CPU_MS: RangeInclusive<u64> = 1..=3_600_000;
/// Milliseconds until a reply begins.
pub const TIME_MS: RangeInclusive<u64> = 1..=3_600_000;
/// Hosts that run something.
pub const REPLICAS: RangeInclusive<u64> = 0..=10_000;
/// The share of a spread.
pub const WEIGHT: RangeInclusive<u64> = 0..=1_000_000;
/// Milliseconds that a call along a link may take.
pub const TIMEOUT_MS: RangeInclusive<u64> = 1..=3_600_000;

/// The rule that a number of an actor breaks.
#[must_use]
pub fn broken_by_actor(actor: &Actor) -> Option<&'static str> {
    let limits = &actor.limits;
    let replicas = match actor.replicas {
        Replicas::Count(count) => u64::from(count),
        Replicas::Everywhere => 1,
    };
    let rules = [
        (CONCURRENCY, u64::from(actor.concurrency), "concurrency is 1 to 100000"),
        (REUSE, u64::from(actor.instances.reuse), "reuse is 1 to 1000000"),
        (MEMORY, limits.memory_bytes, "memory is 64 KiB to 4 GiB"),
        (CPU_MS, limits.cpu_ms, "cpu is 1 ms to 1 h"),
        (TIME_MS, limits.time_ms, "time is 1 ms to 1 h"),
        (REPLICAS, replicas, "replicas are at most 10000"),
    ];
    rules.into_iter().find(|(range, number, _)| !range.contains(number)).map(|(.., rule)| rule)
}

/// The rule that a number of a link breaks.
#[must_use]
pub fn broken_by_link(link: &Link) -> Option<&'static str> {
    link.timeout_ms.is_some_and(|timeout| !TIMEOUT_MS.contains(&timeout)).then_some("timeout is 1 ms to 1 h")
}
