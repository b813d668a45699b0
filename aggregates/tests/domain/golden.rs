//! Stored events stay readable: one golden document per event and version, read and written to the byte.
//!
//! A golden file is never changed once released: an event that has to change gets a new version, a new file, and an
//! upcaster for the old one.

use std::collections::BTreeSet;
use std::path::PathBuf;

use aggregates::customer::Customer;
use aggregates::event::{KNOWN, LendingEvent, UnreadableEvent, is_known};
use aggregates::loan::Loan;
use aggregates::policy::decision::{Outcome, ReasonCode};
use aggregates::policy::score::{ComponentName, ScoreRule};
use aggregates::profile::LoanRecord;
use cqrs_es::{Aggregate, DomainEvent};
use rstest::rstest;
use serde::Serialize;
use serde_json::{Value, from_str, from_value, to_string, to_string_pretty, to_value};

use crate::golden_samples::{SAMPLES, place};
use crate::support::date;

const PERSONAL_FIELDS: [&str; 4] = ["first_name", "last_name", "age", "phone_number"];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn files() -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn golden(file: &str) -> String {
    std::fs::read_to_string(folder().join(file)).unwrap_or_else(|error| panic!("golden file {file}: {error}"))
}

/// Aggregate type, event type, version and pretty document of an event, as the current code writes them.
fn written(event: &LendingEvent) -> (&'static str, String, String, String) {
    let (aggregate, event_type, version, document) = match event {
        LendingEvent::Customer(event) => {
            (Customer::TYPE, event.event_type(), event.event_version(), to_string_pretty(event))
        }
        LendingEvent::Loan(event) => (Loan::TYPE, event.event_type(), event.event_version(), to_string_pretty(event)),
    };
    (aggregate, event_type, version, document.unwrap() + "\n")
}

fn samples() -> Vec<LendingEvent> {
    SAMPLES.iter().map(|(_, sample)| sample()).collect()
}

#[test]
fn there_is_a_sample_of_every_event() {
    let places: Vec<usize> = samples().iter().map(place).collect();
    assert_eq!(places, (0..SAMPLES.len()).collect::<Vec<_>>());
    for (name, sample) in SAMPLES {
        assert_eq!(written(&sample()).1, name, "an event's type is its variant's name");
    }
}

#[test]
fn there_is_exactly_one_golden_file_for_every_event() {
    let expected: BTreeSet<String> = samples()
        .iter()
        .map(|event| {
            let (_, event_type, version, _) = written(event);
            format!("{event_type}-{version}.json")
        })
        .collect();
    assert_eq!(expected.len(), SAMPLES.len());
    assert_eq!(files(), expected);
}

#[test]
fn the_events_that_have_a_golden_file_are_those_that_are_known() {
    let known: BTreeSet<String> =
        KNOWN.iter().map(|(_, event_type, version)| format!("{event_type}-{version}.json")).collect();
    assert_eq!(files(), known);
    for event in samples() {
        let (aggregate, event_type, version, _) = written(&event);
        assert!(is_known(aggregate, &event_type, &version), "{event_type} is written, and so it is known");
        assert!(!is_known(aggregate, &event_type, "99.0"), "another version of {event_type} is not");
    }
}

#[test]
fn a_golden_file_is_read_and_written_to_the_byte() {
    for event in samples() {
        let (aggregate, event_type, version, document) = written(&event);
        let file = golden(&format!("{event_type}-{version}.json"));
        assert_eq!(document, file, "{event_type} as it is written");
        let read = LendingEvent::decode(aggregate, &event_type, &version, &file).unwrap();
        assert_eq!(read, event, "{event_type} as it is read");
        assert_eq!(written(&read).3, file, "{event_type} as it is written again");
    }
}

#[test]
fn what_is_optional_is_written_as_null() {
    let optional = [
        ("customer", "CustomerImported", "external_id"),
        ("customer", "CustomerImported", "current_debt"),
        ("customer", "RepaymentRecorded", "settled_on"),
        ("loan", "LoanImported", "external_id"),
        ("loan", "RepaymentReceived", "reference"),
        ("customer", "RepaymentReversalRecorded", "settled_on"),
        ("loan", "LoanSettledEarly", "reference"),
        ("loan", "RepaymentReversed", "last_paid_on"),
    ];
    for (aggregate, event, field) in optional {
        let mut document: Value = from_str(&golden(&format!("{event}-1.0.json"))).unwrap();
        document[event][field] = Value::Null;
        let read = LendingEvent::decode(aggregate, event, "1.0", &document.to_string()).unwrap();
        let written: Value = from_str(&written(&read).3).unwrap();
        assert_eq!(written, document);
    }
}

