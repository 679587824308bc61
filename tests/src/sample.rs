//! What processes hold, read again and again while a scenario runs, and whether it grows.
//!
//! | gauge | read from |
//! |---|---|
//! | `rss`, `hwm` in KiB, `threads` | `/proc/PID/status` |
//! | `fds` | `/proc/PID/fd` |
//! | `tasks` | a host's `/metrics` |
//! | `subscriptions`, `connections` | nats-server's monitor |
//! | `live` in KiB: what nats-server's collector found in use | its monitor: half of the heap at which it runs next |
//!
//! A slope is fitted by least squares; a process is told by a name of the scenario's, so that the one that came after a
//! restart continues the series only where the scenario says so.

use std::{collections::BTreeMap, fs, net::SocketAddr, sync::Arc, time::Duration};

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

/// Reads until it is stopped.
#[derive(Debug)]
pub struct Sampler {
    samples: Arc<Mutex<Samples>>,
    stop: watch::Sender<bool>,
    task: JoinSet<()>,
}

impl Sampler {
    /// Reads these processes, and this monitor of nats-server, so often.
    #[must_use]
    pub fn start(every: Duration, processes: Vec<Process>, monitor: Option<SocketAddr>) -> Self {
        let samples = Arc::new(Mutex::new(Samples::new()));
        let (stop, stopped) = watch::channel(false);
        let mut task = JoinSet::new();
        task.spawn(sample(every, processes, monitor, samples.clone(), stopped));
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
    monitor: Option<SocketAddr>,
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
        if let Some(monitor) = monitor {
            // A server that is away right now has nothing to say.
            let said = of_server(monitor).await.unwrap_or_default();
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

async fn of_server(monitor: SocketAddr) -> Result<Vec<(&'static str, f64)>> {
    let of_server: Value = serde_json::from_slice(&page(monitor, "/varz").await?.body)?;
    let of_runtime: Value = serde_json::from_slice(&page(monitor, "/debug/vars").await?.body)?;
    let number = |page: &Value, field: &str| page.pointer(field).and_then(Value::as_f64);
    let all = [
        ("subscriptions", number(&of_server, "/subscriptions")),
        ("connections", number(&of_server, "/connections")),
        ("live", number(&of_runtime, "/memstats/NextGC").map(|next| next / 2.0 / 1_024.0)),
    ];
    Ok(all.into_iter().filter_map(|(gauge, value)| Some((gauge, value?))).collect())
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

/// How much higher the middle value of the last third is than that of the first: what a gauge that only sways is not.
#[must_use]
pub fn growth(series: &[(f64, f64)]) -> f64 {
    let third = series.len() / 3;
    let middle = |part: &[(f64, f64)]| {
        let mut values: Vec<f64> = part.iter().map(|point| point.1).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
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
