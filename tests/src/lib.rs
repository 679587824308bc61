//! End-to-end scenarios over real processes and a real nats-server, and the benchmarks.
//!
//! The scenarios are one test binary, `scenarios/`, one module for each promise. This library is what they stand on:
//!
//! | module | owns |
//! |---|---|
//! | [`lattice`] | a development lattice of the built `meshctl` and `meshd` that dies with its test |
//! | [`guest`] | the built actors, and signed copies of them |
//! | [`http`] | HTTP clients that know a refused answer from a lost one |
//! | [`load`] | requests under load, counted: loops that wait for answers, and rates that do not |
//! | [`fault`] | bad networks: a proxy in front of nats-server, namespaces with links that can be cut |
//! | [`ledger`] | requests whose effects are written down and held against what was answered |
//! | [`sample`] | what processes hold over time, and whether it grows |
//! | [`rig`] | scenarios that break a lattice under load, and their verdicts |
//! | [`wait`] | the one way to wait: poll with a deadline |
//! | [`redis`], [`registry`] | a redis-server, a docker-registry that die with their test |
//! | [`slow`] | connections that take places and give nothing for them |
//! | [`process`] | signals to processes, and what is left of them |
//!
//! What is missing is said, never skipped: a scenario without its binaries or guests fails with the command that
//! builds them.

pub mod fault;
pub mod guest;
pub mod http;
pub mod lattice;
pub mod ledger;
pub mod load;
pub mod process;
pub mod redis;
pub mod registry;
pub mod rig;
pub mod sample;
pub mod slow;
pub mod wait;
