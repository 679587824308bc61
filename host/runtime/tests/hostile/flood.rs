//! A guest that prints as fast as it can: what the log of the host gets of it.

use std::{
    io::{self, Write},
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use mesh_lattice::{Code, Serve, application::Limits};
use mesh_runtime::ActorConfig;
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    ALONE,
    guests::{config, engine, get, guest},
    neighbour::Neighbour,
    peer::Peer,
};

/// Bytes per second, and at once.
const BUCKET: f64 = 262_144.0;

/// A log as the host writes it, line by line.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The only test of this program that looks at what is printed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_fills_its_bucket_and_no_more_and_every_line_is_one_object() {
    let _alone = ALONE.lock().await;
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(log.clone()).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let engine = engine(true);
    let neighbour = Neighbour::start(&engine).await;
    let limits = Limits { cpu_ms: 1_500, time_ms: 60_000, ..Limits::default() };
    let config = ActorConfig { limits, ..config("print").with_concurrency(NonZeroU32::new(2).unwrap()) };
    let actor = engine.actor(&guest("print"), config, Peer::nobody()).await.unwrap();
    log.0.lock().unwrap().clear();
    let start = Instant::now();
    for ended in futures::future::join_all((0..2).map(|_| actor.serve(get("/flood")))).await {
        assert_eq!(ended.unwrap_err().code, Code::CpuLimit);
    }
    let took = start.elapsed();
    let (calls, slowest) = neighbour.stop().await;

    let printed = std::mem::take(&mut *log.0.lock().unwrap());
    let allowed = BUCKET * (1.0 + took.as_secs_f64());
    let share = printed.len() as f64 / allowed;
    let dropped = actor.stats().dropped_lines;
    println!("{} bytes of log in {took:?}, {share:.2} of what is allowed; {dropped} lines dropped", printed.len());
    println!("the neighbour was called {calls} times, the slowest call took {slowest:?}");
    assert!(share < 1.05, "{share}");
    assert!(share > 0.3, "{share}: there was no flood");
    assert!(dropped > 0 && took > Duration::from_secs(1));
    let mut fakes = 0;
    for line in printed.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let object: serde_json::Value = serde_json::from_slice(line).expect("a line that is no object");
        assert_eq!(object["target"], "guest", "{object}");
        assert_ne!(object["level"], "ERROR", "a guest wrote a line of its own: {object}");
        assert!(line.len() < 17 << 10, "a line of {} bytes", line.len());
        fakes += u32::from(object["message"].as_str().is_some_and(|text| text.contains("fake")));
    }
    assert!(fakes > 0, "the line that looks like an object arrived as text");
}
