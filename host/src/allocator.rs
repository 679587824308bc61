//! The allocator, and what it is told.
//!
//! A stream's pieces are allocated on one thread and freed on another, hundreds of megabytes a second, and mimalloc
//! keeps what is free for a second before the system gets it back: a gigabyte through a host made it larger by 18 to 28
//! MiB. With a few milliseconds it is 9 to 16, and requests are served as fast. Any other `MIMALLOC_PURGE_DELAY` has the
//! last word.

use libmimalloc_sys::{mi_option_get, mi_option_set, mi_option_t, mi_option_use_numa_nodes};
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// How long freed memory is kept; the crate names the options beside it and not this one.
const PURGE_DELAY: mi_option_t = mi_option_use_numa_nodes - 1;

/// What the allocator does by itself, in milliseconds.
const BY_ITSELF: core::ffi::c_long = 1_000;

/// What it is told to do.
const TOLD: core::ffi::c_long = 5;

/// Tells it. Called before there is a second thread.
#[expect(unsafe_code, reason = "the allocator's options are behind its C interface; they take no pointers")]
pub(crate) fn tune() {
    // SAFETY: both take and give numbers, and nobody else sets an option: there is one thread.
    unsafe {
        if mi_option_get(PURGE_DELAY) == BY_ITSELF {
            mi_option_set(PURGE_DELAY, TOLD);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Options are told apart by their place: a release that moves them is noticed here.
    #[test]
    #[expect(unsafe_code, reason = "as above")]
    fn the_option_is_the_one_that_is_meant() {
        // SAFETY: it takes and gives a number.
        let delay = || unsafe { mi_option_get(PURGE_DELAY) };
        assert_eq!(delay(), BY_ITSELF);
        tune();
        assert_eq!(delay(), TOLD);
    }
}
