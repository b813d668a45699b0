//! The five original endpoints as their clients know them: fields, values, statuses and the digits on the wire.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::{application, codes, registration};
use crate::support::{Answer, Client, TestApp};

/// The body as it was sent, not as a parser of JSON sees it.
async fn raw(client: &Client, method: Method, path: &str, body: &Value) -> String {
    let request = client.request(method, path).json(body);
    request.send().await.expect("the service answers").text().await.expect("text")
}

/// Asserts that an object has these fields; more are allowed.
fn has_fields(object: &Value, fields: &[&str]) {
    let missing: Vec<_> = fields.iter().filter(|field| object.get(field).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?} missing in {object}");
}

fn alternatives(answer: &Answer) -> &Value {
    &answer.body["alternatives"]
}

/// A customer whose one small loan lifts the score over 50: any rate goes.
async fn good_borrower(client: &Client) -> i64 {
    let customer_id = client.register(50_000).await;
    let lent = client.post("/create-loan", &application(customer_id, 1_000, 12, 12)).await;
    assert_eq!(lent.status, 201, "{}", lent.body);
    customer_id
}

#[tokio::test]
async fn registration_computes_the_limit() {
    let app = TestApp::start().await;
    let limits = [
        ("12499", 400_000),
        ("12500", 500_000),
        ("37500", 1_400_000),
        ("50000", 1_800_000),
        ("1388", 0),
        ("1388.88", 0),
        ("1388.89", 100_000),
        ("1000000000", 36_000_000_000_i64),
    ];
    for (income, limit) in limits {
        let mut body = registration(1);
        body["monthly_income"] = serde_json::from_str(income).unwrap();
        let answer = app.client.post("/register", &body).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        let fields = ["customer_id", "name", "age", "monthly_income", "approved_limit", "phone_number"];
        has_fields(&answer.body, &fields);
        assert!(answer.body["customer_id"].is_i64(), "{}", answer.body);
        assert_eq!(answer.body["name"], "Asha Rao");
        assert_eq!(answer.body["age"], 30);
        assert_eq!(answer.body["monthly_income"], body["monthly_income"]);
        assert_eq!(answer.body["approved_limit"], limit, "for an income of {income}");
        assert_eq!(answer.body["phone_number"], body["phone_number"]);
    }
    app.stop().await;
}

#[tokio::test]
async fn a_registration_is_trimmed_and_may_hold_more_than_is_known() {
    let app = TestApp::start().await;
    let mut body = registration(50_000);
    body["first_name"] = "  आशा ".into();
    body["last_name"] = "O'Brien\t".into();
    body["approved_limit"] = 1.into();
    body["note"] = json!({"first_name": ["nothing"]});
    let answer = app.client.post("/register", &body).await;
    assert_eq!((answer.status, &answer.body["name"]), (201, &"आशा O'Brien".into()));
    assert_eq!(answer.body["approved_limit"], 1_800_000);
    let without_type = app.client.request(Method::POST, "/register").body(registration(1).to_string());
    assert_eq!(app.client.send(without_type).await.status, 201, "a body without a type is taken for JSON");
    app.stop().await;
}

#[tokio::test]
async fn a_phone_number_belongs_to_one_customer_however_it_is_written() {
    let app = TestApp::start().await;
    let mut body = registration(50_000);
    body["phone_number"] = 9_876_543_210_u64.into();
    let first = app.client.post("/register", &body).await;
    assert_eq!((first.status, &first.body["phone_number"]), (201, &"9876543210".into()));
    for again in [json!(9_876_543_210_u64), json!("9876543210"), json!(" 9876543210 ")] {
        body["phone_number"] = again;
        let taken = app.client.post("/register", &body).await;
        assert_eq!(taken.status, 409, "{}", taken.body);
        assert_eq!(taken.body["type"], "urn:credit-approval:problem:phone-number-taken");
        assert_eq!(taken.wrong_fields(), ["phone_number"]);
        assert!(!taken.body.to_string().contains("9876543210"), "the problem tells nobody's number");
    }
    body["phone_number"] = "09876543210".into();
    assert_eq!(app.client.post("/register", &body).await.status, 201, "a leading zero makes it another number");
    let pool = app.pool().await;
    let events: i64 = sqlx::query_scalar("select count(*) from events").fetch_one(&pool).await.unwrap();
    assert_eq!(events, 2);
    app.stop().await;
}

