//! The socket of a connection, telling its watch what it sees; and its first bytes, which say which HTTP this is.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::watch::{Stage, Watch};

/// What an HTTP/2 connection begins with where nobody negotiated it. <https://www.rfc-editor.org/rfc/rfc9113#section-3.4>
const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is read and thrown away of a client that was refused, in bytes: enough for what was on its way.
const LINGER: usize = 1 << 20;

/// The socket.
pub(super) struct WatchedStream {
    stream: TcpStream,
    watch: std::sync::Arc<Watch>,
    /// What was read to see which HTTP this is: read again from `taken` to `filled`.
    first: [u8; PREFACE.len()],
    filled: usize,
    taken: usize,
    lingered: usize,
    closed: bool,
}

impl WatchedStream {
    pub(super) fn new(stream: TcpStream, watch: std::sync::Arc<Watch>) -> Self {
        Self { stream, watch, first: [0; PREFACE.len()], filled: 0, taken: 0, lingered: 0, closed: false }
    }

    /// Whether the client speaks HTTP/2: known with the first byte that differs from how that begins.
    pub(super) fn poll_is_http2(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            let (had, room) = self.first.split_at_mut_checked(self.filled).unwrap_or_default();
            if room.is_empty() {
                return Poll::Ready(Ok(true));
            }
            let before = had.len();
            let mut buffer = ReadBuf::new(room);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            let came = buffer.filled().len();
            self.filled = before + came;
            if came > 0 {
                self.watch.read();
            }
            let seen = self.first.get(..self.filled).unwrap_or_default();
            if came == 0 || !PREFACE.starts_with(seen) {
                return Poll::Ready(Ok(false));
            }
        }
    }

    /// Reads what still comes and throws it away, until the client closes too.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [0; 4096];
        while self.lingered < LINGER {
            let mut buffer = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => self.lingered += buffer.filled().len(),
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(first) = this.first.get(this.taken..this.filled).filter(|first| !first.is_empty()) {
            let length = first.len().min(buffer.remaining());
            buffer.put_slice(first.get(..length).unwrap_or_default());
            this.taken += length;
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            this.watch.read();
        }
        read
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch.written(written.is_ready());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.watch.written(written.is_ready());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closed {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.closed = true;
            if !self.watch.has_to_linger() {
                return Poll::Ready(Ok(()));
            }
            self.watch.enter(Stage::Lingering);
        }
        self.poll_linger(cx)
    }
}
