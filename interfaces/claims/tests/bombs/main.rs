//! Bombs: bytes that are small and would be large, deep or slow if a decoder believed them. Every bomb goes through
//! every decoder that bytes of others reach: none panics, none takes more memory than four times its input and a
//! megabyte, none takes long.
//!
//! This is a binary of its own because its allocator counts.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails it")]

mod corpus;
mod counting;
mod decoders;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

/// What one decoder may take for one bomb; asserted at three times that.
const TIME: Duration = Duration::from_millis(50);

/// What it may allocate: this many times its input, and a megabyte.
const GROWTH: usize = 4;
const ROOM: usize = 1 << 20;

#[test]
fn no_bomb_goes_off_in_any_decoder() {
    let bombs = corpus::bombs();
    assert!(bombs.len() >= 200, "{} bombs", bombs.len());
    let (mut slowest, mut largest) = ((Duration::ZERO, String::new()), (0.0, String::new()));
    for (name, bomb) in &bombs {
        for (decoder, decode) in decoders::ALL {
            let what = format!("{name} in {decoder}");
            let ((elapsed, panicked), peak) = counting::peak(|| {
                let started = Instant::now();
                let outcome = catch_unwind(AssertUnwindSafe(|| decode(bomb)));
                (started.elapsed(), outcome.is_err())
            });
            assert!(!panicked, "{what} panicked");
            let allowed = GROWTH * bomb.len() + ROOM;
            assert!(peak <= allowed, "{what}: {peak} bytes were allocated for {} of input", bomb.len());
            assert!(elapsed <= 3 * TIME, "{what}: {elapsed:?}");
            if elapsed > slowest.0 {
                slowest = (elapsed, what.clone());
            }
            let share = peak as f64 / allowed as f64;
            if share > largest.0 {
                largest = (share, what);
            }
        }
    }
    println!("{} bombs in {} decoders", bombs.len(), decoders::ALL.len());
    println!("slowest: {:?}, {}", slowest.0, slowest.1);
    println!("largest: {:.0} % of what is allowed, {}", largest.0 * 100.0, largest.1);
}

/// The decoders are the real ones: each of them reads what its writer wrote.
#[test]
fn every_decoder_reads_what_is_honest() {
    let honest = corpus::honest();
    for (decoder, decode) in decoders::ALL {
        assert!(honest.iter().any(|(_, bytes)| decode(bytes)), "{decoder} reads nothing");
    }
}

/// The counter counts: without that no bomb could ever be too large.
#[test]
fn the_counter_sees_what_is_allocated_and_forgets_what_is_freed() {
    let (_, peak) = counting::peak(|| {
        drop(std::hint::black_box(vec![0u8; 3 << 20]));
        std::hint::black_box(vec![0u8; 1 << 20]).len()
    });
    assert!((3 << 20..(3 << 20) + 4096).contains(&peak), "{peak}");
}
