//! Settling a loan before its end.

use aggregates::ids::LoanId;
use aggregates::loan::{LoanCommand, LoanEvent, LoanSettledEarly, SettleEarly};

use super::metrics::Kind;
use super::{Answered, ChangeRequest, CommandError, Commands, Moment, Rendered, Repayment};
use crate::store::ids::draw_repayment;

impl Commands {
    /// Settles a loan by one last repayment, which is without the interest of the months that have not begun; at most
    /// once where the request has a key. `render` says what the client is told.
    ///
    /// # Errors
    /// [`CommandError`], among them a refusal when there is no such loan, or the amount is not the one that settles it.
    pub async fn settle_early(
        &self,
        loan_id: LoanId,
        repayment: &Repayment,
        request: ChangeRequest<'_>,
        render: impl Fn(&LoanSettledEarly) -> Rendered,
    ) -> Result<Answered, CommandError> {
        let settle = async {
            let repayment_id = draw_repayment(self.log.pool()).await?;
            let command = |Moment { at, today }| {
                LoanCommand::SettleEarly(SettleEarly {
                    repayment_id,
                    amount: repayment.amount,
                    paid_on: repayment.paid_on.unwrap_or(today),
                    reference: repayment.reference.clone(),
                    today,
                    at,
                })
            };
            let answer = |event: &LoanEvent| event.early_settlement().map(&render);
            self.change_loan(loan_id, request, command, answer).await
        };
        self.once(Kind::SettleEarly, request.keyed, settle).await
    }
}
