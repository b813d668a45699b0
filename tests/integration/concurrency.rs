//! Concurrent applications never together breach the limit or half the income (G2), none is refused for contention
//! alone, and phone numbers stay unique without orphaned reservations.

use std::collections::BTreeSet;

use futures::future::join_all;
use reqwest::Method;
use rstest::rstest;
use rust_decimal::Decimal;
use serde_json::Value;
use sqlx::{PgPool, Row};

use crate::support::client::{application, registration};
use crate::support::{Answer, Client, TestApp};

const CONCURRENT: usize = 64;

fn approved(answers: &[Answer]) -> usize {
    let approved = answers.iter().filter(|answer| answer.body["loan_approved"] == Value::Bool(true)).count();
    assert!(
        answers.iter().all(|answer| matches!(answer.status, 200 | 201)),
        "an application was neither approved nor declined: {answers:?}"
    );
    approved
}

async fn one_after_the_other(client: &Client, body: &Value) -> usize {
    let mut answers = Vec::new();
    for _ in 0..CONCURRENT {
        answers.push(client.post("/create-loan", body).await);
    }
    approved(&answers)
}

async fn all_at_once(clients: &[&Client], body: &Value) -> usize {
    let posts = (0..CONCURRENT).map(|number| clients[number % clients.len()].post("/create-loan", body));
    approved(&join_all(posts).await)
}

/// Sum of the amounts and of the instalments that the log says were granted.
async fn granted(pool: &PgPool, customer: i64) -> (Decimal, Decimal) {
    let row = sqlx::query(
        "select coalesce(sum((payload #>> '{LoanApproved,loan,principal}')::numeric), 0) as amount,
                coalesce(sum((payload #>> '{LoanApproved,loan,instalment}')::numeric), 0) as instalments
         from events where aggregate_type = 'customer' and aggregate_id = $1 and event_type = 'LoanApproved'",
    )
    .bind(customer.to_string())
    .fetch_one(pool)
    .await
    .unwrap();
    (row.get("amount"), row.get("instalments"))
}

#[rstest]
#[case::bounded_by_income(100_000, 500_000, 14, 36)]
#[case::bounded_by_many_small_loans(60_000, 50_000, 14, 24)]
#[case::bounded_by_the_limit(100_000, 900_000, 13, 240)]
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_applications_grant_what_sequential_ones_would(
    #[case] income: u64,
    #[case] amount: u64,
    #[case] rate: u64,
    #[case] tenure: u64,
) {
    let app = TestApp::start().await;
    let other = app.another().await;
    let pool = app.pool().await;
    let limit = Decimal::from(income * 36 / 100_000 * 100_000);

    let sequential = app.client.register(income).await;
    let expected = one_after_the_other(&app.client, &application(sequential, amount, rate, tenure)).await;
    assert!((1..CONCURRENT).contains(&expected), "the case must be able to fail: {expected}");

    for clients in [vec![&app.client], vec![&app.client, &other.client]] {
        let customer = app.client.register(income).await;
        let body = application(customer, amount, rate, tenure);
        assert_eq!(all_at_once(&clients, &body).await, expected, "through {} processes", clients.len());
        let (sum, instalments) = granted(&pool, customer).await;
        assert_eq!(sum, Decimal::from(amount) * Decimal::from(expected));
        assert!(sum <= limit, "{sum} of {limit}");
        assert!(instalments <= Decimal::from(income) / Decimal::TWO, "{instalments} of {income}");
    }
    other.stop().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_number_is_registered_once_and_reserved_for_nobody_else() {
    let app = TestApp::start().await;
    let other = app.another().await;
    let body = registration(50_000);
    let clients = [&app.client, &other.client];
    let answers = join_all((0..CONCURRENT).map(|number| clients[number % 2].post("/register", &body))).await;

    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses[0], 201);
    assert!(statuses[1..].iter().all(|status| *status == 409), "{statuses:?}");
    assert!(
        answers.iter().filter(|answer| answer.status == 409).all(|answer| answer.wrong_fields() == ["phone_number"])
    );

    let pool = app.pool().await;
    let reserved: Vec<(String, i64)> =
        sqlx::query_as("select phone_number, customer_id from phone_numbers").fetch_all(&pool).await.unwrap();
    let registered: Vec<(String, i64)> = sqlx::query_as(
        "select payload #>> '{CustomerRegistered,personal,phone_number}', customer_id from events
         where event_type = 'CustomerRegistered'",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(reserved, registered);
    assert_eq!(reserved.len(), 1);
    other.stop().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_registrations_all_get_ids_of_their_own() {
    let app = TestApp::start().await;
    let registered = join_all((0..200).map(|_| app.client.register(50_000))).await;
    let distinct: BTreeSet<i64> = registered.iter().copied().collect();
    assert_eq!(distinct.len(), registered.len());
    app.stop().await;
}

/// Through two processes, each of which appends for several customers at once.
#[tokio::test(flavor = "multi_thread")]
async fn who_appends_together_waits_for_nobody_in_a_circle() {
    const CUSTOMERS: usize = 12;
    let app = TestApp::start().await;
    let other = app.another().await;
    let mut customers = Vec::new();
    for _ in 0..CUSTOMERS {
        customers.push(app.client.register(1_000_000).await);
    }
    let posts = (0..20 * CUSTOMERS).map(|number| {
        // One goes up and the other one down.
        let (client, place) = match number % 2 {
            0 => (&app.client, number / 2 % CUSTOMERS),
            _ => (&other.client, CUSTOMERS - 1 - number / 2 % CUSTOMERS),
        };
        let body = application(customers[place], 1_000, 14, 12);
        async move { client.post("/create-loan", &body).await }
    });
    let answers = join_all(posts).await;
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 201)), "{answers:?}");
    let pool = app.pool().await;
    let deadlocks: i64 =
        sqlx::query_scalar("select deadlocks from pg_stat_database where datname = current_database()")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(deadlocks, 0);
    other.stop().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_that_is_remembered_further_than_the_log_goes_leaves_no_hole_in_it() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let customer = app.client.register(100_000).await;
    let body = application(customer, 1_000, 14, 12);
    for _ in 0..3 {
        assert_eq!(app.client.post("/create-loan", &body).await.status, 201);
    }
    // As after a standby took over that had not received the last events.
    sqlx::query(
        "delete from events where position > (select min(position) from events where event_type = 'LoanApproved') + 1",
    )
    .execute(&pool)
    .await
    .unwrap();
    let answer = app.client.send(app.client.request(Method::POST, "/create-loan").json(&body)).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let sequences: Vec<i64> = sqlx::query_scalar(
        "select sequence from events where aggregate_type = 'customer' and aggregate_id = $1 order by sequence",
    )
    .bind(customer.to_string())
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(sequences, [1, 2, 3]);
    app.stop().await;
}
