//! Reversing a repayment that was posted in error.

use aggregates::ids::{LoanId, RepaymentId};
use aggregates::loan::{LoanCommand, LoanEvent, RepaymentReversed, ReverseRepayment};
use aggregates::text::ReasonText;

use super::metrics::Kind;
use super::{Answered, ChangeRequest, CommandError, Commands, Moment, Rendered};

impl Commands {
    /// Takes a repayment back, as if it had never come; at most once where the request has a key. `render` says what
    /// the client is told.
    ///
    /// # Errors
    /// [`CommandError`], among them a refusal when there is no such loan or the loan has no such repayment, and when
    /// the repayment is reversed already.
    pub async fn reverse_repayment(
        &self,
        (loan_id, repayment_id): (LoanId, RepaymentId),
        reason: &ReasonText,
        request: ChangeRequest<'_>,
        render: impl Fn(&RepaymentReversed) -> Rendered,
    ) -> Result<Answered, CommandError> {
        let command = |Moment { at, today }| {
            LoanCommand::ReverseRepayment(ReverseRepayment { repayment_id, reason: reason.clone(), today, at })
        };
        let answer = |event: &LoanEvent| event.reversal().map(&render);
        self.once(Kind::ReverseRepayment, request.keyed, self.change_loan(loan_id, request, command, answer)).await
    }
}
