//! Finds, configures and starts nats-server.

use std::{
    collections::hash_map::RandomState,
    ffi::{OsStr, OsString},
    fs,
    hash::BuildHasher as _,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tokio::time::sleep;

use super::{
    LOOK_EVERY,
    process::{Life, Process},
    record::{Folder, Record, tail},
};

/// The port that NATS clients try where nothing is said.
const USUAL_PORT: u16 = 4222;
const STARTS_WITHIN: Duration = Duration::from_secs(20);

/// A server that listens.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) process: Process,
    pub(super) port: u16,
    pub(super) monitor: u16,
}

/// Starts it and waits until it listens. Where hosts of before still look for the server at its old address, it comes
/// back there.
pub(super) async fn start(folder: &Folder, record: &Record, port: Option<u16>, life: Life) -> anyhow::Result<Started> {
    let program = find()?;
    let before = port_of(&record.server);
    let wanted = match (port, before) {
        (Some(port), Some(before)) if record.running().next().is_some() => {
            if port != 0 && port != before {
                bail!(
                    "hosts that run look for nats-server at port {before}: `meshctl down` first, or leave --port out"
                );
            }
            Some(before)
        }
        (Some(0), _) => None,
        (Some(port), _) => Some(port),
        (None, before) => Some(before.unwrap_or(USUAL_PORT)),
    };
    match wanted {
        Some(port) => start_at(folder, &program, port, life).await,
        None => start_anywhere(folder, &program, life).await,
    }
}

/// A port that was free a moment ago may be taken by now: a few of them are tried.
async fn start_anywhere(folder: &Folder, program: &Path, life: Life) -> anyhow::Result<Started> {
    let mut tries = 0;
    loop {
        tries += 1;
        match start_at(folder, program, free_port()?, life).await {
            Err(_) if tries < 5 => {}
            result => return result,
        }
    }
}

async fn start_at(folder: &Folder, program: &Path, port: u16, life: Life) -> anyhow::Result<Started> {
    if let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        bail!("port {port} cannot be listened on ({error}): name another one with --port, or --port 0 for a free one");
    }
    let monitor = free_port()?;
    let config = folder.server_config();
    fs::write(&config, configuration(folder, port, monitor)?)
        .with_context(|| format!("{} cannot be written", config.display()))?;
    fs::create_dir_all(folder.server_state())
        .with_context(|| format!("{} cannot be made", folder.server_state().display()))?;
    clear_announcements(folder);
    let arguments = [OsString::from("--config"), config.into_os_string()];
    let process = Process::start(program, &arguments, &folder.server_log(), life)?;
    let start = Instant::now();
    while !announced(folder, process.pid()) {
        if !process.is_alive() || start.elapsed() > STARTS_WITHIN {
            process.stop(Duration::from_secs(1)).await;
            bail!("nats-server did not start:\n{}", tail(&folder.server_log()));
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(Started { process, port, monitor })
}

/// Acknowledged means on disk, and a silent connection ends within four seconds: what the mesh asks of any NATS that it
/// runs on. What a host that was cut off or stopped still had on its way to a store is lost with its connection; without
/// that it would be written when the host is back, long after the deadline of the call that wanted it.
fn configuration(folder: &Folder, port: u16, monitor: u16) -> anyhow::Result<String> {
    // JSON strings are strings of this format too, whatever a path holds. Each command is a connection, and of ten
    // thousand that are closed the server would remember 2 KiB each.
    let state = serde_json::to_string(&folder.server_state())?;
    Ok(format!(
        "# Written by `meshctl up` each time it starts nats-server.\n\
         listen: \"127.0.0.1:{port}\"\n\
         http: \"127.0.0.1:{monitor}\"\n\
         ping_interval: \"1s\"\n\
         ping_max: 2\n\
         max_closed_clients: 256\n\
         ports_file_dir: {state}\n\
         jetstream {{\n  store_dir: {state}\n  sync_interval: always\n}}\n"
    ))
}

/// nats-server says in a file with its process id in the name that it listens: proof that what answers at the port is
/// ours.
fn announced(folder: &Folder, pid: i32) -> bool {
    let ours = format!("_{pid}.ports");
    announcements(folder).any(|path| path.to_string_lossy().ends_with(&ours))
}

fn clear_announcements(folder: &Folder) {
    for path in announcements(folder) {
        // One that stays names a process id that is not the next one.
        let _ = fs::remove_file(path);
    }
}

fn announcements(folder: &Folder) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder.server_state()).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "ports"))
}

