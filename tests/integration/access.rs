//! Who may do what: every route with every role, with none, and with what is no key.

mod keys;
mod logged;
mod records;
mod tokens;

use std::collections::BTreeMap;

use credit_approval::access::keys::ApiKey;
use credit_approval::access::keys::store::add;
use credit_approval::access::{Role, Roles};
use credit_approval::http::description;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::keys::scope;
use crate::support::{Answer, Client, TestApp};

/// Who may: roles; `anyone` where nobody is asked; `anonymous` beside roles where nobody is asked on a loopback address.
const MAY: [(&str, &str, &str); 42] = [
    ("POST", "/register", "anonymous channel"),
    ("POST", "/check-eligibility", "anonymous channel officer auditor"),
    ("POST", "/create-loan", "anonymous channel"),
    ("GET", "/view-loan/{loan_id}", "anonymous channel officer auditor"),
    ("GET", "/view-loans/{customer_id}", "anonymous channel officer auditor"),
    ("GET", "/v1/customers", "channel officer auditor"),
    ("GET", "/v1/customers/{customer_id}", "channel officer auditor"),
    ("PATCH", "/v1/customers/{customer_id}", "channel officer"),
    ("GET", "/v1/customers/{customer_id}/credit-score", "channel officer auditor"),
    ("GET", "/v1/customers/{customer_id}/history", "officer auditor"),
    ("GET", "/v1/loans", "channel officer auditor"),
    ("GET", "/v1/loans/{loan_id}", "channel officer auditor"),
    ("GET", "/v1/loans/{loan_id}/schedule", "channel officer auditor"),
    ("GET", "/v1/loans/{loan_id}/history", "officer auditor"),
    ("GET", "/v1/loans/{loan_id}/repayments", "channel officer auditor"),
    ("POST", "/v1/loans/{loan_id}/repayments", "channel"),
    ("POST", "/v1/loans/{loan_id}/repayments/{repayment_id}/reversal", "officer operator"),
    ("POST", "/v1/loans/{loan_id}/settlement", "channel"),
    ("POST", "/v1/loans/{loan_id}/write-off", "officer operator"),
    ("GET", "/v1/decisions", "officer auditor"),
    ("GET", "/v1/decisions/{decision_id}", "officer auditor"),
    ("POST", "/v1/decisions/preview", "officer auditor"),
    ("GET", "/v1/policies", "officer operator auditor"),
    ("GET", "/v1/policies/{policy_id}", "officer operator auditor"),
    ("POST", "/v1/policies/backtest", "officer auditor"),
    ("POST", "/v1/imports", "operator"),
    ("GET", "/v1/imports", "operator auditor"),
    ("GET", "/v1/imports/{import_id}", "operator auditor"),
    ("DELETE", "/v1/imports/{import_id}", "operator"),
    ("GET", "/v1/imports/{import_id}/rejects", "operator auditor"),
    ("GET", "/v1/projections", "operator auditor"),
    ("POST", "/v1/projections/{name}/rebuild", "operator"),
    ("DELETE", "/v1/projections/{name}/rebuild", "operator"),
    ("GET", "/v1/projections/{name}/parked", "operator auditor"),
    ("POST", "/v1/projections/{name}/redrive", "operator"),
    ("GET", "/v1/events", "auditor"),
    ("GET", "/metrics", "operator auditor"),
    ("GET", "/health/live", "anyone"),
    ("GET", "/health/ready", "anyone"),
    ("GET", "/health/startup", "anyone"),
    ("GET", "/openapi.json", "anyone"),
    ("GET", "/docs", "anyone"),
];
/// Beside those: the files of a page that anyone may look at.
const OF_THE_PAGE: &str = "/docs/{file}";

/// A client with a new key for these roles.
async fn with_roles(app: &TestApp, pool: &PgPool, roles: &[Role]) -> Client {
    let key = ApiKey::draw().unwrap();
    add(pool, &key, &scope("a test's", Roles::of(roles))).await.unwrap();
    app.client.showing(&key.token())
}

/// Asks for what is not there, so that nothing happens where it is allowed.
async fn ask(client: &Client, method: &str, path: &str) -> Answer {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "999999999" } else { part });
    let target = parts.collect::<Vec<_>>().join("/");
    let request = client.request(Method::from_bytes(method.as_bytes()).unwrap(), &target);
    let request = if method == "GET" { request } else { request.header("If-Match", "\"1\"").json(&json!({})) };
    client.send(request).await
}

