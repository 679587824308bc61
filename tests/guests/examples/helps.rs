//! What `tasks` calls: an asynchronous function that takes its time.

mod bindings {
    wasip3::wit_bindgen::generate!({
        path: "wit/tasks.wit",
        world: "helps",
        runtime_path: "wasip3::wit_bindgen::rt",
    });
}

use bindings::{acme::tasks::jobs::Job, exports::acme::tasks::helper::Guest};
use wasip3::clocks::monotonic_clock;

struct Helps;

bindings::export!(Helps with_types_in bindings);

impl Guest for Helps {
    async fn describe(job: Job) -> Result<String, String> {
        let milliseconds = if job.name == "slow" { 60_000 } else { 1 };
        monotonic_clock::wait_for(milliseconds * 1_000_000).await;
        if job.name.is_empty() { Err("it has no name".into()) } else { Ok(format!("{} of {}", job.name, job.size)) }
    }
}
