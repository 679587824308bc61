//! What processes hold, read again and again while a scenario runs, and whether it grows.
//!
//! | gauge | read from |
//! |---|---|
//! | `rss`, `hwm` in KiB, `threads` | `/proc/PID/status` |
//! | `fds` | `/proc/PID/fd` |
//! | `tasks` | a host's `/metrics` |
//! | `subscriptions`, `connections` | nats-server's monitor |
//! | `live` in KiB: what nats-server's collector found in use | its monitor: half of the heap at which it runs next |
//! | `held` in KiB: that without the buffers of messages | the files of its store beside it |
//!
//! nats-server keeps the block of messages that a stream is writing in a buffer of 256 KiB, 1, 4 or 8 MiB, the next one
//! that fits, and gives it back when the block is full. A stream that is written slowly takes hours for that: what is
//! live grows by 3 MiB as its block passes 1 MiB, and falls when the next block begins. What is held beside these
//! buffers is what may not grow.
//!
//! A slope is fitted by least squares; a process is told by a name of the scenario's, so that the one that came after a
//! restart continues the series only where the scenario says so.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::{
    sync::{Mutex, watch},
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::http;

/// One gauge of one process over time: seconds since the start, value.
pub type Series = Vec<(f64, f64)>;

/// Series by process and gauge.
pub type Samples = BTreeMap<(String, &'static str), Series>;

/// What is read of.
#[derive(Debug, Clone)]
pub struct Process {
    /// What it is called in the samples.
    pub name: String,
    /// The process.
    pub pid: i32,
    /// Where it shows its metrics, if it is a host.
    pub admin: Option<SocketAddr>,
}

/// The nats-server whose monitor is read.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its monitor.
    pub monitor: SocketAddr,
    /// Where it keeps its streams.
    pub store: PathBuf,
}

/// The buffers that nats-server has for a block of messages, in KiB.
const BUFFERS: [u64; 4] = [256, 1_024, 4_096, 8_192];
/// A buffer that nobody needed for so long is given back.
const BUFFERED_FOR: Duration = Duration::from_secs(10);

/// Reads until it is stopped.
#[derive(Debug)]
pub struct Sampler {
    samples: Arc<Mutex<Samples>>,
    stop: watch::Sender<bool>,
    task: JoinSet<()>,
}

impl Sampler {
    /// Reads these processes, and this nats-server, so often.
    #[must_use]
    pub fn start(every: Duration, processes: Vec<Process>, server: Option<Server>) -> Self {
        let samples = Arc::new(Mutex::new(Samples::new()));
        let (stop, stopped) = watch::channel(false);
        let mut task = JoinSet::new();
        task.spawn(sample(every, processes, server, samples.clone(), stopped));
        Self { samples, stop, task }
    }

    /// All that was read.
    pub async fn stop(mut self) -> Samples {
        self.stop.send_replace(true);
        while self.task.join_next().await.is_some() {}
        self.samples.lock().await.clone()
    }
}

async fn sample(
    every: Duration,
    processes: Vec<Process>,
    server: Option<Server>,
    samples: Arc<Mutex<Samples>>,
    mut stopped: watch::Receiver<bool>,
) {
    let start = Instant::now();
    loop {
        let at = start.elapsed().as_secs_f64();
        let mut read: Vec<(String, &'static str, f64)> = Vec::new();
        for Process { name, pid, admin } in &processes {
            read.extend(gauges(*pid).into_iter().map(|(gauge, value)| (name.clone(), gauge, value)));
            if let Some(admin) = admin {
                let tasks = of_host(*admin).await.ok();
                read.extend(tasks.map(|tasks| (name.clone(), "tasks", tasks)));
            }
        }
        if let Some(server) = &server {
            // A server that is away right now has nothing to say.
            let said = of_server(server).await.unwrap_or_default();
            read.extend(said.into_iter().map(|(gauge, value)| ("nats-server".to_owned(), gauge, value)));
        }
        let mut samples = samples.lock().await;
        for (name, gauge, value) in read {
            samples.entry((name, gauge)).or_default().push((at, value));
        }
        drop(samples);
        if timeout(every, stopped.wait_for(|stop| *stop)).await.is_ok() {
            return;
        }
    }
}

/// What a process holds now; nothing where it is gone.
#[must_use]
pub fn gauges(pid: i32) -> Vec<(&'static str, f64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').split_ascii_whitespace().next()?.parse::<f64>().ok()
    };
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).ok().map(|entries| entries.count() as f64);
    let all = [("rss", field("VmRSS")), ("hwm", field("VmHWM")), ("threads", field("Threads")), ("fds", fds)];
    all.into_iter().filter_map(|(gauge, value)| Some((gauge, value?))).collect()
}

