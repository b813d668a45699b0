//! The body that `/check-eligibility` and `/create-loan` share.

use aggregates::ids::CustomerId;
use aggregates::policy::alternatives::Alternative;
use aggregates::policy::decision::Application;
use serde::{Deserialize, Serialize};

use super::body::{Field, Fields, JsonBody, boolean, integer, number};
use super::number::Number;
use super::problem::Problem;

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    customer_id: Field<'a>,
    #[serde(borrow)]
    loan_amount: Field<'a>,
    #[serde(borrow)]
    interest_rate: Field<'a>,
    #[serde(borrow)]
    tenure: Field<'a>,
    #[serde(borrow)]
    accept_corrected_rate: Field<'a>,
}

/// Who asks for what.
pub(super) fn parse(body: &JsonBody) -> Result<(CustomerId, Application), Problem> {
    let request: Request<'_> = body.fields()?;
    let mut fields = Fields::default();
    let customer_id = fields.required("customer_id", request.customer_id, integer::<i64, CustomerId>);
    let principal = fields.required("loan_amount", request.loan_amount, number);
    let interest_rate = fields.required("interest_rate", request.interest_rate, number);
    let tenure = fields.required("tenure", request.tenure, integer::<u16, _>);
    let accept = fields.optional("accept_corrected_rate", request.accept_corrected_rate, true, boolean);
    let (Some(customer_id), Some(principal), Some(interest_rate), Some(tenure), Some(accept_corrected_rate)) =
        (customer_id, principal, interest_rate, tenure, accept)
    else {
        return Err(fields.into_problem());
    };
    Ok((customer_id, Application { principal, interest_rate, tenure, accept_corrected_rate }))
}

/// For a decline: a single change that would pass.
#[derive(Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub(super) enum Suggestion {
    SmallerAmount { loan_amount: Number },
    LongerTenure { tenure: u16 },
    AcceptRate { interest_rate: Number },
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