fn port_of(server: &str) -> Option<u16> {
    server.rsplit_once(':')?.1.parse().ok()
}

/// A free port below those that the system gives to outgoing connections: a client that tries again and again to
/// reach a server that is away would sooner or later be given the server's own port and connect to itself.
pub(super) fn free_port() -> anyhow::Result<u16> {
    const RANGE: std::ops::Range<u16> = 10_240..32_000;
    for attempt in 0..200_u64 {
        let random = RandomState::new().hash_one(attempt) % u64::from(RANGE.end - RANGE.start);
        let port = RANGE.start + u16::try_from(random).unwrap_or_default();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port between {} and {}", RANGE.start, RANGE.end)
}

/// The nats-server to run: the first one that is new enough.
fn find() -> anyhow::Result<PathBuf> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let (here, own) = (std::env::current_dir().ok(), std::env::current_exe().ok());
    let candidates = candidates(&on_path, here.as_deref(), own.as_deref().and_then(Path::parent));
    let mut too_old = String::new();
    for candidate in candidates.into_iter().filter(|path| path.is_file()) {
        match version_of(&candidate) {
            Some(version) if is_new_enough(version) => return Ok(candidate),
            Some((major, minor, patch)) => {
                too_old = format!(" ({} is {major}.{minor}.{patch})", candidate.display());
            }
            None => {}
        }
    }
    bail!(
        "no nats-server 2.12.12 or 2.14.3 or later on the PATH, beside this program or in .tools/bin{too_old}: \
         run `make tools` in a clone of the repository, or install one from https://nats.io/download"
    )
}

/// Where one may lie: on the PATH; beside this program, where `make build` puts it; where `make tools` installs it, for
/// whoever is in a clone of the repository.
fn candidates(on_path: &OsStr, here: Option<&Path>, beside: Option<&Path>) -> Vec<PathBuf> {
    let on_path = std::env::split_paths(on_path).map(|folder| folder.join("nats-server"));
    let own = beside.map(|folder| folder.join("nats-server"));
    let above = here.into_iter().chain(beside).flat_map(Path::ancestors);
    on_path.chain(own).chain(above.map(|folder| folder.join(".tools/bin/nats-server"))).collect()
}

fn version_of(program: &Path) -> Option<(u32, u32, u32)> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

/// Out of `nats-server: v2.15.1`.
fn parse_version(text: &str) -> Option<(u32, u32, u32)> {
    let digits = text.trim().rsplit_once('v')?.1;
    let release = digits.split_once(['-', '+']).map_or(digits, |(release, _)| release);
    let mut parts = release.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

fn is_new_enough(version: (u32, u32, u32)) -> bool {
    version >= (2, 14, 3) || ((2, 12, 12)..(2, 13, 0)).contains(&version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_on_the_path_first_then_beside_the_program_wherever_that_is_run() {
        let candidates = candidates("/one:/two".as_ref(), Some("/home/me".as_ref()), Some("/built/debug".as_ref()));
        let texts: Vec<_> = candidates.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(texts[..3], ["/one/nats-server", "/two/nats-server", "/built/debug/nats-server"]);
        assert!(texts.contains(&"/home/.tools/bin/nats-server"), "{texts:?}");
        assert!(texts.contains(&"/built/.tools/bin/nats-server"), "{texts:?}");
    }

    #[test]
    fn versions_are_read_and_graded() {
        let table = [
            ("nats-server: v2.15.1", true),
            ("nats-server: v2.14.3\n", true),
            ("nats-server: v2.14.2", false),
            ("nats-server: v2.13.9", false),
            ("nats-server: v2.12.12", true),
            ("nats-server: v2.12.11", false),
            ("nats-server: v2.9.10", false),
            ("nats-server: v3.0.0-beta.1", true),
        ];
        for (text, new_enough) in table {
            assert_eq!(parse_version(text).map(is_new_enough), Some(new_enough), "{text}");
        }
        assert_eq!(parse_version("something else"), None);
    }

    #[test]
    fn a_free_port_can_be_listened_on_and_no_client_is_given_it() {
        let port = free_port().unwrap();
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert!(port < 32_768);
        assert_eq!(port_of("nats://127.0.0.1:4222"), Some(4222));
        assert_eq!(port_of(""), None);
    }
}
