//! The time of one call: the processor time that its guest uses, and whether it still gets anywhere.
//!
//! ```text
//! runs ──tick──► yields once ──tick──► waits for the lane ──► runs in the lane ──tick──► waits for the lane ...
//!   │                                                                │
//!   └── done                                                         └── more than its limit: dropped, `cpu_limit`
//! ```
//!
//! The epoch moves on every 10 ms, so a guest comes back to its poll at least that often; the poll is what is
//! measured, by the processor time of its thread, and not before the guest met an epoch: most calls never do, and
//! reading that clock is dear. So a guest gets its limit in full, and up to two epochs more, on a busy machine too. A guest that met two epochs spins: from then on it runs only while it holds the lane, which has one
//! place less than there are processors, so that spinners slow each other down and not their neighbours.

use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use mesh_lattice::{CallError, Code};
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::UpdateDeadline;

/// Polls that are not measured where none of them met an epoch. Most calls never have more.
const FREE_POLLS: u32 = 16;

/// The time of one call.
pub(crate) struct Meter {
    started: Instant,
    limit: i64,
    /// In nanoseconds. Time outside the guest is subtracted before the poll that it was in is added.
    used: AtomicI64,
    polls: AtomicU32,
    ticks: AtomicU32,
    lane: Arc<Semaphore>,
    place: Mutex<Option<OwnedSemaphorePermit>>,
    progress: AtomicU64,
    head_is_out: AtomicBool,
    called_out: AtomicBool,
    failure: OnceLock<CallError>,
}

/// Where the processor's time of this thread stood, where that is looked at.
struct Reading(Option<i64>);

impl Meter {
    pub(crate) fn new(limit: Duration, lane: Arc<Semaphore>) -> Self {
        Self {
            started: Instant::now(),
            limit: nanoseconds(limit),
            used: AtomicI64::new(0),
            polls: AtomicU32::new(0),
            ticks: AtomicU32::new(0),
            lane,
            place: Mutex::new(None),
            progress: AtomicU64::new(0),
            head_is_out: AtomicBool::new(false),
            called_out: AtomicBool::new(false),
            failure: OnceLock::new(),
        }
    }

    fn read(&self) -> Reading {
        let free = self.ticks.load(Ordering::Relaxed) == 0 && self.polls.load(Ordering::Relaxed) < FREE_POLLS;
        Reading((!free).then(processor_time))
    }

    fn is_over(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.limit
    }

    /// Why the call failed, for whoever still reads its body. Set before the instance goes, because that ends the
    /// body, and its end must not look like the end of an answer. The first reason stays.
    pub(crate) fn fail(&self, error: CallError) {
        // A second reason is a consequence of the first.
        drop(self.failure.set(error));
    }

    /// The deadline passed before there was an answer.
    pub(crate) fn fail_late(&self) -> CallError {
        let error = CallError::new(Code::DeadlineExceeded, "the deadline passed before the guest answered");
        self.fail(error.clone());
        error
    }

    pub(crate) fn failure(&self) -> Option<&CallError> {
        self.failure.get()
    }

    /// Bytes moved, in either direction.
    pub(crate) fn made_progress(&self) {
        let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.progress.store(now, Ordering::Relaxed);
    }

    /// When bytes last moved.
    pub(crate) fn last_progress(&self) -> Instant {
        self.started + Duration::from_nanos(self.progress.load(Ordering::Relaxed))
    }

    pub(crate) fn set_head_is_out(&self) {
        self.head_is_out.store(true, Ordering::Relaxed);
        self.made_progress();
    }

    pub(crate) fn head_is_out(&self) -> bool {
        self.head_is_out.load(Ordering::Relaxed)
    }

    /// The guest calls somebody.
    pub(crate) fn set_called_out(&self) {
        self.called_out.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_called_out(&self) -> bool {
        self.called_out.load(Ordering::Relaxed)
    }

    /// The guest met an epoch.
    pub(crate) fn tick(self: &Arc<Self>) -> UpdateDeadline {
        if self.ticks.fetch_add(1, Ordering::Relaxed) == 0 {
            return UpdateDeadline::Yield(1);
        }
        let meter = Arc::clone(self);
        UpdateDeadline::YieldCustom(
            1,
            Box::pin(async move {
                // First away from the processor, then for a place: whoever waits for it already comes first.
                tokio::task::yield_now().await;
                let place = Arc::clone(&meter.lane).acquire_owned().await.ok();
                *meter.place.lock() = place;
            }),
        )
    }
}

impl Reading {
    fn elapsed(&self) -> i64 {
        self.0.map_or(0, |start| processor_time() - start)
    }
}

fn processor_time() -> i64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec.saturating_mul(1_000_000_000).saturating_add(now.tv_nsec)
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// A guest's future whose polls are measured; it ends with `cpu_limit` where they took too long.
pub(crate) struct Metered<F> {
    meter: Arc<Meter>,
    guest: Option<Pin<Box<F>>>,
}

impl<F> Metered<F> {
    pub(crate) fn new(meter: Arc<Meter>, guest: F) -> Self {
        Self { meter, guest: Some(Box::pin(guest)) }
    }
}

impl<T, F: Future<Output = Result<T, CallError>>> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(guest) = &mut this.guest else { return Poll::Pending };
        let reading = this.meter.read();
        let polled = {
            let _polled = Polled::now(&this.meter);
            guest.as_mut().poll(cx)
        };
        this.meter.used.fetch_add(reading.elapsed(), Ordering::Relaxed);
        this.meter.polls.fetch_add(1, Ordering::Relaxed);
        if this.meter.ticks.load(Ordering::Relaxed) > 1 {
            drop(this.meter.place.lock().take());
        }
        if polled.is_pending() && this.meter.is_over() {
            let limit = Duration::from_nanos(u64::try_from(this.meter.limit).unwrap_or(0));
            let message = format!("the guest used more than {limit:?} of processor time");
            let error = CallError::new(Code::CpuLimit, message);
            this.meter.fail(error.clone());
            this.guest = None;
            return Poll::Ready(Err(error));
        }
        if polled.is_ready() {
            this.guest = None;
        }
        polled
    }
}

