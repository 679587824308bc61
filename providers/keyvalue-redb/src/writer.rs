//! The one thread that writes. It takes what has come in while it was writing before, applies it in the order in which
//! it came, commits once, and answers all of it: a commit costs one wait for the disk, however many increments it
//! carries. An operation that fails by itself (a counter that is no number) does not touch the others.
//!
//! Nothing is written for who is late: deadlines are looked at last when all is applied and only the commit is left, so
//! an effect may be later than its deadline by that one wait for the disk and no more. A group in which somebody became
//! late by then is made again without him.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
};

use bytes::Bytes;
use mesh_lattice::{CallError, Code, Deadline};
use mesh_provider::keyvalue::{Delta, StoreError, Version};
use redb::Database;
use tokio::sync::{mpsc, oneshot};

use crate::tables::{Bucket, TablesError};

/// Operations that wait; more are refused as `busy`.
const QUEUE: usize = 8_192;

/// Operations in one commit.
const GROUP: usize = 1_024;

/// Bytes in one commit, above which no further operation joins it.
const GROUP_BYTES: usize = 32 << 20;

/// What can be done to a bucket.
#[derive(Debug)]
pub(crate) enum Change {
    Set(Vec<(String, Bytes)>),
    Delete(Vec<String>),
    Increment(String, Delta),
    /// Writes the value if that of this version still stands there; the answer is 1 where it did, else 0.
    Swap(String, Version, Bytes),
}

impl Change {
    fn bytes(&self) -> usize {
        match self {
            Self::Set(pairs) => pairs.iter().map(|(key, value)| key.len() + value.len()).sum(),
            Self::Delete(keys) => keys.iter().map(String::len).sum(),
            Self::Increment(key, _) => key.len() + 20,
            Self::Swap(key, _, value) => key.len() + value.len(),
        }
    }
}

type Answer = Result<i128, StoreError>;

struct Job {
    bucket: String,
    change: Change,
    deadline: Deadline,
    answer: oneshot::Sender<Answer>,
}

/// The way to the thread; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Job>,
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(database: Arc<Database>) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (jobs, inbox) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new().name("redb-writer".into()).spawn(move || write(&database, inbox))?;
        Ok((Self { jobs }, thread))
    }

    /// Makes a change and waits until it is on disk. Returns the counter after an increment, 1 after a
    /// swap that was made, else 0.
    pub(crate) async fn change(&self, bucket: &str, change: Change, deadline: Deadline) -> Answer {
        let (answer, answered) = oneshot::channel();
        let job = Job { bucket: bucket.to_owned(), change, deadline, answer };
        self.jobs.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                StoreError::Call(CallError::new(Code::Busy, "the database has more to write than it can"))
            }
            mpsc::error::TrySendError::Closed(_) => stopped(),
        })?;
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }
}

fn stopped() -> StoreError {
    StoreError::backend("the database's writer has stopped")
}

fn write(database: &Database, mut inbox: mpsc::Receiver<Job>) {
    while let Some(first) = inbox.blocking_recv() {
        let mut bytes = first.change.bytes();
        let mut group = vec![first];
        while group.len() < GROUP && bytes < GROUP_BYTES {
            let Ok(next) = inbox.try_recv() else { break };
            bytes += next.change.bytes();
            group.push(next);
        }
        make(database, group);
    }
}

/// Makes a group of changes and answers each.
fn make(database: &Database, mut group: Vec<Job>) {
    loop {
        // Who went away, or is late, has not been promised anything: nothing is done for him.
        let (wanted, late): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|job| !job.answer.is_closed() && !job.deadline.has_passed());
        answer(late, std::iter::repeat_with(|| Err(too_late())));
        if wanted.is_empty() {
            return;
        }
        match commit(database, &wanted) {
            Ok(Some(answers)) => return answer(wanted, answers),
            Ok(None) => group = wanted,
            Err(error) => {
                tracing::error!(%error, "a group of changes was not written");
                let error = StoreError::from(error);
                return answer(wanted, std::iter::repeat_with(|| Err(error.clone())));
            }
        }
    }
}

fn answer(jobs: Vec<Job>, answers: impl IntoIterator<Item = Answer>) {
    for (job, answer) in jobs.into_iter().zip(answers) {
        // A caller that has gone away in between misses an answer, and nothing else.
        let _ = job.answer.send(answer);
    }
}

fn too_late() -> StoreError {
    StoreError::Call(CallError::new(Code::DeadlineExceeded, "the deadline passed before the change was written"))
}

/// Applies a group and waits for the disk; `None` where somebody's deadline passed before that wait began. That, and a
/// failure, mean that nothing of it was done.
fn commit(database: &Database, group: &[Job]) -> Result<Option<Vec<Answer>>, TablesError> {
    let transaction = database.begin_write()?;
    let mut answers = Vec::with_capacity(group.len());
    let mut jobs = group.iter().peekable();
    while let Some(job) = jobs.next() {
        let mut bucket = Bucket::open(&transaction, &job.bucket)?;
        answers.push(apply(&mut bucket, &job.change)?);
        // A run of changes to one bucket opens its tables once.
        while let Some(job) = jobs.next_if(|next| next.bucket == job.bucket) {
            answers.push(apply(&mut bucket, &job.change)?);
        }
    }
    if group.iter().any(|job| job.deadline.has_passed()) {
        transaction.abort()?;
        return Ok(None);
    }
    transaction.commit()?;
    Ok(Some(answers))
}

fn apply(bucket: &mut Bucket<'_>, change: &Change) -> Result<Answer, TablesError> {
    match change {
        Change::Set(pairs) => {
            for (key, value) in pairs {
                bucket.set(key, value)?;
            }
            Ok(Ok(0))
        }
        Change::Delete(keys) => {
            for key in keys {
                bucket.delete(key)?;
            }
            Ok(Ok(0))
        }
        Change::Increment(key, delta) => match bucket.increment(key, *delta) {
            Err(TablesError::Operation(error)) => Ok(Err(error)),
            other => other.map(Ok),
        },
        Change::Swap(key, expected, value) => bucket.swap(key, expected, value).map(|swapped| Ok(swapped.into())),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn job(key: &str, deadline: Deadline) -> (Job, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        let change = Change::Increment(key.to_owned(), Delta::Unsigned(1));
        (Job { bucket: "b".into(), change, deadline, answer }, answered)
    }

    fn counted(database: &Database, key: &str) -> Option<Bytes> {
        crate::tables::get(database, "b", [key.to_owned()], Bytes::copy_from_slice).unwrap().pop().flatten()
    }

    #[test]
    fn a_group_in_which_somebody_became_late_is_not_written_but_made_again_without_him() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::create(dir.path().join("file")).unwrap();
        let soon = Deadline::after(Duration::from_secs(60));
        let group = || [job("good", soon), job("late", Deadline(mesh_lattice::Monotonic(1)))];

        // As if the deadline had passed after the group was looked through.
        let became_late = group().map(|(job, _)| job);
        assert!(commit(&database, &became_late).unwrap().is_none());
        assert_eq!((counted(&database, "good"), counted(&database, "late")), (None, None));

        let [(good, mut good_said), (late, mut late_said)] = group();
        make(&database, vec![good, late]);
        assert_eq!(good_said.try_recv().unwrap(), Ok(1));
        assert!(
            matches!(late_said.try_recv().unwrap(), Err(StoreError::Call(error)) if error.code == Code::DeadlineExceeded)
        );
        assert_eq!((counted(&database, "good"), counted(&database, "late")), (Some("1".into()), None));
    }
}
