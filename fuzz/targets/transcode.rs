//! Types and values of WIT, chosen by the fuzzer, through real guests: moved straight between memory and bytes, they
//! are what dynamic values make of them, and what is refused is refused for the same reason.

#![no_main]

#[path = "../../host/transcode/tests/transcode/case.rs"]
mod case;
#[path = "../../host/transcode/tests/transcode/check.rs"]
mod check;
#[path = "../../host/transcode/tests/transcode/guest.rs"]
mod guest;
#[path = "../../host/transcode/tests/transcode/oracle.rs"]
mod oracle;
#[path = "../../host/transcode/tests/transcode/world.rs"]
mod world;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(data, data.len() % 2 == 1));
