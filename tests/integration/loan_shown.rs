//! What is shown of a customer, of a loan, of its schedule and of its repayments: what is paid, due and late, and what
//! settles it.

use chrono::{Days, Months, NaiveDate};
use credit_approval::commands::BusinessCalendar;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::changes::{Change, carry_over};
use crate::support::client::application;
use crate::support::{Answer, Client, TestApp};

/// A lakh at 12 % over 12 months: the interest of its first six months.
const INTEREST_OF_SIX_MONTHS: &str = "4801.37";

fn today(app: &TestApp) -> NaiveDate {
    BusinessCalendar(app.config.store.business_utc_offset).today()
}

async fn shown(client: &Client, path: &str) -> Answer {
    let answer = client.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer
}

async fn changed(client: &Client, change: Change) -> Answer {
    let answer = change.send(client).await;
    assert!((200..300).contains(&answer.status), "{}", answer.body);
    answer
}

fn repayment(loan: i64, amount: &str, paid_on: NaiveDate) -> Change {
    Change::of_loan(loan, "repayments", json!({ "amount": amount, "paid_on": paid_on, "reference": "UTR 7" }))
}

/// Asserts that an object has these values; it may have more.
fn has(object: &Value, expected: &Value) {
    for (field, value) in expected.as_object().expect("an object") {
        assert_eq!(&object[field], value, "{field} of {object}");
    }
}