#[test]
fn a_loan_s_record_of_before_there_were_repayments_stays_as_it_was() {
    let mut document: Value = from_str(&golden("LoanCarriedOver-1.0.json")).unwrap();
    let record = document["LoanCarriedOver"]["loan"].take();
    assert_eq!((record.get("settled_on"), record.get("written_off_on")), (None, None));
    let read: LoanRecord = from_value(record.clone()).unwrap();
    assert_eq!((read.settled_on, read.written_off_on), (None, None));
    assert_eq!(to_value(&read).unwrap(), record);
    let settled = LoanRecord { settled_on: Some(date("2026-03-14")), ..read };
    assert_eq!(to_value(&settled).unwrap()["settled_on"], "2026-03-14");
    assert_eq!(from_value::<LoanRecord>(to_value(&settled).unwrap()).unwrap(), settled);
    let written_off = LoanRecord { written_off_on: Some(date("2026-03-14")), settled_on: None, ..settled };
    assert_eq!(to_value(&written_off).unwrap().get("settled_on"), None);
    assert_eq!(to_value(&written_off).unwrap()["written_off_on"], "2026-03-14");
    assert_eq!(from_value::<LoanRecord>(to_value(&written_off).unwrap()).unwrap(), written_off);
}

#[rstest]
#[case::a_newer_version("customer", "CustomerRegistered", "2.0")]
#[case::an_older_version("customer", "CustomerRegistered", "0.9")]
#[case::no_version("customer", "CustomerRegistered", "")]
#[case::an_unknown_type("customer", "CustomerForgotten", "1.0")]
#[case::another_type("customer", "CustomerImported", "1.0")]
#[case::no_type("customer", "", "1.0")]
fn a_good_payload_under_another_name_is_refused(
    #[case] aggregate: &str,
    #[case] event_type: &str,
    #[case] version: &str,
) {
    let payload = golden("CustomerRegistered-1.0.json");
    let refused = LendingEvent::decode(aggregate, event_type, version, &payload).unwrap_err();
    assert!(refused.to_string().contains(event_type), "{refused}");
    match refused {
        UnreadableEvent::Version { event_type: named, version: of } => {
            assert_eq!((named.as_str(), of.as_str()), (event_type, version))
        }
        other @ (UnreadableEvent::AggregateType(_) | UnreadableEvent::Payload { .. }) => panic!("{other:?}"),
    }
}

#[rstest]
#[case("order")]
#[case("Customer")]
#[case("")]
fn an_unknown_aggregate_is_refused(#[case] aggregate: &str) {
    let payload = golden("CustomerRegistered-1.0.json");
    let refused = LendingEvent::decode(aggregate, "CustomerRegistered", "1.0", &payload).unwrap_err();
    assert!(matches!(&refused, UnreadableEvent::AggregateType(named) if named == aggregate));
    assert_eq!(refused.to_string(), format!("unknown aggregate type '{aggregate}'"));
}

#[rstest]
#[case::empty("customer", "")]
#[case::no_json("customer", "not json")]
#[case::null("customer", "null")]
#[case::cut_off("customer", r#"{"CustomerRegistered":{"#)]
#[case::no_fields("customer", r#"{"CustomerRegistered":{}}"#)]
#[case::an_unknown_event("customer", r#"{"CustomerForgotten":{}}"#)]
#[case::two_events("customer", r#"{"CustomerRegistered":{},"CustomerImported":{}}"#)]
#[case::of_the_other_aggregate("loan", include_str!("../golden/CustomerRegistered-1.0.json"))]
fn a_payload_that_is_no_event_is_refused(#[case] aggregate: &str, #[case] payload: &str) {
    let refused = LendingEvent::decode(aggregate, "CustomerRegistered", "1.0", payload).unwrap_err();
    assert!(matches!(&refused, UnreadableEvent::Payload { event_type, .. } if event_type == "CustomerRegistered"));
    let said = refused.to_string();
    assert!(said.starts_with("the payload of event 'CustomerRegistered', version 1.0, cannot be read: "), "{said}");
}

