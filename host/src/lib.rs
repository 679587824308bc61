//! meshd: one host of a lattice.
//!
//! ```text
//! Config ─► Host::build ─► Host::run ─► one numbered shutdown
//!
//!  lattice, snapshot, file ─► Known ─► converge ─► actors, providers
//!                                         │
//!                                         ├─► Table ─► router ◄─ calls of actors, providers, other hosts
//!                                         └─► Report ─► observe ─► the leader, `meshctl get`
//! ```
//!
//! | module | owns |
//! |---|---|
//! | [`config`] | what meshd is told |
//! | [`host`] | the order in which a host is built, and the one in which it stops |
//! | [`identity`] | who this host is |
//! | [`trust`] | whom it trusts; the one place where artifacts are verified |
//! | [`known`] | what it knows of the lattice |
//! | [`snapshot`] | what it keeps of that, to start with no network |
//! | [`artifacts`] | the bytes of artifacts |
//! | [`links`] | who may call whom |
//! | [`router`] | where each call goes |
//! | [`converge`] | what runs here |
//! | [`actors`], [`providers`] | each thing that runs, and its life |
//! | `slots` | the task that owns each of them, what it is told and what it says |
//! | [`lattice`] | its part in the lattice |
//! | `mirror` | the stored state, verified and typed |
//! | `lead` | the leader: state and leases into a plan |
//! | `ctl` | where a control request arrives |
//! | `observe` | what this host says of itself |
//! | `operator` | calls that people make |
//! | `logs` | what actors printed, for people who ask |
//! | [`readiness`] | why this host is not ready |
//! | [`admin`] | `/livez`, `/readyz`, `/metrics` |
//! | [`telemetry`] | logs and spans |

pub mod actors;
pub mod admin;
pub mod artifacts;
pub mod config;
pub mod converge;
mod ctl;
mod files;
pub mod host;
pub mod identity;
pub mod known;
pub mod lattice;
mod lead;
pub mod links;
mod logs;
mod mirror;
mod observe;
mod operator;
pub mod providers;
pub mod readiness;
pub mod router;
mod slots;
pub mod snapshot;
pub mod telemetry;
#[cfg(test)]
mod testing;
pub mod trust;

/// A random number from 0 to 1, for waits: not for secrets.
pub(crate) fn chance() -> f64 {
    let random = uuid::Uuid::new_v4().as_u128() & 0xffff_ffff;
    f64::from(u32::try_from(random).unwrap_or(0)) / f64::from(u32::MAX)
}
