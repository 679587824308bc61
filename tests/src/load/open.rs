//! An open loop: requests are due at a steady rate, and each is timed from when it was due.
//!
//! Workers take turns from one schedule. A worker that was held up by a slow answer sends its next request late, and
//! that request's latency says so, because it began when it was due and not when it was sent: nothing is left out of
//! the figures while the system under test stands still (no coordinated omission). The workers bound what can be in
//! flight; what was due and never sent is counted in [`Measured::unsent`], and where that is not 0 the loop was not an
//! open one.
//!
//! The runtime's timers tick in milliseconds, so up to one of them is in each latency.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hdrhistogram::Histogram;
use http::StatusCode;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::Tally;
use crate::http::Client;

/// The time that a [`Window`] is about.
pub const WINDOW: Duration = Duration::from_millis(50);

/// Somebody who sends one request at a time.
pub trait Ask: Send + 'static {
    /// Sends a request and waits for its end.
    fn ask(&mut self, turn: Turn) -> impl Future<Output = Outcome> + Send;
}

/// One request of the schedule.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// Counted from 0 over the whole load.
    pub number: u64,
    /// When it was to be sent.
    pub due: Instant,
}

/// What came of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// There is an answer, of this status.
    Answered(u16),
    /// There is none, and why.
    Lost(String),
}

/// What came of the requests that were due in one piece of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// Answers with status 200.
    pub ok: u64,
    /// Everything else.
    pub failed: u64,
    /// The longest that one of them took.
    pub slowest: Duration,
}

/// What a load has measured.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// What came of the requests.
    pub tally: Tally,
    /// Microseconds from when requests were due to their answers, by the status of the answer.
    pub latency: BTreeMap<u16, Histogram<u64>>,
    /// By number: the window `n` begins `n` × [`WINDOW`] after the start.
    pub windows: BTreeMap<u64, Window>,
    /// Requests that were due and not sent, because every worker was waiting for an answer.
    pub unsent: u64,
    /// How long requests were due.
    pub lasted: Duration,
}

impl Measured {
    /// The latency that this share of the answers with a status stayed within.
    #[must_use]
    pub fn latency(&self, status: StatusCode, quantile: f64) -> Option<Duration> {
        let latency = self.latency.get(&status.as_u16())?;
        Some(Duration::from_micros(latency.value_at_quantile(quantile)))
    }

    /// The share of the requests that were answered with 200.
    #[must_use]
    pub fn success(&self) -> f64 {
        let all = self.tally.sent() + self.unsent;
        if all == 0 { 0.0 } else { self.tally.ok() as f64 / all as f64 }
    }

    /// Answers with 200 in a second.
    #[must_use]
    pub fn goodput(&self) -> f64 {
        self.tally.ok() as f64 / self.lasted.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// How long after `moment` requests went wrong that were due between it and `until`: 0 where none did. What is
    /// `wrong` with a window of them is for the caller to say; one in which nothing ended yet is an empty one.
    #[must_use]
    pub fn trouble(&self, moment: Duration, until: Duration, wrong: impl Fn(&Window) -> bool) -> Duration {
        let is_wrong = |number: &u64| wrong(&self.windows.get(number).copied().unwrap_or_default());
        let last = (window_of(moment)..window_of(until)).rev().find(is_wrong);
        let end = |number: u64| WINDOW.saturating_mul(u32::try_from(number + 1).unwrap_or(u32::MAX));
        last.map(|number| end(number).saturating_sub(moment)).unwrap_or_default()
    }

    /// What is wrong with a window of a load of this rate: somebody got no good answer, or none yet, or it took longer
    /// than this.
    pub fn is_bad(rate: f64, slowest: Duration) -> impl Fn(&Window) -> bool + Copy {
        // Where a window begins between two requests, it holds one less.
        let due = (rate * WINDOW.as_secs_f64()).floor() as u64;
        move |window| window.failed > 0 || window.ok < due.saturating_sub(1) || window.slowest > slowest
    }

    /// Requests due between two moments that were not answered with 200.
    #[must_use]
    pub fn failures(&self, from: Duration, until: Duration) -> u64 {
        self.windows.range(window_of(from)..=window_of(until)).map(|(_, window)| window.failed).sum()
    }

    fn record(&mut self, due: Duration, outcome: Outcome, took: Duration) {
        let window = self.windows.entry(window_of(due)).or_default();
        window.slowest = window.slowest.max(took);
        if outcome == Outcome::Answered(StatusCode::OK.as_u16()) {
            window.ok += 1;
        } else {
            window.failed += 1;
        }
        match outcome {
            Outcome::Lost(why) => self.tally.lost.push(why),
            Outcome::Answered(status) => {
                *self.tally.answers.entry(status).or_default() += 1;
                self.latency.entry(status).or_insert_with(empty).saturating_record(micros(took));
            }
        }
    }
}

fn window_of(at: Duration) -> u64 {
    u64::try_from(at.as_millis() / WINDOW.as_millis()).unwrap_or(u64::MAX)
}

/// From a microsecond to a minute, to three digits.
#[expect(clippy::expect_used, reason = "the bounds are constants that fit")]
fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds that fit")
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1)
}

