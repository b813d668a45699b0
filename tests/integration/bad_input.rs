//! G10, bad input has no effect: whatever is wrong with a request, the answer is the exact 4xx as a problem document
//! that names the field, and afterwards the store is what it was.
//!
//! The tables hold raw JSON text, not values: most of what is wrong here could not be written down as a value. Every
//! wrong document meets each of the three POST endpoints, every wrong field each endpoint that has the field.

mod edges;

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

use crate::support::problem::faults;
use crate::support::sql::count;
use crate::support::{Answer, Client, TestApp};

const REGISTER: &str = "/register";
const APPLICATIONS: [&str; 2] = ["/check-eligibility", "/create-loan"];
/// What the API takes.
const MAX_BODY_BYTES: usize = 64 * 1024;
const DEEP: usize = 10_000;

/// A field and the text of its value.
type Field = (&'static str, String);

/// One wrong request and what must be said about it.
#[derive(Clone)]
struct Case {
    name: String,
    endpoint: &'static str,
    content_type: &'static str,
    body: Vec<u8>,
    status: u16,
    field: &'static str,
}

impl Case {
    /// A JSON body that is refused with a 400.
    fn bad_request(
        endpoint: &'static str,
        name: impl Into<String>,
        field: &'static str,
        body: impl Into<Vec<u8>>,
    ) -> Self {
        Self { name: name.into(), endpoint, content_type: "application/json", body: body.into(), status: 400, field }
    }
}

/// JSON texts, a line after the other and ` | ` between them.
type Table = &'static str;

const NOT_A_STRING: Table = r#"12 | 1.5 | true | false | [] | ["Asha"] | {}"#;

const WRONG_NAMES: Table = r#"
    null | "" | "   " | "\t\n" | "\u00a0" | "As\u0000ha" | "As\nha" | "As\u001bha" | "As\u007fha" | "As\u0085ha"
    "\ud800" | "Asha\udc00\ud800" | "\ud83d!" | "\q" | Asha | 'Asha'
"#;

/// What no numeric field takes, whatever its bounds are.
const NOT_A_NUMBER: Table = r#"
    null | true | false | [] | [12] | {} | {"value":12} | NaN | Infinity | -Infinity | 012 | +12 | .5 | 12. | 1e | --1
    1e400 | -1e400 | 1e-30 | 1e99999999999 | 1234567890123456789012345678901234567890
    "" | " " | "12abc" | "1_000" | "0x10" | "twelve" | "NaN" | "Infinity" | "-inf" | "1e400" | "1,000" | "1 000"
    "." | "1e" | "1.2.3" | "1-2" | "\u0661\u0662" | "12\u0000"
"#;

/// What no integer field takes, beyond [`NOT_A_NUMBER`].
const NOT_AN_INTEGER: Table = r#"30.5 | "30.5" | 30.0000000001 | 305e-1 | -30 | 1e30"#;

const WRONG_AGES: Table = r#"0 | 17 | 121 | 256 | 65566 | "17""#;

/// Amounts that neither an income nor a loan may have.
const WRONG_AMOUNTS: Table = r#"0 | 0.00 | -0 | -1 | -0.01 | 0.001 | 50000.005 | 50000.0000000001 | 1e18 | "-50000""#;
const WRONG_INCOMES: Table = "1000000000.01 | 1000000001";
const WRONG_PRINCIPALS: Table = "10000000000.01 | 10000000001";
const WRONG_RATES: Table = r#"-1 | -0.0001 | 100.0001 | 101 | 1e3 | 12.34567 | "12.34567" | "12%""#;
const WRONG_TENURES: Table = r#"0 | -12 | 481 | 65537 | 1e3 | "481""#;
const WRONG_IDS: Table = r#"0 | -1 | 9007199254740992 | 9223372036854775808 | 18446744073709551617 | "0""#;
const WRONG_CONSENTS: Table = r#"1 | 0 | 1.0 | "true" | "no" | [] | {} | True"#;

const WRONG_PHONE_NUMBERS: Table = r#"
    null | true | [] | [9876543210] | {} | 1234 | "1234" | 1234567890123456 | "1234567890123456" | 0123456789
    "98765abc10" | "phone" | "" | "     " | -9876543210 | "-9876543210" | "+919876543210" | 98765.43210
    "98765.43210" | 9876543210.0 | 9.87654321e9 | "98765 43210" | "\u0661\u0662\u0663\u0664\u0665" | "12345\u0000"
    1234567890123456789012345678901234567890
"#;

/// Bodies that are no JSON object, whatever the endpoint.
const WRONG_DOCUMENTS: Table = r#"
    [] | [{}] | "register" | 12 | null | true | register | NaN | age=30&tenure=12 | <age>30</age> | { | }
    {'age':30} | {age:30} | {30:30} | {"age":30,} | {,} | {"age":30 "tenure":12} | // {} | {}{}
"#;
const WRONG_BYTES: [&[u8]; 6] = [b"", b" \r\n\t ", b"\0", b"\xef\xbb\xbf{}", b"{\"\xff\":1}", b"\xff\xfe{\0}\0"];

/// Values after which the body is no JSON any more, so that it is the body that is named.
const UNPARSABLE: Table = r#"0x10 | 1_000 | 12 13 | 12// | "a"b | []] | 12;"#;

/// What makes a good body a bad one when it is put behind it.
const TRAILING: [&str; 6] = ["x", "{}", "}", ",", "\0", "null"];

fn registration_fields() -> Vec<Field> {
    let fields = [
        ("first_name", r#""Asha""#),
        ("last_name", r#""Rao""#),
        ("age", "30"),
        ("monthly_income", "50000"),
        ("phone_number", r#""5550001""#),
    ];
    fields.map(|(name, value)| (name, value.to_owned())).into()
}

fn application_fields(customer_id: i64) -> Vec<Field> {
    vec![
        ("customer_id", customer_id.to_string()),
        ("loan_amount", "100000".to_owned()),
        ("interest_rate", "14".to_owned()),
        ("tenure", "12".to_owned()),
    ]
}

fn object(fields: &[Field]) -> String {
    let fields: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", fields.join(","))
}

/// The fields with another value of one, or with one more.
fn with(fields: &[Field], field: &'static str, value: &str) -> Vec<Field> {
    let mut fields = fields.to_vec();
    match fields.iter_mut().find(|(name, _)| *name == field) {
        Some(found) => value.clone_into(&mut found.1),
        None => fields.push((field, value.to_owned())),
    }
    fields
}

fn values(table: Table) -> impl Iterator<Item = &'static str> {
    table.lines().flat_map(|line| line.split(" | ")).map(str::trim).filter(|value| !value.is_empty())
}

fn wrong_values(endpoint: &'static str, good: &[Field], field: &'static str, tables: &[Table]) -> Vec<Case> {
    let wrong = |value| (format!("{field}: {value}"), object(&with(good, field, value)));
    let wrong = tables.iter().flat_map(|table| values(table)).map(wrong);
    wrong.map(|(name, body)| Case::bad_request(endpoint, name, field, body)).collect()
}

fn wrong_registrations() -> Vec<Case> {
    let good = registration_fields();
    let wrong = |field, tables: &[Table]| wrong_values(REGISTER, &good, field, tables);
    let mut cases = Vec::new();
    for field in ["first_name", "last_name"] {
        cases.extend(wrong(field, &[NOT_A_STRING, WRONG_NAMES]));
        for letter in ["a", "अ"] {
            let body = object(&with(&good, field, &format!("\"{}\"", letter.repeat(101))));
            cases.push(Case::bad_request(REGISTER, format!("{field}: 101 times {letter}"), field, body));
        }
    }
    cases.extend(wrong("age", &[NOT_A_NUMBER, NOT_AN_INTEGER, WRONG_AGES]));
    cases.extend(wrong("monthly_income", &[NOT_A_NUMBER, WRONG_AMOUNTS, WRONG_INCOMES]));
    cases.extend(wrong("phone_number", &[WRONG_PHONE_NUMBERS]));
    cases
}

fn wrong_applications(endpoint: &'static str, customer_id: i64) -> Vec<Case> {
    let good = application_fields(customer_id);
    let wrong = |field, tables: &[Table]| wrong_values(endpoint, &good, field, tables);
    [
        wrong("customer_id", &[NOT_A_NUMBER, NOT_AN_INTEGER, WRONG_IDS]),
        wrong("loan_amount", &[NOT_A_NUMBER, WRONG_AMOUNTS, WRONG_PRINCIPALS]),
        wrong("interest_rate", &[NOT_A_NUMBER, WRONG_RATES]),
        wrong("tenure", &[NOT_A_NUMBER, NOT_AN_INTEGER, WRONG_TENURES]),
        wrong("accept_corrected_rate", &[WRONG_CONSENTS]),
    ]
    .concat()
}

/// What can be wrong with any body, made from a good one of the endpoint.
fn wrong_documents(endpoint: &'static str, good: &[Field]) -> Vec<Case> {
    let body = object(good);
    let open = &body[..body.len() - 1];
    let wrong = |name: &str, body: &[u8]| Case::bad_request(endpoint, name, "body", body);
    let mut cases: Vec<_> = values(WRONG_DOCUMENTS).map(|body| wrong(body, body.as_bytes())).collect();
    cases.extend(WRONG_BYTES.map(|body| wrong(&format!("{body:x?}"), body)));
    cases.extend(TRAILING.map(|rest| wrong(&format!("trailing {rest:?}"), format!("{body}{rest}").as_bytes())));
    cases.push(wrong("cut before its end", open.as_bytes()));
    cases.push(wrong("comma before its end", format!("{open},}}").as_bytes()));
    cases.push(wrong("invalid UTF-8 in an ignored field", &invalid_utf8(good, "note")));
    for (field, value) in good {
        cases.push(wrong(&format!("{field} invalid UTF-8"), &invalid_utf8(good, field)));
        cases.push(wrong(&format!("{field} twice"), format!("{open},\"{field}\":{value}}}").as_bytes()));
        for value in values(UNPARSABLE) {
            cases.push(wrong(&format!("{field}: {value}"), object(&with(good, field, value)).as_bytes()));
        }
    }
    cases.extend((0..good.len()).flat_map(|index| wrong_fields(endpoint, good, index)));
    cases
}

/// What can be wrong with a field, whatever its type.
fn wrong_fields(endpoint: &'static str, good: &[Field], index: usize) -> Vec<Case> {
    let field = good[index].0;
    let wrong = |what: &str, body: Vec<u8>| Case::bad_request(endpoint, format!("{field} {what}"), field, body);
    let without = [&good[..index], &good[index + 1..]].concat();
    let mut cut = object(&with(&good[..index], field, ""));
    cut.pop();
    vec![
        wrong("missing", object(&without).into()),
        wrong("null", object(&with(good, field, "null")).into()),
        wrong("cut", cut.into()),
        wrong("nested deeply", object(&with(good, field, &deep())).into()),
        wrong("never closed", object(&with(good, field, &"[".repeat(DEEP))).into()),
    ]
}

fn deep() -> String {
    format!("{}{}", "[".repeat(DEEP), "]".repeat(DEEP))
}

fn invalid_utf8(good: &[Field], field: &'static str) -> Vec<u8> {
    let text = object(&with(good, field, "\"@\""));
    let mut bytes = text.into_bytes();
    let place = bytes.iter().position(|byte| *byte == b'@').expect("the mark is there");
    bytes.splice(place..=place, [0xc3, 0x28]);
    bytes
}

fn padded(body: &str, bytes: usize) -> String {
    format!("{body}{}", " ".repeat(bytes - body.len()))
}

/// What is wrong around the body.
fn wrong_envelopes(endpoint: &'static str, good: &[Field]) -> Vec<Case> {
    let body = object(good);
    let types = ["text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data", "json"];
    let mut cases: Vec<_> = types
        .map(|content_type| Case {
            content_type,
            status: 415,
            ..Case::bad_request(endpoint, content_type, "Content-Type", body.clone())
        })
        .into();
    let padded = padded(&body, MAX_BODY_BYTES + 1);
    cases.push(Case { status: 413, ..Case::bad_request(endpoint, "a byte too many", "body", padded) });
    cases
}

fn unknown_customers(endpoint: &'static str) -> Vec<Case> {
    let ids = ["999999", "9007199254740991", r#""999999""#, "999999.0", "1e6"];
    ids.map(|id| {
        let body = object(&with(&application_fields(1), "customer_id", id));
        Case { status: 404, ..Case::bad_request(endpoint, format!("unknown customer {id}"), "customer_id", body) }
    })
    .into()
}

fn cases(customer_id: i64) -> Vec<Case> {
    let mut cases = wrong_registrations();
    cases.extend(wrong_documents(REGISTER, &registration_fields()));
    cases.extend(wrong_envelopes(REGISTER, &registration_fields()));
    for endpoint in APPLICATIONS {
        let good = application_fields(customer_id);
        cases.extend(wrong_applications(endpoint, customer_id));
        cases.extend(wrong_documents(endpoint, &good));
        cases.extend(wrong_envelopes(endpoint, &good));
        cases.extend(unknown_customers(endpoint));
    }
    cases
}

async fn post(client: &Client, endpoint: &str, content_type: &str, body: impl Into<reqwest::Body>) -> Answer {
    let request = client.request(Method::POST, endpoint).header(CONTENT_TYPE, content_type);
    client.send(request.body(body)).await
}

/// Everything that a command could have left behind.
async fn written(app: &TestApp) -> Vec<i64> {
    let pool = app.pool().await;
    let tables = ["events", "phone_numbers", "imported_rows", "read_models.customers", "read_models.loans"];
    let mut counts = Vec::new();
    for table in tables {
        counts.push(count(&pool, table).await);
    }
    pool.close().await;
    counts
}

#[tokio::test]
async fn a_wrong_request_is_refused_exactly_and_leaves_no_trace() {
    let app = TestApp::start().await;
    let customer_id = app.client.register(50_000).await;
    let before = written(&app).await;
    let mut wrong = Vec::new();
    for case in cases(customer_id) {
        let answer = post(&app.client, case.endpoint, case.content_type, case.body).await;
        let faults = faults(&answer, case.status, &[case.field]);
        if !faults.is_empty() {
            wrong.push(format!("{} {}: {}: {}", case.endpoint, case.name, faults.join("; "), answer.body));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(written(&app).await, before, "events, phone numbers, imported rows, customers, loans");
    assert_eq!(app.client.get(&format!("/view-loans/{customer_id}")).await.body, serde_json::json!([]));
    app.stop().await;
}

#[tokio::test]
async fn a_body_may_be_as_large_as_the_limit_and_tells_what_it_repeats() {
    let app = TestApp::start().await;
    let largest = padded(&object(&registration_fields()), MAX_BODY_BYTES);
    assert_eq!(post(&app.client, REGISTER, "application/json", largest).await.status, 201);
    let body = r#"{"first_name":"Asha","last_name":"Rao","age":30,"age":31,"monthly_income":1,"phone_number":"55500"}"#;
    let answer = post(&app.client, REGISTER, "application/json", body).await;
    assert!(answer.body["detail"].as_str().unwrap_or_default().contains("`age`"), "{}", answer.body);
    app.stop().await;
}

#[tokio::test]
async fn every_wrong_field_is_named_at_once() {
    let app = TestApp::start().await;
    app.client.register(50_000).await;
    let before = written(&app).await;
    let registered = ["first_name", "last_name", "age", "monthly_income", "phone_number"];
    let all: [(&str, &str, &[&str]); 6] = [
        (REGISTER, "{}", &registered),
        (
            REGISTER,
            r#"{"first_name":"","last_name":7,"age":17.5,"monthly_income":"lots","phone_number":"x"}"#,
            &registered,
        ),
        (
            REGISTER,
            r#"{"first_name":"Asha","last_name":"","age":30,"monthly_income":0,"phone_number":"5550001"}"#,
            &["last_name", "monthly_income"],
        ),
        ("", "{}", &["customer_id", "loan_amount", "interest_rate", "tenure"]),
        (
            "",
            r#"{"customer_id":0,"loan_amount":-1,"interest_rate":101,"tenure":1.5,"accept_corrected_rate":"yes"}"#,
            &["customer_id", "loan_amount", "interest_rate", "tenure", "accept_corrected_rate"],
        ),
        ("", r#"{"customer_id":1,"loan_amount":0.001,"interest_rate":12,"tenure":481}"#, &["loan_amount", "tenure"]),
    ];
    for (endpoint, body, fields) in all {
        let endpoints = if endpoint.is_empty() { APPLICATIONS.to_vec() } else { vec![endpoint] };
        for endpoint in endpoints {
            let answer = post(&app.client, endpoint, "application/json", body).await;
            assert_eq!(faults(&answer, 400, fields), Vec::<String>::new(), "{endpoint} {body}: {}", answer.body);
            let messages = answer.body["errors"].as_array().expect("errors");
            let detail = answer.body["detail"].as_str().expect("a detail");
            assert!(messages.iter().all(|error| detail.contains(error["message"].as_str().unwrap())), "{detail}");
        }
    }
    assert_eq!(written(&app).await, before);
    app.stop().await;
}
