//! The row says what the loan says, whatever happened to it.

use aggregates::event::LendingEvent;
use aggregates::ids::{CustomerId, DecisionId, LoanId, RepaymentId};
use aggregates::loan::{
    Loan, LoanCommand, LoanEvent, LoanImported, LoanOpened, LoanTerms, ReceiveRepayment, ReverseRepayment, SettleEarly,
    WriteOff,
};
use aggregates::money::Money;
use aggregates::repayment::RepaymentAmount;
use aggregates::terms::{Principal, Rate, Tenure};
use aggregates::text::ReasonText;
use chrono::{DateTime, NaiveDate, Utc};
use cqrs_es::Aggregate;
use rust_decimal::Decimal;

use super::{Loans, Row};
use crate::RecordedEvent;
use crate::model::ReadModel;

fn money(paise: i64) -> Money {
    Money::try_from(Decimal::new(paise, 2)).unwrap()
}

fn day(day: &str) -> NaiveDate {
    day.parse().unwrap()
}

fn at() -> DateTime<Utc> {
    "2026-03-14T09:26:53.589793238Z".parse().unwrap()
}

fn customer() -> CustomerId {
    CustomerId::try_from(1).unwrap()
}

/// 100,000 at 12% for twelve months.
fn terms(instalment_paise: i64) -> LoanTerms {
    LoanTerms {
        loan_id: LoanId::try_from(7).unwrap(),
        customer_id: customer(),
        principal: Principal::try_from(money(10_000_000)).unwrap(),
        interest_rate: Rate::try_from(Decimal::from(12)).unwrap(),
        tenure: Tenure::try_from(12).unwrap(),
        instalment: money(instalment_paise),
        started_on: day("2026-03-14"),
        ends_on: day("2027-03-14"),
    }
}

fn opened() -> LoanEvent {
    let decision_id = DecisionId::try_from(70).unwrap();
    let last_instalment = money(888_485);
    LoanEvent::LoanOpened(LoanOpened { decision_id, terms: terms(888_488), last_instalment, opened_at: at() })
}

fn imported(instalment_paise: i64, instalments_paid_on_time: u16) -> LoanEvent {
    let terms = terms(instalment_paise);
    LoanEvent::LoanImported(LoanImported { external_id: None, terms, instalments_paid_on_time, imported_at: at() })
}

/// A loan and its row, kept alike.
struct Life {
    loan: Loan,
    row: Option<Row>,
    position: i64,
}

impl Life {
    fn of(beginning: LoanEvent) -> Self {
        let mut life = Self { loan: Loan::default(), row: None, position: 0 };
        life.happens(&beginning);
        life
    }

    fn happens(&mut self, event: &LoanEvent) {
        self.loan.apply(event.clone());
        self.position += 1;
        let event = LendingEvent::Loan(event.clone());
        let recorded = RecordedEvent { position: self.position, customer_id: customer(), event };
        let change = Loans::change(&recorded).unwrap();
        assert_eq!((change.id, change.begins), (7, self.position == 1));
        Loans::fold(&mut self.row, &recorded).unwrap();
        self.check();
    }

    fn asks(&mut self, command: LoanCommand) {
        for event in self.loan.decide(command).unwrap() {
            self.happens(&event);
        }
    }

    fn repay(&mut self, id: i64, paise: i64, paid_on: &str) {
        self.asks(LoanCommand::Repay(ReceiveRepayment {
            repayment_id: RepaymentId::try_from(id).unwrap(),
            amount: RepaymentAmount::try_from(money(paise)).unwrap(),
            paid_on: day(paid_on),
            reference: None,
            today: day("2028-01-01"),
            at: at(),
        }));
    }

    fn settle(&mut self, id: i64, paise: i64, paid_on: &str) {
        self.asks(LoanCommand::SettleEarly(SettleEarly {
            repayment_id: RepaymentId::try_from(id).unwrap(),
            amount: RepaymentAmount::try_from(money(paise)).unwrap(),
            paid_on: day(paid_on),
            reference: None,
            today: day(paid_on),
            at: at(),
        }));
    }

