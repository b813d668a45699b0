//! G13, every query is served by an index at a million loans: no statement scans a table or sorts more than a page, few
//! rows are read whatever is asked, and no index is kept that nothing uses.
//!
//! - `filled`: a million loans and 300,000 customers, put into the read models directly
//! - `questions`: everything that can be asked; whoever adds a query adds it there

mod filled;
mod questions;

use std::collections::BTreeSet;

use projections::Projection;
use reqwest::Method;
use sqlx::{Connection, PgConnection, PgPool};

use self::filled::fill;
use self::questions::{Asked, Question, questions};
use crate::support::{Answer, Client, TestApp};

/// The largest page. A sort of one customer's loans is smaller.
const MAX_SORTED_ROWS: u64 = 100;
/// For a page of 20: what an index hands out that another filter does not let through counts too.
const MAX_ROWS_READ: i64 = 1000;

/// It has a row for each partition of a read model, however many loans there are: scanned or not, it costs the same.
const OF_FIXED_SIZE: &str = "checkpoints";

/// Rows that this connection has read since it last told the counters: by scans of whole tables, and by indexes.
async fn rows_read(connection: &mut PgConnection) -> (i64, i64) {
    sqlx::query_as(
        "select coalesce(sum(seq_tup_read), 0)::bigint, coalesce(sum(idx_tup_fetch), 0)::bigint
         from pg_stat_xact_user_tables where schemaname = 'read_models' and relname <> $1",
    )
    .bind(OF_FIXED_SIZE)
    .fetch_one(connection)
    .await
    .unwrap()
}

/// Asks a question of the database itself; answers what is wrong with how it was answered, and by which indexes it was.
async fn examine(connection: &mut PgConnection, question: &Question) -> (Vec<String>, BTreeSet<String>) {
    let mut wrong = Vec::new();
    let plan = (question.statement)().plan(&mut *connection).await.unwrap();
    for table in plan.sequential_scans().into_iter().filter(|table| table != OF_FIXED_SIZE) {
        wrong.push(format!("{}: {table} is scanned\n{plan}", question.name));
    }
    let sorted = plan.largest_sort_rows();
    if sorted > MAX_SORTED_ROWS {
        wrong.push(format!("{}: {sorted} rows are sorted\n{plan}", question.name));
    }
    let mut transaction = connection.begin().await.unwrap();
    let before = rows_read(&mut transaction).await;
    let executed = (question.statement)().execution(&mut *transaction).await.unwrap();
    let after = rows_read(&mut transaction).await;
    let (scanned, fetched) = (after.0 - before.0, after.1 - before.1);
    transaction.rollback().await.unwrap();
    if scanned > 0 || fetched > MAX_ROWS_READ {
        wrong.push(format!("{}: {scanned} rows scanned, {fetched} fetched\n{executed}", question.name));
    }
    (wrong, plan.indexes())
}

/// How often the read models' tables were scanned since they were filled, and how many rows were fetched by indexes.
async fn counters(pool: &PgPool) -> (i64, i64) {
    let names: Vec<_> = Projection::ALL.into_iter().map(Projection::name).collect();
    sqlx::query_as(
        "select sum(seq_scan)::bigint, sum(idx_tup_fetch)::bigint
         from pg_stat_user_tables where schemaname = 'read_models' and relname = any($1)",
    )
    .bind(names)
    .fetch_one(pool)
    .await
    .unwrap()
}

/// The indexes that the read models have.
async fn indexes(pool: &PgPool) -> BTreeSet<String> {
    let names: Vec<_> = Projection::ALL.into_iter().map(Projection::name).collect();
    let found: Vec<String> = sqlx::query_scalar(
        "select indexname::text from pg_indexes where schemaname = 'read_models' and tablename = any($1)",
    )
    .bind(names)
    .fetch_all(pool)
    .await
    .unwrap();
    found.into_iter().collect()
}

/// Asks it of the service, and for the page behind it, where there is one.
async fn ask(client: &Client, asked: &Asked) {
    let (path, answer): (&str, Answer) = match asked {
        Asked::Get(path) => (path.as_str(), client.get(path).await),
        Asked::Post(path, body) => (*path, client.send(client.request(Method::POST, path).json(body)).await),
    };
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    if let Some(cursor) = answer.body["next_cursor"].as_str() {
        let joint = if path.contains('?') { '&' } else { '?' };
        let next = client.get(&format!("{path}{joint}cursor={cursor}")).await;
        assert_eq!(next.status, 200, "{path}: {}", next.body);
        assert_ne!(next.body["items"], answer.body["items"], "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_million_loans_every_query_is_served_by_an_index_and_every_index_serves_one() {
    let app = TestApp::without_nats().await;
    let pool = app.pool().await;
    fill(&pool).await;

    let mut connection = pool.acquire().await.unwrap();
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for question in questions() {
        let (found, indexes) = examine(&mut connection, &question).await;
        wrong.extend(found);
        used.extend(indexes);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let idle: Vec<_> = indexes(&pool).await.difference(&used).cloned().collect();
    assert!(idle.is_empty(), "no query needs {idle:?}");
    connection.close_on_drop();
    drop(connection);

    // The service itself, the way clients ask it. What its connections have done is counted when they are closed.
    let before = counters(&pool).await;
    let mut requests = 0;
    for asked in questions().iter().filter_map(|question| question.asked.as_ref()) {
        ask(&app.client, asked).await;
        requests += 2;
    }
    app.stop().await;
    let (scans, fetched) = counters(&pool).await;
    assert_eq!(scans, before.0, "the service scans no table");
    assert!(fetched > before.1, "what the service has done is counted");
    assert!(fetched - before.1 <= requests * MAX_ROWS_READ, "{} rows for {requests} requests", fetched - before.1);
}
