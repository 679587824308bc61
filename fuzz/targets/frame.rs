//! Any bytes as a frame: what is read is written and read back as itself.

#![no_main]

use bytes::Bytes;
use mesh_lattice::frame::Frame;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(frame) = Frame::decode(&Bytes::copy_from_slice(data)) {
        let again = Frame::decode(&frame.encode().into()).expect("what was written is read");
        assert_eq!(frame, again);
    }
});
