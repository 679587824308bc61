//! Waiting for a target that is wanted and ready nowhere: as many calls as the bound says, each for nine tenths of the
//! time that its deadline leaves, [`LONGEST_WAIT`] at most, each looking again whenever the table changes.

use std::{sync::Arc, time::Duration};

use mesh_lattice::{CallError, Code, Deadline, Invocation};
use tokio::{
    sync::{SemaphorePermit, watch},
    time::timeout,
};

use super::{Router, table::Table};

/// Calls that may wait for a target at one time; beyond that they are refused as busy.
pub(super) const MAX_WAITING: usize = 1024;
/// Nobody waits longer for a target than this.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A host that did not take a call may be back before its route changes: it is tried again this often.
const RETRY: Duration = Duration::from_millis(200);

/// One call's wait for a target.
pub(super) struct Wait<'a> {
    pub(super) until: Deadline,
    changes: watch::Receiver<Arc<Table>>,
    _permit: SemaphorePermit<'a>,
}

impl Wait<'_> {
    /// Waits until something changed, or for a while; fails with `refusal` when the time is over.
    pub(super) async fn next(&mut self, refusal: CallError) -> Result<(), CallError> {
        let left = self.until.remaining();
        if left.is_zero() {
            return Err(refusal);
        }
        match timeout(left.min(RETRY), self.changes.changed()).await {
            Ok(Err(_)) => Err(CallError::new(Code::Unavailable, "this host is stopping")),
            _ => Ok(()),
        }
    }
}

impl Router {
    /// How many calls wait for a target.
    #[must_use]
    pub fn waiting(&self) -> usize {
        MAX_WAITING.saturating_sub(self.waiting.available_permits())
    }

    pub(super) fn begin_waiting(&self, call: &Invocation, refusal: CallError) -> Result<Wait<'_>, CallError> {
        let permit = self
            .waiting
            .try_acquire()
            .map_err(|_| CallError::new(Code::Busy, format!("too many calls wait already; {}", refusal.message)))?;
        // What is left over of the deadline is for the reason to reach whoever called.
        let patience = call.deadline.remaining().mul_f64(0.9).min(LONGEST_WAIT);
        Ok(Wait { until: Deadline::after(patience), changes: self.table.clone(), _permit: permit })
    }
}
