//! What a loan's events mean for credit: told to its customer in the transaction in which the loan's stream says them.

use chrono::{DateTime, NaiveDate, Utc};

use crate::customer::{
    Customer, CustomerEvent, CustomerRefusal, LoanWriteOffRecorded, RepaymentRecorded, RepaymentReversalRecorded,
};
use crate::ids::{LoanId, RepaymentId};
use crate::loan::{LoanSettledEarly, LoanWrittenOff, RepaymentReceived, RepaymentReversed};

/// What a repayment that its loan has taken means for credit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRepayment {
    /// Of which loan.
    pub loan_id: LoanId,
    /// Which repayment.
    pub repayment_id: RepaymentId,
    /// The loan's instalments paid by their due date, after it.
    pub instalments_paid_on_time: u16,
    /// The day it settled the loan, where it did.
    pub settled_on: Option<NaiveDate>,
    /// Now.
    pub at: DateTime<Utc>,
}

/// What a reversal means for credit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordReversal {
    /// Of which loan.
    pub loan_id: LoanId,
    /// Which repayment.
    pub repayment_id: RepaymentId,
    /// The loan's instalments paid by their due date, by what remains.
    pub instalments_paid_on_time: u16,
    /// The day it was settled, where what remains settles it all the same.
    pub settled_on: Option<NaiveDate>,
    /// Now.
    pub at: DateTime<Utc>,
}

/// What a write-off means for credit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordWriteOff {
    /// Which loan.
    pub loan_id: LoanId,
    /// The business day of it.
    pub written_off_on: NaiveDate,
    /// Now.
    pub at: DateTime<Utc>,
}

impl From<&RepaymentReceived> for RecordRepayment {
    fn from(received: &RepaymentReceived) -> Self {
        Self {
            loan_id: received.loan_id,
            repayment_id: received.repayment_id,
            instalments_paid_on_time: received.instalments_paid_on_time,
            settled_on: received.settled.then_some(received.paid_on),
            at: received.received_at,
        }
    }
}

impl From<&LoanSettledEarly> for RecordRepayment {
    fn from(settled: &LoanSettledEarly) -> Self {
        Self {
            loan_id: settled.loan_id,
            repayment_id: settled.repayment_id,
            instalments_paid_on_time: settled.instalments_paid_on_time,
            settled_on: Some(settled.paid_on),
            at: settled.settled_at,
        }
    }
}

impl From<&RepaymentReversed> for RecordReversal {
    fn from(reversed: &RepaymentReversed) -> Self {
        Self {
            loan_id: reversed.loan_id,
            repayment_id: reversed.repayment_id,
            instalments_paid_on_time: reversed.instalments_paid_on_time,
            settled_on: reversed.settled_on(),
            at: reversed.reversed_at,
        }
    }
}

impl From<&LoanWrittenOff> for RecordWriteOff {
    fn from(written_off: &LoanWrittenOff) -> Self {
        Self {
            loan_id: written_off.loan_id,
            written_off_on: written_off.written_off_on,
            at: written_off.written_off_at,
        }
    }
}

impl Customer {
    pub(super) fn record_repayment(&self, command: RecordRepayment) -> Result<Vec<CustomerEvent>, CustomerRefusal> {
        let RecordRepayment { loan_id, repayment_id, instalments_paid_on_time, settled_on, at } = command;
        self.must_have(loan_id)?;
        Ok(vec![CustomerEvent::RepaymentRecorded(RepaymentRecorded {
            repayment_id,
            loan_id,
            instalments_paid_on_time,
            settled_on,
            recorded_at: at,
        })])
    }

    pub(super) fn record_reversal(&self, command: RecordReversal) -> Result<Vec<CustomerEvent>, CustomerRefusal> {
        let RecordReversal { loan_id, repayment_id, instalments_paid_on_time, settled_on, at } = command;
        self.must_have(loan_id)?;
        Ok(vec![CustomerEvent::RepaymentReversalRecorded(RepaymentReversalRecorded {
            repayment_id,
            loan_id,
            instalments_paid_on_time,
            settled_on,
            recorded_at: at,
        })])
    }

    pub(super) fn record_write_off(&self, command: RecordWriteOff) -> Result<Vec<CustomerEvent>, CustomerRefusal> {
        let RecordWriteOff { loan_id, written_off_on, at } = command;
        self.must_have(loan_id)?;
        Ok(vec![CustomerEvent::LoanWriteOffRecorded(LoanWriteOffRecorded { loan_id, written_off_on, recorded_at: at })])
    }

    fn must_have(&self, loan_id: LoanId) -> Result<(), CustomerRefusal> {
        if self.registered()?.has_loan(loan_id) { Ok(()) } else { Err(CustomerRefusal::UnknownLoan(loan_id)) }
    }
}