#[tokio::test]
async fn a_new_customer_borrows_at_twelve_percent_at_least() {
    let app = TestApp::start().await;
    let customer_id = app.client.register(50_000).await;
    let corrected = app.client.post("/check-eligibility", &application(customer_id, 100_000, 10, 12)).await;
    assert_eq!(corrected.status, 200);
    let expected = json!({
        "customer_id": customer_id,
        "approval": true,
        "interest_rate": 10,
        "corrected_interest_rate": 12,
        "tenure": 12,
        "monthly_installment": 8884.88,
        "credit_score": 50,
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&corrected.body[field], value, "{field}");
    }
    assert_eq!(codes(&corrected), ["rate_corrected"]);

    let kept = app.client.post("/check-eligibility", &application(customer_id, 100_000, 14, 12)).await;
    assert_eq!((&kept.body["interest_rate"], &kept.body["corrected_interest_rate"]), (&json!(14), &json!(14)));
    assert_eq!((kept.status, codes(&kept)), (200, vec!["within_policy"]));
    assert_eq!(app.client.get(&format!("/view-loans/{customer_id}")).await.body, json!([]), "asking lends nothing");
    app.stop().await;
}

#[tokio::test]
async fn a_loan_is_lent_at_the_corrected_rate_and_shown() {
    let app = TestApp::start().await;
    let person = registration(50_000);
    let customer_id = app.client.post("/register", &person).await.body["customer_id"].clone();
    let mut asked = application(customer_id.as_i64().unwrap(), 100_000, 10, 12);
    asked["purpose"] = json!("unknown fields are ignored");
    let lent = app.client.post("/create-loan", &asked).await;
    assert_eq!(lent.status, 201, "{}", lent.body);
    has_fields(&lent.body, &["loan_id", "customer_id", "loan_approved", "message", "monthly_installment"]);
    has_fields(&lent.body, &["interest_rate", "credit_score", "decision_id", "reasons"]);
    assert!(lent.body["loan_id"].is_i64() && lent.body["decision_id"].is_i64(), "{}", lent.body);
    assert_eq!((&lent.body["customer_id"], &lent.body["loan_approved"]), (&customer_id, &json!(true)));
    assert_eq!((&lent.body["monthly_installment"], &lent.body["interest_rate"]), (&json!(8884.88), &json!(12)));
    assert_eq!(lent.body["message"], lent.body["reasons"][0]["message"]);

    let loan = app.client.get(&format!("/view-loan/{}", lent.body["loan_id"])).await;
    let expected = json!({
        "loan_id": lent.body["loan_id"],
        "customer": {
            "id": customer_id,
            "first_name": "Asha",
            "last_name": "Rao",
            "phone_number": person["phone_number"],
            "age": 30,
        },
        "loan_amount": 100_000,
        "interest_rate": 12,
        "monthly_installment": 8884.88,
        "tenure": 12,
    });
    assert_eq!((loan.status, loan.body), (200, expected));

    let loans = app.client.get(&format!("/view-loans/{customer_id}")).await;
    let expected = json!([{
        "loan_id": lent.body["loan_id"],
        "loan_amount": 100_000,
        "interest_rate": 12,
        "monthly_installment": 8884.88,
        "repayments_left": 12,
    }]);
    assert_eq!((loans.status, loans.body), (200, expected));
    app.stop().await;
}

#[tokio::test]
async fn current_loans_are_listed_by_id_and_only_the_customers_own() {
    let app = TestApp::start().await;
    let (first, second) = (app.client.register(50_000).await, app.client.register(50_000).await);
    let mut lent = Vec::new();
    for (customer_id, amount) in [(first, 10_000), (second, 20_000), (first, 30_000)] {
        let answer = app.client.post("/create-loan", &application(customer_id, amount, 14, 24)).await;
        lent.push((customer_id, answer.body["loan_id"].as_i64().expect("a loan"), amount));
    }
    for customer_id in [first, second] {
        let loans = app.client.get(&format!("/view-loans/{customer_id}")).await;
        let listed = loans.body.as_array().expect("a list").iter();
        let listed: Vec<_> = listed.map(|loan| (loan["loan_id"].as_i64(), loan["loan_amount"].as_u64())).collect();
        let own = lent.iter().filter(|(of, _, _)| *of == customer_id);
        assert_eq!(listed, own.map(|(_, id, amount)| (Some(*id), Some(*amount))).collect::<Vec<_>>());
    }
    app.stop().await;
}