/// A load that is under way.
#[derive(Debug)]
pub struct Open {
    shared: Arc<Shared>,
    workers: JoinSet<()>,
    stop: watch::Sender<bool>,
}

#[derive(Debug)]
struct Shared {
    start: Instant,
    rate: f64,
    next: AtomicU64,
    in_flight: AtomicU64,
    measured: Mutex<Measured>,
}

impl Shared {
    fn due(&self, number: u64) -> Instant {
        self.start + Duration::from_secs_f64(number as f64 / self.rate)
    }

    fn record(&self, due: Instant, outcome: Outcome) {
        let took = due.elapsed();
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        measured.record(due.saturating_duration_since(self.start), outcome, took);
    }

    fn measured(&self, until: Duration) -> Measured {
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner).clone();
        measured.lasted = until;
        measured
    }
}

impl Open {
    /// Starts `rate` requests a second, spread evenly over these workers: as many as are to be in flight at most.
    #[must_use]
    pub fn start(rate: f64, workers: impl IntoIterator<Item = impl Ask>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let shared = Arc::new(Shared {
            start: Instant::now(),
            rate: rate.max(f64::MIN_POSITIVE),
            next: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            measured: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        for worker in workers {
            tasks.spawn(work(shared.clone(), worker, stopped.clone()));
        }
        Self { shared, workers: tasks, stop }
    }

    /// Asks for a path over this many connections, which are kept.
    #[must_use]
    pub fn get(rate: f64, connections: usize, address: SocketAddr, path: &str) -> Self {
        Self::start(rate, Get::over(connections, address, path))
    }

    /// How long ago it started: what [`Measured::trouble`] takes for a moment.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.shared.start.elapsed()
    }

    /// Requests without an answer yet.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.shared.in_flight.load(Ordering::Relaxed)
    }

    /// What it has measured until now.
    #[must_use]
    pub fn so_far(&self) -> Measured {
        self.shared.measured(self.elapsed())
    }

    /// Lets each request that was sent have its end, and counts.
    pub async fn stop(mut self) -> Measured {
        let lasted = self.elapsed();
        self.stop.send_replace(true);
        let mut broken = Vec::new();
        while let Some(ended) = self.workers.join_next().await {
            broken.extend(ended.err().map(|error| error.to_string()));
        }
        let mut measured = self.shared.measured(lasted);
        measured.tally.lost.extend(broken);
        let due = (lasted.as_secs_f64() * self.shared.rate) as u64;
        measured.unsent = due.saturating_sub(measured.tally.sent());
        measured
    }
}

async fn work(shared: Arc<Shared>, mut worker: impl Ask, mut stopped: watch::Receiver<bool>) {
    loop {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        let due = shared.due(number);
        let stop = tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => true,
            () = sleep_until(due) => false,
        };
        if stop {
            return;
        }
        shared.in_flight.fetch_add(1, Ordering::Relaxed);
        let outcome = worker.ask(Turn { number, due }).await;
        shared.in_flight.fetch_sub(1, Ordering::Relaxed);
        shared.record(due, outcome);
    }
}

