//! What clients ask to be done: a registration, an application, a repayment, its reversal, another income; how each is
//! asked for, and what of it the log would show.

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
    /// Of a repayment that was acknowledged.
    Reverse { loan: i64, repayment: i64 },
    /// Of a customer whose registration was acknowledged.
    ChangeIncome { customer: i64, monthly_income: Decimal },
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
    /// A reversal: of which loan's repayment.
    Reversed(i64, i64),
    /// Another income: whose, and how much.
    IncomeChanged(i64, Decimal),
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
            Self::Reverse { loan, repayment } => format!("/v1/loans/{loan}/repayments/{repayment}/reversal"),
            Self::ChangeIncome { customer, .. } => format!("/v1/customers/{customer}"),
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
            Self::Reverse { .. } => r#"{"reason": "posted in error"}"#.to_owned(),
            Self::ChangeIncome { monthly_income, .. } => format!(r#"{{"monthly_income": {monthly_income}}}"#),
        }
    }

    /// The request, under its key.
    pub(super) fn request(&self, api: &Client, key: &str) -> RequestBuilder {
        let request = match self {
            Self::Register { .. } | Self::Apply { .. } | Self::Repay { .. } | Self::Reverse { .. } => {
                api.request(Method::POST, &self.path())
            }
            // Whichever revision there is: others change it all the time.
            Self::ChangeIncome { .. } => api.request(Method::PATCH, &self.path()).header("If-Match", "*"),
        };
        request.header("Idempotency-Key", key).header("Content-Type", "application/json").body(self.body())
    }

    /// What the log shows if it takes effect.
    pub(super) fn effect(&self) -> Effect {
        match self {
            Self::Register { phone_number, .. } => Effect::Registered(phone_number.clone()),
            Self::Apply { customer, amount, .. } => Effect::Decided(*customer, *amount),
            Self::Repay { loan, amount } => Effect::Repaid(*loan, *amount),
            Self::Reverse { loan, repayment } => Effect::Reversed(*loan, *repayment),
            Self::ChangeIncome { customer, monthly_income } => Effect::IncomeChanged(*customer, *monthly_income),
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
