//! What may happen to a customer: commands, refusals and the pure decision between them.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};

use crate::calendar::months_after;
use crate::customer::{
    ChangeDetails, Customer, CustomerEvent, CustomerImported, CustomerRegistered, LoanApproved, LoanCarriedOver,
    LoanDeclined, RecordRepayment, RecordReversal, RecordWriteOff,
};
use crate::ids::{CustomerId, DecisionId, LoanId};
use crate::money::{Money, OutOfRange};
use crate::person::{MonthlyIncome, PersonalData};
use crate::policy::Policy;
use crate::policy::decision::{Application, Assessment};
use crate::profile::{CreditProfile, LoanRecord};

/// What can be asked of a customer.
#[derive(Debug, Clone)]
pub enum CustomerCommand {
    /// Becomes a customer.
    Register(RegisterCustomer),
    /// Is taken over from another system.
    Import(ImportCustomer),
    /// Asks for a loan.
    ApplyForLoan(ApplyForLoan),
    /// Brings a loan along from another system.
    CarryOverLoan(CarryOverLoan),
    /// Has repaid a loan, in part or in full.
    RecordRepayment(RecordRepayment),
    /// Earns or is reached otherwise than was known.
    ChangeDetails(ChangeDetails),
    /// Has not repaid a loan after all.
    RecordReversal(RecordReversal),
    /// Has a loan that is no longer expected to be repaid.
    RecordWriteOff(RecordWriteOff),
}

/// A registration.
#[derive(Debug, Clone)]
pub struct RegisterCustomer {
    /// A new id.
    pub customer_id: CustomerId,
    /// Who it is.
    pub personal: PersonalData,
    /// Rupees a month.
    pub monthly_income: MonthlyIncome,
    /// Now.
    pub at: DateTime<Utc>,
}

/// A customer of another system.
#[derive(Debug, Clone)]
pub struct ImportCustomer {
    /// Its id here.
    pub customer_id: CustomerId,
    /// Its id there, where it could not be kept.
    pub external_id: Option<String>,
    /// Who it is.
    pub personal: PersonalData,
    /// Rupees a month.
    pub monthly_income: MonthlyIncome,
    /// Rupees, as it stands there.
    pub approved_limit: Money,
    /// Rupees owed there, where known.
    pub current_debt: Option<Money>,
    /// Now.
    pub at: DateTime<Utc>,
}

/// An application for a loan.
#[derive(Debug, Clone)]
pub struct ApplyForLoan {
    /// A new id for the decision.
    pub decision_id: DecisionId,
    /// A new id for the loan, used if it is approved.
    pub loan_id: LoanId,
    /// What is asked for.
    pub application: Application,
    /// Under which policy.
    pub policy: Arc<Policy>,
    /// The business day: the decision's as-of date and the loan's start.
    pub today: NaiveDate,
    /// Now.
    pub at: DateTime<Utc>,
}

/// A loan of another system.
#[derive(Debug, Clone)]
pub struct CarryOverLoan {
    /// What the score needs of it.
    pub loan: LoanRecord,
    /// Now.
    pub at: DateTime<Utc>,
}

/// Why a command came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CustomerRefusal {
    /// The id belongs to a customer already.
    #[error("the customer is registered already")]
    AlreadyRegistered,
    /// There is no such customer.
    #[error("there is no such customer")]
    NotRegistered,
    /// The customer has that loan already.
    #[error("the customer has loan {0} already")]
    LoanAlreadyKnown(LoanId),
    /// The customer does not have that loan.
    #[error("the customer has no loan {0}")]
    UnknownLoan(LoanId),
    /// A loan that ends before it starts.
    #[error("the loan ends on {ends_on}, before it starts on {started_on}")]
    EndsBeforeStart {
        /// First day.
        started_on: NaiveDate,
        /// Last due date.
        ends_on: NaiveDate,
    },
    /// The loan would end beyond the calendar.
    #[error("the loan would end beyond the calendar")]
    EndsBeyondCalendar,
    /// A sum left the range of money.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
}

