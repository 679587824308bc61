//! Any bytes as a frame, and as a message of several: what is read is written and read back as itself, and no more comes
//! out than went in.

#![no_main]

use bytes::Bytes;
use mesh_lattice::frame::Frame;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    mesh_transport::calls::fuzz_bundle(data);
    if let Ok(frame) = Frame::decode(&Bytes::copy_from_slice(data)) {
        let again = Frame::decode(&frame.encode().into()).expect("what was written is read");
        assert_eq!(frame, again);
    }
});
