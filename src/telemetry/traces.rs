//! Traces by OpenTelemetry: from a request through load, decide and append, and on through relay and NATS to the
//! projections, as one trace.
//!
//! Within a request spans are those of `tracing`. What comes later, in other tasks and processes, is tied to it by the
//! W3C trace context in the event's metadata: [`parent_in`] reads it, [`Later`] makes the span. Where no collector is
//! named, nothing here does anything. Spans wait in a bounded queue for a thread that sends them; when it is full they
//! are dropped, and requests never wait.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{Span as _, SpanContext, SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, Span};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::runtime::Handle;
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::config;

const NAME: &str = "credit-approval";
/// This product's own spans alone; its libraries have some, too.
const TARGET: &str = "credit_approval";
const SEND_WITHIN: Duration = Duration::from_secs(5);
const STOP_WITHIN: Duration = Duration::from_secs(3);
/// Of what a collector answers nothing but its status matters.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Why traces cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The client that would send them cannot be made.
    #[error("no HTTP client for traces")]
    Client(#[from] reqwest::Error),
    /// What OpenTelemetry's variables say does not go together.
    #[error("traces cannot be exported as configured")]
    Exporter(#[from] ExporterBuildError),
}

/// Sends this process's traces.
pub(super) struct Exporter {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Exporter {
    /// None where no collector is named.
    pub(super) fn new(options: &config::Traces, runtime: &Handle) -> Result<Option<Self>, TracesError> {
        let Some(collector) = options.collector() else { return Ok(None) };
        let http = reqwest::Client::builder().timeout(SEND_WITHIN).build()?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Sender { http, runtime: runtime.clone(), fails: AtomicBool::new(false) })
            .with_endpoint(format!("{collector}/v1/traces"))
            .with_timeout(SEND_WITHIN)
            .build()?;
        let resource = Resource::builder()
            .with_service_name(options.otel_service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("service.instance.id", crate::databases::process_name()))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler(options))
            .with_resource(resource)
            .build();
        let tracer = provider.tracer(NAME);
        let tracer = TRACER.get_or_init(|| tracer).clone();
        Ok(Some(Self { provider, tracer }))
    }

    /// Makes this product's spans OpenTelemetry's, whatever the log's filter says.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let spans = tracing_opentelemetry::layer()
            .with_tracer(self.tracer.clone())
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false);
        spans.with_filter(filter_fn(|metadata| metadata.is_span() && metadata.target().starts_with(TARGET)))
    }

    pub(super) fn stop(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(STOP_WITHIN) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

fn sampler(options: &config::Traces) -> Sampler {
    let by_id = Sampler::TraceIdRatioBased(options.otel_traces_sampler_arg);
    match options.otel_traces_sampler {
        config::Sampler::AlwaysOn => Sampler::AlwaysOn,
        config::Sampler::AlwaysOff => Sampler::AlwaysOff,
        config::Sampler::Traceidratio => by_id,
        config::Sampler::ParentbasedAlwaysOn => Sampler::ParentBased(Box::new(Sampler::AlwaysOn)),
        config::Sampler::ParentbasedAlwaysOff => Sampler::ParentBased(Box::new(Sampler::AlwaysOff)),
        config::Sampler::ParentbasedTraceidratio => Sampler::ParentBased(Box::new(by_id)),
    }
}

/// Sends batches for the exporter, whose thread is none of the runtime's. Says once that it fails, and once that it
/// does no longer.
#[derive(Debug)]
struct Sender {
    http: reqwest::Client,
    runtime: Handle,
    fails: AtomicBool,
}

impl Sender {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sending = self.runtime.spawn(send(self.http.clone(), request));
        let outcome = sending.await?;
        let failure = match &outcome {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("the collector answered {}", response.status())),
            Err(error) => Some(error.to_string()),
        };
        match (failure, self.fails.load(Ordering::Relaxed)) {
            (Some(failure), false) => tracing::warn!(failure, "traces cannot be sent, and are dropped"),
            (None, true) => tracing::info!("traces are sent again"),
            (Some(_), true) | (None, false) => return outcome,
        }
        self.fails.fetch_not(Ordering::Relaxed);
        outcome
    }
}

impl HttpClient for Sender {
    // As `async_trait` writes it, for this one function.
    fn send_bytes<'life0, 'async_trait>(
        &'life0 self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(self.send(request))
    }
}

