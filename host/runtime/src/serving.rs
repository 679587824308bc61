//! A call that is answered with a value: one guest, polled in the task of whoever calls, to its end or the deadline.
//! Functions of any interface and messages go this way; HTTP, whose guests live on behind the head of their answer, has
//! one of its own.

use std::{pin::pin, sync::Arc};

use mesh_lattice::{CallError, Deadline, Reply, TraceContext};

use crate::{actor::Shared, meter::Metered, outbound::Outbound};

/// One call: `run` is the guest, and holds its right to live.
pub(crate) async fn serve<F>(
    shared: &Arc<Shared>,
    (deadline, trace): (Deadline, Option<TraceContext>),
    run: impl FnOnce(Outbound) -> F,
) -> Result<Reply, CallError>
where
    F: Future<Output = Result<Reply, CallError>>,
{
    let outbound = Outbound::of_call(shared, deadline, trace);
    let meter = Arc::clone(&outbound.meter);
    let mut guest = Metered::new(Arc::clone(&meter), run(outbound));
    // Registered with the timer only where the guest does not finish in its first poll.
    let mut late = pin!(tokio::time::sleep(deadline.remaining()));
    tokio::select! {
        biased;
        result = &mut guest => result,
        () = &mut late => Err(meter.fail_late()),
    }
}