#[rstest]
#[case("/CustomerRegistered/customer_id", "0")]
#[case("/CustomerRegistered/personal/age", "17")]
#[case("/CustomerRegistered/personal/first_name", "\"\"")]
#[case("/CustomerRegistered/personal/phone_number", "\"1234\"")]
#[case("/CustomerRegistered/monthly_income", "\"0.00\"")]
#[case("/CustomerRegistered/approved_limit", "\"-0.01\"")]
#[case("/CustomerRegistered/registered_at", "\"yesterday\"")]
fn a_value_beyond_its_bound_is_no_event(#[case] field: &str, #[case] value: &str) {
    let mut document: Value = from_str(&golden("CustomerRegistered-1.0.json")).unwrap();
    *document.pointer_mut(field).unwrap() = from_str(value).unwrap();
    let refused = LendingEvent::decode("customer", "CustomerRegistered", "1.0", &document.to_string());
    assert!(matches!(refused, Err(UnreadableEvent::Payload { .. })), "{refused:?}");
}

/// The path of every personal field, at whatever depth.
fn personal_paths(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let path = format!("{path}/{name}");
                if PERSONAL_FIELDS.contains(&name.as_str()) {
                    found.push(path.clone());
                }
                personal_paths(field, &path, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| personal_paths(item, &format!("{path}/*"), found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn personal_data_is_in_one_nested_object_and_nowhere_else() {
    let mut with_personal_data = BTreeSet::new();
    for file in files() {
        let (event, _) = file.split_once('-').unwrap();
        let mut found = Vec::new();
        personal_paths(&from_str(&golden(&file)).unwrap(), "", &mut found);
        if !found.is_empty() {
            // Of what changes, its own field; of who it is, all of them.
            let fields: &[&str] = if event == "PhoneNumberChanged" { &["phone_number"] } else { &PERSONAL_FIELDS };
            let expected = fields.iter().map(|field| format!("/{event}/personal/{field}"));
            assert_eq!(BTreeSet::from_iter(found), expected.collect(), "{file}");
            with_personal_data.insert(event.to_owned());
        }
    }
    let expected = ["CustomerRegistered", "CustomerImported", "PhoneNumberChanged"].map(str::to_owned);
    assert_eq!(with_personal_data, BTreeSet::from(expected));
}

#[test]
fn no_personal_value_is_repeated_outside_its_object() {
    for event in ["CustomerRegistered", "CustomerImported"] {
        let mut document: Value = from_str(&golden(&format!("{event}-1.0.json"))).unwrap();
        let personal = document[event].as_object_mut().unwrap().remove("personal").unwrap();
        let rest = to_string(&document).unwrap();
        for field in ["first_name", "last_name", "phone_number"] {
            let value = personal[field].as_str().unwrap();
            assert!(!rest.contains(value), "{event} repeats {field}");
        }
    }
}

/// Names that stored documents and clients hold on to.
#[rstest]
#[case(ReasonCode::CurrentLoansOverLimit, "current_loans_over_limit")]
#[case(ReasonCode::ScoreTooLow, "score_too_low")]
#[case(ReasonCode::LimitExceeded, "limit_exceeded")]
#[case(ReasonCode::InstalmentsOverIncomeShare, "instalments_over_income_share")]
#[case(ReasonCode::CorrectedRateNotAccepted, "corrected_rate_not_accepted")]
#[case(ReasonCode::RateCorrected, "rate_corrected")]
#[case(ReasonCode::WithinPolicy, "within_policy")]
#[case(ScoreRule::Components, "components")]
#[case(ScoreRule::NoLoans, "no_loans")]
#[case(ScoreRule::OverLimit, "over_limit")]
#[case(ComponentName::OnTime, "on_time")]
#[case(ComponentName::TrackRecord, "track_record")]
#[case(ComponentName::CurrentYearActivity, "current_year_activity")]
#[case(ComponentName::ApprovedVolume, "approved_volume")]
#[case(Outcome::Approved, "approved")]
#[case(Outcome::Declined, "declined")]
fn names_are_stable(#[case] value: impl Serialize, #[case] name: &str) {
    assert_eq!(to_value(value).unwrap(), Value::from(name));
}
