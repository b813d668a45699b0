//! Applying for a loan: the decision in the customer's stream and the loan that it opens are one transaction.

use std::sync::Arc;

use aggregates::customer::{ApplyForLoan, Customer, CustomerCommand, CustomerEvent, CustomerRefusal, Decided};
use aggregates::ids::{CustomerId, DecisionId, LoanId};
use aggregates::loan::{Loan, LoanCommand, LoanEvent, LoanTerms, OpenLoan};
use aggregates::policy::decision::{Application, Assessment};

use super::metrics::{Kind, Verdict};
use super::{
    Answered, CommandError, Commands, KeyedRequest, Known, Moment, Origin, Prepared, Rendered, handle, serialize,
};
use crate::store::append::Append;

/// A decision, and the loan where it was approved.
#[derive(Debug, Clone)]
pub struct LoanApplication {
    /// Which decision.
    pub decision_id: DecisionId,
    /// The loan, if it was approved.
    pub loan_id: Option<LoanId>,
    /// How it came about.
    pub assessment: Assessment,
}

impl Commands {
    /// Decides over an application and opens the loan if it is approved; at most once where the request has a key.
    ///
    /// The decision is taken from the customer's stream and appended at the version it was taken from; where another
    /// process was faster it is taken again, from what the stream holds then. `render` says what the client is told.
    ///
    /// # Errors
    /// [`CommandError`], among them a refusal when there is no such customer. A declined application is no error.
    pub async fn apply_for_loan(
        &self,
        customer_id: CustomerId,
        application: Application,
        keyed: Option<&KeyedRequest>,
        origin: &Origin,
        render: impl Fn(LoanApplication) -> Rendered,
    ) -> Result<Answered, CommandError> {
        let decide = async {
            let _turn = self.queue.turn(customer_id).await;
            let prepare = || self.prepare_application(customer_id, application.clone(), origin, &render);
            self.until_appended(keyed, prepare).await
        };
        self.once(Kind::ApplyForLoan, keyed, decide).await
    }

    async fn prepare_application(
        &self,
        customer_id: CustomerId,
        application: Application,
        origin: &Origin,
        render: impl Fn(LoanApplication) -> Rendered,
    ) -> Result<Option<Prepared>, CommandError> {
        match self.decide_from_what_is_known(customer_id, application, origin).await {
            Ok((to_append, known, decided)) => {
                let verdict = Some(Verdict::from(&decided.assessment));
                let answer = render(decided).map_err(CommandError::Render)?;
                Ok(Some(Prepared { customer_id, to_append, answer, known: Some(known), verdict }))
            }
            // An import took the new loan's id for a loan of this very customer: the next one is free.
            Err(CommandError::Customer(CustomerRefusal::LoanAlreadyKnown(_))) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The stream is read where nothing is known of it, or what is known leads to a refusal.
    async fn decide_from_what_is_known(
        &self,
        customer_id: CustomerId,
        application: Application,
        origin: &Origin,
    ) -> Result<(Append, Known, LoanApplication), CommandError> {
        if let Some(known) = self.known.get(customer_id) {
            match self.decide_application(customer_id, known, application.clone(), origin).await {
                Err(CommandError::Customer(_) | CommandError::Loan(_)) => {}
                decided => return decided,
            }
        }
        let loaded = self.log.load::<Customer>(customer_id.get()).await?;
        let known = Known { customer: loaded.aggregate, version: loaded.current_sequence };
        self.decide_application(customer_id, known, application, origin).await
    }

    async fn decide_application(
        &self,
        customer_id: CustomerId,
        known: Known,
        application: Application,
        origin: &Origin,
    ) -> Result<(Append, Known, LoanApplication), CommandError> {
        let Known { mut customer, version } = known;
        let (decision_id, loan_id) = self.draws.decision_and_loan().await?;
        let Moment { at, today } = self.now();
        let command = ApplyForLoan { decision_id, loan_id, application, policy: Arc::clone(&self.policy), today, at };
        let events = handle(&mut customer, CustomerCommand::ApplyForLoan(command)).await?;
        let decided = events.iter().find_map(CustomerEvent::decision).ok_or(CommandError::Undecided)?;
        let opened = open(customer_id, &decided).await?;
        let outcome = LoanApplication {
            decision_id,
            loan_id: decided.loan.map(|loan| loan.loan_id),
            assessment: decided.assessment.clone(),
        };
        let metadata = origin.metadata(customer_id);
        let mut append = Append::default();
        let known = Known { customer, version: version + events.len() };
        append.push(serialize::<Customer>(customer_id.get(), version, events, &metadata)?);
        append.push(serialize::<Loan>(loan_id.get(), 0, opened, &metadata)?);
        Ok((append, known, outcome))
    }
}

/// The first event of the loan that a decision opens; none for a decline.
async fn open(customer_id: CustomerId, decided: &Decided<'_>) -> Result<Vec<LoanEvent>, CommandError> {
    let Some(loan) = decided.loan else { return Ok(Vec::new()) };
    let terms = LoanTerms {
        loan_id: loan.loan_id,
        customer_id,
        principal: loan.principal,
        interest_rate: decided.assessment.corrected_rate,
        tenure: loan.tenure,
        instalment: loan.instalment,
        started_on: loan.started_on,
        ends_on: loan.ends_on,
    };
    let command = OpenLoan { decision_id: decided.decision_id, terms, at: decided.decided_at };
    Ok(handle(&mut Loan::default(), LoanCommand::Open(command)).await?)
}
