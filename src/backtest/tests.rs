//! What a comparison counts, and how it is told.

use std::sync::Arc;

use aggregates::money::Money;
use aggregates::policy::Policy;
use aggregates::policy::decision::Application;
use aggregates::profile::CreditStanding;
use chrono::{DateTime, NaiveDate, Utc};
use projections::decisions::{RecordedDecision, Span};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{CompareError, Comparison, Report};

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn shipped(id: &str) -> Policy {
    let mut all = Policy::shipped().unwrap().into_iter();
    all.find(|policy| policy.reference().id == id).unwrap()
}

/// `standard-1` with some lines changed, under a name of its own.
fn changed(changes: &[(&str, &str)]) -> Policy {
    let mut text = include_str!("../../policies/standard-1.toml").replace("standard-1", "what-if-1");
    for (line, into) in changes {
        assert!(text.contains(line), "{line}");
        text = text.replace(line, into);
    }
    Policy::parse(&text).unwrap()
}

/// A customer with an income of 50,000 and a limit of 1,800,000 who never had a loan asks under `standard-1`.
fn decided(decision_id: i64, as_of: &str, amount: &str, rate: &str, months: u16) -> RecordedDecision {
    let as_of: NaiveDate = as_of.parse().unwrap();
    let standing = CreditStanding {
        as_of,
        monthly_income: decimal("50000").try_into().unwrap(),
        approved_limit: Money::rupees(1_800_000),
        loans_taken: 0,
        loans_started_this_year: 0,
        instalments_due: 0,
        instalments_paid_on_time: 0,
        current_loans: 0,
        current_principal: Money::ZERO,
        current_instalments: Money::ZERO,
    };
    let application = Application {
        principal: decimal(amount).try_into().unwrap(),
        interest_rate: decimal(rate).try_into().unwrap(),
        tenure: months.try_into().unwrap(),
        accept_corrected_rate: true,
    };
    let assessment = shipped("standard-1").assess(standing, application).unwrap();
    let decided_at: DateTime<Utc> = as_of.and_hms_opt(12, 0, 0).unwrap().and_utc();
    RecordedDecision { decision_id, customer_id: 7, decided_at, assessment }
}

/// Two that pass, one that takes too much of the income, one over the limit.
fn decisions() -> [RecordedDecision; 4] {
    [
        decided(1, "2026-01-31", "100000", "10", 12),
        decided(2, "2026-02-01", "100000.50", "14", 12),
        decided(3, "2026-02-28", "600000", "12", 12),
        decided(4, "2026-03-01", "2000000", "12", 480),
    ]
}

fn report(policy: &Policy, examples: usize) -> Value {
    let mut comparison = Comparison::new(examples);
    for decision in decisions() {
        comparison.add(policy, &decision).unwrap();
    }
    serde_json::to_value(Report::new(policy.reference(), Span::default(), comparison)).unwrap()
}

fn tally(decisions: u64, loan_amount: &str) -> Value {
    let amount: Value = serde_json::from_str(loan_amount).unwrap();
    json!({ "decisions": decisions, "loan_amount": amount })
}

#[test]
fn under_the_same_policy_nothing_falls_otherwise() {
    let told = report(&shipped("standard-1"), 10);
    assert_eq!((&told["decisions"], &told["policy"]["id"]), (&json!(4), &json!("standard-1")));
    assert_eq!(told["loan_amount"].to_string(), "2800000.5");
    assert_eq!(told["still_approved"], tally(2, "200000.5"));
    assert_eq!(told["still_declined"], tally(2, "2600000"));
    assert_eq!((&told["newly_approved"], &told["newly_declined"]), (&tally(0, "0"), &tally(0, "0")));
    let none = json!({ "decisions": 0, "average_change": 0 });
    assert_eq!(told["rates"], json!({ "same": 2, "raised": none, "lowered": none }));
    assert_eq!(told["examples"], json!({ "newly_approved": [], "newly_declined": [] }));
    assert_eq!(told["note"].as_str().map(|note| note.contains("standing that was recorded")), Some(true));
}

