//! Traces: one from a client's own span through request, load, decide and append, and on through relay and NATS to every
//! read model, across processes.

use std::net::TcpListener;
use std::path::Path;

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use sqlx::PgPool;

use super::collector::{Collector, Span};
use super::service::{Service, says};
use crate::import::Scratch;
use crate::support::TestApp;
use crate::support::client::{application, registration};

/// As OTLP numbers them.
const SERVER: i32 = 2;
const PRODUCER: i32 = 4;
const CONSUMER: i32 = 5;
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENT_SPAN: &str = "b7ad6b7169203331";

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name || span.name.starts_with(&format!("{name} "))).collect()
}

fn only<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found = named(spans, name);
    assert_eq!(found.len(), 1, "{name}: {spans:#?}");
    found[0]
}

/// Where the collector is, and that it need not be waited for.
fn variables(collector: &Collector) -> [(&str, &str); 2] {
    [("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url), ("OTEL_BSP_SCHEDULE_DELAY", "100")]
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_goes_from_the_client_to_every_read_model_across_processes() {
    let (config, collector) = (TestApp::config(&[]).await, Collector::start().await);
    let variables = variables(&collector);
    let relay = Service::start(&config, "relay", &variables).await;
    if config.nats_url.is_some() {
        // Whatever was appended before, workers fetch from the log.
        relay.until_says("relaying").await;
    }
    let projector = Service::start(&config, "projector", &variables).await;
    let api = Service::start(&config, "api", &variables).await;
    // By another process, so that this one has yet to read the customer's stream.
    let elsewhere = Service::start(&config, "api", &[]).await;
    let customer = elsewhere.client().register(90_000).await;
    let request = api.client().request(Method::POST, "/create-loan").header("X-Request-Id", "loan-1");
    let request = request.header("traceparent", format!("00-{TRACE}-{CLIENT_SPAN}-01"));
    let answer = api.client().send(request.json(&application(customer, 100_000, 14, 12))).await;
    assert_eq!(answer.status, 201, "{}", answer.body);

    // Each process sends what is its own when it gets to it.
    collector.until(TRACE, 8, "apply").await;
    if config.nats_url.is_some() {
        collector.until(TRACE, 2, "publish").await;
    }
    let spans = collector.until(TRACE, 1, "POST").await;
    let request = only(&spans, "POST");
    assert_eq!((request.name.as_str(), request.kind), ("POST /create-loan", SERVER));
    assert_eq!(request.parent_id, CLIENT_SPAN);
    assert_eq!((request.service.as_str(), request.attributes["request_id"].as_str()), ("credit-approval", "loan-1"));
    assert_eq!(request.attributes["http.response.status_code"], "201");
    let decide = only(&spans, "decide");
    assert_eq!((&decide.parent_id, decide.attributes["attempt"].as_str()), (&request.span_id, "1"));
    assert_eq!(only(&spans, "load").parent_id, decide.span_id);
    let append = only(&spans, "append");
    assert_eq!(append.parent_id, request.span_id);
    assert!(append.nanoseconds <= request.nanoseconds, "{spans:#?}");

    let published = named(&spans, "publish");
    let applied = named(&spans, "apply");
    let (events, read_models) = (2, 4);
    assert_eq!(applied.len(), events * read_models, "{spans:#?}");
    if config.nats_url.is_some() {
        assert_eq!(published.len(), events, "{spans:#?}");
        assert!(published.iter().all(|span| span.kind == PRODUCER && span.parent_id == request.span_id));
    }
    for span in &applied {
        let position = &span.attributes["credit_approval.position"];
        let publish = published.iter().find(|publish| publish.attributes["credit_approval.position"] == *position);
        let parent = publish.map_or(&request.span_id, |publish| &publish.span_id);
        assert!(span.parent_id == *parent || span.parent_id == request.span_id, "{span:?} of {spans:#?}");
        assert_eq!(span.kind, CONSUMER);
    }
    let carried = |span: &&&Span| published.iter().any(|publish| publish.span_id == span.parent_id);
    assert!(config.nats_url.is_none() || applied.iter().any(|span| carried(&span)), "through NATS: {spans:#?}");
    let mut instances: Vec<_> = [request.instance.clone(), applied[0].instance.clone()].to_vec();
    instances.extend(published.first().map(|span| span.instance.clone()));
    let processes = instances.len();
    instances.sort();
    instances.dedup();
    assert_eq!(instances.len(), processes, "each its own process");

    let pool = PgPool::connect(config.store.database_url.as_ref().unwrap()).await.unwrap();
    let recorded: Vec<String> =
        sqlx::query_scalar("select metadata->>'traceparent' from events where metadata->>'request_id' = 'loan-1'")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(recorded, vec![format!("00-{TRACE}-{}-01", request.span_id); events], "our span, not the client's");
    let told = api.lines_of("loan-1");
    assert!(told.iter().any(|line| says(line, "request") && line["trace_id"] == TRACE), "{told:?}");
    drop((elsewhere, projector, relay));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_that_the_client_does_not_keep_is_not_made_and_still_passed_on() {
    let (config, collector) = (TestApp::config(&[]).await, Collector::start().await);
    let service = Service::start(&config, "api,relay,projector", &variables(&collector)).await;
    let send = async |flags: &str, trace: &str| {
        let request = service.client().request(Method::POST, "/register");
        let request = request.header("traceparent", format!("00-{trace}-{CLIENT_SPAN}-{flags}"));
        assert_eq!(service.client().send(request.json(&registration(50_000))).await.status, 201);
    };
    let kept = "11111111111111111111111111111111";
    send("00", TRACE).await;
    send("01", kept).await;
    // What was before it has been sent before it.
    collector.until(kept, 4, "apply").await;
    assert!(collector.of(TRACE).is_empty(), "{:#?}", collector.of(TRACE));
    let pool = PgPool::connect(config.store.database_url.as_ref().unwrap()).await.unwrap();
    let recorded: String = sqlx::query_scalar("select metadata->>'traceparent' from events where position = 1")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(recorded.starts_with(&format!("00-{TRACE}-")) && recorded.ends_with("-00"), "{recorded}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_trace_begins_one_and_what_is_left_is_sent_at_the_end() {
    let (config, collector) = (TestApp::config(&[]).await, Collector::start().await);
    // Sent by itself nothing would be before the test gives up.
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "600000")];
    let mut service = Service::start(&config, "api,relay,projector", &variables).await;
    let request = service.client().request(Method::POST, "/register").header("X-Request-Id", "first-1");
    assert_eq!(service.client().send(request.json(&registration(50_000))).await.status, 201);
    let told = service.lines_of("first-1").into_iter().find(|line| says(line, "request")).unwrap();
    let trace_id = told["trace_id"].as_str().unwrap();
    assert!(collector.of(trace_id).is_empty(), "not yet");
    service.stop().await;
    let spans = collector.of(trace_id);
    assert_eq!(only(&spans, "POST").parent_id, "", "{spans:#?}");
    assert_eq!(only(&spans, "append").parent_id, only(&spans, "POST").span_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_one_span_and_not_one_for_each_row() {
    let (config, collector) = (TestApp::config(&[]).await, Collector::start().await);
    let mut service = Service::start(&config, "api,relay,projector,importer", &variables(&collector)).await;
    let files = Scratch::new();
    let workbooks = files.generated(10, 20);
    let part = |path: &Path| Part::bytes(std::fs::read(path).unwrap()).file_name("workbook.xlsx");
    let form = Form::new().part("customers", part(&workbooks.customers)).part("loans", part(&workbooks.loans));
    let request = service.client().request(Method::POST, "/v1/imports").multipart(form);
    let answer = service.client().send(request.header("traceparent", format!("00-{TRACE}-{CLIENT_SPAN}-01"))).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let id = answer.body["id"].to_string();
    collector.until(TRACE, 1, "import").await;
    service.client().register(50_000).await;
    service.stop().await;
    let all = collector.of(TRACE);
    let import = only(&all, "import");
    assert_eq!((&import.parent_id, &import.attributes["credit_approval.import"]), (&only(&all, "POST").span_id, &id));
    assert!(named(&all, "publish").is_empty() && named(&all, "apply").is_empty(), "{all:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_gone_holds_nothing_up_and_is_complained_of_once() {
    let config = TestApp::config(&[]).await;
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "20")];
    let mut service = Service::start(&config, "api,relay,projector", &variables).await;
    for _ in 0..20 {
        service.client().register(50_000).await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    service.stop().await;
    let lines = service.lines();
    let complained = lines.iter().filter(|line| says(line, "traces cannot be sent, and are dropped"));
    assert_eq!(complained.count(), 1, "{}", service.log());
}
