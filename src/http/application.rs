//! The body that `/check-eligibility` and `/create-loan` share.

use aggregates::ids::CustomerId;
use aggregates::policy::alternatives::Alternative;
use aggregates::policy::decision::{self, Application};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::Object;

use super::body::{Field, Fields, JsonBody, boolean, integer, number};
use super::number::Number;
use super::openapi::inputs::{amount, rate};
use super::problem::Problem;

/// Who asks for what.
#[derive(Deserialize, ToSchema)]
#[schema(examples(json!({"customer_id": 10015, "loan_amount": 100000, "interest_rate": 12, "tenure": 12})))]
pub(super) struct LoanRequest<'a> {
    #[serde(borrow)]
    #[schema(value_type = i64, minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    customer_id: Field<'a>,
    #[serde(borrow)]
    #[schema(schema_with = loan_amount)]
    loan_amount: Field<'a>,
    #[serde(borrow)]
    #[schema(schema_with = rate)]
    interest_rate: Field<'a>,
    /// Months.
    #[serde(borrow)]
    #[schema(value_type = u16, minimum = 1, maximum = 480)]
    tenure: Field<'a>,
    /// Whether to borrow at a higher rate than was asked for, where the score demands one. False declines instead.
    #[serde(borrow)]
    #[schema(value_type = Option<bool>, default = true)]
    accept_corrected_rate: Field<'a>,
}

/// The schema of the amount of a loan in a request.
pub(super) fn loan_amount() -> Object {
    amount("Rupees, over 0, at most two decimals.", 10_000_000_000)
}

/// Who asks for what.
pub(super) fn parse(body: &JsonBody) -> Result<(CustomerId, Application), Problem> {
    let request: LoanRequest<'_> = body.fields()?;
    let mut fields = Fields::default();
    let customer_id = fields.required("customer_id", request.customer_id, integer::<i64, CustomerId>);
    let LoanRequest { loan_amount, interest_rate, tenure, accept_corrected_rate, .. } = request;
    let application = asked_for(&mut fields, loan_amount, interest_rate, tenure, accept_corrected_rate);
    let (Some(customer_id), Some(application)) = (customer_id, application) else {
        return Err(fields.into_problem());
    };
    Ok((customer_id, application))
}

/// What is asked for; `None` when a field of it is wrong.
pub(super) fn asked_for(
    fields: &mut Fields,
    loan_amount: Field<'_>,
    interest_rate: Field<'_>,
    tenure: Field<'_>,
    accept_corrected_rate: Field<'_>,
) -> Option<Application> {
    let principal = fields.required("loan_amount", loan_amount, number);
    let interest_rate = fields.required("interest_rate", interest_rate, number);
    let tenure = fields.required("tenure", tenure, integer::<u16, _>);
    let accept = fields.optional("accept_corrected_rate", accept_corrected_rate, true, boolean);
    let (principal, interest_rate, tenure) = (principal?, interest_rate?, tenure?);
    Some(Application { principal, interest_rate, tenure, accept_corrected_rate: accept? })
}

/// One reason of a decision.
#[derive(Serialize, ToSchema)]
pub(super) struct Reason {
    /// Stable, for programs.
    code: ReasonCode,
    /// A plain sentence, for people.
    message: String,
}

/// Declared in the order of gravity: five that decline, two that approve.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReasonCode {
    CurrentLoansOverLimit,
    ScoreTooLow,
    LimitExceeded,
    InstalmentsOverIncomeShare,
    CorrectedRateNotAccepted,
    RateCorrected,
    WithinPolicy,
}

impl From<decision::Reason> for Reason {
    fn from(decision::Reason { code, message }: decision::Reason) -> Self {
        Self { code: code.into(), message }
    }
}

impl From<decision::ReasonCode> for ReasonCode {
    fn from(code: decision::ReasonCode) -> Self {
        match code {
            decision::ReasonCode::CurrentLoansOverLimit => Self::CurrentLoansOverLimit,
            decision::ReasonCode::ScoreTooLow => Self::ScoreTooLow,
            decision::ReasonCode::LimitExceeded => Self::LimitExceeded,
            decision::ReasonCode::InstalmentsOverIncomeShare => Self::InstalmentsOverIncomeShare,
            decision::ReasonCode::CorrectedRateNotAccepted => Self::CorrectedRateNotAccepted,
            decision::ReasonCode::RateCorrected => Self::RateCorrected,
            decision::ReasonCode::WithinPolicy => Self::WithinPolicy,
        }
    }
}

/// For a decline: a single change that would pass, the smallest of its kind.
#[derive(Serialize, ToSchema)]
#[serde(tag = "change", rename_all = "snake_case")]
pub(super) enum Suggestion {
    /// The largest amount in whole rupees that passes.
    #[schema(title = "SmallerAmount")]
    SmallerAmount {
        /// Rupees.
        loan_amount: Number,
    },
    /// The shortest tenure that passes.
    #[schema(title = "LongerTenure")]
    LongerTenure {
        /// Months.
        tenure: u16,
    },
    /// The lowest rate for the score, accepted.
    #[schema(title = "AcceptRate")]
    AcceptRate {
        /// Percent a year.
        interest_rate: Number,
    },
}

impl From<Alternative> for Suggestion {
    fn from(alternative: Alternative) -> Self {
        match alternative {
            Alternative::SmallerAmount(principal) => {
                Self::SmallerAmount { loan_amount: Number(principal.money().amount()) }
            }
            Alternative::LongerTenure(tenure) => Self::LongerTenure { tenure: tenure.months() },
            Alternative::AcceptRate(rate) => Self::AcceptRate { interest_rate: Number(rate.percent()) },
        }
    }
}