#[test]
fn a_laxer_policy_approves_what_was_declined_and_says_why_it_was() {
    let told = report(&shipped("literal-1"), 10);
    assert_eq!(told["newly_approved"], tally(2, "2600000"));
    assert_eq!(told["newly_declined"], tally(0, "0"));
    let by_reason = [
        ("limit_exceeded", "within_policy", 1, 2_000_000),
        ("instalments_over_income_share", "within_policy", 1, 600_000),
    ];
    for (recorded, now, decisions, amount) in by_reason {
        let found = told["by_reason"].as_array().unwrap().iter();
        let mut found = found.filter(|row| row["recorded_reason"] == recorded && row["reason"] == now);
        let row = found.next().unwrap_or_else(|| panic!("no {recorded} -> {now} in {told}"));
        assert_eq!((&row["decisions"], &row["loan_amount"]), (&json!(decisions), &json!(amount)));
    }
    let example = &told["examples"]["newly_approved"][0];
    assert_eq!((&example["decision_id"], &example["customer_id"]), (&json!(3), &json!(7)));
    assert_eq!((&example["as_of"], &example["loan_amount"]), (&json!("2026-02-28"), &json!(600_000)));
    assert_eq!(example["message"], "Approved at 12% a year, with a credit score of 50.00.");
    assert_eq!(report(&shipped("literal-1"), 1)["examples"]["newly_approved"].as_array().unwrap().len(), 1);
    assert_eq!(report(&shipped("literal-1"), 0)["examples"]["newly_approved"].as_array().unwrap().len(), 0);
}

#[test]
fn a_stricter_policy_declines_what_was_approved() {
    let told = report(&changed(&[("without_loans = 50", "without_loans = 5")]), 10);
    assert_eq!(told["newly_declined"], tally(2, "200000.5"));
    let examples = told["examples"]["newly_declined"].as_array().unwrap();
    let reasons: Vec<_> = examples.iter().map(|one| (&one["recorded_reason"], &one["reason"])).collect();
    let [rate_corrected, within] = ["rate_corrected", "within_policy"].map(Value::from);
    let too_low = Value::from("score_too_low");
    assert_eq!(reasons, [(&rate_corrected, &too_low), (&within, &too_low)]);
    assert_eq!((&examples[0]["recorded_credit_score"], &examples[0]["credit_score"]), (&json!(50), &json!(5)));
}

#[test]
fn rates_are_compared_where_both_approve() {
    // 10 was corrected to 12 and is to 13.5; 14 stays. Then 12 falls to 10.
    let told = report(&changed(&[("minimum_rate = \"12\"", "minimum_rate = \"13.5\"")]), 10);
    let raised: Value = serde_json::from_str(r#"{ "decisions": 1, "average_change": 1.5 }"#).unwrap();
    assert_eq!((&told["rates"]["same"], &told["rates"]["raised"]), (&json!(1), &raised));
    let told = report(&changed(&[("minimum_rate = \"12\"", "minimum_rate = \"9\"")]), 10);
    let lowered = json!({ "decisions": 1, "average_change": -2 });
    assert_eq!((&told["rates"]["same"], &told["rates"]["lowered"]), (&json!(1), &lowered));
    let told = report(&changed(&[("minimum_rate = \"12\"", "minimum_rate = \"15\"")]), 10);
    // 3 and 1, two on average.
    assert_eq!(told["rates"]["raised"], json!({ "decisions": 2, "average_change": 2 }));
}

#[test]
fn months_are_those_of_the_business_days() {
    let told = report(&shipped("literal-1"), 0);
    let months: Vec<_> =
        told["by_month"].as_array().unwrap().iter().map(|one| (&one["month"], &one["decisions"])).collect();
    let expected = [("2026-01", 1), ("2026-02", 2), ("2026-03", 1)].map(|(month, count)| (json!(month), json!(count)));
    assert_eq!(months, expected.iter().map(|(month, count)| (month, count)).collect::<Vec<_>>());
    assert_eq!(told["by_month"][1]["still_approved"], tally(1, "100000.5"));
    assert_eq!(told["by_month"][1]["newly_approved"], tally(1, "600000"));
}

#[test]
fn a_decision_without_a_reason_is_no_decision() {
    let mut decision = decisions()[0].clone();
    decision.assessment.reasons.clear();
    let policy = Arc::new(shipped("standard-1"));
    assert_eq!(Comparison::new(1).add(&policy, &decision), Err(CompareError::WithoutReason(1)));
}
