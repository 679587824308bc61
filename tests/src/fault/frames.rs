//! Cuts a stream of the NATS protocol into whole operations. Pure; called by the proxy for each direction.
//!
//! An operation is a line, and for four of them a payload whose length is the line's last word. Both directions are cut
//! by the same rule. <https://docs.nats.io/reference/reference-protocols/nats-protocol>

use anyhow::{Context as _, Result, ensure};
use bytes::{Bytes, BytesMut};

/// A line that is longer is none: the longest are the server's INFO and the client's CONNECT.
const MAX_LINE: usize = 64 << 10;
/// The most that a server can be told to take.
const MAX_PAYLOAD: usize = 64 << 20;

/// One whole operation, with its payload where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What goes over the wire.
    pub bytes: Bytes,
    /// Whether it carries a message; the rest (PING, SUB, INFO ...) holds the connection together.
    pub message: bool,
}

/// What has arrived and was not cut yet.
#[derive(Debug, Default)]
pub struct Cutter {
    arrived: BytesMut,
}

impl Cutter {
    /// Where the next bytes of the stream go.
    pub fn arrived(&mut self) -> &mut BytesMut {
        &mut self.arrived
    }

    /// The next whole operation, where one has arrived.
    ///
    /// # Errors
    ///
    /// Where this is not the NATS protocol.
    pub fn cut(&mut self) -> Result<Option<Frame>> {
        let Some(end) = self.arrived.iter().position(|byte| *byte == b'\n') else {
            ensure!(self.arrived.len() <= MAX_LINE, "a line that does not end");
            return Ok(None);
        };
        let line = self.arrived.get(..end).unwrap_or_default();
        let payload = payload_of(line)?;
        let whole = end + 1 + payload.map_or(0, |length| length + 2);
        if self.arrived.len() < whole {
            return Ok(None);
        }
        Ok(Some(Frame { bytes: self.arrived.split_to(whole).freeze(), message: payload.is_some() }))
    }
}

/// The length of the payload that follows a line; `None` where none does.
fn payload_of(line: &[u8]) -> Result<Option<usize>> {
    let mut words = line.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
    let message = words.next().is_some_and(|verb| {
        [&b"PUB"[..], b"HPUB", b"MSG", b"HMSG"].iter().any(|known| verb.eq_ignore_ascii_case(known))
    });
    if !message {
        return Ok(None);
    }
    let length = words.next_back().and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
    let length = length.with_context(|| format!("no length in {:?}", String::from_utf8_lossy(line)))?;
    ensure!(length <= MAX_PAYLOAD, "a message of {length} bytes");
    Ok(Some(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"INFO {\"max_payload\":1}\r\nPING\r\nPUB a 5\r\nPING\r\r\nHPUB a.b _INBOX.1 12 14\r\n\
        NATS/1.0\r\n\r\nhi\r\nMSG a 1 0\r\n\r\nhmsg a 1 r 12 13\r\nNATS/1.0\r\n\r\n!\r\n+OK\r\nSUB a.> 9\r\n";

    fn cut(pieces: impl Iterator<Item = &'static [u8]>) -> Vec<Frame> {
        let (mut cutter, mut frames) = (Cutter::default(), Vec::new());
        for piece in pieces {
            cutter.arrived().extend_from_slice(piece);
            while let Some(frame) = cutter.cut().unwrap() {
                frames.push(frame);
            }
        }
        assert!(cutter.arrived.is_empty());
        frames
    }

    #[test]
    fn operations_are_cut_alike_however_the_bytes_arrive() {
        let whole = cut(std::iter::once(STREAM));
        let kinds: Vec<_> = whole.iter().map(|frame| frame.message).collect();
        assert_eq!(kinds, [false, false, true, true, true, true, false, false]);
        assert_eq!(whole[2].bytes, &b"PUB a 5\r\nPING\r\r\n"[..], "a payload may look like an operation");
        for size in 1..20 {
            assert_eq!(cut(STREAM.chunks(size)), whole, "pieces of {size} bytes");
        }
        let again: Vec<u8> = whole.iter().flat_map(|frame| frame.bytes.to_vec()).collect();
        assert_eq!(again, STREAM, "nothing is lost or changed");
    }

    #[test]
    fn what_is_not_the_protocol_is_an_error_and_not_a_wait() {
        for stream in [&b"PUB a\r\n"[..], b"MSG a 1 -4\r\n", b"HPUB a 1 99999999999\r\n", &[b'x'; MAX_LINE + 1]] {
            let mut cutter = Cutter::default();
            cutter.arrived().extend_from_slice(stream);
            assert!(cutter.cut().is_err(), "{:?}", String::from_utf8_lossy(&stream[..12.min(stream.len())]));
        }
    }
}
