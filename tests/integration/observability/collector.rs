//! A collector of traces, as far as the product talks to one: OTLP over HTTP.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message;
use tokio::net::TcpListener;

use crate::support::wait::eventually;

/// A span as it was sent.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) name: String,
    pub(super) trace_id: String,
    pub(super) span_id: String,
    pub(super) parent_id: String,
    pub(super) kind: i32,
    pub(super) nanoseconds: u64,
    pub(super) attributes: BTreeMap<String, String>,
    /// Whose it is: the process's own name for itself.
    pub(super) instance: String,
    pub(super) service: String,
}

type Spans = Arc<Mutex<Vec<Span>>>;

/// A collector on a port of its own.
pub(super) struct Collector {
    pub(super) url: String,
    spans: Spans,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    pairs.into_iter().map(|pair| (pair.key, text(pair.value))).collect()
}

async fn collect(State(spans): State<Spans>, body: Bytes) -> StatusCode {
    let Ok(request) = ExportTraceServiceRequest::decode(body) else { return StatusCode::BAD_REQUEST };
    for of_resource in request.resource_spans {
        let resource = attributes(of_resource.resource.map(|resource| resource.attributes).unwrap_or_default());
        for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            spans.lock().unwrap().push(Span {
                name: span.name,
                trace_id: hex(&span.trace_id),
                span_id: hex(&span.span_id),
                parent_id: hex(&span.parent_span_id),
                kind: span.kind,
                nanoseconds: span.end_time_unix_nano - span.start_time_unix_nano,
                attributes: attributes(span.attributes),
                instance: resource["service.instance.id"].clone(),
                service: resource["service.name"].clone(),
            });
        }
    }
    StatusCode::OK
}

impl Collector {
    pub(super) async fn start() -> Self {
        let spans = Spans::default();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new().route("/v1/traces", post(collect)).with_state(Arc::clone(&spans));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { url, spans }
    }

    /// The spans of a trace, so far.
    pub(super) fn of(&self, trace_id: &str) -> Vec<Span> {
        self.spans.lock().unwrap().iter().filter(|span| span.trace_id == trace_id).cloned().collect()
    }

    /// The spans of a trace, once there are so many of that name.
    pub(super) async fn until(&self, trace_id: &str, count: usize, name: &str) -> Vec<Span> {
        let what = format!("{count} spans that begin with {name}");
        eventually(&what, async || {
            let spans = self.of(trace_id);
            (spans.iter().filter(|span| span.name.starts_with(name)).count() >= count).then_some(spans)
        })
        .await
    }
}