#[tokio::test]
async fn money_and_rates_are_numbers_with_their_exact_digits() {
    let app = TestApp::start().await;
    let customer_id = good_borrower(&app.client).await;
    let asked = json!({"customer_id": customer_id, "loan_amount": "100000.00", "interest_rate": "10", "tenure": "12"});
    let eligibility = raw(&app.client, Method::POST, "/check-eligibility", &asked).await;
    let lent = raw(&app.client, Method::POST, "/create-loan", &asked).await;
    for text in [&eligibility, &lent] {
        for part in [r#""interest_rate":10,"#, r#""monthly_installment":8791.59,"#, r#""credit_score":58.99,"#] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
    assert!(eligibility.contains(r#""corrected_interest_rate":10,"#), "{eligibility}");

    let odd = json!({"customer_id": customer_id, "loan_amount": 99_999.99, "interest_rate": 13.37, "tenure": 17});
    let lent = app.client.post("/create-loan", &odd).await;
    assert_eq!(lent.status, 201, "{}", lent.body);
    let loan = raw(&app.client, Method::GET, &format!("/view-loan/{}", lent.body["loan_id"]), &json!(null)).await;
    let loans = raw(&app.client, Method::GET, &format!("/view-loans/{customer_id}"), &json!(null)).await;
    for text in [&loan, &loans] {
        for part in [r#""loan_amount":99999.99,"#, r#""interest_rate":13.37,"#, r#""monthly_installment":6489.62,"#] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
    let mut person = registration(1);
    person["monthly_income"] = "1000000000.00".into();
    let registered = raw(&app.client, Method::POST, "/register", &person).await;
    for part in [r#""monthly_income":1000000000,"#, r#""approved_limit":36000000000,"#] {
        assert!(registered.contains(part), "{part} in {registered}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_corrected_rate_that_is_not_accepted_declines() {
    let app = TestApp::start().await;
    let customer_id = app.client.register(50_000).await;
    let mut asked = application(customer_id, 100_000, 10, 12);
    asked["accept_corrected_rate"] = false.into();
    let declined = app.client.post("/create-loan", &asked).await;
    assert_eq!((declined.status, &declined.body["loan_approved"]), (200, &json!(false)), "{}", declined.body);
    assert_eq!(
        (declined.body.get("loan_id"), &declined.body["customer_id"]),
        (Some(&Value::Null), &json!(customer_id))
    );
    assert_eq!(codes(&declined), ["corrected_rate_not_accepted"]);
    assert!(declined.body["message"].as_str().unwrap().contains("12%"), "{}", declined.body);
    assert_eq!(alternatives(&declined), &json!([{"change": "accept_rate", "interest_rate": 12}]));
    assert_eq!(app.client.get(&format!("/view-loans/{customer_id}")).await.body, json!([]));

    asked["interest_rate"] = alternatives(&declined)[0]["interest_rate"].clone();
    assert_eq!(app.client.post("/create-loan", &asked).await.status, 201, "at the rate it was told");
    app.stop().await;
}

#[tokio::test]
async fn a_loan_over_the_limit_is_declined_and_the_alternative_passes() {
    let app = TestApp::start().await;
    let customer_id = app.client.register(50_000).await;
    let first = app.client.post("/create-loan", &application(customer_id, 300_000, 14, 480)).await;
    assert_eq!(first.status, 201, "{}", first.body);
    let mut asked = application(customer_id, 1_500_001, 14, 480);
    let declined = app.client.post("/create-loan", &asked).await;
    assert_eq!((declined.status, &declined.body["loan_approved"]), (200, &json!(false)), "{}", declined.body);
    assert_eq!((&declined.body["loan_id"], codes(&declined)), (&Value::Null, vec!["limit_exceeded"]));
    assert_eq!(declined.body["message"], declined.body["reasons"][0]["message"]);
    assert!(declined.body["message"].as_str().unwrap().contains("1800001.00"), "{}", declined.body);
    assert_eq!(alternatives(&declined), &json!([{"change": "smaller_amount", "loan_amount": 1_500_000}]));

    asked["loan_amount"] = alternatives(&declined)[0]["loan_amount"].clone();
    let lent = app.client.post("/create-loan", &asked).await;
    assert_eq!((lent.status, &lent.body["loan_approved"]), (201, &json!(true)), "{}", lent.body);
    let full = app.client.post("/create-loan", &application(customer_id, 1, 14, 480)).await;
    assert_eq!((full.status, codes(&full)), (200, vec!["limit_exceeded"]), "the limit is used to the rupee");
    assert_eq!(alternatives(&full), &json!([]));
    app.stop().await;
}

#[tokio::test]
async fn instalments_over_half_the_income_are_declined_and_each_alternative_passes() {
    let app = TestApp::start().await;
    let customer_id = app.client.register(50_000).await;
    let asked = application(customer_id, 500_000, 14, 12);
    let declined = app.client.post("/create-loan", &asked).await;
    assert_eq!((declined.status, codes(&declined)), (200, vec!["instalments_over_income_share"]), "{}", declined.body);
    let (amount, tenure) = (&alternatives(&declined)[0]["loan_amount"], &alternatives(&declined)[1]["tenure"]);
    let (amount, tenure) = (amount.as_u64().expect("a smaller amount"), tenure.as_u64().expect("a longer tenure"));
    let changes = [
        (application(customer_id, amount, 14, 12), true),
        (application(customer_id, amount + 1, 14, 12), false),
        (application(customer_id, 500_000, 14, tenure), true),
        (application(customer_id, 500_000, 14, tenure - 1), false),
    ];
    for (changed, passes) in changes {
        let eligibility = app.client.post("/check-eligibility", &changed).await;
        assert_eq!(eligibility.body["approval"], passes, "{changed}: the nearest change, and no nearer one, passes");
    }
    let lent = app.client.post("/create-loan", &application(customer_id, 500_000, 14, tenure)).await;
    assert_eq!(lent.status, 201, "{}", lent.body);
    app.stop().await;
}

#[tokio::test]
async fn eligibility_and_decision_agree() {
    let app = TestApp::start().await;
    let customer_id = good_borrower(&app.client).await;
    let shared = ["customer_id", "monthly_installment", "credit_score", "reasons", "alternatives"];
    for asked in [
        application(customer_id, 9_000_000, 9, 480),
        application(customer_id, 600_000, 9, 12),
        application(customer_id, 200_000, 9, 24),
        application(customer_id, 100_000, 11, 36),
    ] {
        let eligibility = app.client.post("/check-eligibility", &asked).await;
        let decided = app.client.post("/create-loan", &asked).await;
        assert_eq!(eligibility.body["approval"], decided.body["loan_approved"], "{asked}");
        assert_eq!(eligibility.body["corrected_interest_rate"], decided.body["interest_rate"], "{asked}");
        assert_eq!(decided.status, if eligibility.body["approval"] == true { 201 } else { 200 }, "{asked}");
        for field in shared {
            assert_eq!(eligibility.body[field], decided.body[field], "{field} of {asked}");
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn a_trailing_slash_works_too() {
    let app = TestApp::start().await;
    let registered = app.client.post("/register/", &registration(50_000)).await;
    let customer_id = registered.body["customer_id"].as_i64().expect("an id");
    let asked = application(customer_id, 100_000, 12, 12);
    let eligibility = app.client.post("/check-eligibility/", &asked).await;
    let lent = app.client.post("/create-loan/", &asked).await;
    let loan = app.client.get(&format!("/view-loan/{}/", lent.body["loan_id"])).await;
    let loans = app.client.get(&format!("/view-loans/{customer_id}/")).await;
    let statuses = [registered, eligibility, lent, loan, loans].map(|answer| answer.status);
    assert_eq!(statuses, [201, 200, 201, 200, 200]);
    app.stop().await;
}

#[tokio::test]
async fn a_request_id_is_echoed_or_made() {
    let app = TestApp::start().await;
    let with_id = async |id: &str| {
        let request = app.client.request(Method::GET, "/health/live").header("X-Request-Id", id.as_bytes());
        app.client.send(request).await.header("x-request-id").to_owned()
    };
    for good in ["r", "order-17/retry=2", &"x".repeat(128)] {
        assert_eq!(with_id(good).await, good);
    }
    let mut made = BTreeSet::new();
    for bad in ["", "two words", &"x".repeat(129), "r\u{e9}sum\u{e9}"] {
        let id = with_id(bad).await;
        assert!(id.len() >= 16 && id != bad, "{bad:?} became {id:?}");
        made.insert(id);
    }
    made.insert(app.client.get("/health/live").await.header("x-request-id").to_owned());
    assert_eq!(made.len(), 5, "each request has an id of its own: {made:?}");

    let request = app.client.request(Method::POST, "/register").header("X-Request-Id", "order-17");
    assert_eq!(app.client.send(request.json(&registration(50_000))).await.status, 201);
    let pool = app.pool().await;
    let recorded: Vec<String> =
        sqlx::query_scalar("select metadata ->> 'request_id' from events").fetch_all(&pool).await.unwrap();
    assert_eq!(recorded, ["order-17"], "the event tells which request it came from");
    app.stop().await;
}

#[tokio::test]
async fn health_is_answered() {
    let app = TestApp::start().await;
    for (path, status) in [("/health/live", "live"), ("/health/ready", "ready"), ("/health/ready/", "ready")] {
        let answer = app.client.get(path).await;
        assert_eq!((answer.status, &answer.body["status"]), (200, &status.into()), "{path}");
    }
    app.stop().await;
}