thread_local! {
    /// The meter of the guest that this thread polls, by where it lies.
    static POLLED: Cell<usize> = const { Cell::new(0) };
}

/// Says whose guest is polled, for as long as it lives.
struct Polled(usize);

impl Polled {
    fn now(meter: &Arc<Meter>) -> Self {
        Self(POLLED.replace(Arc::as_ptr(meter).addr()))
    }

    fn is(meter: &Arc<Meter>) -> bool {
        POLLED.get() == Arc::as_ptr(meter).addr()
    }
}

impl Drop for Polled {
    fn drop(&mut self) {
        POLLED.set(self.0);
    }
}

/// Whether this thread is within the poll of a guest.
pub(crate) fn polls_a_guest() -> bool {
    POLLED.get() != 0
}

/// Work that is done within a guest's poll and is not the guest's: another actor, or a provider of this process. Polled
/// elsewhere, it takes nothing off the guest's time.
pub(crate) struct Outside<F> {
    meter: Arc<Meter>,
    work: F,
}

impl<F> Outside<F> {
    pub(crate) fn new(meter: Arc<Meter>, work: F) -> Self {
        Self { meter, work }
    }
}

impl<F: Future + Unpin> Future for Outside<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !Polled::is(&self.meter) {
            return Pin::new(&mut self.work).poll(cx);
        }
        let reading = self.meter.read();
        let polled = Pin::new(&mut self.work).poll(cx);
        self.meter.used.fetch_sub(reading.elapsed(), Ordering::Relaxed);
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(limit: Duration) -> Arc<Meter> {
        Arc::new(Meter::new(limit, Arc::new(Semaphore::new(1))))
    }

    /// Uses so much of the processor, however long that takes beside others.
    fn spin(duration: Duration) {
        let end = processor_time() + nanoseconds(duration);
        while processor_time() < end {
            std::hint::spin_loop();
        }
    }

    #[tokio::test]
    async fn a_guest_is_stopped_when_its_time_is_used_up() {
        let meter = meter(Duration::from_millis(20));
        let guest = Metered::new(Arc::clone(&meter), async {
            loop {
                spin(Duration::from_millis(5));
                tokio::task::yield_now().await;
            }
        });
        let ended: Result<(), CallError> = guest.await;
        assert_eq!(ended.unwrap_err().code, Code::CpuLimit);
        assert_eq!(meter.failure().unwrap().code, Code::CpuLimit);
    }

    #[tokio::test]
    async fn what_others_do_within_its_poll_is_not_its_time() {
        let meter = meter(Duration::from_millis(20));
        let inner = Arc::clone(&meter);
        let guest = Metered::new(Arc::clone(&meter), async move {
            for _ in 0..FREE_POLLS + 10 {
                Outside::new(Arc::clone(&inner), Box::pin(async { spin(Duration::from_millis(5)) })).await;
                tokio::task::yield_now().await;
            }
            Ok(())
        });
        guest.await.unwrap();
    }

    #[tokio::test]
    async fn what_others_do_elsewhere_gives_a_guest_no_time() {
        let meter = meter(Duration::from_millis(20));
        let elsewhere = Arc::clone(&meter);
        let guest = Metered::new(Arc::clone(&meter), async {
            for _ in 0..FREE_POLLS + 10 {
                spin(Duration::from_millis(5));
                tokio::task::yield_now().await;
            }
            Ok(())
        });
        let others = async {
            for _ in 0..FREE_POLLS + 10 {
                Outside::new(Arc::clone(&elsewhere), Box::pin(async { spin(Duration::from_millis(5)) })).await;
                tokio::task::yield_now().await;
            }
        };
        let (ended, ()) = tokio::join!(guest, others);
        assert_eq!(ended.unwrap_err().code, Code::CpuLimit);
    }
}
