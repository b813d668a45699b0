//! No log tells who somebody is, what they earn, or how they are let in: not even one that tells everything it can.

use std::time::Duration;

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::service::Service;
use crate::import::{CUSTOMER_HEADERS, LOAN_HEADERS, Scratch, workbook};
use crate::support::TestApp;
use crate::support::changes::Change;
use crate::support::client::application;
use crate::support::keys;
use crate::support::wait::eventually;

/// What nobody else's log would hold by chance.
const SECRETS: [&str; 16] = [
    "Quintessa",
    "Featherstonehaugh",
    "Zebedee",
    "Ravenscroft",
    "9876504321",
    "9123450678",
    "9988007766",
    "8877006655",
    "73219",
    "81357",
    "64827",
    "cash-from-aunt-Wilhelmina",
    "ca_0123456789_sEcReTkEyOfAcHaNnEl",
    "eyJhbGciOiJub25lIn0.bearer.token",
    "once-and-only-key-5150",
    "because-Peregrine-asked",
];

/// Whether it stands there by itself: not as part of a longer number, such as a time of day to the microsecond.
fn tells(line: &str, secret: &str) -> bool {
    let is_number = secret.bytes().all(|byte| byte.is_ascii_digit());
    line.match_indices(secret).any(|(at, _)| {
        let (before, after) = (line[..at].chars().next_back(), line[at + secret.len()..].chars().next());
        let is_longer = before.is_some_and(|before| before == '.' || before.is_ascii_digit())
            || after.is_some_and(|after| after.is_ascii_digit());
        !(is_number && is_longer)
    })
}

#[test]
fn a_number_is_told_where_it_stands_by_itself() {
    for told in ["income 73219", "\"73219\"", "73219.00", "(73219)", "173219 73219"] {
        assert!(tells(told, "73219"), "{told}");
    }
    for harmless in ["21:03:31.273219Z", "0.73219", "732191", ""] {
        assert!(!tells(harmless, "73219"), "{harmless}");
    }
    assert!(tells("xQuintessax", "Quintessa"));
}

/// Whatever a client sends that tells of people goes through here, right and wrong alike.
async fn conversation(service: &Service) {
    let client = service.client();
    let person = |phone: &str, income: Value| {
        json!({"first_name": "Quintessa", "last_name": "Featherstonehaugh", "age": 41, "monthly_income": income,
               "phone_number": phone})
    };
    let send = async |method: Method, path: &str, body: Value| {
        client.send(client.request(method, path).header("If-Match", "*").json(&body)).await
    };
    let keyed = client.request(Method::POST, "/register").header("Idempotency-Key", "once-and-only-key-5150");
    let registered = client.send(keyed.json(&person("9876504321", json!(73_219)))).await;
    assert_eq!(registered.status, 201, "{}", registered.body);
    let customer = registered.body["customer_id"].as_i64().unwrap();
    assert_eq!(send(Method::POST, "/register", person("9876504321", json!(73_219))).await.status, 409);
    assert_eq!(send(Method::POST, "/register", person("98765-04321", json!("73219 rupees"))).await.status, 400);
    let broken = r#"{"first_name": "Quintessa", "phone_number": 9876504321"#;
    let broken = client.request(Method::POST, "/register").header("Content-Type", "application/json").body(broken);
    assert_eq!(client.send(broken).await.status, 400);

    assert_eq!(send(Method::POST, "/check-eligibility", application(customer, 100_000, 12, 12)).await.status, 200);
    let loan = send(Method::POST, "/create-loan", application(customer, 100_000, 12, 12)).await;
    let loan = loan.body["loan_id"].as_i64().unwrap_or_else(|| panic!("{}", loan.body));
    let repayment = json!({"amount": 1000, "reference": "cash-from-aunt-Wilhelmina"});
    assert_eq!(send(Method::POST, &format!("/v1/loans/{loan}/repayments"), repayment).await.status, 201);
    let write_off = json!({"reason": "because-Peregrine-asked"});
    assert_eq!(send(Method::POST, &format!("/v1/loans/{loan}/write-off"), write_off).await.status, 200);
    let change = json!({"monthly_income": 81_357, "phone_number": "9123450678"});
    assert_eq!(send(Method::PATCH, &format!("/v1/customers/{customer}"), change).await.status, 200);

    for path in [
        format!("/view-loan/{loan}"),
        format!("/v1/customers/{customer}/history"),
        "/v1/customers?phone_number=9123450678&min_monthly_income=81357".to_owned(),
        "/v1/customers?phone_number=Quintessa".to_owned(),
        "/v1/customers/Quintessa".to_owned(),
        "/v1/Featherstonehaugh/9123450678".to_owned(),
        "/v1/events?limit=50".to_owned(),
    ] {
        client.get(&path).await;
    }
    // Whether they are good or not.
    for bearer in ["ca_0123456789_sEcReTkEyOfAcHaNnEl", "eyJhbGciOiJub25lIn0.bearer.token"] {
        client.showing(bearer).get("/v1/customers").await;
    }
    import(service).await;
}