/// The tasks of a host.
async fn of_host(admin: SocketAddr) -> Result<f64> {
    let page = page(admin, "/metrics").await?.text();
    Ok(metric(&page, "mesh_tasks", "").with_context(|| format!("no tasks in {page}"))? as f64)
}

/// A value of a host's `/metrics`, over all series with these labels; nothing where there is none.
#[must_use]
pub fn metric(page: &str, name: &str, labels: &str) -> Option<u64> {
    let named = page.lines().filter_map(|line| line.strip_prefix(name));
    let with = named.filter(|rest| rest.contains(labels) && rest.starts_with([' ', '{']));
    with.filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<u64>().ok()).reduce(|one, other| one + other)
}

async fn of_server(server: &Server) -> Result<Vec<(&'static str, f64)>> {
    let of_server: Value = serde_json::from_slice(&page(server.monitor, "/varz").await?.body)?;
    let of_runtime: Value = serde_json::from_slice(&page(server.monitor, "/debug/vars").await?.body)?;
    let number = |page: &Value, field: &str| page.pointer(field).and_then(Value::as_f64);
    let live = number(&of_runtime, "/memstats/NextGC").map(|next| next / 2.0 / 1_024.0);
    let all = [
        ("subscriptions", number(&of_server, "/subscriptions")),
        ("connections", number(&of_server, "/connections")),
        ("live", live),
        ("held", live.map(|live| live - buffers(&server.store) as f64)),
    ];
    Ok(all.into_iter().filter_map(|(gauge, value)| Some((gauge, value?))).collect())
}

/// What the blocks take that the streams of this store are writing, in KiB.
fn buffers(store: &Path) -> u64 {
    let inside = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let accounts = inside(&store.join("jetstream"));
    let streams = accounts.flat_map(|account| inside(&account.join("streams")).collect::<Vec<_>>());
    let buffers = streams.filter_map(|stream| {
        let number = |path: &Path| path.file_name()?.to_str()?.strip_suffix(".blk")?.parse::<u64>().ok();
        let blocks = inside(&stream.join("msgs")).filter_map(|path| Some((number(&path)?, path)));
        let written = fs::metadata(blocks.max()?.1).ok()?;
        let still = written.modified().ok()?.elapsed().unwrap_or_default() < BUFFERED_FOR;
        let size = written.len().div_ceil(1_024);
        still.then(|| BUFFERS.into_iter().find(|buffer| size <= *buffer).unwrap_or(size))
    });
    buffers.sum()
}

async fn page(address: SocketAddr, path: &str) -> Result<http::Response> {
    timeout(Duration::from_secs(2), http::get(address, path)).await.context("no answer")?
}

/// How much a series grows in a second, by least squares; 0 for less than two points.
#[must_use]
pub fn slope(series: &[(f64, f64)]) -> f64 {
    let count = series.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| series.iter().map(of).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
    let above: f64 = series.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let below: f64 = series.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    if below > 0.0 { above / below } else { 0.0 }
}

/// The middle value of each such time, at its middle.
#[must_use]
pub fn middles(series: &[(f64, f64)], every: Duration) -> Series {
    let every = every.as_secs_f64();
    let times = series.chunk_by(|one, other| (one.0 / every).floor() == (other.0 / every).floor());
    times.filter_map(|time| Some((((time.first()?.0 / every).floor() + 0.5) * every, middle(time)))).collect()
}

