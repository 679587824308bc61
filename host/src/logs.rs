//! Answers people who ask what the actors of this host printed. Run by `lattice.rs` beside the calls of other hosts.
//!
//! Like every other way to look, it needs the lattice's NATS credentials and nobody's signature. A host keeps nothing for
//! who follows: each answer is a page of the journal, which has its bounds, so that whoever asks too often delays
//! the next one who asks, and nothing else.

use std::{sync::Arc, time::Duration};

use mesh_lattice::{
    BootId, HostId,
    control::{ControlCode, ControlError},
    logs::{Logs, LogsRequest},
};
use mesh_runtime::Journals;
use mesh_transport::{Connections, Request, control::serve_logs};
use tokio_util::sync::CancellationToken;

/// The subscription is tried again this often.
const AGAIN: Duration = Duration::from_secs(1);

/// Tells what actors printed.
pub(crate) struct Telling {
    pub(crate) host: HostId,
    pub(crate) boot: BootId,
    pub(crate) journals: Arc<Journals>,
}

impl Telling {
    /// Answers until `cancel`.
    pub(crate) async fn run(self, connections: Connections, cancel: CancellationToken) {
        while !cancel.is_cancelled() {
            if let Ok(mut requests) = serve_logs(&connections, &self.host).await {
                while let Some(request) = tokio::select! {
                    () = cancel.cancelled() => return,
                    request = requests.next() => request,
                } {
                    let told = self.tell(&request);
                    if request.answer(told).await.is_err() {
                        tracing::debug!("lines could not be sent: who asked will ask again");
                    }
                }
            }
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    fn tell(&self, request: &Request) -> Result<Logs, ControlError> {
        let LogsRequest { actor, boot, from, last } = request.decode()?;
        // Numbers of another boot say nothing about the lines of this one.
        let from = if boot == Some(self.boot) { from } else { 0 };
        let page = self.journals.read(&actor, from, last).ok_or_else(|| ControlError {
            code: ControlCode::NotFound,
            message: format!("{actor} never ran on this host since it started"),
            hint: String::new(),
        })?;
        Ok(Logs { host: self.host.clone(), boot: self.boot, lines: page.lines, next: page.next, more: page.more })
    }
}
