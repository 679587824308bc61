//! Logs, and spans of calls. `main` starts both; the router begins and ends a span around each call where spans are
//! exported, and pays for one comparison where they are not.
//!
//! A call carries its trace as a W3C context (<https://www.w3.org/TR/trace-context/>). The span of a call continues
//! that trace, and what the callee hears continues the span.

use std::time::Duration;

use mesh_lattice::{CallError, Invocation, Params, Reply, TraceContext};
use opentelemetry::{
    Context, KeyValue,
    trace::{
        Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
        Tracer as _, TracerProvider as _,
    },
};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracer, SdkTracerProvider, Span as SdkSpan},
};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::config::{Config, LogFormat};

/// Where a call passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The host that the caller runs on.
    Caller,
    /// The way from this host to another one.
    Remote,
    /// The host that another host's call reached.
    Callee,
}

/// Spans cannot be exported.
#[derive(Debug, thiserror::Error)]
#[error("spans cannot be exported to {url}: {what}")]
pub struct ExportError {
    url: String,
    what: String,
}

/// Starts writing logs to standard error; `MESH_LOG` says which, `info` where it says nothing. The audit log is part
/// of it unless `MESH_LOG` names the target `audit` itself. The second call in a process changes nothing.
pub fn start_logs(format: LogFormat) {
    let filter = EnvFilter::new(filter(std::env::var("MESH_LOG").ok()));
    let registry = tracing_subscriber::registry().with(filter);
    // A subscriber that is there already was set by a test harness, and stays.
    let _ = match format {
        LogFormat::Text => {
            registry.with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false)).try_init()
        }
        LogFormat::Json => registry
            .with(tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(std::io::stderr))
            .try_init(),
    };
}

/// What is written where nothing else is wanted. The NATS client tells each of its attempts while the server is away;
/// a host says once that it is, in its own words.
const DEFAULT: &str = "info,async_nats=warn";

/// What is written: whoever wants fewer logs does not want fewer audit events by that.
fn filter(wanted: Option<String>) -> String {
    let wanted = wanted.filter(|wanted| EnvFilter::try_new(wanted).is_ok()).unwrap_or_else(|| DEFAULT.to_owned());
    if wanted.contains("audit") { wanted } else { format!("{wanted},audit=info") }
}

/// Owns the export of spans; ends with [`Spans::shutdown`].
pub struct Spans {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Spans {
    /// Exports to this address over OTLP/HTTP, in batches, on a thread of its own.
    ///
    /// # Errors
    ///
    /// Where the address is none.
    pub fn export(config: &Config, url: &str, host: &str) -> Result<Self, ExportError> {
        let failed = |what: String| ExportError { url: url.to_owned(), what };
        let uri: http::Uri = url.parse().map_err(|error| failed(format!("{error}")))?;
        let endpoint = match uri.path() {
            "" | "/" => format!("{}/v1/traces", url.trim_end_matches('/')),
            _ => url.to_owned(),
        };
        // A client that can speak TLS is built only where somebody has said whose cryptography it uses. It fails where
        // somebody has.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .with_timeout(Duration::from_secs(5))
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let resource = Resource::builder()
            .with_service_name("meshd")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("service.instance.id", host.to_owned()))
            .with_attribute(KeyValue::new("mesh.lattice", config.lattice.to_string()))
            .with_attribute(KeyValue::new("mesh.host", config.name.clone()))
            .build();
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        let tracer = provider.tracer("meshd");
        Ok(Self { provider, tracer })
    }

    /// Makes spans of calls.
    #[must_use]
    pub fn tracer(&self) -> Tracer {
        Tracer(self.tracer.clone())
    }

    /// Sends what is left and ends. Blocks for at most `timeout`: not to be called where calls are served.
    pub fn shutdown(&self, timeout: Duration) {
        if let Err(error) = self.provider.shutdown_with_timeout(timeout) {
            tracing::warn!("the last spans were not exported: {error}");
        }
    }
}

/// Makes spans of calls.
#[derive(Clone)]
pub struct Tracer(SdkTracer);

/// The span of one call; it ends when it is dropped.
pub struct Span(SdkSpan);

