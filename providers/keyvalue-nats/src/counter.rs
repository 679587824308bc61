//! Increments. A bucket has no counter, so one is read, added to and written back on condition that nobody wrote in
//! between. Those that wait for the same counter in this process become one such write, in the order in which they
//! came; against other hosts the write is tried again after a random wait, to the deadline.
//!
//! ```text
//! add ─► queue of the counter ─► its task: take all ─► read ─► add up ─► write if unchanged ─► answer each
//!                                   ▲                    ▲                     │ changed
//!                                   └── more came ───────┴──── random wait ◄───┘
//! ```
//!
//! The task ends when its queue is empty.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use async_nats::jetstream::kv::{self, Operation, UpdateErrorKind};
use mesh_lattice::{CallError, Code, Deadline};
use mesh_provider::{
    jitter,
    keyvalue::{Delta, StoreError, add},
};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::connection::within;

/// Increments that wait for one counter; more are refused as `busy`.
const QUEUE: usize = 4_096;

type Answer = Result<i128, StoreError>;
/// Domain, bucket and key.
type Counter = (Option<String>, String, String);

struct Waiting {
    delta: Delta,
    deadline: Deadline,
    answer: oneshot::Sender<Answer>,
}

/// The counters of one connection that are being added to.
#[derive(Default)]
pub(crate) struct Counters {
    queues: Mutex<HashMap<Counter, Vec<Waiting>>>,
    tasks: TaskTracker,
}

impl Counters {
    /// Adds, and returns what the counter is then.
    pub(crate) async fn add(
        self: &Arc<Self>,
        domain: Option<&str>,
        bucket: &kv::Store,
        (key, delta): (String, Delta),
        deadline: Deadline,
    ) -> Answer {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { delta, deadline, answer };
        let name = (domain.map(str::to_owned), bucket.name.clone(), key);
        match self.queues.lock().entry(name.clone()) {
            Entry::Occupied(queue) if queue.get().len() >= QUEUE => {
                return Err(StoreError::Call(CallError::new(Code::Busy, "too many wait for this counter")));
            }
            Entry::Occupied(mut queue) => queue.get_mut().push(waiting),
            Entry::Vacant(queue) => {
                queue.insert(vec![waiting]);
                self.tasks.spawn(Arc::clone(self).count(bucket.clone(), name));
            }
        }
        answered.await.unwrap_or_else(|_| Err(StoreError::backend("the counter's task has ended")))
    }

    /// Waits until nobody counts.
    pub(crate) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn count(self: Arc<Self>, bucket: kv::Store, name: Counter) {
        let mut known = None;
        loop {
            let batch = match self.queues.lock().entry(name.clone()) {
                Entry::Occupied(queue) if queue.get().is_empty() => {
                    queue.remove();
                    return;
                }
                Entry::Occupied(mut queue) => std::mem::take(queue.get_mut()),
                Entry::Vacant(_) => return,
            };
            known = add_all(&bucket, &name.2, batch, known).await;
        }
    }
}

/// What stands in the bucket, as far as is known.
#[derive(Clone)]
struct Known {
    value: Option<Vec<u8>>,
    revision: u64,
}

/// Adds a batch and answers it. Returns what stands in the bucket afterwards.
async fn add_all(bucket: &kv::Store, key: &str, mut batch: Vec<Waiting>, mut known: Option<Known>) -> Option<Known> {
    let mut attempt = 0;
    loop {
        let deadline = batch.iter().map(|waiting| waiting.deadline).max()?;
        let current = match known.take() {
            Some(known) => known,
            None => match read(bucket, key, deadline).await {
                Ok(current) => current,
                Err(error) => return fail(batch, &error),
            },
        };
        // Others may have been faster many times: this is looked at right before each write.
        batch = in_time(batch);
        let (sum, answers) = sums(current.value.as_deref(), &batch);
        let Some(sum) = sum else {
            answer(batch, answers);
            return Some(current);
        };
        let text = sum.to_string().into_bytes();
        let update = bucket.update(key, text.clone().into(), current.revision);
        match within(deadline, update).await {
            Ok(Ok(revision)) => {
                answer(batch, answers);
                return Some(Known { value: Some(text), revision });
            }
            Ok(Err(error)) if error.kind() == UpdateErrorKind::WrongLastRevision && !deadline.has_passed() => {
                tokio::time::sleep(jitter::backoff(attempt, Duration::from_millis(2), Duration::from_millis(100)))
                    .await;
                attempt += 1;
            }
            // Whether it was written is not known: to try again could count twice.
            Ok(Err(error)) => {
                return fail(batch, &StoreError::backend(format!("the counter was not written: {error}")));
            }
            Err(late) => return fail(batch, &late),
        }
    }
}

/// Who went away, or is late, has not been promised anything: nothing is added for him.
fn in_time(batch: Vec<Waiting>) -> Vec<Waiting> {
    let (wanted, late): (Vec<_>, Vec<_>) =
        batch.into_iter().partition(|waiting| !waiting.answer.is_closed() && !waiting.deadline.has_passed());
    for waiting in late {
        let error = CallError::new(Code::DeadlineExceeded, "the deadline passed before the counter was written");
        let _ = waiting.answer.send(Err(StoreError::Call(error)));
    }
    wanted
}

async fn read(bucket: &kv::Store, key: &str, deadline: Deadline) -> Result<Known, StoreError> {
    let entry = within(deadline, bucket.entry(key)).await?;
    let entry = entry.map_err(|error| StoreError::backend(format!("the counter cannot be read: {error}")))?;
    Ok(match entry {
        None => Known { value: None, revision: 0 },
        Some(entry) => {
            let stands = entry.operation == Operation::Put;
            Known { value: stands.then(|| entry.value.to_vec()), revision: entry.revision }
        }
    })
}

/// What to write, where anything was added, and what each is to be told.
fn sums(current: Option<&[u8]>, batch: &[Waiting]) -> (Option<i128>, Vec<Answer>) {
    let mut sum: Option<i128> = None;
    let answers = batch.iter().map(|waiting| {
        let text = sum.map(|sum| sum.to_string());
        let added = add(text.as_ref().map(String::as_bytes).or(current), waiting.delta);
        if let Ok(added) = &added {
            sum = Some(*added);
        }
        added
    });
    let answers = answers.collect();
    (sum, answers)
}

fn answer(batch: Vec<Waiting>, answers: Vec<Answer>) {
    for (waiting, answer) in batch.into_iter().zip(answers) {
        // A caller that has gone away in between misses an answer, and nothing else.
        let _ = waiting.answer.send(answer);
    }
}

fn fail(batch: Vec<Waiting>, error: &StoreError) -> Option<Known> {
    for waiting in batch {
        let _ = waiting.answer.send(Err(error.clone()));
    }
    None
}
