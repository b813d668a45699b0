//! `GET /v1/loans/{loan_id}/repayments`.

use aggregates::ids::LoanId;
use aggregates::loan::RepaymentRecord;
use axum::Json;
use axum::extract::State;
use projections::Projection;
use projections::keyset::{Key, KeyValue, Kind, Order, OrderColumn};
use projections::loans;
use serde::Serialize;
use utoipa::ToSchema;

use super::{PathText, must_be_filled, path_id};
use crate::http::Api;
use crate::http::consistency::Fresh;
use crate::http::number::Number;
use crate::http::parameters::Parameters;
use crate::http::problem::{Problem, ProblemDocument};

/// A loan's repayments are only ever added to: their places never change.
const ORDER: Order = &[OrderColumn("place", Kind::Integer)];

/// A page of a loan's repayments.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({"items": [{
    "repayment_id": 41, "amount": 8884.88, "interest": 1000, "principal": 7884.88, "paid_on": "2026-12-20",
    "reference": "UTR 2026-00017", "settles_loan_early": false, "interest_waived": 0,
    "received_at": "2026-12-20T09:30:00+00:00", "reversed": false, "reversed_on": null, "reversal_reason": null,
}], "next_cursor": null})))]
pub(super) struct RepaymentList {
    items: Vec<Repayment>,
    /// Continues behind the last item; null on the last page.
    next_cursor: Option<String>,
}

/// A repayment, and how it is split by what is known now.
#[derive(Serialize, ToSchema)]
#[schema(as = RecordedRepayment)]
pub(super) struct Repayment {
    repayment_id: i64,
    /// Rupees: `interest` and `principal` together.
    amount: Number,
    /// Rupees of it that pay interest. What was reversed keeps the split that it had.
    interest: Number,
    /// Rupees of it that lower the balance.
    principal: Number,
    /// The day it was paid.
    #[schema(format = Date)]
    paid_on: String,
    /// What whoever paid calls it.
    reference: Option<String>,
    /// Whether it settles the loan early.
    settles_loan_early: bool,
    /// Rupees of interest that are not asked for any more because of it.
    interest_waived: Number,
    /// When it was recorded.
    #[schema(format = DateTime)]
    received_at: String,
    /// Whether it was reversed: it counts no longer then.
    reversed: bool,
    /// The day of the reversal.
    #[schema(format = Date)]
    reversed_on: Option<String>,
    /// Why it was reversed.
    reversal_reason: Option<String>,
}

impl From<&RepaymentRecord> for Repayment {
    fn from(repayment: &RepaymentRecord) -> Self {
        let reversed = repayment.reversed.as_ref();
        Self {
            repayment_id: repayment.repayment_id.get(),
            amount: Number(repayment.amount.money().amount()),
            interest: Number(repayment.interest.amount()),
            principal: Number(repayment.principal.amount()),
            paid_on: repayment.paid_on.to_string(),
            reference: repayment.reference.as_ref().map(|reference| reference.as_str().to_owned()),
            settles_loan_early: repayment.settles_loan_early,
            interest_waived: Number(repayment.interest_waived.amount()),
            received_at: repayment.received_at.to_rfc3339(),
            reversed: reversed.is_some(),
            reversed_on: reversed.map(|reversal| reversal.reversed_on.to_string()),
            reversal_reason: reversed.map(|reversal| reversal.reason.as_str().to_owned()),
        }
    }
}

/// List a loan's repayments
///
/// In the order in which they were recorded, those that were reversed among them.
#[utoipa::path(get, path = "/v1/loans/{loan_id}/repayments", tag = "loans",
    params(
        ("loan_id" = i64, Path, description = "The loan.", example = 11000),
    ),
    responses(
        (status = 200, description = "A page.", body = RepaymentList),
        (status = 404, description = "There is no such loan.", body = ProblemDocument,
         content_type = "application/problem+json"),
    ))]
pub(super) async fn list_repayments(
    State(api): State<Api>,
    loan_id: PathText,
    parameters: Parameters,
    fresh: Fresh,
) -> Result<Json<RepaymentList>, Problem> {
    let loan_id: LoanId = path_id("loan_id", &loan_id)?;
    let paging = parameters.finish_list(ORDER)?;
    must_be_filled(&api, Projection::Loans).await?;
    let found = loans::find(&api.read_models, loan_id).await?;
    fresh.confirm(&api)?;
    let loan = found.ok_or_else(|| Problem::not_found("loan_id", loan_id))?;
    let before = match paging.page.after.as_ref().map(Key::values) {
        Some([KeyValue::Integer(place)]) => usize::try_from(*place).unwrap_or(0),
        Some(_) | None => 0,
    };
    let end = before + usize::from(paging.page.limit);
    let items = loan.repayments.iter().take(end).skip(before).map(Repayment::from).collect();
    let next = (end < loan.repayments.len()).then(|| Key::new([KeyValue::Integer(i64::try_from(end).unwrap_or(0))]));
    Ok(Json(RepaymentList { items, next_cursor: paging.cursor(next.as_ref()) }))
}
