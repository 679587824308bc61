//! One listening socket for all hosts of a machine.
//!
//! Each holder of an address keeps its own descriptor of the one listening socket and serves it to whoever connects to
//! its Unix socket, so that any of them may leave, or be killed, and what is queued in the listening socket is accepted
//! by the others. (One socket for each host with `SO_REUSEPORT` resets what is queued in the socket of a host that
//! dies.)
//!
//! ```text
//! <dir>/lock      held by who is taking or giving up the address
//! <dir>/<id>.sock one for each holder; one that nobody answers at is left over from a killed holder and is removed
//! ```

use std::{
    fs, io,
    mem::MaybeUninit,
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::{
            fs::DirBuilderExt as _,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long one holder may take to hand the socket on. It does nothing for it but send a message, and yet may have to
/// wait for a processor that is busy; whoever is not handed the socket cannot open it either.
const HAND_OVER: Duration = Duration::from_secs(3);

/// How long the address may be in the hands of somebody who is taking it or giving it up.
const LOCK: Duration = Duration::from_secs(5);

/// What the system keeps of an answer beyond what the client has room for, in bytes: connections inherit it. Without it
/// the system takes megabytes of an answer that nobody reads, and the actor works for nothing meanwhile.
const UNSENT: u32 = 128 << 10;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// The listening socket of an address, and this process's place among its holders.
#[derive(Debug)]
pub(crate) struct Shared {
    dir: PathBuf,
    name: String,
    stop: CancellationToken,
    handing_on: Option<JoinHandle<()>>,
}

impl Shared {
    /// Takes the listening socket from another holder, or opens it, and hands it on from now on.
    pub(crate) async fn take(
        dir: PathBuf,
        address: SocketAddr,
        tasks: &TaskTracker,
    ) -> io::Result<(tokio::net::TcpListener, Self)> {
        create(&dir)?;
        let lock = lock(&dir).await?;
        let (listener, unix, name) = blocking({
            let dir = dir.clone();
            move || {
                let listener = match from_another(&dir, address)? {
                    Some(listener) => listener,
                    None => open(address)?,
                };
                let name = format!("{}.sock", uuid::Uuid::new_v4().simple());
                let unix = UnixListener::bind(reachable(&fs::File::open(&dir)?, &name))?;
                unix.set_nonblocking(true)?;
                Ok((listener, unix, name))
            }
        })
        .await?;
        drop(lock);
        let stop = CancellationToken::new();
        let unix = tokio::net::UnixListener::from_std(unix)?;
        let handing_on = Some(tasks.spawn(hand_on(unix, listener.try_clone()?, stop.clone())));
        Ok((tokio::net::TcpListener::from_std(listener)?, Self { dir, name, stop, handing_on }))
    }

    /// Gives the place up. Where nobody else holds the address, `last` gets the queue before it is closed; nobody takes
    /// the address in between.
    pub(crate) async fn give_up(mut self, listener: TcpListener, last: impl FnOnce(&TcpListener)) {
        let lock = lock(&self.dir).await;
        // What is handed on is a descriptor of its own: the socket closes with the last of them.
        self.stop.cancel();
        if let Some(handing_on) = self.handing_on.take() {
            handing_on.await.unwrap_or_default();
        }
        let (dir, name) = (self.dir.clone(), self.name.clone());
        let others = blocking(move || {
            fs::remove_file(dir.join(name))?;
            holders(&dir).map(|holders| !holders.is_empty())
        });
        if !others.await.unwrap_or(false) {
            last(&listener);
        }
        drop(listener);
        drop(lock);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn create(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

async fn lock(dir: &Path) -> io::Result<fs::File> {
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(dir.join("lock"))?;
    let wait = async {
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(()),
                Err(fs::TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(fs::TryLockError::Error(error)) => return Err(error),
            }
        }
    };
    tokio::time::timeout(LOCK, wait).await.map_err(|_| {
        io::Error::new(io::ErrorKind::TimedOut, "another host of this machine is taking or leaving the address")
    })??;
    Ok(file)
}

/// The address of a Unix socket may be 107 bytes long, a path far more: so it is named through its open directory.
fn reachable(dir: &fs::File, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()))
}

/// Connections to the other holders; the sockets of those that are gone are removed.
fn holders(dir: &Path) -> io::Result<Vec<UnixStream>> {
    let open = fs::File::open(dir)?;
    let mut holders = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str().filter(|name| name.ends_with(".sock")) else { continue };
        match UnixStream::connect(reachable(&open, name)) {
            Ok(stream) => holders.push(stream),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(dir.join(name))?,
            Err(error) => tracing::debug!(name, %error, "a holder of a shared address does not answer"),
        }
    }
    Ok(holders)
}

fn from_another(dir: &Path, address: SocketAddr) -> io::Result<Option<TcpListener>> {
    for holder in holders(dir)? {
        match receive(&holder) {
            Ok(listener) if listener.local_addr()? == address => return Ok(Some(listener)),
            Ok(_) => tracing::warn!(%address, "a holder of a shared address handed on another one"),
            Err(error) => tracing::debug!(%address, %error, "a holder of a shared address did not hand it on"),
        }
    }
    Ok(None)
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM.nonblocking().cloexec(),
        Some(socket2::Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_notsent_lowat(UNSENT)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn receive(holder: &UnixStream) -> io::Result<TcpListener> {
    holder.set_read_timeout(Some(HAND_OVER))?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut into = [io::IoSliceMut::new(&mut byte)];
    rustix::net::recvmsg(holder, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    let descriptor: OwnedFd = descriptor.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no descriptor"))?;
    let listener = TcpListener::from(descriptor);
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn send(to: BorrowedFd<'_>, listener: &TcpListener) -> io::Result<()> {
    let descriptors = [listener.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    rustix::net::sendmsg(to, &[io::IoSlice::new(b"l")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Hands the listening socket to whoever connects, until this holder leaves. The directory is its owner's alone.
async fn hand_on(unix: tokio::net::UnixListener, listener: TcpListener, stop: CancellationToken) {
    while let Some(accepted) = stop.run_until_cancelled(unix.accept()).await {
        match accepted {
            // A fresh socket has room for one byte: this does not wait.
            Ok((stream, _)) => {
                if let Err(error) = send(stream.as_fd(), &listener) {
                    tracing::debug!(%error, "a listening socket could not be handed on");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a host of this machine could not be answered");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn free_address() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    fn sockets(dir: &Path) -> usize {
        fs::read_dir(dir).unwrap().filter(|e| e.as_ref().unwrap().path().extension().is_some()).count()
    }

    #[tokio::test]
    async fn the_second_holder_gets_the_socket_of_the_first_and_its_queue() {
        let dir = tempfile::tempdir().unwrap();
        // A path that no Unix socket's address could hold.
        let dir = dir.path().join("d".repeat(120)).join("address");
        let (tasks, address) = (TaskTracker::new(), free_address());
        let (first, place) = Shared::take(dir.clone(), address, &tasks).await.unwrap();
        let _queued = TcpStream::connect(address).unwrap();
        let (second, other) = Shared::take(dir.clone(), address, &tasks).await.unwrap();
        assert_eq!(sockets(&dir), 2);

        let mut was_last = false;
        place.give_up(first.into_std().unwrap(), |_| was_last = true).await;
        assert!(!was_last, "another one holds the address");
        let accepted = tokio::time::timeout(Duration::from_secs(5), second.accept()).await;
        assert!(accepted.unwrap().is_ok(), "what was queued before the first left is accepted by the second");

        other.give_up(second.into_std().unwrap(), |_| was_last = true).await;
        assert!(was_last);
        assert_eq!(sockets(&dir), 0);
        assert!(TcpStream::connect(address).is_err(), "nobody listens after the last has left");
    }

    #[tokio::test]
    async fn the_socket_of_a_holder_that_was_killed_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (tasks, address) = (TaskTracker::new(), free_address());
        drop(UnixListener::bind(dir.path().join("dead.sock")).unwrap());
        let (_listener, _place) = Shared::take(dir.path().to_owned(), address, &tasks).await.unwrap();
        assert!(!dir.path().join("dead.sock").exists());
        assert_eq!(sockets(dir.path()), 1);
    }

    #[tokio::test]
    async fn an_address_of_somebody_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = Shared::take(dir.path().to_owned(), taken.local_addr().unwrap(), &TaskTracker::new()).await;
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
