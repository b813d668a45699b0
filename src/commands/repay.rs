//! Taking a repayment: what it does to the loan and what that means for the customer's credit are one transaction.

use aggregates::customer::{Customer, CustomerCommand, RecordRepayment};
use aggregates::ids::{CustomerId, LoanId, RepaymentId};
use aggregates::loan::{Loan, LoanCommand, LoanEvent, LoanRefusal, ReceiveRepayment, RepaymentReceived};
use aggregates::repayment::{Reference, RepaymentAmount};
use chrono::{NaiveDate, Utc};

use super::{Answered, CommandError, Commands, KeyedRequest, MAX_ATTEMPTS, Origin, Rendered, handle, serialize};
use crate::store::append::Append;
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
        loan: LoanId,
        repayment: &Repayment,
        keyed: Option<&KeyedRequest>,
        origin: &Origin,
        render: impl Fn(RepaymentReceived) -> Rendered,
    ) -> Result<Answered, CommandError> {
        self.once(keyed, self.append_repayment(loan, repayment, keyed, origin, render)).await
    }

    async fn append_repayment(
        &self,
        loan: LoanId,
        repayment: &Repayment,
        keyed: Option<&KeyedRequest>,
        origin: &Origin,
        render: impl Fn(RepaymentReceived) -> Rendered,
    ) -> Result<Answered, CommandError> {
        // Whose loan it is never changes, so it may be looked up before the customer's turn comes.
        let terms = self.log.load::<Loan>(loan.get()).await?.aggregate.terms().cloned();
        let customer_id = terms.ok_or(LoanRefusal::NotOpened)?.customer_id;
        let _turn = self.queue.turn(customer_id).await;
        let repayment_id = draw_repayment(self.log.pool()).await?;
        for _ in 0..MAX_ATTEMPTS {
            let (to_append, received) = self.take_repayment(loan, customer_id, repayment_id, repayment, origin).await?;
            let answer = render(received).map_err(CommandError::Render)?;
            if let Some(answered) = self.append(to_append, customer_id, keyed, answer).await? {
                return Ok(answered);
            }
        }
        Err(CommandError::Contention)
    }

    async fn take_repayment(
        &self,
        loan_id: LoanId,
        customer_id: CustomerId,
        repayment_id: RepaymentId,
        repayment: &Repayment,
        origin: &Origin,
    ) -> Result<(Append, RepaymentReceived), CommandError> {
        let mut loan = self.log.load::<Loan>(loan_id.get()).await?;
        let mut customer = self.log.load::<Customer>(customer_id.get()).await?;
        let at = Utc::now();
        let today = self.calendar.day(at);
        let command = ReceiveRepayment {
            repayment_id,
            amount: repayment.amount,
            paid_on: repayment.paid_on.unwrap_or(today),
            reference: repayment.reference.clone(),
            today,
            at,
        };
        let events = handle(&mut loan.aggregate, LoanCommand::Repay(command)).await?;
        let received = events.iter().find_map(LoanEvent::repayment).ok_or(CommandError::Undecided)?.clone();
        let record = CustomerCommand::RecordRepayment(RecordRepayment::from(&received));
        let recorded = handle(&mut customer.aggregate, record).await?;
        let metadata = origin.metadata(customer_id);
        let mut append = Append::default();
        append.push(&serialize::<Loan>(loan_id.get(), loan.current_sequence, events, &metadata)?);
        append.push(&serialize::<Customer>(customer_id.get(), customer.current_sequence, recorded, &metadata)?);
        Ok((append, received))
    }
}
