//! What is just right: values at the edge of what is taken.

use std::collections::BTreeSet;

use super::{REGISTER, Table, application_fields, deep, object, post, registration_fields, values, with};
use crate::support::TestApp;
use crate::support::client::registration;

const EDGES_OF_REGISTRATION: [(&str, Table); 6] = [
    ("first_name", r#""A" | " A " | "आशा" | "玲" | "Ñandú-O'Brien" | "\ud83d\ude00" | "\u0905""#),
    ("last_name", r#""R" | "من" | "12" | "van der Rao""#),
    ("age", r#"18 | 120 | 30.0 | "30" | " 30 " | 3e1 | 300e-1 | 3.0E+1"#),
    ("monthly_income", r#"0.01 | 1000000000 | 50000.50 | 50000.5000 | "50000.50" | 5e4 | 1E9 | 1e-2"#),
    ("phone_number", r#"10000 | 12345 | "00000" | 123456789012345 | "999999999999999" | " 54321 ""#),
    ("note", r#"null | "\ud800" | [[]] | {"age":17}"#),
];

const EDGES_OF_APPLICATION: [(&str, Table); 4] = [
    ("loan_amount", r#"0.01 | 1e5 | 10000000000 | 1E10 | 99999.990 | "100000.00" | " 1e5 " | 1e-2"#),
    ("interest_rate", r#"0 | -0 | 0.0 | 100 | 100.0000 | 12.3456 | 12.345600 | 0.0001 | "12.5" | 1.2e1"#),
    ("tenure", r#"1 | 480 | 12.0 | 12.000 | "12" | "12.0" | 1.2e1 | 120e-1"#),
    ("accept_corrected_rate", "true | false | null"),
];

#[tokio::test]
async fn values_at_their_bounds_are_taken() {
    let app = TestApp::start().await;
    let edges =
        EDGES_OF_REGISTRATION.iter().flat_map(|(field, table)| values(table).map(|value| (*field, value.to_owned())));
    let longest = ["a", "😀"].map(|letter| ("last_name", format!("\"{}\"", letter.repeat(100))));
    let mut ids = BTreeSet::new();
    for (field, value) in edges.chain(longest).chain([("note", deep())]) {
        let phone_number = registration(1)["phone_number"].to_string();
        let body = object(&with(&with(&registration_fields(), "phone_number", &phone_number), field, &value));
        let answer = post(&app.client, REGISTER, "application/json; charset=utf-8", body).await;
        assert_eq!(answer.status, 201, "{field}: {value}: {}", answer.body);
        assert!(ids.insert(answer.body["customer_id"].as_i64()), "{field}: {value}: an id of its own");
    }
    app.stop().await;
}

#[tokio::test]
async fn applications_at_their_bounds_are_decided() {
    let app = TestApp::start().await;
    for (field, table) in EDGES_OF_APPLICATION {
        for value in values(table) {
            let customer_id = app.client.register(1_000_000_000).await;
            let longest = with(&application_fields(customer_id), "tenure", "480");
            let body = object(&with(&longest, field, value));
            let eligibility = post(&app.client, "/check-eligibility", "application/json", body.clone()).await;
            assert_eq!(eligibility.status, 200, "{field}: {value}: {}", eligibility.body);
            let decided = post(&app.client, "/create-loan", "application/vnd.api+json", body).await;
            assert_eq!(decided.status, 201, "{field}: {value}: {}", decided.body);
            assert_eq!(eligibility.body["approval"], true, "{field}: {value}");
            assert_eq!(
                eligibility.body["monthly_installment"], decided.body["monthly_installment"],
                "{field}: {value}"
            );
        }
    }
    app.stop().await;
}
