//! What bounds imports as a whole: how many wait, what is kept of them and for how long, and whose they are.

use credit_approval::config::{Role, Serve};
use futures::StreamExt;
use reqwest::Method;
use serde_json::json;

use super::{ended, form, uploaded};
use crate::import::Scratch;
use crate::support::TestApp;
use crate::support::sql::{count, execute};
use crate::support::wait::eventually;

async fn api() -> TestApp {
    TestApp::start_with(Serve { roles: vec![Role::Api], ..TestApp::config(&[]).await }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_answered_again_however_many_wait() {
    let scratch = Scratch::new();
    let files = scratch.generated(10, 20);
    let app = api().await;
    let pool = app.pool().await;
    let send = async |key: &str| {
        let request = app.client.request(Method::POST, "/v1/imports").header("Idempotency-Key", key);
        app.client.send(request.multipart(form(Some(&files.customers), None))).await
    };
    let first = send("k").await;
    assert_eq!(first.status, 202, "{}", first.body);
    let wait = "insert into imports (state, customers_file, customers_bytes)
                select 'waiting', 'c.xlsx', 1 from generate_series(1, 99)";
    execute(&pool, wait).await;
    let another = send("another").await;
    assert_eq!((another.status, another.header("retry-after")), (503, "10"), "{}", another.body);
    let again = send("k").await;
    assert_eq!((again.status, &again.body), (202, &first.body));

    execute(&pool, "delete from imports where customers_bytes = 1").await;
    assert_eq!(send("another").await.status, 202);
    execute(&pool, "update imports set customers_bytes = 2147483648 where id = 1").await;
    assert_eq!(send("third").await.status, 503, "so many bytes wait");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_without_importers_removes_what_has_done_its_duty() {
    let app = api().await;
    let pool = app.pool().await;
    execute(&pool, "insert into imports (state, ended_at) values ('done', now() - interval '100 days')").await;
    let again = app.another().await;
    eventually("it is removed", async || count(&pool, "imports").await == 0).await;
    again.stop().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_name_the_import_and_the_request_that_led_to_them() {
    let scratch = Scratch::new();
    let files = scratch.generated(10, 20);
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = app.client.request(Method::POST, "/v1/imports").header("X-Request-Id", "monday-1");
    let request = request.header("Traceparent", trace).multipart(form(Some(&files.customers), Some(&files.loans)));
    let answer = app.client.send(request).await;
    let id = answer.body["id"].as_i64().expect("an id");
    ended(&app.client, id, "done").await;
    let named = format!(
        "events where metadata->>'import_id' = '{id}' and metadata->>'request_id' = 'monday-1'
             and metadata->>'traceparent' like '00-0af7651916cd43dd8448eb211c80319c-%'"
    );
    assert_eq!(count(&pool, &named).await, count(&pool, "events").await);
    assert!(count(&pool, "events").await >= 50);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_rejects_breaks_off_when_they_become_others() {
    let app = api().await;
    let pool = app.pool().await;
    let many = "insert into imports (state, attempts, notices_attempt) values ('running', 1, 1);
                insert into import_notices
                    select 1, number, 'reject', 'c.xlsx', 'Sheet1', number, null, repeat('x', 500), 1
                    from generate_series(1, 60000) number;";
    execute(&pool, many).await;
    let request = app.client.request(Method::GET, "/v1/imports/1/rejects").header("Accept", "text/csv");
    let mut whole = request.send().await.unwrap().bytes_stream();
    let mut received = whole.next().await.unwrap().unwrap().len();
    execute(&pool, "update imports set notices_attempt = 2; delete from import_notices;").await;
    let mut breaks_off = false;
    while let Some(piece) = whole.next().await {
        match piece {
            Ok(piece) => received += piece.len(),
            Err(_) => breaks_off = true,
        }
    }
    assert!(breaks_off && received < 30_000_000, "{received} bytes came");
    let listed = app.client.get("/v1/imports/1/rejects").await;
    assert_eq!(listed.body["items"], json!([]));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_so_many_notices_they_are_only_counted() {
    let scratch = Scratch::new();
    let mut rows = vec![crate::import::CUSTOMER_HEADERS.to_vec()];
    rows.extend(std::iter::repeat_n(vec!["1", "Asha", "Rao", "17", "7000000001", "50000", "1800000"], 100_600));
    let path = scratch.0.join("customers.xlsx");
    crate::import::workbook(&path, &rows.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let app = TestApp::start().await;
    let id = uploaded(&app.client, form(Some(&path), None)).await;
    let done = ended(&app.client, id, "done").await;
    assert_eq!((&done["notices_kept"], &done["customers"]["rejected"]), (&json!(100_000), &json!(100_600)), "{done}");
    assert_eq!(count(&app.pool().await, "import_notices").await, 100_000);
    app.stop().await;
}