async fn send(http: reqwest::Client, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let mut response = http.execute(request.try_into()?).await?;
    let mut answer = Response::builder().status(response.status());
    if let Some(headers) = answer.headers_mut() {
        headers.clone_from(response.headers());
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(answer.body(body.freeze())?)
}

/// The W3C trace context as it travels.
struct Carried<'a> {
    traceparent: &'a str,
    tracestate: Option<&'a str>,
}

impl Extractor for Carried<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => Some(self.traceparent),
            "tracestate" => self.tracestate,
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

fn written(span: &SpanContext) -> Option<String> {
    let flags = span.trace_flags().to_u8();
    span.is_valid().then(|| format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id()))
}

/// Whether this process makes traces.
#[must_use]
pub fn are_made() -> bool {
    TRACER.get().is_some()
}

/// Begins the trace of a request, as a part of its client's trace where it names one. Answers what is to be passed on
/// with whatever comes of it; `None` where this process makes no traces.
#[must_use]
pub fn begin(span: &tracing::Span, traceparent: Option<&str>, tracestate: Option<&str>) -> Option<String> {
    if !are_made() {
        return None;
    }
    if let Some(traceparent) = traceparent {
        let carried = Carried { traceparent, tracestate };
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &carried);
        // The span is new, so it can still be given a parent.
        let _ = span.set_parent(parent);
    }
    written(span.context().span().span_context())
}

/// Notes what a request asks for, by the names that tracing tools look for.
pub fn asked(span: &tracing::Span, method: &'static str, route: &str) {
    if are_made() {
        span.set_attribute("http.request.method", method);
        span.set_attribute("http.route", route.to_owned());
    }
}

/// Notes what a request was answered.
pub fn answered(span: &tracing::Span, status: u16) {
    const SERVER_ERRORS: std::ops::Range<u16> = 500..600;
    if are_made() {
        span.set_attribute("http.response.status_code", i64::from(status));
        if SERVER_ERRORS.contains(&status) {
            span.set_status(Status::error(""));
        }
    }
}

/// The id of the trace that a trace context is of.
#[must_use]
pub fn trace_id(traceparent: &str) -> Option<&str> {
    traceparent.split('-').nth(1)
}

/// What a trace context names, if this process makes traces and that one is kept.
#[must_use]
pub fn parent(traceparent: &str) -> Option<Context> {
    if !are_made() {
        return None;
    }
    let carried = Carried { traceparent, tracestate: None };
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &carried);
    parent.span().span_context().is_sampled().then_some(parent)
}

/// As [`parent`], of an event's metadata. An import leads to as many events as its workbooks have rows, for which its own
/// span stands.
#[must_use]
pub fn parent_in(metadata: &str) -> Option<Context> {
    if !are_made() {
        return None;
    }
    let metadata: Metadata<'_> = serde_json::from_str(metadata).ok()?;
    if metadata.import_id.is_some() {
        return None;
    }
    parent(&metadata.traceparent?)
}

/// What matters here of an event's metadata.
#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    traceparent: Option<Cow<'a, str>>,
    import_id: Option<IgnoredAny>,
}

/// A span of what is done with an event after its request. It ends when it is dropped.
pub struct Later(Span);

impl Later {
    /// A span that began then.
    #[must_use]
    pub fn new(
        parent: &Context,
        name: String,
        kind: SpanKind,
        began: SystemTime,
        attributes: Vec<KeyValue>,
    ) -> Option<Self> {
        let tracer = TRACER.get()?;
        let span = tracer.span_builder(name).with_kind(kind).with_start_time(began).with_attributes(attributes);
        Some(Self(span.start_with_context(tracer, parent)))
    }

    /// What is to be passed on with what it is a span of.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        written(self.0.span_context())
    }

    /// It came to nothing.
    pub fn failed(&mut self, error: &impl std::fmt::Display) {
        self.0.set_status(Status::error(error.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_context_is_read_as_it_is_written() {
        let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let carried = Carried { traceparent, tracestate: None };
        let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carried);
        assert_eq!(written(context.span().span_context()).as_deref(), Some(traceparent));
        assert_eq!(trace_id(traceparent), Some("0af7651916cd43dd8448eb211c80319c"));
        let nonsense = Carried { traceparent: "00-0-0-0", tracestate: None };
        let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &nonsense);
        assert_eq!(written(context.span().span_context()), None);
    }

    #[test]
    fn without_a_collector_nothing_is_made() {
        assert!(!are_made());
        assert!(parent_in(r#"{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}"#).is_none());
        assert_eq!(begin(&tracing::Span::none(), None, None), None);
    }
}
