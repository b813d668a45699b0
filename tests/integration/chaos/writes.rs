//! What clients ask to be done: a registration, an application, a repayment; how each is asked for, and what of it the
//! log would show.

use reqwest::{Method, RequestBuilder};
use rust_decimal::Decimal;
use serde_json::json;

use crate::support::problem::STILL_RUNNING;
use crate::support::{Answer, Client};

/// One thing to be done once, however often it is asked for.
#[derive(Debug, Clone)]
pub(super) enum Write {
    /// Under a phone number that no other registration has.
    Register { phone_number: String, monthly_income: u64 },
    /// Of a customer whose registration was acknowledged.
    Apply { customer: i64, amount: Decimal, rate: u64, tenure: u64 },
    /// Of a loan whose approval was acknowledged.
    Repay { loan: i64, amount: Decimal },
}

/// What the log shows of a write that took effect, told apart from others by what was asked for. Amounts carry paise
/// that hardly any two writes share; those that do are counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Effect {
    /// A registration: its phone number.
    Registered(String),
    /// A decision: whose, and over which amount.
    Decided(i64, Decimal),
    /// A repayment: of which loan, and how much.
    Repaid(i64, Decimal),
}

/// What an answer says of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It took effect.
    Done,
    /// It did not, and will not under this key.
    Refused,
    /// Nothing: to be asked again.
    Unknown,
}

impl Write {
    fn path(&self) -> String {
        match self {
            Self::Register { .. } => "/register".to_owned(),
            Self::Apply { .. } => "/create-loan".to_owned(),
            Self::Repay { loan, .. } => format!("/v1/loans/{loan}/repayments"),
        }
    }

    /// The same text every time; amounts never pass through a binary float.
    fn body(&self) -> String {
        match self {
            Self::Register { phone_number, monthly_income } => json!({
                "first_name": "Asha",
                "last_name": "Rao",
                "age": 30,
                "monthly_income": monthly_income,
                "phone_number": phone_number,
            })
            .to_string(),
            Self::Apply { customer, amount, rate, tenure } => application(*customer, *amount, *rate, *tenure),
            Self::Repay { amount, .. } => format!(r#"{{"amount": {amount}}}"#),
        }
    }

    /// The request, under its key.
    pub(super) fn request(&self, api: &Client, key: &str) -> RequestBuilder {
        let request = api.request(Method::POST, &self.path()).header("Idempotency-Key", key);
        request.header("Content-Type", "application/json").body(self.body())
    }

    /// What the log shows if it takes effect.
    pub(super) fn effect(&self) -> Effect {
        match self {
            Self::Register { phone_number, .. } => Effect::Registered(phone_number.clone()),
            Self::Apply { customer, amount, .. } => Effect::Decided(*customer, *amount),
            Self::Repay { loan, amount } => Effect::Repaid(*loan, *amount),
        }
    }
}

/// The body of an application.
pub(super) fn application(customer: i64, amount: Decimal, rate: u64, tenure: u64) -> String {
    let terms = format!(r#""loan_amount": {amount}, "interest_rate": {rate}, "tenure": {tenure}"#);
    format!(r#"{{"customer_id": {customer}, {terms}}}"#)
}

impl Verdict {
    /// What an answer says.
    pub(super) fn of(answer: &Answer) -> Self {
        match answer.status {
            200 | 201 => Self::Done,
            400..=499 if answer.body["type"] != STILL_RUNNING => Self::Refused,
            _ => Self::Unknown,
        }
    }
}
