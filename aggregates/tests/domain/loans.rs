//! The loan that the tests of its life speak of, and what may happen to it.
//!
//! It is 100,000 at 12% for twelve months from 14 March 2026: eleven instalments of 8,884.88, due on the 14th from April
//! on, and one of 8,884.85, together 106,618.53. The first is 1,000.00 of interest, the second 921.15.

use aggregates::loan::{
    Loan, LoanCommand, LoanEvent, LoanImported, LoanOpened, LoanRefusal, LoanTerms, ReceiveRepayment, ReverseRepayment,
    SettleEarly, WriteOff,
};
use aggregates::text::ReasonText;
use cqrs_es::Aggregate;

use crate::support::{
    at, customer_id, date, decision_id, loan_id, money, principal, rate, repayment_amount, repayment_id, tenure,
};

/// A day after all that is paid here.
pub(crate) const TODAY: &str = "2028-01-01";

pub(crate) fn terms() -> LoanTerms {
    LoanTerms {
        loan_id: loan_id(7),
        customer_id: customer_id(1),
        principal: principal("100000"),
        interest_rate: rate("12"),
        tenure: tenure(12),
        instalment: money("8884.88"),
        started_on: date("2026-03-14"),
        ends_on: date("2027-03-14"),
    }
}

pub(crate) fn opening() -> LoanEvent {
    LoanEvent::LoanOpened(LoanOpened {
        decision_id: decision_id(70),
        terms: terms(),
        last_instalment: money("8884.85"),
        opened_at: at(),
    })
}

pub(crate) fn importing(terms: LoanTerms, instalments_paid_on_time: u16) -> LoanEvent {
    LoanEvent::LoanImported(LoanImported { external_id: None, terms, instalments_paid_on_time, imported_at: at() })
}

/// A loan with a past.
pub(crate) fn given(past: impl IntoIterator<Item = LoanEvent>) -> Loan {
    let mut loan = Loan::default();
    past.into_iter().for_each(|event| loan.apply(event));
    loan
}

pub(crate) fn repay(id: i64, amount: &str, paid_on: &str) -> LoanCommand {
    LoanCommand::Repay(ReceiveRepayment {
        repayment_id: repayment_id(id),
        amount: repayment_amount(amount),
        paid_on: date(paid_on),
        reference: None,
        today: date(TODAY),
        at: at(),
    })
}

pub(crate) fn settle(id: i64, amount: &str, paid_on: &str) -> LoanCommand {
    LoanCommand::SettleEarly(SettleEarly {
        repayment_id: repayment_id(id),
        amount: repayment_amount(amount),
        paid_on: date(paid_on),
        reference: None,
        // On the day itself, unless it is still to come.
        today: date(paid_on).min(date(TODAY)),
        at: at(),
    })
}

pub(crate) fn reason() -> ReasonText {
    ReasonText::try_from("posted in error").unwrap()
}

pub(crate) fn reverse(id: i64) -> LoanCommand {
    LoanCommand::ReverseRepayment(ReverseRepayment {
        repayment_id: repayment_id(id),
        reason: reason(),
        today: date(TODAY),
        at: at(),
    })
}

pub(crate) fn write_off() -> LoanCommand {
    LoanCommand::WriteOff(WriteOff { reason: reason(), today: date(TODAY), at: at() })
}

/// Lets a command happen; answers the one event that it led to.
pub(crate) fn happen(loan: &mut Loan, command: LoanCommand) -> LoanEvent {
    let events = loan.decide(command).unwrap();
    let [event] = <[LoanEvent; 1]>::try_from(events).expect("one event");
    loan.apply(event.clone());
    event
}

/// The loan after one command after another.
pub(crate) fn after(commands: impl IntoIterator<Item = LoanCommand>) -> Loan {
    let mut loan = given([opening()]);
    commands.into_iter().for_each(|command| {
        happen(&mut loan, command);
    });
    loan
}

pub(crate) fn refused(loan: &Loan, command: LoanCommand) -> LoanRefusal {
    loan.decide(command).expect_err("a refusal")
}
