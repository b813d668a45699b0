//! Writing a loan off: nobody counts on it any more, though it stays owed.

use aggregates::ids::LoanId;
use aggregates::loan::{LoanCommand, LoanEvent, LoanWrittenOff, WriteOff};
use aggregates::text::ReasonText;

use super::metrics::Kind;
use super::{Answered, ChangeRequest, CommandError, Commands, Moment, Rendered};

impl Commands {
    /// Writes a loan off; at most once where the request has a key. `render` says what the client is told.
    ///
    /// # Errors
    /// [`CommandError`], among them a refusal when there is no such loan, and when it is settled or written off already.
    pub async fn write_off(
        &self,
        loan_id: LoanId,
        reason: &ReasonText,
        request: ChangeRequest<'_>,
        render: impl Fn(&LoanWrittenOff) -> Rendered,
    ) -> Result<Answered, CommandError> {
        let command = |Moment { at, today }| LoanCommand::WriteOff(WriteOff { reason: reason.clone(), today, at });
        let answer = |event: &LoanEvent| event.write_off().map(&render);
        self.once(Kind::WriteOff, request.keyed, self.change_loan(loan_id, request, command, answer)).await
    }
}
