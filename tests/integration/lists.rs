//! Lists of customers and loans: what each filter lets through, and pages that hold everything once while others write.
//!
//! The read models are filled by hand here: what a list makes of them is all that matters.

mod walks;

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::sql::execute;
use crate::support::{Answer, Client, TestApp};

/// Five customers: id, phone number, income, limit, registration.
const CUSTOMERS: &str = "
    insert into read_models.customers
        (customer_id, first_name, last_name, age, phone_number, monthly_income, approved_limit, registered_at) values
    (1, 'A', 'B', 30, '9000000001', 30000.00, 1100000, '2026-01-01 00:00Z'),
    (2, 'A', 'B', 30, '9000000002', 20000.00,  700000, '2026-01-01 18:30Z'),
    (3, 'A', 'B', 30, '9000000003', 20000.01,  700000, '2026-01-02 00:00Z'),
    (4, 'A', 'B', 30, '9000000004', 20000.00,  900000, '2026-01-02 18:29:59.999999Z'),
    (5, 'A', 'B', 30, '9000000005', 90000.00, 3200000, '2026-03-01 00:00Z')";

/// Seven loans: amount, start, end, opening, next due date, write-off. The last one starts long ago and has everything
/// that makes the others be left out.
const LOANS: &str = "
    insert into read_models.loans
        (loan_id, customer_id, principal, interest_rate, tenure, instalment, instalments_paid,
         started_on, ends_on, opened_at, next_due_on, written_off_on) values
    (1, 7, 500.00, 12, 12, 50, 0, '2026-01-01', '2027-01-01', '2026-01-01 00:00Z', current_date,      null),
    (2, 7, 100.00, 12, 12, 50, 0, '2026-01-02', '2027-06-01', '2026-01-02 00:00Z', current_date - 1,  null),
    (3, 8, 100.01, 12, 12, 50, 0, '2026-01-03', '2027-01-01', '2026-01-02 12:00Z', current_date - 60, null),
    (4, 8, 100.00, 12, 12, 50, 12, '2026-01-01', '2027-01-01', '2026-01-03 00:00Z', null,             null),
    (5, 7, 900.00, 12, 12, 50, 0, '2026-02-01', '2028-02-01', '2026-02-01 00:00Z', current_date - 90, '2026-06-02'),
    (6, 9, 900.00, 12, 12, 50, 0, '2026-02-01', '2028-02-01', '2026-02-01 00:00Z', current_date + 30, '2026-06-01'),
    (7, 9, 250.00, 12, 12, 50, 12, '2016-02-01', '2018-02-01', '2026-02-01 00:00Z', null,             '2026-06-01')";

/// Where a day begins at midnight, UTC.
async fn filled() -> (TestApp, PgPool) {
    let app = TestApp::start_with(TestApp::config(&["--business-utc-offset", "+00:00"]).await).await;
    let pool = app.pool().await;
    execute(&pool, CUSTOMERS).await;
    execute(&pool, LOANS).await;
    (app, pool)
}

async fn listed(client: &Client, path: &str) -> Answer {
    let answer = client.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer
}

fn ids(answer: &Answer, id: &str) -> Vec<i64> {
    let items = answer.body["items"].as_array().expect("items");
    items.iter().map(|item| item[id].as_i64().expect("an id")).collect()
}