impl Tracer {
    /// Begins the span of this call, and lets what follows continue it.
    pub(crate) fn begin(&self, call: &mut Invocation, place: Place) -> Span {
        let parent = call.trace.as_ref().and_then(read);
        let context = parent.map_or_else(Context::new, |parent| Context::new().with_remote_span_context(parent));
        let target = call.target.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string);
        let kind = match place {
            Place::Callee => SpanKind::Server,
            Place::Caller | Place::Remote => SpanKind::Client,
        };
        let mut attributes = vec![
            KeyValue::new("mesh.caller", call.caller.to_string()),
            KeyValue::new("mesh.target", target),
            KeyValue::new("mesh.link", call.link.to_string()),
            KeyValue::new("rpc.system", "mesh"),
            KeyValue::new("rpc.service", call.interface.to_string()),
            KeyValue::new("rpc.method", call.operation.to_string()),
        ];
        if let Some(id) = request_id(call) {
            attributes.push(KeyValue::new("http.request.header.x-request-id", id));
        }
        let name = format!("{}.{}", call.interface.interface(), call.operation);
        let builder = self.0.span_builder(name).with_kind(kind).with_attributes(attributes);
        let span = builder.start_with_context(&self.0, &context);
        call.trace = Some(write(span.span_context()));
        Span(span)
    }
}

/// What the client calls its request, so that its word leads to the trace.
fn request_id(call: &Invocation) -> Option<String> {
    let Params::Http(head) = &call.params else { return None };
    Some(head.headers.get("x-request-id")?.to_str().ok()?.to_owned())
}

impl Span {
    pub(crate) fn end(mut self, result: &Result<Reply, CallError>) {
        if let Err(error) = result {
            self.0.set_attribute(KeyValue::new("error.type", error.code.as_str()));
            self.0.set_status(Status::error(error.message.clone()));
        }
        self.0.end();
    }
}

/// The span that a W3C context names; `None` where it names none.
fn read(trace: &TraceContext) -> Option<SpanContext> {
    let mut parts = trace.traceparent.split('-');
    let (version, trace_id, span_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if version.len() != 2 || version == "ff" || trace_id.len() != 32 || span_id.len() != 16 || flags.len() != 2 {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    let state = trace.tracestate.as_deref().and_then(|state| state.parse().ok());
    let context = SpanContext::new(
        TraceId::from_hex(trace_id).ok()?,
        SpanId::from_hex(span_id).ok()?,
        flags,
        true,
        state.unwrap_or(TraceState::NONE),
    );
    context.is_valid().then_some(context)
}

fn write(context: &SpanContext) -> TraceContext {
    let state = context.trace_state().header();
    TraceContext {
        traceparent: format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags().to_u8())
            .into(),
        tracestate: (!state.is_empty()).then(|| state.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn tracer() -> Tracer {
        Tracer(SdkTracerProvider::builder().build().tracer("test"))
    }

    #[test]
    fn a_call_continues_the_trace_that_it_came_with() {
        let mut call = crate::testing::call("web", "counter");
        call.trace = Some(TraceContext { traceparent: PARENT.into(), tracestate: Some("vendor=1".into()) });
        let _span = tracer().begin(&mut call, Place::Caller);
        let trace = call.trace.unwrap();
        assert_eq!(trace.traceparent[..36], PARENT[..36]);
        assert_ne!(trace.traceparent[36..52], PARENT[36..52], "a span of its own");
        assert_eq!(trace.tracestate.as_deref(), Some("vendor=1"));
    }

    #[test]
    fn fewer_logs_are_not_fewer_audit_events() {
        assert_eq!(filter(None), "info,async_nats=warn,audit=info");
        assert_eq!(filter(Some("error".into())), "error,audit=info");
        assert_eq!(filter(Some("==".into())), "info,async_nats=warn,audit=info", "what cannot be read says nothing");
        assert_eq!(filter(Some("info,audit=off".into())), "info,audit=off");
    }

    #[test]
    fn a_call_without_a_trace_or_with_a_broken_one_begins_a_trace() {
        for broken in ["", "00", "00-0-0-0", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"] {
            let mut call = crate::testing::call("web", "counter");
            call.trace = Some(TraceContext { traceparent: broken.into(), tracestate: None });
            let _span = tracer().begin(&mut call, Place::Callee);
            assert!(read(&call.trace.unwrap()).is_some(), "{broken}");
        }
    }
}
