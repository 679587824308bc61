//! What `/metrics` shows. Labels are closed sets, but for the names of what runs here, of which the first
//! 500 are shown: the number of series is bounded whatever is deployed.

mod lattice;

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc, time::Instant};

use mesh_lattice::Name;
use mesh_provider::Metric;
use mesh_runtime::Engine;
use tokio::{runtime::Handle, sync::watch};

use crate::{converge::Report, router::Router, telemetry::Place};

/// Actors, and providers, that are shown one by one.
const MAX_NAMES: usize = 500;

/// Writes metrics that somebody else owns.
type Show = Box<dyn Fn(&mut Text) + Send + Sync>;

/// Makes the text from what others own.
pub struct Metrics {
    started: Instant,
    labels: String,
    router: Arc<Router>,
    report: watch::Receiver<Arc<Report>>,
    engine: Option<Engine>,
    extra: Vec<Show>,
}

/// Prometheus text in the making.
#[derive(Default)]
pub struct Text(String);

impl Text {
    /// Begins a metric.
    pub fn metric(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One value; `labels` as they stand between the braces.
    pub fn value(&mut self, name: &str, labels: &str, value: u64) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            labels => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }
}

impl Metrics {
    /// Reads from these.
    #[must_use]
    pub fn new(
        identity: &crate::identity::Identity,
        lattice: &str,
        router: Arc<Router>,
        report: watch::Receiver<Arc<Report>>,
        engine: Engine,
    ) -> Self {
        let labels = format!("id=\"{}\",lattice=\"{lattice}\",version=\"{}\"", identity.id, env!("CARGO_PKG_VERSION"));
        Self { started: Instant::now(), labels, router, report, engine: Some(engine), extra: Vec::new() }
    }

    /// Shows what `show` writes as well.
    #[must_use]
    pub fn with(mut self, show: impl Fn(&mut Text) + Send + Sync + 'static) -> Self {
        self.extra.push(Box::new(show));
        self
    }