/// What of an answer is not the refusal, or the admission, that it must be.
fn fault(answer: &Answer, expected: u16, may: &str) -> Option<String> {
    let refused = [401, 403].contains(&answer.status);
    let challenge = answer.header("www-authenticate");
    let says = |text: &str| answer.body["detail"].as_str().unwrap_or_default().contains(text);
    let is_right = match expected {
        401 => answer.status == 401 && challenge == "Bearer realm=\"credit-approval\"" && says("Authorization"),
        403 => {
            let roles = may.split(' ').filter(|role| *role != "anonymous").collect::<Vec<_>>();
            let scope = format!("error=\"insufficient_scope\", scope=\"{}\"", roles.join(" "));
            answer.status == 403 && challenge.ends_with(&scope) && says(&roles.join(", "))
        }
        _ => !refused && answer.status < 500,
    };
    (!is_right).then(|| format!("{}, not as {expected}: {challenge} {}", answer.status, answer.body))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_lets_in_whom_it_must_and_nobody_else() {
    let app = TestApp::start().await;
    let guarded = app.config.clone();
    let guarded = TestApp::start_with(credit_approval::config::Serve {
        access: TestApp::config(&["--anonymous-originals", "never"]).await.access,
        ..guarded
    })
    .await;
    let pool = app.pool().await;
    let mut clients = Vec::new();
    for role in Role::ALL {
        clients.push((role.name(), with_roles(&app, &pool, &[role]).await));
    }
    clients.push(("anonymous", app.client.anonymous()));
    let stranger = guarded.client.anonymous();

    let mut faults = Vec::new();
    for (method, path, may) in MAY {
        for (who, client) in &clients {
            let allowed = may == "anyone" || may.split(' ').any(|role| role == *who);
            let expected = if allowed {
                200
            } else if *who == "anonymous" {
                401
            } else {
                403
            };
            let fault = fault(&ask(client, method, path).await, expected, may);
            faults.extend(fault.map(|fault| format!("{method} {path} by {who}: {fault}")));
        }
        let expected = if may == "anyone" { 200 } else { 401 };
        let fault = fault(&ask(&stranger, method, path).await, expected, may);
        faults.extend(fault.map(|fault| format!("{method} {path} by a stranger: {fault}")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    guarded.stop().await;
    app.stop().await;
}

#[test]
fn the_table_holds_every_route_and_the_description_says_the_same() {
    let document: Value = serde_json::from_str(&description()).unwrap();
    let mut described = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let alternatives = operation["security"].as_array().unwrap_or_else(|| panic!("{method} {path}: security"));
            let role = |alternative: &Value| match alternative["bearer"].as_array() {
                None => "anonymous".to_owned(),
                Some(roles) => roles[0].as_str().unwrap().to_owned(),
            };
            let may = match alternatives.as_slice() {
                [] => "anyone".to_owned(),
                some => some.iter().map(role).collect::<Vec<_>>().join(" "),
            };
            for status in ["401", "403"] {
                let says = operation["responses"].get(status).is_some();
                assert_eq!(says, may != "anyone", "{method} {path}: whether it says {status}");
            }
            described.insert((method.to_uppercase(), path.clone()), may);
        }
    }
    assert_eq!(described.remove(&("GET".to_owned(), OF_THE_PAGE.to_owned())).as_deref(), Some("anyone"));
    let table = MAY.map(|(method, path, may)| ((method.to_owned(), path.to_owned()), may.to_owned()));
    assert_eq!(described, BTreeMap::from(table));
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_key_opens_nothing_not_even_what_is_open() {
    let app = TestApp::start().await;
    let unknown = ApiKey::draw().unwrap().token();
    let other_secret = {
        let mine = crate::support::keys::key();
        format!("ca_{}_{}", mine.id(), unknown.rsplit('_').next().unwrap())
    };
    let invalid = [&unknown, &other_secret, "ca_", "ca_1_2", "eyJhbGciOiJub25lIn0.e30.", "something"];
    for shown in invalid {
        for path in ["/view-loans/1", "/v1/customers", "/metrics"] {
            let answer = app.client.showing(shown).get(path).await;
            assert_eq!(
                (answer.status, answer.wrong_fields()),
                (401, vec!["Authorization"]),
                "{shown}: {}",
                answer.body
            );
            assert!(answer.header("www-authenticate").ends_with("error=\"invalid_token\""), "{shown}");
            assert_eq!(answer.body["type"], "urn:credit-approval:problem:unauthenticated");
        }
        assert_eq!(app.client.showing(shown).get("/health/live").await.status, 200, "nobody is asked there");
    }
    for header in ["Basic dXNlcjpwYXNz", "Bearer", unknown.as_str()] {
        let request = app.client.anonymous().request(Method::GET, "/view-loans/1").header("Authorization", header);
        let answer = app.client.send(request).await;
        assert_eq!(answer.status, 401, "{header}: {}", answer.body);
        assert!(answer.header("www-authenticate").ends_with("error=\"invalid_request\""), "{header}");
    }
    let twice = app.client.request(Method::GET, "/view-loans/1").header("Authorization", "Bearer x");
    assert_eq!(app.client.send(twice).await.status, 401, "one of two would be a guess");
    app.stop().await;
}
