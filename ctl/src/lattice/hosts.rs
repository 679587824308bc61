//! Finds and starts `meshd`.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use anyhow::bail;
use mesh_lattice::name::Labels;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{
    Wanted,
    keys::Keys,
    process::Process,
    record::{Folder, HostRecord, Record},
    server::free_port,
};

/// A page of a host that works is there at once.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// Starts one host; it has the labels of before where none are given.
pub(super) fn start(
    folder: &Folder,
    record: &Record,
    name: &str,
    wanted: &Wanted,
) -> anyhow::Result<(HostRecord, Process)> {
    let program = find()?;
    let id = Keys::host(folder, name)?;
    let before = record.hosts.iter().find(|host| host.name == name);
    let labels: Labels = match (wanted.labels.is_empty(), before) {
        (true, Some(before)) => before.labels.clone(),
        _ => wanted.labels.iter().cloned().collect(),
    };
    let admin = format!("127.0.0.1:{}", free_port()?);
    let mut arguments: Vec<OsString> = Vec::new();
    let mut say = |flag: &str, value: OsString| arguments.extend([OsString::from(flag), value]);
    say("--server", record.server.clone().into());
    say("--lattice", record.lattice.as_str().into());
    say("--dir", folder.host_data(name).into());
    say("--host-key", folder.host_key(name).into());
    say("--trust", folder.trust().into());
    say("--name", name.into());
    say("--admin", admin.clone().into());
    for (key, value) in &labels {
        say("--label", format!("{key}={value}").into());
    }
    std::fs::create_dir_all(folder.host_data(name))?;
    let process = Process::start(&program, &arguments, &folder.host_log(name), wanted.life)?;
    let host = HostRecord {
        id,
        name: name.to_owned(),
        pid: Some(process.pid()),
        admin: format!("http://{admin}"),
        started: Some(process.started()),
        labels,
    };
    Ok((host, process))
}

/// Whether a host says of itself that it is ready. The lattice may still speak of the process before this one.
pub(super) async fn says_ready(host: &HostRecord) -> bool {
    let asked = async {
        let address = host.admin.strip_prefix("http://")?;
        let mut stream = TcpStream::connect(address).await.ok()?;
        let request = format!("GET /readyz HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut head = [0; 16];
        stream.read_exact(&mut head).await.ok()?;
        std::str::from_utf8(&head).ok()?.split(' ').nth(1).map(|status| status == "200")
    };
    matches!(timeout(ANSWERS_WITHIN, asked).await, Ok(Some(true)))
}

/// `meshd` beside this program, else on the PATH.
pub(super) fn find() -> anyhow::Result<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.join("meshd")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("meshd"));
    match beside.iter().cloned().chain(on_path).find(|path| path.is_file()) {
        Some(program) => Ok(program),
        None => bail!("no meshd beside meshctl and none on the PATH: build it with `cargo build -p mesh-host`"),
    }
}
