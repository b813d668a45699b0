//! Changing a loan: what its own stream decides and what that means for its customer's credit are one transaction.
//! The one path for all that is done to a loan; what is done differs, and is said by the files beside this one.

use aggregates::customer::{Customer, CustomerCommand, RecordRepayment, RecordReversal, RecordWriteOff};
use aggregates::ids::{CustomerId, LoanId};
use aggregates::loan::{Loan, LoanCommand, LoanEvent, LoanRefusal};

use super::{Answered, ChangeRequest, CommandError, Commands, Known, Moment, Prepared, Rendered, handle, serialize};
use crate::store::append::Append;

impl Commands {
    /// Does something to a loan and tells its customer, at the revision that the client expects. `answer` says what the
    /// client is told of the event that the command leads to, and nothing of others.
    pub(super) async fn change_loan(
        &self,
        loan_id: LoanId,
        request: ChangeRequest<'_>,
        command: impl Fn(Moment) -> LoanCommand,
        answer: impl Fn(&LoanEvent) -> Option<Rendered>,
    ) -> Result<Answered, CommandError> {
        // Whose loan it is never changes, so it may be looked up before the customer's turn comes.
        let terms = self.log.load::<Loan>(loan_id.get()).await?.aggregate.terms().cloned();
        let customer_id = terms.ok_or(LoanRefusal::NotOpened)?.customer_id;
        let _turn = self.queue.turn(customer_id).await;
        let prepare = || self.prepare_loan_change((customer_id, loan_id), request, &command, &answer);
        self.until_appended(request.keyed, prepare).await
    }

    async fn prepare_loan_change(
        &self,
        (customer_id, loan_id): (CustomerId, LoanId),
        request: ChangeRequest<'_>,
        command: impl Fn(Moment) -> LoanCommand,
        answer: impl Fn(&LoanEvent) -> Option<Rendered>,
    ) -> Result<Option<Prepared>, CommandError> {
        let mut loan = self.log.load::<Loan>(loan_id.get()).await?;
        let mut customer = self.log.load::<Customer>(customer_id.get()).await?;
        request.expected.must_allow(revision(loan.current_sequence))?;

        let events = handle(&mut loan.aggregate, command(self.now())).await?;
        let answer = events.iter().find_map(answer).ok_or(CommandError::Undecided)?.map_err(CommandError::Render)?;
        let answer = answer.at_revision(revision(loan.current_sequence + events.len()));
        let mut recorded = Vec::new();
        for record in events.iter().filter_map(record) {
            recorded.extend(handle(&mut customer.aggregate, record).await?);
        }

        let metadata = request.origin.metadata(customer_id);
        let mut to_append = Append::default();
        to_append.push(serialize::<Loan>(loan_id.get(), loan.current_sequence, events, &metadata)?);
        let version = customer.current_sequence;
        let known = Known { customer: customer.aggregate, version: version + recorded.len() };
        to_append.push(serialize::<Customer>(customer_id.get(), version, recorded, &metadata)?);
        Ok(Some(Prepared { customer_id, to_append, answer, known: Some(known), verdict: None }))
    }
}

/// What the customer is told of a loan's event.
fn record(event: &LoanEvent) -> Option<CustomerCommand> {
    match event {
        LoanEvent::RepaymentReceived(received) => {
            Some(CustomerCommand::RecordRepayment(RecordRepayment::from(received)))
        }
        LoanEvent::LoanSettledEarly(settled) => Some(CustomerCommand::RecordRepayment(RecordRepayment::from(settled))),
        LoanEvent::RepaymentReversed(reversed) => Some(CustomerCommand::RecordReversal(RecordReversal::from(reversed))),
        LoanEvent::LoanWrittenOff(written_off) => {
            Some(CustomerCommand::RecordWriteOff(RecordWriteOff::from(written_off)))
        }
        LoanEvent::LoanOpened(_) | LoanEvent::LoanImported(_) => None,
    }
}

/// A loan's revision is the number of its events. No stream has 2^32 of them.
fn revision(events: usize) -> u32 {
    u32::try_from(events).unwrap_or(u32::MAX)
}
