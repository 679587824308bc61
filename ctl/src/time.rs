//! Lengths of time as people write them: `250ms`, `5s`, `2m`, `1h`, `90d`.

use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) use mesh_lattice::date::utc;
pub(crate) use mesh_manifest::quantity::time as parse;

/// Now, in seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
