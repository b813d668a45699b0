//! The log: to standard error, for people or as JSON.
//!
//! A line of JSON is one flat object: what the event says, and what the spans around it say, above all `request_id`. So
//! every line that belongs to a request is found by it, whoever wrote it.

use std::fmt;
use std::io::IsTerminal;

use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt, ParseError, filter_fn};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormattedFields, layer as lines};
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::config::LogFormat;

/// Fields by which a span says how it is to stand in a trace.
const FOR_TRACES: &str = "otel.";

/// Writes the log, of what the filter lets through.
pub(super) fn layer<S>(format: LogFormat, filter: &str) -> Result<Box<dyn Layer<S> + Send + Sync>, ParseError>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let filter = EnvFilter::builder().parse(filter)?.and(filter_fn(|metadata| !quotes_messages(metadata)));
    // A log that cannot be written (its reader is gone, the disk is full) is no reason to stop serving.
    let lines = lines().with_writer(std::io::stderr).log_internal_errors(false);
    Ok(match format {
        LogFormat::Pretty => lines.with_ansi(std::io::stderr().is_terminal()).with_filter(filter).boxed(),
        LogFormat::Json => {
            let flat = lines.with_ansi(false).event_format(FlatJson).fmt_fields(JsonFields::new());
            flat.with_filter(filter).boxed()
        }
    })
}

/// Whether it quotes whole messages, events and all that they say of people: NATS's client does at its lowest level. No
/// filter lets that into the log.
fn quotes_messages(metadata: &Metadata<'_>) -> bool {
    *metadata.level() == Level::TRACE && metadata.target().starts_with("async_nats")
}

/// One flat JSON object a line.
struct FlatJson;

impl<S, N> FormatEvent<S, N> for FlatJson
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        let mut line = Map::new();
        event.record(&mut Fields(&mut line));
        // The nearest span first: what is nearer to the event says it more exactly.
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            let Some(fields) = extensions.get::<FormattedFields<N>>() else { continue };
            if let Ok(fields) = serde_json::from_str::<Map<String, Value>>(&fields.fields) {
                for (name, value) in fields.into_iter().filter(|(name, _)| !name.starts_with(FOR_TRACES)) {
                    line.entry(name).or_insert(value);
                }
            }
        }
        // What a person looks for first stands first.
        let at = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
        write!(writer, r#"{{"timestamp":"{at}","level":"{}""#, metadata.level())?;
        if let Some(message) = line.remove("message") {
            write!(writer, r#","message":{message}"#)?;
        }
        line.insert("target".to_owned(), metadata.target().into());
        for (name, value) in line {
            write!(writer, ",{}:{value}", Value::String(name))?;
        }
        writeln!(writer, "}}")
    }
}

/// Takes an event's fields down as JSON; numbers stay numbers.
struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().trim_start_matches("r#").to_owned(), value.into());
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value);
    }

    /// With all that caused it.
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        self.insert(field, text);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_says_what_the_event_and_its_spans_say() {
        let written = Written::default();
        let writer = written.clone();
        let flat = lines().event_format(FlatJson).fmt_fields(JsonFields::new()).with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(flat), || {
            let request = tracing::error_span!(
                "request",
                request_id = "r-1",
                status = tracing::field::Empty,
                place = 1,
                otel.kind = "server"
            );
            let _request = request.enter();
            let inner = tracing::error_span!("inner", place = 2);
            let _inner = inner.enter();
            request.record("status", 503);
            let error: &dyn std::error::Error = &std::io::Error::other(std::fmt::Error);
            tracing::warn!(error, elapsed_ms = 1.5, ok = false, "it took\nlong");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        let mut line: Map<String, Value> = serde_json::from_str(&text).unwrap();
        assert!(line.remove("timestamp").is_some_and(|at| at.as_str().unwrap().ends_with('Z')));
        let expected = serde_json::json!({
            "level": "WARN", "target": "credit_approval::telemetry::log::tests", "message": "it took\nlong",
            "error": std::fmt::Error.to_string(), "elapsed_ms": 1.5, "ok": false,
            "request_id": "r-1", "status": 503, "place": 2,
        });
        assert_eq!(Value::Object(line), expected);
    }
}