/// Asks for one path.
#[derive(Debug)]
pub struct Get {
    client: Client,
    path: Arc<str>,
}

impl Get {
    /// As many, each with a connection that it keeps.
    pub fn over(connections: usize, address: SocketAddr, path: &str) -> impl Iterator<Item = Self> + use<> {
        let path: Arc<str> = path.into();
        (0..connections).map(move |_| Self { client: Client::keep_alive(address), path: path.clone() })
    }

    /// Asks once more where a kept connection is closed as it is used: see [`Client::again`].
    #[must_use]
    pub fn again(self) -> Self {
        Self { client: self.client.again(), ..self }
    }
}

impl Ask for Get {
    async fn ask(&mut self, _: Turn) -> Outcome {
        match self.client.get(&self.path).await {
            Ok(answer) => Outcome::Answered(answer.status.as_u16()),
            Err(error) => Outcome::Lost(format!("{error:#}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// Answers at once, but for one request, which it is still at for a while.
    struct StallsAt(u64, Duration);

    impl Ask for StallsAt {
        async fn ask(&mut self, turn: Turn) -> Outcome {
            if turn.number == self.0 {
                sleep(self.1).await;
            }
            Outcome::Answered(200)
        }
    }

    async fn for_a_while(load: Open, time: Duration) -> Measured {
        let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
        load.stop().await
    }

    #[tokio::test]
    async fn a_stall_is_in_the_latency_of_all_that_were_due_in_it() {
        let load = Open::start(1_000.0, [StallsAt(50, Duration::from_millis(300))]);
        let measured = for_a_while(load, Duration::from_millis(600)).await;
        let slow = measured.latency[&200].count_between(100_000, u64::MAX);
        // Due in the first 200 ms of the stall; a closed loop would show one.
        assert!((150..=320).contains(&slow), "{slow} requests show the stall");
        assert!(measured.latency(StatusCode::OK, 1.0).unwrap() >= Duration::from_millis(300));
        assert_eq!(measured.tally.failed(), 0);
    }

    #[tokio::test]
    async fn what_was_due_while_all_workers_waited_is_counted_as_unsent() {
        let load = Open::start(1_000.0, [StallsAt(0, Duration::from_millis(400))]);
        let measured = for_a_while(load, Duration::from_millis(200)).await;
        assert_eq!(measured.tally.sent(), 1);
        assert!(measured.unsent >= 150, "{} of 200", measured.unsent);
        assert!(measured.success() < 0.1);
    }

    #[tokio::test]
    async fn more_workers_keep_the_rate_while_one_stalls() {
        let load = Open::start(500.0, [StallsAt(5, Duration::from_secs(1)), StallsAt(5, Duration::from_secs(1))]);
        let measured = for_a_while(load, Duration::from_millis(300)).await;
        let sent = measured.tally.sent();
        assert!((100..=150).contains(&sent), "{sent} of 150");
        assert!(measured.unsent <= 50, "{}", measured.unsent);
    }

    #[test]
    fn trouble_lasts_to_the_end_of_the_last_window_with_any() {
        let mut measured = Measured::default();
        for number in 0..100 {
            let outcome = match number {
                20..40 => Outcome::Answered(503),
                _ => Outcome::Answered(200),
            };
            measured.record(Duration::from_millis(10 * number), outcome, Duration::from_millis(1));
        }
        let (second, failed) = (Duration::from_secs(1), |window: &Window| window.failed > 0);
        assert_eq!(measured.trouble(Duration::ZERO, second, failed), Duration::from_millis(400));
        assert_eq!(measured.trouble(Duration::from_millis(150), second, failed), Duration::from_millis(250));
        assert_eq!(measured.trouble(Duration::from_millis(400), second, failed), Duration::ZERO);
        assert_eq!(measured.latency(StatusCode::SERVICE_UNAVAILABLE, 0.5), Some(Duration::from_millis(1)));
        assert_eq!(measured.latency(StatusCode::NOT_FOUND, 0.5), None);
    }
}
