//! Taking a repayment.

use aggregates::ids::LoanId;
use aggregates::loan::{LoanCommand, LoanEvent, ReceiveRepayment, RepaymentReceived};
use aggregates::repayment::{Reference, RepaymentAmount};
use chrono::NaiveDate;

use super::metrics::Kind;
use super::{Answered, ChangeRequest, CommandError, Commands, Moment, Rendered};
use crate::store::ids::draw_repayment;

/// A repayment that a channel reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repayment {
    /// Rupees.
    pub amount: RepaymentAmount,
    /// The day it was paid; the business day where nobody says.
    pub paid_on: Option<NaiveDate>,
    /// What whoever paid calls it.
    pub reference: Option<Reference>,
}

impl Commands {
    /// Takes a repayment of a loan; at most once where the request has a key. `render` says what the client is told.
    ///
    /// # Errors
    /// [`CommandError`], among them a refusal when there is no such loan, or more is paid than is owed.
    pub async fn repay(
        &self,
        loan_id: LoanId,
        repayment: &Repayment,
        request: ChangeRequest<'_>,
        render: impl Fn(&RepaymentReceived) -> Rendered,
    ) -> Result<Answered, CommandError> {
        let take = async {
            let repayment_id = draw_repayment(self.log.pool()).await?;
            let command = |Moment { at, today }| {
                LoanCommand::Repay(ReceiveRepayment {
                    repayment_id,
                    amount: repayment.amount,
                    paid_on: repayment.paid_on.unwrap_or(today),
                    reference: repayment.reference.clone(),
                    today,
                    at,
                })
            };
            let answer = |event: &LoanEvent| event.repayment().map(&render);
            self.change_loan(loan_id, request, command, answer).await
        };
        self.once(Kind::Repay, request.keyed, take).await
    }
}
