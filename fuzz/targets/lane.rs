//! Any script of what can happen to the receiving end of a stream, beside a model of it.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mesh_transport::calls::fuzz_lane(data));
