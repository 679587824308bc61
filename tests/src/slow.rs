//! Connections that take places and give nothing for them: as many as are asked for at every moment, whatever the
//! server closes.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

/// Between two bytes of those that send a byte now and then.
const DRIP: Duration = Duration::from_secs(1);

/// Before a connection that was closed is made again: a flood of connections is another attack.
const AGAIN: Duration = Duration::from_millis(500);

/// What a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Silent,
    /// A head, byte by byte.
    Head,
    /// A body, byte by byte.
    Body,
    /// One request, and nothing more.
    Idle,
    /// A request for what it then does not read.
    Unread,
    /// The beginning of HTTP/2, and nothing more.
    Preface,
}

/// All kinds.
pub const KINDS: [Kind; 6] = [Kind::Silent, Kind::Head, Kind::Body, Kind::Idle, Kind::Unread, Kind::Preface];

/// What such connections ask for.
#[derive(Debug, Clone)]
pub struct Paths {
    /// Answered at once.
    pub quick: String,
    /// Answered without an end.
    pub endless: String,
}

/// Connections that are held open until this is dropped.
#[derive(Debug)]
pub struct Slow {
    tasks: JoinSet<()>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    open: AtomicU64,
    made: AtomicU64,
    closed: AtomicU64,
}

impl Slow {
    /// This many connections, of each kind in turn.
    #[must_use]
    pub fn start(connections: usize, address: SocketAddr, paths: &Paths) -> Self {
        let counts = Arc::new(Counts::default());
        let mut tasks = JoinSet::new();
        for kind in KINDS.iter().copied().cycle().take(connections) {
            tasks.spawn(again_and_again(kind, address, paths.clone(), counts.clone()));
        }
        Self { tasks, counts }
    }

    /// Open now.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.counts.open.load(Ordering::Relaxed)
    }

    /// Made until now.
    #[must_use]
    pub fn made(&self) -> u64 {
        self.counts.made.load(Ordering::Relaxed)
    }

    /// Closed by the other side until now.
    #[must_use]
    pub fn closed(&self) -> u64 {
        self.counts.closed.load(Ordering::Relaxed)
    }

    /// Closes all of them.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

struct Open<'a>(&'a AtomicU64);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn again_and_again(kind: Kind, address: SocketAddr, paths: Paths, counts: Arc<Counts>) {
    loop {
        if let Ok(mut stream) = connect(kind, address).await {
            counts.made.fetch_add(1, Ordering::Relaxed);
            counts.open.fetch_add(1, Ordering::Relaxed);
            let _open = Open(&counts.open);
            // It ends when the server closes it, one way or another.
            let _ = hold(kind, &mut stream, &paths).await;
            counts.closed.fetch_add(1, Ordering::Relaxed);
        }
        sleep(AGAIN).await;
    }
}

async fn connect(kind: Kind, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if kind == Kind::Unread {
        socket.set_recv_buffer_size(4096)?;
    }
    socket.connect(address).await
}

async fn hold(kind: Kind, stream: &mut TcpStream, paths: &Paths) -> io::Result<()> {
    let request = |method: &str, path: &str, more: &str| format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{more}");
    match kind {
        Kind::Silent => until_closed(stream).await,
        Kind::Preface => {
            stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
            stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await?;
            until_closed(stream).await
        }
        Kind::Idle => {
            stream.write_all(request("GET", &paths.quick, "\r\n").as_bytes()).await?;
            until_closed(stream).await
        }
        Kind::Head => {
            stream.write_all(request("GET", &paths.quick, "x: ").as_bytes()).await?;
            drip(stream, b"x").await
        }
        Kind::Body => {
            let head = request("POST", &paths.quick, "transfer-encoding: chunked\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            drip(stream, b"1\r\nx\r\n").await
        }
        Kind::Unread => {
            stream.write_all(request("GET", &paths.endless, "\r\n").as_bytes()).await?;
            // What it is sent stays where it is; only that it was closed is noticed.
            loop {
                sleep(DRIP).await;
                stream.write_all(b"\r\n").await?;
            }
        }
    }
}

async fn until_closed(stream: &mut TcpStream) -> io::Result<()> {
    let mut space = [0; 512];
    while stream.read(&mut space).await? > 0 {}
    Ok(())
}

/// A piece now and then, until the other side closes.
async fn drip(stream: &mut TcpStream, piece: &[u8]) -> io::Result<()> {
    let (mut read, mut write) = stream.split();
    let mut space = [0; 512];
    loop {
        match timeout(DRIP, read.read(&mut space)).await {
            Ok(Ok(0)) => return Ok(()),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => write.write_all(piece).await?,
        }
    }
}

/// Lets this process open as many descriptors as the system allows, and says how many.
///
/// # Errors
///
/// Where the system refuses.
pub fn raise_descriptors() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}