impl Customer {
    /// The events that a command leads to.
    ///
    /// # Errors
    /// [`CustomerRefusal`], when the command is not allowed as the customer stands.
    pub fn decide(&self, command: CustomerCommand) -> Result<Vec<CustomerEvent>, CustomerRefusal> {
        match command {
            CustomerCommand::Register(register) => self.register(register),
            CustomerCommand::Import(import) => self.import(import),
            CustomerCommand::ApplyForLoan(apply) => self.apply_for_loan(apply),
            CustomerCommand::CarryOverLoan(carry_over) => self.carry_over(carry_over),
            CustomerCommand::RecordRepayment(record) => self.record_repayment(record),
            CustomerCommand::ChangeDetails(change) => self.change_details(change),
            CustomerCommand::RecordReversal(record) => self.record_reversal(record),
            CustomerCommand::RecordWriteOff(record) => self.record_write_off(record),
        }
    }

    fn register(&self, command: RegisterCustomer) -> Result<Vec<CustomerEvent>, CustomerRefusal> {
        self.must_be_new()?;
        let RegisterCustomer { customer_id, personal, monthly_income, at } = command;
        Ok(vec![CustomerEvent::CustomerRegistered(CustomerRegistered {
            customer_id,
            personal,
            monthly_income,
            approved_limit: monthly_income.approved_limit()?,
            registered_at: at,
        })])
    }

    fn import(&self, command: ImportCustomer) -> Result<Vec<CustomerEvent>, CustomerRefusal> {
        self.must_be_new()?;
        let ImportCustomer { customer_id, external_id, personal, monthly_income, approved_limit, current_debt, at } =
            command;
        Ok(vec![CustomerEvent::CustomerImported(CustomerImported {
            customer_id,
            external_id,
            personal,
            monthly_income,
            approved_limit,
            current_debt,
            imported_at: at,
        })])
    }

    fn apply_for_loan(&self, command: ApplyForLoan) -> Result<Vec<CustomerEvent>, CustomerRefusal> {
        let profile = self.registered()?;
        let ApplyForLoan { decision_id, loan_id, application, policy, today, at } = command;
        must_not_have(profile, loan_id)?;
        let assessment = policy.assess(profile.standing(today)?, application)?;
        let event = if assessment.is_approved() {
            let loan = approved_loan(loan_id, &assessment, today)?;
            CustomerEvent::LoanApproved(Box::new(LoanApproved { decision_id, assessment, loan, decided_at: at }))
        } else {
            CustomerEvent::LoanDeclined(Box::new(LoanDeclined { decision_id, assessment, decided_at: at }))
        };
        Ok(vec![event])
    }

    fn carry_over(&self, command: CarryOverLoan) -> Result<Vec<CustomerEvent>, CustomerRefusal> {
        let CarryOverLoan { loan, at } = command;
        must_not_have(self.registered()?, loan.loan_id)?;
        if loan.ends_on < loan.started_on {
            return Err(CustomerRefusal::EndsBeforeStart { started_on: loan.started_on, ends_on: loan.ends_on });
        }
        Ok(vec![CustomerEvent::LoanCarriedOver(LoanCarriedOver { loan, imported_at: at })])
    }

    fn must_be_new(&self) -> Result<(), CustomerRefusal> {
        match self.profile() {
            None => Ok(()),
            Some(_) => Err(CustomerRefusal::AlreadyRegistered),
        }
    }

    pub(super) fn registered(&self) -> Result<&CreditProfile, CustomerRefusal> {
        self.profile().ok_or(CustomerRefusal::NotRegistered)
    }
}

fn must_not_have(profile: &CreditProfile, loan_id: LoanId) -> Result<(), CustomerRefusal> {
    if profile.has_loan(loan_id) {
        return Err(CustomerRefusal::LoanAlreadyKnown(loan_id));
    }
    Ok(())
}

fn approved_loan(loan_id: LoanId, assessment: &Assessment, today: NaiveDate) -> Result<LoanRecord, CustomerRefusal> {
    let Application { principal, tenure, .. } = assessment.application;
    let ends_on = months_after(today, tenure.months()).ok_or(CustomerRefusal::EndsBeyondCalendar)?;
    Ok(LoanRecord {
        loan_id,
        principal,
        instalment: assessment.instalment,
        tenure,
        started_on: today,
        ends_on,
        instalments_paid_on_time: 0,
        settled_on: None,
        written_off_on: None,
    })
}