/// The amount as the service writes it.
fn number(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// A customer, and a loan of a lakh at 12 % over 12 months of which five instalments have fallen due, unpaid. It began
/// early in a month, so that no due date is clamped.
async fn a_late_loan(app: &TestApp) -> (i64, i64, NaiveDate) {
    let customer = app.client.register(50_000).await;
    let started_on = (today(app) - Days::new(3)) - Months::new(5);
    let loan = carry_over(app, customer, started_on).await;
    let place = format!("/v1/loans/{loan}");
    crate::support::wait::eventually("the loan is there", async || app.client.get(&place).await.status == 200).await;
    (customer, loan, started_on)
}

#[tokio::test]
async fn a_customer_is_shown_and_sent_again_only_when_it_has_changed() {
    let app = TestApp::without_nats().await;
    let customer = app.client.register(50_000).await;
    let path = format!("/v1/customers/{customer}");
    let first = shown(&app.client, &path).await;
    assert_eq!(first.header("etag"), "\"1\"");
    let expected = json!({
        "customer_id": customer, "external_id": null, "first_name": "Asha", "last_name": "Rao", "age": 30,
        "monthly_income": 50000, "approved_limit": 1_800_000, "revision": 1,
    });
    has(&first.body, &expected);
    assert_eq!(first.body.as_object().unwrap().len(), 10, "{}", first.body);

    let again = async |tags: &str| {
        let request = app.client.request(Method::GET, &path).header("If-None-Match", tags);
        app.client.send(request).await
    };
    for tags in ["\"1\"", "W/\"1\"", "*", "\"7\", \"1\""] {
        let unchanged = again(tags).await;
        assert_eq!((unchanged.status, &unchanged.body), (304, &Value::Null), "{tags}");
        assert_eq!(unchanged.header("etag"), "\"1\"");
    }
    assert_eq!(again("\"2\"").await.body, first.body);

    changed(&app.client, Change::of_customer(customer, json!({ "monthly_income": 60_000 })).at("\"1\"")).await;
    let second = again("\"1\"").await;
    assert_eq!((second.status, second.header("etag")), (200, "\"2\""));
    has(&second.body, &json!({ "monthly_income": 60_000, "approved_limit": 2_200_000, "revision": 2 }));
    let unknown = app.client.get("/v1/customers/999999").await;
    assert_eq!((unknown.status, unknown.wrong_fields()), (404, vec!["customer_id"]));
    app.stop().await;
}

#[tokio::test]
async fn a_new_loan_is_shown_as_it_was_granted() {
    let app = TestApp::without_nats().await;
    let customer = app.client.register(50_000).await;
    let lent = app.client.post("/create-loan", &application(customer, 100_000, 12, 12)).await;
    let (loan, today) = (lent.body["loan_id"].as_i64().unwrap(), today(&app));
    let answer = shown(&app.client, &format!("/v1/loans/{loan}")).await;
    assert_eq!(answer.header("etag"), "\"1\"");
    let expected = json!({
        "loan_id": loan, "customer_id": customer, "external_id": null, "decision_id": lent.body["decision_id"],
        "loan_amount": 100_000, "interest_rate": 12, "tenure": 12, "monthly_installment": 8884.88,
        "started_on": today, "ends_on": today + Months::new(12), "as_of": today, "status": "active",
        "next_due_on": today + Months::new(1), "settled_on": null, "written_off_on": null,
        "instalments_paid": 0, "instalments_paid_on_time": 0, "outstanding": 106_618.53,
        "outstanding_principal": 100_000, "interest_waived": 0, "overdue": null, "repayments_count": 0,
        "repayments": [], "revision": 1,
    });
    has(&answer.body, &expected);
    let schedule = shown(&app.client, &format!("/v1/loans/{loan}/schedule")).await;
    let instalments = schedule.body["instalments"].as_array().unwrap();
    assert_eq!(instalments.len(), 12);
    let first = json!({
        "number": 1, "due_on": today + Months::new(1), "amount": 8884.88, "interest": 1000, "principal": 7884.88,
        "balance": 92_115.12, "paid": 0, "interest_paid": 0, "principal_paid": 0, "interest_waived": 0,
        "left": 8884.88, "paid_on": null, "on_time": null,
    });
    has(&instalments[0], &first);
    has(&instalments[11], &json!({ "amount": 8884.85, "balance": 0, "status": "upcoming" }));
    let totals = json!({
        "amount": 106_618.53, "interest": 6618.53, "principal": 100_000, "paid": 0, "interest_waived": 0,
        "left": 106_618.53, "overdue": 0,
    });
    assert_eq!(schedule.body["totals"], totals);
    for rest in ["", "/schedule", "/repayments", "/history"] {
        let unknown = app.client.get(&format!("/v1/loans/999999{rest}")).await;
        assert_eq!((unknown.status, unknown.wrong_fields()), (404, vec!["loan_id"]), "{rest}");
        let malformed = app.client.get(&format!("/v1/loans/x{rest}")).await;
        assert_eq!((malformed.status, malformed.wrong_fields()), (400, vec!["loan_id"]), "{rest}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_loan_tells_what_is_overdue_and_since_when_and_what_settles_it() {
    let app = TestApp::without_nats().await;
    let (customer, loan, started_on) = a_late_loan(&app).await;
    let path = format!("/v1/loans/{loan}");
    let late = shown(&app.client, &path).await;
    let since = started_on + Months::new(1);
    has(&late.body, &json!({ "status": "overdue", "next_due_on": since, "decision_id": null }));
    let overdue = json!({
        "since": since, "days": (today(&app) - since).num_days(), "instalments": 5, "amount": 44_424.4,
    });
    has(&late.body["overdue"], &overdue);
    // Six months have begun: their interest is asked for, and no other.
    let settlement = &late.body["settlement"];
    has(settlement, &json!({ "principal": 100_000, "interest": number(INTEREST_OF_SIX_MONTHS) }));
    let ids = |answer: &Answer| answer.body["items"].as_array().unwrap().len();
    let listed = shown(&app.client, &format!("/v1/loans?status=overdue&customer_id={customer}")).await;
    assert_eq!(ids(&listed), 1);

    let settled = Change::of_loan(loan, "settlement", json!({ "amount": settlement["amount"] }));
    let settled = changed(&app.client, settled).await;
    let after = shown(&app.client, &path).await;
    assert_eq!(after.header("etag"), settled.header("etag"));
    let expected = json!({
        "status": "settled", "next_due_on": null, "settled_on": today(&app), "outstanding": 0,
        "outstanding_principal": 0, "overdue": null, "settlement": null, "instalments_paid": 12,
        "interest_waived": settlement["interest_waived"], "repayments_count": 1,
    });
    has(&after.body, &expected);
    let schedule = shown(&app.client, &format!("{path}/schedule")).await;
    let instalments = schedule.body["instalments"].as_array().unwrap();
    has(&instalments[0], &json!({ "status": "paid", "on_time": false, "paid_on": today(&app), "left": 0 }));
    has(&instalments[11], &json!({ "status": "paid", "on_time": true, "interest_paid": 0, "left": 0 }));
    assert_eq!(schedule.body["totals"]["left"], 0);
    app.stop().await;
}

#[tokio::test]
async fn a_schedule_tells_what_is_paid_on_time_and_what_late_now_and_on_a_past_day() {
    let app = TestApp::without_nats().await;
    let (_, loan, started_on) = a_late_loan(&app).await;
    let first_due = started_on + Months::new(1);
    changed(&app.client, repayment(loan, "10000", first_due)).await;
    changed(&app.client, repayment(loan, "7769.76", today(&app))).await;
    let path = format!("/v1/loans/{loan}/schedule");
    let now = shown(&app.client, &path).await;
    has(&now.body, &json!({ "loan_id": loan, "as_of": today(&app), "status": "overdue" }));
    let instalments = now.body["instalments"].as_array().unwrap();
    has(&instalments[0], &json!({ "status": "paid", "paid_on": first_due, "on_time": true, "paid": 8884.88 }));
    has(&instalments[1], &json!({ "status": "paid", "paid_on": today(&app), "on_time": false, "left": 0 }));
    has(&instalments[2], &json!({ "status": "overdue", "paid": 0, "paid_on": null, "on_time": null }));
    let statuses: Vec<_> = instalments.iter().map(|instalment| instalment["status"].as_str().unwrap()).collect();
    assert_eq!(statuses[2..7], ["overdue", "overdue", "overdue", "due", "upcoming"]);
    has(&now.body["totals"], &json!({ "paid": 17_769.76, "overdue": 26_654.64, "left": 88_848.77 }));

    // When the first fell due, some of the second was paid ahead, and nothing was late.
    let then = shown(&app.client, &format!("{path}?as_of={first_due}")).await;
    has(&then.body, &json!({ "as_of": first_due, "status": "active" }));
    let instalments = then.body["instalments"].as_array().unwrap();
    has(&instalments[0], &json!({ "status": "paid", "on_time": true }));
    has(
        &instalments[1],
        &json!({ "status": "partly_paid", "paid": 1115.12, "left": 7769.76, "interest_paid": 921.15 }),
    );
    has(&then.body["totals"], &json!({ "paid": 10_000, "overdue": 0 }));
    let before = shown(&app.client, &format!("{path}?as_of={started_on}")).await;
    has(&before.body["totals"], &json!({ "paid": 0, "overdue": 0 }));
    app.stop().await;
}

#[tokio::test]
async fn repayments_are_listed_with_those_that_were_reversed() {
    let app = TestApp::without_nats().await;
    let (_, loan, started_on) = a_late_loan(&app).await;
    let mut repayments = Vec::new();
    for amount in ["100", "200.5", "300"] {
        let repaid = changed(&app.client, repayment(loan, amount, started_on)).await;
        repayments.push(repaid.body["repayment_id"].clone());
    }
    let reversal =
        Change::of_loan(loan, &format!("repayments/{}/reversal", repayments[1]), json!({ "reason": "bounced" }));
    changed(&app.client, reversal).await;

    let path = format!("/v1/loans/{loan}/repayments");
    let all = shown(&app.client, &path).await;
    let items = all.body["items"].as_array().unwrap();
    assert_eq!(items.iter().map(|item| item["repayment_id"].clone()).collect::<Vec<_>>(), repayments);
    has(
        &items[0],
        &json!({ "amount": 100, "interest": 100, "principal": 0, "paid_on": started_on, "reference": "UTR 7" }),
    );
    has(&items[0], &json!({ "reversed": false, "reversed_on": null, "reversal_reason": null }));
    has(
        &items[1],
        &json!({ "amount": 200.5, "reversed": true, "reversed_on": today(&app), "reversal_reason": "bounced" }),
    );
    has(
        &shown(&app.client, &format!("/v1/loans/{loan}")).await.body,
        &json!({
            "outstanding": 106_218.53, "repayments_count": 3, "repayments": items, "revision": 5,
        }),
    );

    let first = shown(&app.client, &format!("{path}?limit=2")).await;
    assert_eq!(first.body["items"].as_array().unwrap(), &items[..2]);
    let cursor = first.body["next_cursor"].as_str().expect("there is more");
    let second = shown(&app.client, &format!("{path}?limit=2&cursor={cursor}")).await;
    assert_eq!(second.body, json!({ "items": items[2..], "next_cursor": null }));
    app.stop().await;
}

#[tokio::test]
async fn a_loan_that_is_written_off_stays_owed() {
    let app = TestApp::without_nats().await;
    let (_, loan, started_on) = a_late_loan(&app).await;
    changed(&app.client, Change::of_loan(loan, "write-off", json!({ "reason": "gone away" }))).await;
    let path = format!("/v1/loans/{loan}");
    let shown_now = shown(&app.client, &path).await;
    has(&shown_now.body, &json!({ "status": "written_off", "written_off_on": today(&app), "outstanding": 106_618.53 }));
    assert_eq!(shown_now.body["overdue"]["instalments"], 5);
    let earlier = shown(&app.client, &format!("{path}/schedule?as_of={}", started_on + Months::new(3))).await;
    assert_eq!(earlier.body["status"], "overdue", "it was not written off then");
    app.stop().await;
}
