//! What is asked of customers and loans that are there: under a key, at a revision; and the loans that were there
//! before.

use aggregates::calendar::months_after;
use aggregates::customer::{CarryOverLoan, Customer, CustomerCommand};
use aggregates::ids::{CustomerId, LoanId};
use aggregates::instalments::instalment;
use aggregates::loan::{ImportLoan, Loan, LoanCommand, LoanTerms};
use aggregates::profile::LoanRecord;
use aggregates::terms::{Principal, Rate, Tenure};
use chrono::{NaiveDate, Utc};
use credit_approval::commands::{Origin, handle, serialize};
use credit_approval::store::EventLog;
use credit_approval::store::append::{Append, append};
use reqwest::{Method, RequestBuilder};
use rust_decimal::Decimal;
use serde_json::Value;

use super::sql::number;
use super::{Answer, Client, TestApp};

/// A change that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Value,
    if_match: Option<String>,
    key: Option<String>,
}

impl Change {
    /// Of a customer's details.
    pub(crate) fn of_customer(customer: i64, body: Value) -> Self {
        Self::new(Method::PATCH, format!("/v1/customers/{customer}"), body)
    }

    /// Of a loan: `rest` goes on behind its path.
    pub(crate) fn of_loan(loan: i64, rest: &str, body: Value) -> Self {
        Self::new(Method::POST, format!("/v1/loans/{loan}/{rest}"), body)
    }

    fn new(method: Method, path: String, body: Value) -> Self {
        Self { method, path, body, if_match: None, key: None }
    }

    /// At what an `If-Match` says.
    pub(crate) fn at(self, if_match: &str) -> Self {
        Self { if_match: Some(if_match.to_owned()), ..self }
    }

    /// At most once.
    pub(crate) fn once(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }

    pub(crate) fn request(&self, client: &Client) -> RequestBuilder {
        let request = client.request(self.method.clone(), &self.path).json(&self.body);
        let headers = [("If-Match", &self.if_match), ("Idempotency-Key", &self.key)];
        let sent = headers.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        sent.fold(request, |request, (name, value)| request.header(name, value))
    }

    pub(crate) async fn send(&self, client: &Client) -> Answer {
        client.send(self.request(client)).await
    }
}

/// Asserts that an answer is a problem of that kind which names that field.
pub(crate) fn assert_problem(answer: &Answer, status: u16, kind: &str, field: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.body["type"], format!("urn:credit-approval:problem:{kind}"), "{}", answer.body);
    assert_eq!(answer.wrong_fields(), [field], "{}", answer.body);
    assert_eq!(answer.header("content-type"), "application/problem+json");
}

/// A loan of a lakh at 12 % over 12 months that began some day in the past: nothing of it is paid. Answers its id. It is
/// put into the log as an import would.
pub(crate) async fn carry_over(app: &TestApp, customer: i64, started_on: NaiveDate) -> i64 {
    let pool = app.pool().await;
    let id = number(&pool, "select nextval('loan_ids')").await;
    let (loan_id, customer_id) = (LoanId::try_from(id).unwrap(), CustomerId::try_from(customer).unwrap());
    let principal = Principal::try_from(Decimal::from(100_000)).unwrap();
    let (interest_rate, tenure) = (Rate::try_from(Decimal::from(12)).unwrap(), Tenure::try_from(12).unwrap());
    let instalment = instalment(principal, interest_rate, tenure).unwrap();
    let ends_on = months_after(started_on, tenure.months()).unwrap();
    let terms = LoanTerms { loan_id, customer_id, principal, interest_rate, tenure, instalment, started_on, ends_on };
    let record = LoanRecord {
        loan_id,
        principal,
        instalment,
        tenure,
        started_on,
        ends_on,
        instalments_paid_on_time: 0,
        settled_on: None,
        written_off_on: None,
    };

    let at = Utc::now();
    let mut borrower = EventLog::new(pool.clone()).load::<Customer>(customer).await.unwrap();
    let carry_over = CustomerCommand::CarryOverLoan(CarryOverLoan { loan: record, at });
    let carried_over = handle(&mut borrower.aggregate, carry_over).await.unwrap();
    let import = ImportLoan { external_id: None, terms, instalments_paid_on_time: 0, at };
    let imported = handle(&mut Loan::default(), LoanCommand::Import(import)).await.unwrap();
    let metadata = Origin::default().metadata(customer_id);
    let mut events = Append::default();
    events.push(serialize::<Customer>(customer, borrower.current_sequence, carried_over, &metadata).unwrap());
    events.push(serialize::<Loan>(id, 0, imported, &metadata).unwrap());
    append(&pool, &events).await.unwrap();
    id
}