    /// Shows how many tasks these have.
    #[must_use]
    pub(crate) fn with_tasks(self, runtimes: [(&'static str, Handle); 2]) -> Self {
        self.with(move |text| {
            text.metric("mesh_tasks", "gauge", "Tasks that have not ended, by the threads that they run on.");
            for (name, runtime) in &runtimes {
                let alive = u64::try_from(runtime.metrics().num_alive_tasks()).unwrap_or(u64::MAX);
                text.value("mesh_tasks", &format!("threads=\"{name}\""), alive);
            }
        })
    }

    /// The text.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = Text::default();
        text.metric("mesh_host_info", "gauge", "The host.");
        text.value("mesh_host_info", &self.labels, 1);
        text.metric("mesh_uptime_seconds", "gauge", "Seconds since it started.");
        text.value("mesh_uptime_seconds", "", self.started.elapsed().as_secs());
        self.calls(&mut text);
        self.refusals(&mut text);
        self.retries(&mut text);
        self.actors(&mut text);
        self.providers(&mut text);
        self.of_providers(&mut text);
        self.process(&mut text);
        for show in &self.extra {
            show(&mut text);
        }
        text.0
    }

    fn calls(&self, text: &mut Text) {
        let places = [("caller", Place::Caller), ("remote", Place::Remote), ("callee", Place::Callee)];
        let counters = self.router.counters();
        text.metric(
            "mesh_calls_total",
            "counter",
            "Calls by how they ended: of what runs here (caller), those of them that went to other hosts (remote), \
             and those that came from other hosts (callee).",
        );
        for (name, place) in places {
            for (code, count) in counters.ended(place).filter(|(_, count)| *count > 0) {
                text.value("mesh_calls_total", &format!("place=\"{name}\",code=\"{code}\""), count);
            }
        }
        text.metric("mesh_calls_open", "gauge", "Calls without an answer yet.");
        for (name, place) in places {
            text.value("mesh_calls_open", &format!("place=\"{name}\""), counters.open(place));
        }
        text.metric("mesh_calls_waiting", "gauge", "Calls whose target is ready on no host.");
        text.value("mesh_calls_waiting", "", self.router.waiting() as u64);
    }

    /// Two closed sets: never more series than they have members, whatever is sent here.
    fn refusals(&self, text: &mut Text) {
        text.metric(
            "mesh_refusals_total",
            "counter",
            "Frames, hellos of other hosts and calls that were refused, by why; the log has the first of each at \
             target audit.",
        );
        for (kind, reason, count) in self.router.refusals().all() {
            let labels = format!("refused=\"{}\",reason=\"{}\"", kind.as_str(), reason.as_str());
            text.value("mesh_refusals_total", &labels, count);
        }
    }

    /// Calls that were made once more elsewhere.
    fn retries(&self, text: &mut Text) {
        let retries = self.router.retries();
        text.metric("mesh_calls_retried_elsewhere_total", "counter", "Calls that were made once more on another host.");
        text.value("mesh_calls_retried_elsewhere_total", "", retries.granted());
        text.metric("mesh_retry_budget_empty_total", "counter", "Calls that were not, because too many had been.");
        text.value("mesh_retry_budget_empty_total", "", retries.refused());
    }

    fn actors(&self, text: &mut Text) {
        let report = self.report.borrow().clone();
        let running: Vec<_> = report
            .actors
            .iter()
            .filter_map(|(observed, actor)| Some((format!("actor=\"{}\"", observed.name), actor.as_ref()?.stats())))
            .take(MAX_NAMES)
            .collect();
        text.metric("mesh_actor_instances", "gauge", "Instances that serve a call.");
        for (labels, stats) in &running {
            text.value("mesh_actor_instances", labels, stats.instances.into());
        }
        text.metric("mesh_actor_instances_idle", "gauge", "Instances that are kept for another call.");
        for (labels, stats) in &running {
            text.value("mesh_actor_instances_idle", labels, stats.idle.into());
        }
        text.metric("mesh_actor_handles", "gauge", "Handles of its resources that callers hold.");
        for (labels, stats) in &running {
            text.value("mesh_actor_handles", labels, stats.handles.into());
        }
        text.metric("mesh_actor_queued", "gauge", "Calls that wait for an instance.");
        for (labels, stats) in &running {
            text.value("mesh_actor_queued", labels, stats.queued.into());
        }
        text.metric("mesh_actor_calls_total", "counter", "Calls taken or refused.");
        for (labels, stats) in &running {
            text.value("mesh_actor_calls_total", labels, stats.calls);
        }
        text.metric("mesh_actor_errors_total", "counter", "Calls without an answer.");
        for (labels, stats) in &running {
            text.value("mesh_actor_errors_total", labels, stats.errors);
        }
        text.metric("mesh_actor_lines_dropped_total", "counter", "Lines that it printed and that are in no log.");
        for (labels, stats) in &running {
            text.value("mesh_actor_lines_dropped_total", labels, stats.dropped_lines);
        }
    }

    fn providers(&self, text: &mut Text) {
        let report = self.report.borrow().clone();
        text.metric("mesh_provider_running", "gauge", "1 where it serves.");
        for provider in report.providers.iter().take(MAX_NAMES) {
            let running = provider.state == mesh_lattice::stored::ProviderState::Running;
            text.value("mesh_provider_running", &format!("provider=\"{}\"", provider.name), running.into());
        }
        text.metric("mesh_provider_restarts_total", "counter", "How often it was started again.");
        for provider in report.providers.iter().take(MAX_NAMES) {
            let labels = format!("provider=\"{}\"", provider.name);
            text.value("mesh_provider_restarts_total", &labels, provider.restarts.into());
        }
    }

    /// What providers count themselves: those of one kind under one metric each.
    fn of_providers(&self, text: &mut Text) {
        let serving = &self.report.borrow().clone().serving;
        let mut metrics: BTreeMap<&'static str, Vec<(&Name, Metric)>> = BTreeMap::new();
        for (name, provider) in serving.iter().take(MAX_NAMES) {
            for metric in provider.metrics() {
                metrics.entry(metric.name).or_default().push((name, metric));
            }
        }
        for (metric, providers) in &metrics {
            if let Some((_, first)) = providers.first() {
                text.metric(metric, first.kind.as_str(), first.help);
            }
            for (provider, labels, value) in
                providers.iter().flat_map(|(name, metric)| metric.values.iter().map(move |(l, v)| (name, l, v)))
            {
                let separator = if labels.is_empty() { "" } else { "," };
                text.value(metric, &format!("provider=\"{provider}\"{separator}{labels}"), *value);
            }
        }
    }

    fn process(&self, text: &mut Text) {
        if let Some(engine) = &self.engine {
            text.metric("mesh_guest_memory_bytes", "gauge", "Linear memory of live instances.");
            text.value("mesh_guest_memory_bytes", "", engine.memory_in_use());
            text.metric("mesh_compilations_total", "counter", "Components that were compiled.");
            text.value("mesh_compilations_total", "", engine.compilations());
        }
        text.metric("process_resident_memory_bytes", "gauge", "Resident memory.");
        text.value("process_resident_memory_bytes", "", resident_bytes());
        text.metric("process_open_fds", "gauge", "Open file descriptors.");
        let open = std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
        text.value("process_open_fds", "", open);
    }

    #[cfg(test)]
    pub(super) fn for_tests() -> Self {
        let (_, tables) = watch::channel(Arc::default());
        let report = Report {
            origin: crate::known::Origin::Nothing,
            term: 0,
            actors: Vec::new(),
            providers: Vec::new(),
            serving: Vec::new(),
        };
        Self {
            started: Instant::now(),
            labels: "id=\"N\"".into(),
            router: Router::new(tables, None, None, Arc::default()),
            report: watch::channel(Arc::new(report)).1,
            engine: None,
            extra: Vec::new(),
        }
    }
}

/// From `/proc/self/status`, which says it in kilobytes; 0 where there is none.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}