#[tokio::test]
async fn customers_are_listed_by_what_was_asked_first() {
    let (app, _) = filled().await;
    let cases: [(&str, &[i64]); 24] = [
        ("", &[1, 2, 3, 4, 5]),
        ("phone_number=9000000003", &[3]),
        ("phone_number=9000000009", &[]),
        ("phone_number=9000000003&min_monthly_income=20000.02", &[]),
        ("min_monthly_income=20000", &[2, 4, 3, 1, 5]),
        ("min_monthly_income=20000.01", &[3, 1, 5]),
        ("max_monthly_income=20000", &[2, 4]),
        ("max_monthly_income=20000.01", &[2, 4, 3]),
        ("min_monthly_income=20000.01&max_monthly_income=30000", &[3, 1]),
        ("min_monthly_income=30000&max_monthly_income=20000", &[]),
        ("min_monthly_income=20000&min_approved_limit=900000", &[4, 1, 5]),
        ("min_approved_limit=900000", &[4, 1, 5]),
        ("min_approved_limit=900000.01", &[1, 5]),
        ("min_approved_limit=0", &[2, 3, 4, 1, 5]),
        ("min_approved_limit=700000&registered_before=2026-01-02", &[2, 1]),
        ("registered_after=2026-01-01", &[1, 2, 3, 4, 5]),
        ("registered_after=2026-01-01T18:30:00Z", &[2, 3, 4, 5]),
        ("registered_after=2026-01-02T00:00:00%2B05:30", &[2, 3, 4, 5]),
        ("registered_after=2026-01-01T18:30:00.000001Z", &[3, 4, 5]),
        ("registered_before=2026-01-02", &[1, 2]),
        ("registered_before=2026-01-02T00:00:00.000001Z", &[1, 2, 3]),
        ("registered_after=2026-01-02&registered_before=2026-01-03", &[3, 4]),
        ("registered_after=2026-01-03&registered_before=2026-01-02", &[]),
        ("registered_after=0000-01-01&registered_before=9999-12-31", &[1, 2, 3, 4, 5]),
    ];
    for (query, expected) in cases {
        let answer = listed(&app.client, &format!("/v1/customers?{query}")).await;
        assert_eq!(ids(&answer, "customer_id"), expected, "{query}");
        assert_eq!(answer.body["next_cursor"], Value::Null, "{query}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_day_begins_where_the_business_is() {
    let config = TestApp::config(&["--business-utc-offset", "+05:30"]).await;
    let app = TestApp::start_with(config).await;
    execute(&app.pool().await, CUSTOMERS).await;
    // The second of January begins at half past six in the evening, UTC, and ends a day later.
    let answer = listed(&app.client, "/v1/customers?registered_after=2026-01-02&registered_before=2026-01-03").await;
    assert_eq!(ids(&answer, "customer_id"), [2, 3, 4]);
    app.stop().await;
}

#[tokio::test]
async fn loans_are_listed_by_what_was_asked_first() {
    let (app, _) = filled().await;
    let cases: [(&str, &[i64]); 32] = [
        ("", &[1, 2, 3, 4, 5, 6, 7]),
        ("customer_id=7", &[1, 2, 5]),
        ("customer_id=10", &[]),
        ("customer_id=7&status=overdue", &[2]),
        ("customer_id=7&ending_after=2027-01-02", &[2, 5]),
        ("customer_id=8&started_after=2026-01-01", &[4, 3]),
        ("customer_id=7&min_amount=500", &[1, 5]),
        ("customer_id=7&opened_before=2026-01-02", &[1]),
        ("status=active", &[1]),
        ("status=overdue", &[3, 2]),
        ("status=settled", &[4, 7]),
        ("status=written_off", &[6, 5]),
        ("status=written_off&max_amount=899", &[]),
        ("status=overdue&started_after=2026-01-03", &[3]),
        ("status=settled&ending_after=2020-01-01", &[4]),
        ("status=active&max_amount=500", &[1]),
        ("min_amount=100.01", &[3, 7, 1, 5, 6]),
        ("max_amount=100", &[2, 4]),
        ("min_amount=100.01&max_amount=250", &[3, 7]),
        ("min_amount=900&ending_before=2028-02-02", &[5, 6]),
        ("started_after=2026-01-02", &[2, 3, 5, 6]),
        ("started_before=2026-01-02", &[7, 1, 4]),
        ("started_after=2026-01-01&started_before=2026-01-03", &[1, 4, 2]),
        ("started_after=2026-01-01&ending_before=2027-01-02", &[1, 4, 3]),
        ("ending_after=2027-01-01", &[1, 3, 4, 2, 5, 6]),
        ("ending_before=2027-01-01", &[7]),
        ("ending_after=2027-01-01&ending_before=2027-06-01", &[1, 3, 4]),
        ("opened_after=2026-01-02T12:00:00Z", &[3, 4, 5, 6, 7]),
        ("opened_before=2026-01-02T12:00:00Z", &[1, 2]),
        ("opened_after=2026-01-02&opened_before=2026-01-03", &[2, 3]),
        ("opened_after=2026-02-01&status=settled", &[7]),
        ("min_amount=900&max_amount=100", &[]),
    ];
    for (query, expected) in cases {
        let answer = listed(&app.client, &format!("/v1/loans?{query}")).await;
        assert_eq!(ids(&answer, "loan_id"), expected, "{query}");
    }
    let statuses = listed(&app.client, "/v1/loans").await;
    let statuses: Vec<_> =
        statuses.body["items"].as_array().unwrap().iter().map(|loan| loan["status"].clone()).collect();
    let expected = ["active", "overdue", "overdue", "settled", "written_off", "written_off", "settled"];
    assert_eq!(statuses, expected.map(|status| json!(status)));
    app.stop().await;
}

#[tokio::test]
async fn items_say_what_there_is() {
    let (app, _) = filled().await;
    let customers = listed(&app.client, "/v1/customers?phone_number=9000000004").await;
    let expected = json!({
        "customer_id": 4, "first_name": "A", "last_name": "B", "phone_number": "9000000004", "monthly_income": 20000,
        "approved_limit": 900000, "registered_at": "2026-01-02T18:29:59.999999+00:00",
    });
    assert_eq!(customers.body, json!({ "items": [expected], "next_cursor": null }));
    let loans = listed(&app.client, "/v1/loans?status=settled&limit=1").await;
    let expected = json!({
        "loan_id": 4, "customer_id": 8, "status": "settled", "loan_amount": 100, "interest_rate": 12,
        "monthly_installment": 50, "tenure": 12, "started_on": "2026-01-01", "ends_on": "2027-01-01",
        "next_due_on": null, "opened_at": "2026-01-03T00:00:00+00:00",
    });
    assert_eq!(loans.body["items"], json!([expected]));
    assert!(loans.body["next_cursor"].is_string());
    app.stop().await;
}

/// A path, and for each query the parameters that are named.
type Wrong = (&'static str, &'static [(&'static str, &'static [&'static str])]);

const WRONG: &[Wrong] = &[
    (
        "/v1/customers",
        &[
            ("phone_number=12", &["phone_number"]),
            ("phone_number=%2B919876543210", &["phone_number"]),
            ("min_monthly_income=-1", &["min_monthly_income"]),
            ("min_monthly_income=1.001", &["min_monthly_income"]),
            ("max_monthly_income=much", &["max_monthly_income"]),
            ("min_approved_limit=", &["min_approved_limit"]),
            ("min_approved_limit=1e30", &["min_approved_limit"]),
            ("registered_after=2026-13-01", &["registered_after"]),
            ("registered_before=2026-01-01T00:00", &["registered_before"]),
            ("limit=101", &["limit"]),
            ("limit=0", &["limit"]),
            ("cursor=c1.5", &["cursor"]),
            ("cursor=%00", &["cursor"]),
            ("name=Asha", &["name"]),
            ("limit=5&limit=6", &["limit"]),
            (
                "min_monthly_income=x&registered_after=y&limit=z&page=2",
                &["min_monthly_income", "registered_after", "limit", "page"],
            ),
        ],
    ),
    (
        "/v1/loans",
        &[
            ("customer_id=0", &["customer_id"]),
            ("customer_id=abc", &["customer_id"]),
            ("customer_id=9007199254740992", &["customer_id"]),
            ("status=late", &["status"]),
            ("status=Active", &["status"]),
            ("min_amount=1,000", &["min_amount"]),
            ("max_amount=-0.01", &["max_amount"]),
            ("started_after=2026-01-01T00:00:00Z", &["started_after"]),
            ("started_before=01-01-2026", &["started_before"]),
            ("ending_after=2026-02-30", &["ending_after"]),
            ("ending_before=-001-01-01", &["ending_before"]),
            ("opened_after=yesterday", &["opened_after"]),
            ("opened_before=2026-01-01T25:00:00Z", &["opened_before"]),
            ("as_of=2026-01-01", &["as_of"]),
        ],
    ),
    ("/v1/loans/1/repayments", &[("limit=x", &["limit"]), ("cursor=1", &["cursor"]), ("status=paid", &["status"])]),
    ("/v1/loans/1/schedule", &[("as_of=2999-01-01", &["as_of"]), ("as_of=today", &["as_of"]), ("limit=5", &["limit"])]),
    ("/v1/loans/1", &[("as_of=2026-01-01", &["as_of"])]),
    ("/v1/customers/1", &[("fields=all", &["fields"])]),
    ("/v1/customers/1/history", &[("limit=1000", &["limit"]), ("after=1", &["after"])]),
    (
        "/v1/events",
        &[
            ("after=-1", &["after"]),
            ("after=9007199254740992", &["after"]),
            ("limit=1001", &["limit"]),
            ("cursor=c2", &["cursor"]),
        ],
    ),
];

#[tokio::test]
async fn a_wrong_parameter_is_named() {
    let (app, _) = filled().await;
    for (path, cases) in WRONG {
        for (query, fields) in *cases {
            let answer = app.client.get(&format!("{path}?{query}")).await;
            assert_eq!(
                (answer.status, answer.wrong_fields()),
                (400, fields.to_vec()),
                "{path}?{query}: {}",
                answer.body
            );
            assert_eq!(answer.header("content-type"), "application/problem+json");
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn a_cursor_is_of_no_use_elsewhere() {
    let (app, _) = filled().await;
    let first = listed(&app.client, "/v1/loans?min_amount=100&limit=2").await;
    let cursor = first.body["next_cursor"].as_str().expect("there are more");
    let next = listed(&app.client, &format!("/v1/loans?limit=3&min_amount=100&cursor={cursor}")).await;
    assert_eq!((ids(&first, "loan_id"), ids(&next, "loan_id")), (vec![2, 4], vec![3, 7, 1]));
    for other in
        ["/v1/loans?", "/v1/loans?min_amount=101&", "/v1/loans?min_amount=100&status=active&", "/v1/customers?"]
    {
        let answer = app.client.get(&format!("{other}cursor={cursor}")).await;
        assert_eq!((answer.status, answer.wrong_fields()), (400, vec!["cursor"]), "{other}");
    }
    app.stop().await;
}