    fn reverse(&mut self, id: i64) {
        self.asks(LoanCommand::ReverseRepayment(ReverseRepayment {
            repayment_id: RepaymentId::try_from(id).unwrap(),
            reason: ReasonText::try_from("posted in error").unwrap(),
            today: day("2028-01-01"),
            at: at(),
        }));
    }

    fn row(&self) -> &Row {
        self.row.as_ref().unwrap()
    }

    /// The row against the loan's account.
    fn check(&self) {
        let (row, account) = (self.row(), self.loan.account().unwrap());
        let counts = (row.instalments_paid.unsigned_abs(), row.instalments_paid_on_time.unsigned_abs());
        assert_eq!(counts, (account.instalments_paid(), account.instalments_paid_on_time()));
        assert!(row.outstanding.is_none_or(|outstanding| outstanding == account.outstanding().amount()));
        assert_eq!(row.outstanding.is_some(), row.repayments.is_some());
        assert_eq!(row.next_due_on, account.next_due_on());
        assert_eq!(row.settled_on, account.last_paid_on().filter(|_| account.outstanding().is_zero()));
        assert_eq!(row.written_off_on, self.loan.written_off_on());
        assert_eq!(i64::from(row.revision), self.position);
        let records = row.repayments.as_ref().map_or(&[][..], |records| &records.0);
        assert_eq!(records, self.loan.repayments());
        assert_eq!(Loans::fields(row).len(), Loans::COLUMNS.len());
    }
}

#[test]
fn a_loan_is_followed_through_its_whole_life() {
    let mut life = Life::of(opened());
    assert_eq!(life.row().next_due_on, Some(day("2026-04-14")));
    life.repay(1, 888_488, "2026-04-14");
    life.repay(2, 1_000_000, "2026-06-01");
    life.reverse(1);
    assert_eq!(life.row().next_due_on, Some(day("2026-05-14")));
    life.settle(3, 9_276_266, "2026-06-01");
    assert_eq!((life.row().next_due_on, life.row().settled_on), (None, Some(day("2026-06-01"))));
    life.reverse(2);
    assert_eq!(life.row().settled_on, None);
    let reason = ReasonText::try_from("insolvent").unwrap();
    life.asks(LoanCommand::WriteOff(WriteOff { reason, today: day("2026-07-01"), at: at() }));
    life.reverse(3);
    assert_eq!((life.row().next_due_on, life.row().instalments_paid), (Some(day("2026-04-14")), 0));
    assert_eq!(life.row().written_off_on, Some(day("2026-07-01")));
}

#[test]
fn an_imported_loan_is_followed_from_where_it_stood() {
    let mut life = Life::of(imported(888_488, 3));
    assert_eq!(life.row().next_due_on, Some(day("2026-07-14")));
    assert_eq!((life.row().instalments_paid_before_import, life.row().instalments_paid_on_time), (3, 3));
    life.repay(1, 888_488, "2026-07-15");
    life.reverse(1);
    assert_eq!((life.row().instalments_paid_before_import, life.row().instalments_paid), (3, 3));
}

#[test]
fn a_loan_that_asks_only_the_last_instalment_is_next_due_at_its_end() {
    let mut life = Life::of(imported(0, 0));
    assert_eq!(life.row().next_due_on, Some(day("2027-03-14")));
    life.repay(1, 100, "2026-04-14");
    life.reverse(1);
    assert_eq!((life.row().next_due_on, life.row().instalments_paid), (Some(day("2027-03-14")), 0));
}

#[test]
fn an_imported_loan_with_every_instalment_paid_has_nothing_left() {
    for paid in [12, 13, u16::MAX] {
        let life = Life::of(imported(888_488, paid));
        assert_eq!((life.row().next_due_on, life.row().instalments_paid), (None, 12));
    }
}
