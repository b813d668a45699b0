//! Walking a list from its first page to its last while others write: what is there all the time comes exactly once,
//! in order.

use std::time::Duration;

use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{ids, listed};
use crate::support::sql::execute;
use crate::support::{Client, TestApp};

/// Rows that stay as they are; their values repeat, so that pages end between equals.
const ROWS: i64 = 300;
const LIMIT: usize = 7;
const THINK: Duration = Duration::from_millis(2);

fn filling() -> String {
    format!(
        "insert into read_models.customers
             (customer_id, first_name, last_name, age, phone_number, monthly_income, approved_limit, registered_at)
         select id * 10, 'A', 'B', 30, id::text, 1000 * (1 + id % 5), 100000 * (id % 3), '2026-01-01Z'::timestamptz + (id % 4) * interval '1 day'
         from generate_series(1::bigint, {ROWS}) as id;
         insert into read_models.loans
             (loan_id, customer_id, principal, interest_rate, tenure, instalment, instalments_paid,
              started_on, ends_on, opened_at, next_due_on, written_off_on)
         select id * 10, 1, 100 * (1 + id % 5), 12, 12, 50, 0, date '2026-01-01' + (id % 4)::integer,
                date '2027-01-01' + (id % 3)::integer, '2026-01-01Z'::timestamptz + (id % 6) * interval '1 hour',
                case id % 4 when 0 then null when 1 then current_date + 5 + (id % 3)::integer else current_date - 5 - (id % 3)::integer end,
                case id % 4 when 3 then current_date - (id % 3)::integer end
         from generate_series(1::bigint, {ROWS}) as id"
    )
}

/// Adds, changes and removes rows that stand between the others, until it is stopped.
fn writes(pool: PgPool, stop: CancellationToken) -> JoinHandle<i64> {
    tokio::spawn(async move {
        let mut round = 0;
        while !stop.is_cancelled() {
            round += 1;
            let id = 10 * (round * 37 % ROWS) + 1 + round % 9;
            let sql = format!(
                "insert into read_models.customers
                 select {id}, null, first_name, last_name, age, 'x' || {id}, monthly_income, approved_limit, registered_at
                 from read_models.customers where customer_id = {source} on conflict do nothing;
                 update read_models.customers set monthly_income = monthly_income + 1000 where customer_id = {id} - 10;
                 delete from read_models.customers where customer_id = {id} - 20 and customer_id % 10 <> 0;
                 insert into read_models.loans
                     (loan_id, customer_id, principal, interest_rate, tenure, instalment, instalments_paid,
                      started_on, ends_on, opened_at, next_due_on, written_off_on)
                 select {id}, 1, principal, 12, 12, 50, 0, started_on, ends_on, opened_at, next_due_on, written_off_on
                 from read_models.loans where loan_id = {source} on conflict do nothing;
                 update read_models.loans set next_due_on = null where loan_id = {id} - 10;
                 delete from read_models.loans where loan_id = {id} - 20 and loan_id % 10 <> 0",
                source = 10 * (1 + round * 13 % ROWS),
            );
            execute(&pool, &sql).await;
            tokio::time::sleep(THINK).await;
        }
        round
    })
}

/// Everything that a list holds, page by page.
async fn walk(client: &Client, path: &str, id: &str) -> Vec<i64> {
    let joint = if path.contains('?') { '&' } else { '?' };
    let first = format!("{path}{joint}limit={LIMIT}");
    let (mut seen, mut next) = (Vec::new(), Some(first.clone()));
    while let Some(page) = next {
        let answer = listed(client, &page).await;
        let found = ids(&answer, id);
        next = answer.body["next_cursor"].as_str().map(|cursor| format!("{first}&cursor={cursor}"));
        assert!(found.len() == LIMIT || next.is_none(), "only the last page is not full");
        seen.extend(found);
    }
    seen
}

/// What a list holds, by the order that it should have: only rows that nobody touches.
async fn expected(pool: &PgPool, rows: &str) -> Vec<i64> {
    sqlx::query_scalar(rows).fetch_all(pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_walked_once_while_others_write() {
    let app = TestApp::without_nats().await;
    let pool = app.pool().await;
    execute(&pool, &filling()).await;
    let stop = CancellationToken::new();
    let writer = writes(pool.clone(), stop.clone());
    let customers = [
        ("", "true", "customer_id"),
        (
            "?min_monthly_income=2000&max_monthly_income=4000",
            "monthly_income between 2000 and 4000",
            "monthly_income, approved_limit, customer_id",
        ),
        ("?min_approved_limit=100000", "approved_limit >= 100000", "approved_limit, customer_id"),
        ("?registered_after=2026-01-02", "registered_at >= '2026-01-02Z'", "registered_at, customer_id"),
    ];
    for (query, filter, order) in customers {
        let seen = walk(&app.client, &format!("/v1/customers{query}"), "customer_id").await;
        let sql = format!(
            "select customer_id from read_models.customers where customer_id % 10 = 0 and {filter} order by {order}"
        );
        assert_walked(&seen, &expected(&pool, &sql).await, query);
    }
    let loans = [
        ("", "true", "loan_id"),
        ("?customer_id=1", "true", "loan_id"),
        ("?customer_id=1&started_after=2026-01-02", "started_on >= '2026-01-02'", "started_on, loan_id"),
        ("?customer_id=1&ending_after=2027-01-02", "ends_on >= '2027-01-02'", "ends_on, loan_id"),
        ("?min_amount=200&max_amount=400", "principal between 200 and 400", "principal, loan_id"),
        ("?started_before=2026-01-03", "started_on < '2026-01-03'", "started_on, loan_id"),
        ("?ending_after=2027-01-02", "ends_on >= '2027-01-02'", "ends_on, loan_id"),
        ("?opened_after=2026-01-01T01:00:00Z", "opened_at >= '2026-01-01 01:00Z'", "opened_at, loan_id"),
        ("?status=active", "next_due_on >= current_date and written_off_on is null", "next_due_on, loan_id"),
        ("?status=overdue", "next_due_on < current_date and written_off_on is null", "next_due_on, loan_id"),
        ("?status=settled", "next_due_on is null", "loan_id"),
        ("?status=written_off", "next_due_on is not null and written_off_on is not null", "written_off_on, loan_id"),
    ];
    for (query, filter, order) in loans {
        let seen = walk(&app.client, &format!("/v1/loans{query}"), "loan_id").await;
        let sql = format!("select loan_id from read_models.loans where loan_id % 10 = 0 and {filter} order by {order}");
        assert_walked(&seen, &expected(&pool, &sql).await, query);
    }
    stop.cancel();
    assert!(writer.await.unwrap() > 50, "others wrote all the time");
    app.stop().await;
}

/// Those that stayed came in order, each once.
fn assert_walked(seen: &[i64], expected: &[i64], query: &str) {
    assert!(expected.len() > 5 * LIMIT, "{query} lists {} rows", expected.len());
    let stayed: Vec<_> = seen.iter().copied().filter(|id| id % 10 == 0).collect();
    assert_eq!(stayed, expected, "{query}");
}
