//! What a loan's stream says and its customer's stream has to say too: repayments, reversals and write-offs, each told
//! in both, once, and with the same meaning for credit.

use std::collections::BTreeMap;

use aggregates::customer::{
    LoanWriteOffRecorded, RecordRepayment, RecordReversal, RecordWriteOff, RepaymentRecorded, RepaymentReversalRecorded,
};

use super::log::Violation;

/// Where one thing is told, and as what.
#[derive(Debug)]
struct InBoth<T> {
    by_loan: Option<(i64, T)>,
    by_customer: Option<(i64, T)>,
}

/// Things of one kind, by their ids.
#[derive(Debug)]
pub(super) struct Told<T> {
    /// What one is called.
    name: &'static str,
    /// What its loan does with it.
    done: &'static str,
    by_id: BTreeMap<i64, InBoth<T>>,
}

impl<T: PartialEq> Told<T> {
    pub(super) const fn new(name: &'static str, done: &'static str) -> Self {
        Self { name, done, by_id: BTreeMap::new() }
    }

    fn entry(&mut self, id: i64) -> &mut InBoth<T> {
        self.by_id.entry(id).or_insert(InBoth { by_loan: None, by_customer: None })
    }

    /// The loan's stream tells it.
    pub(super) fn by_loan(&mut self, position: i64, id: i64, said: T) -> Option<Violation> {
        let again = self.entry(id).by_loan.replace((position, said)).is_some();
        again.then(|| Violation::new(position, format!("{} {id} is {} twice", self.name, self.done)))
    }

    /// The customer's stream tells it.
    pub(super) fn by_customer(&mut self, position: i64, id: i64, said: T) -> Option<Violation> {
        let again = self.entry(id).by_customer.replace((position, said)).is_some();
        again.then(|| Violation::new(position, format!("{} {id} is recorded twice", self.name)))
    }

    /// Where the two streams do not say the same.
    pub(super) fn differences(&mut self) -> Vec<Violation> {
        let (name, done) = (self.name, self.done);
        let difference = |(id, told): (i64, InBoth<T>)| match (told.by_loan, told.by_customer) {
            (Some((_, by_loan)), Some((_, by_customer))) if by_loan == by_customer => None,
            (Some((position, _)), Some(_)) => {
                Some(Violation::new(position, format!("{name} {id} means something else to the customer")))
            }
            (Some((position, _)), None) => {
                Some(Violation::new(position, format!("{name} {id} is not told to the customer")))
            }
            (None, Some((position, _))) => {
                Some(Violation::new(position, format!("{name} {id} was recorded and not {done}")))
            }
            (None, None) => None,
        };
        std::mem::take(&mut self.by_id).into_iter().filter_map(difference).collect()
    }
}

/// What the customer's stream tells of a repayment, as its loan would tell it.
pub(super) fn repayment(recorded: &RepaymentRecorded) -> RecordRepayment {
    RecordRepayment {
        loan_id: recorded.loan_id,
        repayment_id: recorded.repayment_id,
        instalments_paid_on_time: recorded.instalments_paid_on_time,
        settled_on: recorded.settled_on,
        at: recorded.recorded_at,
    }
}

/// What the customer's stream tells of a reversal, as its loan would tell it.
pub(super) fn reversal(recorded: &RepaymentReversalRecorded) -> RecordReversal {
    RecordReversal {
        loan_id: recorded.loan_id,
        repayment_id: recorded.repayment_id,
        instalments_paid_on_time: recorded.instalments_paid_on_time,
        settled_on: recorded.settled_on,
        at: recorded.recorded_at,
    }
}

/// What the customer's stream tells of a write-off, as its loan would tell it.
pub(super) fn write_off(recorded: &LoanWriteOffRecorded) -> RecordWriteOff {
    RecordWriteOff { loan_id: recorded.loan_id, written_off_on: recorded.written_off_on, at: recorded.recorded_at }
}
