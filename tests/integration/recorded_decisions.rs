//! What a decision leaves in the log: its inputs and reasons, in one transaction with the loan, enough to take it again.

use aggregates::customer::CustomerEvent;
use aggregates::event::LendingEvent;
use aggregates::policy::Policy;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::client::{application, codes};

/// Position, type, transaction and payload of a customer's events after its registration.
async fn decided(pool: &PgPool, customer_id: i64) -> Vec<(i64, String, String, String)> {
    sqlx::query_as(
        "select position, event_type, xmin::text, payload::text from events
         where customer_id = $1 and event_type <> 'CustomerRegistered' order by position",
    )
    .bind(customer_id)
    .fetch_all(pool)
    .await
    .expect("the log is read")
}

#[tokio::test]
async fn a_decline_is_recorded_with_its_reasons_and_nothing_else() {
    let app = TestApp::start().await;
    let customer_id = app.client.register(1_388).await;
    let declined = app.client.post("/create-loan", &application(customer_id, 100_000, 10, 12)).await;
    assert_eq!(codes(&declined), ["limit_exceeded", "instalments_over_income_share"], "the gravest first");
    let events = decided(&app.pool().await, customer_id).await;
    let [(_, event_type, _, payload)] = events.as_slice() else { panic!("{events:?}") };
    let payload: Value = serde_json::from_str(payload).unwrap();
    assert_eq!(event_type, "LoanDeclined");
    assert_eq!(payload["LoanDeclined"]["decision_id"], declined.body["decision_id"]);
    assert_eq!(payload["LoanDeclined"]["assessment"]["reasons"], declined.body["reasons"]);
    assert_eq!(payload["LoanDeclined"]["assessment"]["outcome"], "declined");
    app.stop().await;
}

#[tokio::test]
async fn an_approval_is_a_decision_and_a_loan_in_one_transaction() {
    let app = TestApp::start().await;
    let customer_id = app.client.register(50_000).await;
    let lent = app.client.post("/create-loan", &application(customer_id, 100_000, 10, 12)).await;
    let events = decided(&app.pool().await, customer_id).await;
    let [(first, approved, in_transaction, decision), (second, opened, in_same, loan)] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!((approved.as_str(), opened.as_str()), ("LoanApproved", "LoanOpened"));
    assert_eq!((*second, in_same), (first + 1, in_transaction), "consecutive, in one transaction");
    let (decision, loan): (Value, Value) =
        (serde_json::from_str(decision).unwrap(), serde_json::from_str(loan).unwrap());
    let terms = &loan["LoanOpened"]["terms"];
    assert_eq!(decision["LoanApproved"]["decision_id"], lent.body["decision_id"]);
    assert_eq!(loan["LoanOpened"]["decision_id"], lent.body["decision_id"]);
    assert_eq!(decision["LoanApproved"]["loan"]["loan_id"], lent.body["loan_id"]);
    assert_eq!((&terms["loan_id"], &terms["customer_id"]), (&lent.body["loan_id"], &json!(customer_id)));
    assert_eq!((&terms["instalment"], &loan["LoanOpened"]["last_instalment"]), (&json!("8884.88"), &json!("8884.85")));
    app.stop().await;
}

/// The event with its assessment taken again from its own inputs.
fn decided_again(policies: &[Policy], event: &CustomerEvent) -> CustomerEvent {
    let assess = |recorded: &aggregates::policy::decision::Assessment| {
        let policy =
            policies.iter().find(|policy| *policy.reference() == recorded.policy).expect("the policy is shipped");
        policy.assess(recorded.standing.clone(), recorded.application.clone()).expect("within range")
    };
    let mut event = event.clone();
    match &mut event {
        CustomerEvent::LoanApproved(approved) => approved.assessment = assess(&approved.assessment),
        CustomerEvent::LoanDeclined(declined) => declined.assessment = assess(&declined.assessment),
        CustomerEvent::CustomerRegistered(_)
        | CustomerEvent::CustomerImported(_)
        | CustomerEvent::LoanCarriedOver(_)
        | CustomerEvent::RepaymentRecorded(_)
        | CustomerEvent::MonthlyIncomeChanged(_)
        | CustomerEvent::PhoneNumberChanged(_)
        | CustomerEvent::RepaymentReversalRecorded(_)
        | CustomerEvent::LoanWriteOffRecorded(_) => {
            panic!("no decision: {event:?}")
        }
    }
    event
}

#[tokio::test]
async fn a_recorded_decision_is_taken_again_to_the_byte() {
    let app = TestApp::start().await;
    let customer_id = app.client.register(50_000).await;
    for (amount, rate, tenure) in [(1_000, 10, 12), (99_999, 9, 17), (9_000_000, 8, 480), (600_000, 11, 12), (5, 0, 7)]
    {
        let answer = app.client.post("/create-loan", &application(customer_id, amount, rate, tenure)).await;
        assert!([200, 201].contains(&answer.status), "{}", answer.body);
    }
    let policies = Policy::shipped().unwrap();
    let events = decided(&app.pool().await, customer_id).await;
    let decisions: Vec<_> = events.iter().filter(|(_, event_type, _, _)| event_type != "LoanOpened").collect();
    let types: Vec<_> = decisions.iter().map(|(_, event_type, _, _)| event_type.as_str()).collect();
    assert_eq!(types, ["LoanApproved", "LoanApproved", "LoanDeclined", "LoanDeclined", "LoanApproved"]);
    for (position, event_type, _, payload) in decisions {
        let LendingEvent::Customer(event) = LendingEvent::decode("customer", event_type, "1.0", payload).unwrap()
        else {
            panic!("{event_type} is an event of the customer")
        };
        let again = serde_json::to_value(decided_again(&policies, &event)).unwrap();
        assert_eq!(&again.to_string(), payload, "the decision at {position}");
    }
    app.stop().await;
}
