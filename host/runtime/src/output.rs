//! What guests print and log, as events of the host and as lines of the actor's journal: cut to lines, made harmless to
//! a terminal, and no more of it than the host has room for.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

use crate::journal::Journal;
use bytes::Bytes;
use mesh_lattice::{Name, logs::LogSource};
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    async_trait,
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

/// A longer line is cut, as it is printed: with what is escaped in it written out.
const MAX_LINE: usize = 16 << 10;
/// Bytes per second that one actor may print; a second's worth of them at once.
const RATE: f64 = 262_144.0;
/// What stands around a line in the host's log: its time, its level, the actor's name.
const AROUND: usize = 224;

/// Where a line comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    Stdout,
    Stderr,
    Log(tracing::Level),
}

impl From<Source> for LogSource {
    fn from(source: Source) -> Self {
        match source {
            Source::Stdout => Self::Stdout,
            Source::Stderr => Self::Stderr,
            Source::Log(tracing::Level::TRACE) => Self::Trace,
            Source::Log(tracing::Level::DEBUG) => Self::Debug,
            Source::Log(tracing::Level::INFO) => Self::Info,
            Source::Log(tracing::Level::WARN) => Self::Warn,
            Source::Log(_) => Self::Error,
        }
    }
}

/// The printing of one actor.
pub(crate) struct Output {
    actor: Name,
    journal: Arc<Journal>,
    allowance: Mutex<Allowance>,
    dropped: AtomicU64,
}

struct Allowance {
    tokens: f64,
    at: Instant,
    dropped: u64,
}

impl Allowance {
    /// Whether a line of this length may be printed, and how many were dropped before it.
    fn take(&mut self, length: usize, now: Instant) -> Option<u64> {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * RATE;
        self.tokens = (self.tokens + earned).min(RATE);
        self.at = now;
        let cost = f64::from(u32::try_from(length).unwrap_or(u32::MAX));
        if cost > self.tokens {
            self.dropped += 1;
            return None;
        }
        self.tokens -= cost;
        Some(std::mem::take(&mut self.dropped))
    }
}

impl Output {
    pub(crate) fn new(journal: Arc<Journal>, actor: Name) -> Self {
        let allowance = Allowance { tokens: RATE, at: Instant::now(), dropped: 0 };
        Self { actor, journal, allowance: Mutex::new(allowance), dropped: AtomicU64::new(0) }
    }

    /// Lines that were not printed.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Prints one line, unless this actor has printed too much lately.
    pub(crate) fn line(&self, source: Source, context: &str, text: &[u8]) {
        let ((text, length), (context, more)) = (printable(text, MAX_LINE), printable(context.as_bytes(), 256));
        let length = length + more + AROUND;
        let Some(dropped) = self.allowance.lock().take(length, Instant::now()) else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let actor = self.actor.as_str();
        if dropped > 0 {
            tracing::warn!(target: "guest", actor, dropped, "lines were dropped: the actor prints too much");
        }
        match source {
            Source::Stdout => tracing::info!(target: "guest", actor, stream = "stdout", "{text}"),
            Source::Stderr => tracing::info!(target: "guest", actor, stream = "stderr", "{text}"),
            Source::Log(tracing::Level::TRACE) => tracing::trace!(target: "guest", actor, context, "{text}"),
            Source::Log(tracing::Level::DEBUG) => tracing::debug!(target: "guest", actor, context, "{text}"),
            Source::Log(tracing::Level::INFO) => tracing::info!(target: "guest", actor, context, "{text}"),
            Source::Log(tracing::Level::WARN) => tracing::warn!(target: "guest", actor, context, "{text}"),
            Source::Log(_) => tracing::error!(target: "guest", actor, context, "{text}"),
        }
        self.journal.write(dropped, source.into(), context, text);
    }
}

/// The text with what a terminal would obey written out, cut where it gets longer than `limit`, and its length. Both
/// are counted as it stands in a log of JSON, where some characters are escaped once more.
fn printable(bytes: &[u8], limit: usize) -> (String, usize) {
    let text = String::from_utf8_lossy(bytes.get(..limit).unwrap_or(bytes));
    let (mut out, mut length) = (String::with_capacity(text.len()), 0);
    for c in text.chars() {
        let before = out.len();
        match c {
            '\t' => out.push(c),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
        let grown = out.len() - before + usize::from(matches!(c, '"' | '\\' | '\t') || c.is_control());
        if length + grown > limit {
            out.truncate(before);
            break;
        }
        length += grown;
    }
    (out, length)
}

/// Standard output or error of one instance.
#[derive(Clone)]
pub(crate) struct GuestStream(Arc<Mutex<Lines>>);

impl GuestStream {
    pub(crate) fn new(output: Arc<Output>, source: Source) -> Self {
        Self(Arc::new(Mutex::new(Lines { output, source, unfinished: Vec::new() })))
    }
}

/// Bytes on their way to becoming lines; shared by all handles of one stream, because a guest may get a new one for
/// each write.
struct Lines {
    output: Arc<Output>,
    source: Source,
    unfinished: Vec<u8>,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            let room = MAX_LINE.saturating_sub(self.unfinished.len());
            self.unfinished.extend_from_slice(text.get(..room).unwrap_or(text));
            if ends {
                self.output.line(self.source, "", &self.unfinished);
                self.unfinished.clear();
            }
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if !self.unfinished.is_empty() {
            self.output.line(self.source, "", &self.unfinished);
        }
    }
}

impl IsTerminal for GuestStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for GuestStream {
    async fn ready(&mut self) {}
}

impl OutputStream for GuestStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.lock().push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

impl AsyncWrite for GuestStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.lock().push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_actor_that_prints_too_much_is_cut_off_and_heard_again() {
        let start = Instant::now();
        let mut allowance = Allowance { tokens: RATE, at: start, dropped: 0 };
        let mut printed = 0;
        while allowance.take(MAX_LINE, start).is_some() {
            printed += 1;
        }
        assert_eq!(printed, 16);
        assert_eq!(allowance.take(MAX_LINE, start), None);
        assert_eq!(allowance.take(MAX_LINE, start + Duration::from_secs(1)), Some(2));
    }

    #[test]
    fn a_terminal_obeys_nothing_that_a_guest_prints() {
        let (text, length) = printable(b"a\tb\x1b[31m\r\x07\xff\"", 100);
        assert_eq!(text, "a\tb\\u{1b}[31m\\r\\u{7}\u{fffd}\"");
        // A backslash, a tab and a quotation mark are two characters in JSON.
        assert_eq!(length, serde_json::to_string(&text).unwrap().len() - 2);
        assert_eq!(printable(b"ab\x1bcd", 5), ("ab".into(), 2), "cut before what does not fit whole");
        assert_eq!(printable(&[0; MAX_LINE], MAX_LINE).1, MAX_LINE - MAX_LINE % 6);
    }
}