/// Workbooks with a good row, a row that is wrong, and one whose phone number is taken.
async fn import(service: &Service) {
    let (client, scratch) = (service.client(), Scratch::new());
    let (customers, loans) = (scratch.0.join("customers.xlsx"), scratch.0.join("loans.xlsx"));
    workbook(
        &customers,
        &[
            CUSTOMER_HEADERS,
            &["900001", "Zebedee", "Ravenscroft", "35", "9988007766", "64827", "2300000"],
            &["900002", "Zebedee", "Ravenscroft", "17", "8877006655", "64827", "2300000"],
            &["900003", "Zebedee", "Ravenscroft", "36", "9988007766", "64827", "2300000"],
        ],
    );
    let (from, to) = ("date:2024-01-01", "date:2025-01-01");
    workbook(
        &loans,
        &[LOAN_HEADERS, &["900001", "5001", "120000", "12", "10", "10550", "3", from, to], &["Zebedee", "", "x"]],
    );
    let part = |path: &std::path::Path| Part::bytes(std::fs::read(path).unwrap()).file_name("workbook.xlsx");
    let form = Form::new().part("customers", part(&customers)).part("loans", part(&loans));
    let answer = client.send(client.request(Method::POST, "/v1/imports").multipart(form)).await;
    let id = answer.body["id"].as_i64().unwrap_or_else(|| panic!("{}", answer.body));
    let import = eventually("the import ends", async || {
        let import = client.get(&format!("/v1/imports/{id}")).await.body;
        import["ended_at"].is_string().then_some(import)
    })
    .await;
    assert_eq!(import["customers"]["imported"], json!(1), "{import}");
    client.get(&format!("/v1/imports/{id}/rejects")).await;
}

/// A decoder quotes what it cannot take.
async fn unreadable(service: &Service, database_url: &str) {
    let pool = PgPool::connect(database_url).await.unwrap();
    let spoilt = r#"update events set payload = jsonb_set(payload::jsonb, '{CustomerRegistered,personal,age}', '"Ravenscroft"')::json
                    where event_type = 'CustomerRegistered' returning customer_id"#;
    let customer: i64 = sqlx::query_scalar(spoilt).fetch_one(&pool).await.unwrap();
    // This reads the stream whatever is remembered of the customer.
    let change = Change::of_customer(customer, json!({ "monthly_income": 60_000 })).at("*");
    let answer = change.send(service.client()).await;
    assert_eq!(
        (answer.status, answer.body["type"].as_str().unwrap_or_default().ends_with("unreadable-stream")),
        (500, true)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_tells_everything_tells_nothing_of_anybody() {
    let config = TestApp::config(&[]).await;
    // From the first statement on, and with what libraries have to say.
    let variables = [("RUST_LOG", "trace"), ("SLOW_STATEMENT_MS", "1")];
    let mut service = Service::start(&config, "api,relay,projector,importer", &variables).await;
    conversation(&service).await;
    unreadable(&service, config.store.database_url.as_ref().unwrap()).await;
    // What workers do afterwards is told, too.
    tokio::time::sleep(Duration::from_millis(500)).await;
    service.stop().await;

    let log = service.log();
    assert!(log.lines().count() > 500, "the log tells what it can: {} lines", log.lines().count());
    for told in [
        "\"DEBUG\"",
        "sqlx::query",
        "insert into events",
        "/v1/customers/{customer_id}",
        "\"request\"",
        "a stream could not be loaded",
    ] {
        assert!(log.contains(told), "{told} is told");
    }
    let key = keys::key().token();
    let told: Vec<_> = SECRETS
        .iter()
        .chain([&key.as_str()])
        .filter_map(|secret| {
            let line = log.lines().find(|line| tells(line, secret))?;
            Some(format!("{secret}: {line}"))
        })
        .collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}