fn middle(series: &[(f64, f64)]) -> f64 {
    let mut values: Vec<f64> = series.iter().map(|point| point.1).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// How much higher the middle value of the last third is than that of the first: what a gauge that only sways is not.
#[must_use]
pub fn growth(series: &[(f64, f64)]) -> f64 {
    let third = series.len() / 3;
    match (series.get(..third), series.get(series.len() - third..)) {
        (Some(first), Some(last)) if third > 0 => middle(last) - middle(first),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_is_found_through_noise_and_none_where_there_is_none() {
        let noise = |n: i32| f64::from(n * 7919 % 13) - 6.0;
        let grows: Series = (0..200).map(|n| (f64::from(n), 1_000.0 + 2.5 * f64::from(n) + noise(n))).collect();
        let sways: Series = (0..200).map(|n| (f64::from(n), 1_000.0 + noise(n))).collect();
        assert!((slope(&grows) - 2.5).abs() < 0.05, "{}", slope(&grows));
        assert!(slope(&sways).abs() < 0.05, "{}", slope(&sways));
        assert!((growth(&grows) - 335.0).abs() < 20.0, "{}", growth(&grows));
        assert!(growth(&sways).abs() <= 2.0, "{}", growth(&sways));
        for series in [&[][..], &[(1.0, 2.0)]] {
            assert!(slope(series).abs() < f64::EPSILON && growth(series).abs() < f64::EPSILON);
        }
    }

    #[test]
    fn the_middle_of_each_time_is_told_from_what_sways_in_it() {
        let series: Series =
            (0..100).map(|n| (f64::from(n), if n % 5 == 0 { 900.0 } else { f64::from(n / 10) })).collect();
        let middles = middles(&series, Duration::from_secs(10));
        assert_eq!(middles, (0..10).map(|n| (f64::from(n) * 10.0 + 5.0, f64::from(n))).collect::<Series>());
        assert!(super::middles(&[], Duration::from_secs(1)).is_empty());
    }

    #[test]
    fn a_buffer_is_counted_for_the_last_block_of_each_stream_that_is_written() {
        let store = tempfile::tempdir().unwrap();
        let block = |stream: &str, number: u32, kib: u64| {
            let folder = store.path().join("jetstream/$G/streams").join(stream).join("msgs");
            fs::create_dir_all(&folder).unwrap();
            let file = fs::File::create(folder.join(format!("{number}.blk"))).unwrap();
            file.set_len(kib * 1_024).unwrap();
            file
        };
        assert_eq!(buffers(store.path()), 0);
        for (stream, number, kib) in [("a", 2, 100), ("a", 10, 1_025), ("b", 1, 1_024), ("b.index", 1, 256)] {
            block(stream, number, kib);
        }
        assert_eq!(buffers(store.path()), 4_096 + 1_024 + 256);
        let long_ago = std::time::SystemTime::now() - 2 * BUFFERED_FOR;
        block("c", 1, 5_000).set_modified(long_ago).unwrap();
        assert_eq!(buffers(store.path()), 4_096 + 1_024 + 256);
        block("c", 2, 5_000);
        assert_eq!(buffers(store.path()), 8_192 + 4_096 + 1_024 + 256);
    }

    #[tokio::test]
    async fn this_process_is_read_and_one_that_is_gone_is_not() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let sampler = Sampler::start(
            Duration::from_millis(5),
            [("me", pid), ("no", i32::MAX)].map(|(name, pid)| Process { name: name.into(), pid, admin: None }).into(),
            None,
        );
        crate::wait::eventually("three samples", Duration::from_secs(10), || async {
            let samples = sampler.samples.lock().await;
            Ok(samples.get(&("me".to_owned(), "rss")).filter(|series| series.len() >= 3).map(|_| ()))
        })
        .await
        .unwrap();
        let samples = sampler.stop().await;
        for gauge in ["rss", "hwm", "fds", "threads"] {
            let series = &samples[&("me".to_owned(), gauge)];
            assert!(series.iter().all(|(_, value)| *value > 0.0), "{gauge}: {series:?}");
        }
        assert!(samples.keys().all(|(name, _)| name == "me"));
    }
}
