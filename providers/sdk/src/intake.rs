//! Which calls a provider has taken, and whether it takes more. A provider asks for each call, and drains by closing.

use mesh_lattice::{CallError, Code};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use crate::provider::LinkError;

/// The calls of one provider.
#[derive(Debug, Default)]
pub struct Intake(TaskTracker);

/// One call that was taken: it runs for as long as this is held.
pub type Taken = TaskTrackerToken;

impl Intake {
    /// Takes a call.
    ///
    /// # Errors
    ///
    /// `unavailable`, once it was closed.
    pub fn take(&self) -> Result<Taken, CallError> {
        // Counted before it is asked: whoever closes meanwhile waits for it or refuses it.
        let taken = self.0.token();
        if self.0.is_closed() {
            return Err(CallError::new(Code::Unavailable, "the provider is stopping"));
        }
        Ok(taken)
    }

    /// Whether a link may still be made.
    ///
    /// # Errors
    ///
    /// [`LinkError::Stopping`], once it was closed.
    pub fn is_open(&self) -> Result<(), LinkError> {
        if self.0.is_closed() { Err(LinkError::Stopping) } else { Ok(()) }
    }

    /// Takes nothing more.
    pub fn close(&self) {
        self.0.close();
    }

    /// Returns once it was closed and every call that was taken is over.
    pub async fn ended(&self) {
        self.0.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_taken_is_waited_for_and_nothing_is_taken_after_closing() {
        let intake = Intake::default();
        let taken = intake.take().unwrap();
        assert!(intake.is_open().is_ok());
        intake.close();
        assert_eq!(intake.take().err().unwrap().code, Code::Unavailable);
        assert!(matches!(intake.is_open(), Err(LinkError::Stopping)));
        let mut ended = Box::pin(intake.ended());
        assert!(futures::poll!(&mut ended).is_pending());
        drop(taken);
        ended.await;
    }
}
