//! What was sent and what was acknowledged, by all clients together, and what was found wrong on the way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use rand::seq::{IndexedRandom, IteratorRandom};
use rand_chacha::ChaCha8Rng;
use rust_decimal::Decimal;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::writes::{Effect, Write};
use crate::support::Answer;

/// Customers whom many clients lend to at once.
const HOT_CUSTOMERS: usize = 4;
/// After so many registrations, one of them makes room for a new one: nobody's stream grows without end.
const REGISTRATIONS_PER_HOT_CUSTOMER: usize = 40;
/// Loans that may be repaid, and writes that may be asked about: the latest.
const REMEMBERED: usize = 400;
/// The type of the problem that says so.
const ALREADY_REVERSED: &str = "urn:credit-approval:problem:already-reversed";
/// What is wrong once is often wrong a thousand times.
const MAX_VIOLATIONS: usize = 20;

/// Something that was acknowledged, so the log must hold it once.
#[derive(Debug, Clone)]
pub(super) enum Fact {
    /// A customer.
    Registered { customer: i64, phone_number: String },
    /// A decision, and the loan where it was an approval.
    Decided { decision: i64, customer: i64, loan: Option<i64> },
    /// A repayment.
    Repaid { repayment: i64, loan: i64 },
    /// A repayment taken back.
    Reversed { repayment: i64, loan: i64 },
    /// Another income.
    IncomeChanged { customer: i64, monthly_income: Decimal },
}

/// A write that anybody who shows its token must see.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) customer: i64,
    pub(super) loan: Option<i64>,
    pub(super) token: String,
}

/// A loan that may be repaid.
#[derive(Debug, Clone)]
pub(super) struct OpenLoan {
    pub(super) loan: i64,
    /// What the last repayment left, where there was one.
    pub(super) outstanding: Option<Decimal>,
}

/// How much happened.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    pub(super) registrations: usize,
    pub(super) approvals: usize,
    pub(super) declines: usize,
    pub(super) repayments: usize,
    pub(super) reversals: usize,
    pub(super) incomes: usize,
    pub(super) refusals: usize,
    pub(super) retries: usize,
    pub(super) repeats: usize,
    pub(super) queries: usize,
    pub(super) not_yet_visible: usize,
    pub(super) slowest: Duration,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { registrations, approvals, declines, repayments, reversals, incomes, .. } = self;
        write!(
            f,
            "acknowledged: {registrations} registrations, {approvals} approvals, {declines} declines, \
             {repayments} repayments, {reversals} reversals, {incomes} changes of income; {} refused, {} sent again with their outcome unknown, {} repeated on purpose, \
             {} queries of which {} not yet visible, slowest answer {:?}",
            self.refusals, self.retries, self.repeats, self.queries, self.not_yet_visible, self.slowest
        )
    }
}

/// What the end of the run is judged by.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// How many keys asked for each effect.
    pub(super) sent: BTreeMap<Effect, usize>,
    /// What was acknowledged, with the key.
    pub(super) acknowledged: Vec<(String, Fact)>,
    pub(super) counts: Counts,
    /// What was found wrong while it ran.
    pub(super) violations: Vec<String>,
}

#[derive(Default)]
struct Book {
    account: Account,
    customers: Vec<i64>,
    hot: Vec<i64>,
    loans: VecDeque<OpenLoan>,
    /// Loans that a repayment was sent for, so that they may be settled.
    repaid: BTreeSet<i64>,
    /// Repayments, with their loans, that may be reversed.
    reversible: VecDeque<(i64, i64)>,
    seen: VecDeque<Seen>,
}

/// The book that all clients write in.
#[derive(Default)]
pub(super) struct Ledger {
    book: Mutex<Book>,
    /// Cancelled at the first violation: what follows would only hide it.
    violated: CancellationToken,
}

fn remember<T>(latest: &mut VecDeque<T>, new: T) {
    if latest.len() == REMEMBERED {
        latest.pop_front();
    }
    latest.push_back(new);
}

/// An amount in an answer, as a number or as text.
fn amount(value: &Value) -> Option<Decimal> {
    match value.as_str() {
        Some(text) => Decimal::from_str(text).ok(),
        None => Decimal::from_str(&value.to_string()).ok(),
    }
}

impl Ledger {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("no client panicked")
    }

    /// Until something is found wrong.
    pub(super) async fn violated(&self) {
        self.violated.cancelled().await;
    }

    /// Something that must never be.
    pub(super) fn violation(&self, what: String) {
        let mut book = self.book();
        if book.account.violations.len() < MAX_VIOLATIONS {
            book.account.violations.push(what);
        }
        self.violated.cancel();
    }

    /// A write goes out for the first time, under a new key.
    pub(super) fn sent(&self, write: &Write) {
        let mut book = self.book();
        *book.account.sent.entry(write.effect()).or_default() += 1;
        if let Write::Repay { loan, .. } = write {
            book.repaid.insert(*loan);
        }
    }

    /// A write was answered as done.
    pub(super) fn acknowledged(&self, key: &str, write: &Write, answer: &Answer) {
        let known = match write {
            Write::Register { phone_number, .. } => self.registered(key, phone_number, answer),
            Write::Apply { customer, .. } => self.decided(key, *customer, answer),
            Write::Repay { loan, .. } => self.repaid(key, *loan, answer),
            Write::Reverse { loan, repayment } => self.reversed(key, *loan, *repayment, answer),
            Write::ChangeIncome { customer, monthly_income } => {
                self.income_changed(key, *customer, *monthly_income, answer)
            }
        };
        if known.is_none() {
            self.violation(format!("{key}: {write:?} was answered without its ids: {}", answer.body));
        }
    }

    fn registered(&self, key: &str, phone_number: &str, answer: &Answer) -> Option<()> {
        let customer = answer.body["customer_id"].as_i64()?;
        let mut book = self.book();
        book.account.counts.registrations += 1;
        let registrations = book.account.counts.registrations;
        book.customers.push(customer);
        if book.hot.len() < HOT_CUSTOMERS {
            book.hot.push(customer);
        } else if registrations.is_multiple_of(REGISTRATIONS_PER_HOT_CUSTOMER) {
            book.hot[registrations / REGISTRATIONS_PER_HOT_CUSTOMER % HOT_CUSTOMERS] = customer;
        }
        let fact = Fact::Registered { customer, phone_number: phone_number.to_owned() };
        book.account.acknowledged.push((key.to_owned(), fact));
        see(&mut book, customer, None, answer);
        Some(())
    }

    fn decided(&self, key: &str, customer: i64, answer: &Answer) -> Option<()> {
        let decision = answer.body["decision_id"].as_i64()?;
        let approved = answer.body["loan_approved"].as_bool()?;
        let loan = if approved { Some(answer.body["loan_id"].as_i64()?) } else { None };
        let mut book = self.book();
        match loan {
            Some(loan) => {
                book.account.counts.approvals += 1;
                remember(&mut book.loans, OpenLoan { loan, outstanding: None });
            }
            None => book.account.counts.declines += 1,
        }
        book.account.acknowledged.push((key.to_owned(), Fact::Decided { decision, customer, loan }));
        see(&mut book, customer, loan, answer);
        Some(())
    }

    fn repaid(&self, key: &str, loan: i64, answer: &Answer) -> Option<()> {
        let repayment = answer.body["repayment_id"].as_i64()?;
        let outstanding = amount(&answer.body["outstanding"])?;
        let settled = answer.body["settled"].as_bool()?;
        let mut book = self.book();
        book.account.counts.repayments += 1;
        if settled {
            book.loans.retain(|open| open.loan != loan);
        } else if let Some(open) = book.loans.iter_mut().find(|open| open.loan == loan) {
            open.outstanding = Some(outstanding);
        }
        remember(&mut book.reversible, (loan, repayment));
        book.account.acknowledged.push((key.to_owned(), Fact::Repaid { repayment, loan }));
        Some(())
    }

    fn reversed(&self, key: &str, loan: i64, repayment: i64, answer: &Answer) -> Option<()> {
        let outstanding = amount(&answer.body["outstanding"])?;
        let mut book = self.book();
        book.account.counts.reversals += 1;
        book.loans.retain(|open| open.loan != loan);
        remember(&mut book.loans, OpenLoan { loan, outstanding: Some(outstanding) });
        book.account.acknowledged.push((key.to_owned(), Fact::Reversed { repayment, loan }));
        Some(())
    }

    fn income_changed(&self, key: &str, customer: i64, monthly_income: Decimal, answer: &Answer) -> Option<()> {
        let mut book = self.book();
        book.account.counts.incomes += 1;
        book.account.acknowledged.push((key.to_owned(), Fact::IncomeChanged { customer, monthly_income }));
        see(&mut book, customer, None, answer);
        (amount(&answer.body["monthly_income"])? == monthly_income).then_some(())
    }

    /// A write was refused. Only a repayment may be, for what it leaves may be less by now, or nothing, and a reversal,
    /// for somebody else may have been faster.
    pub(super) fn refused(&self, key: &str, write: &Write, answer: &Answer) {
        self.book().account.counts.refusals += 1;
        let must_not = match write {
            Write::Register { .. } | Write::Apply { .. } | Write::ChangeIncome { .. } => true,
            // The loan is known, and the key is this write's alone.
            Write::Repay { .. } => answer.status == 404 || answer.wrong_fields().contains(&"Idempotency-Key"),
            Write::Reverse { .. } => answer.body["type"] != ALREADY_REVERSED,
        };
        if must_not {
            self.violation(format!("{key}: {write:?} was refused with {}: {}", answer.status, answer.body));
        }
    }

    /// Counts something.
    pub(super) fn count(&self, add: impl FnOnce(&mut Counts)) {
        add(&mut self.book().account.counts);
    }

    /// Any customer.
    pub(super) fn a_customer(&self, random: &mut ChaCha8Rng) -> Option<i64> {
        self.book().customers.choose(random).copied()
    }

    /// A customer whom others lend to as well.
    pub(super) fn a_hot_customer(&self, random: &mut ChaCha8Rng) -> Option<i64> {
        self.book().hot.choose(random).copied()
    }

    /// One of the latest loans.
    pub(super) fn a_loan(&self, random: &mut ChaCha8Rng) -> Option<OpenLoan> {
        self.book().loans.iter().choose(random).cloned()
    }

    /// One of the latest repayments, with its loan first.
    pub(super) fn a_repayment(&self, random: &mut ChaCha8Rng) -> Option<(i64, i64)> {
        self.book().reversible.iter().choose(random).copied()
    }

    /// One of the latest writes.
    pub(super) fn a_write(&self, random: &mut ChaCha8Rng) -> Option<Seen> {
        self.book().seen.iter().choose(random).cloned()
    }

    /// Whether a loan may be settled, as far as anybody has tried.
    pub(super) fn may_be_settled(&self, loan: i64) -> bool {
        self.book().repaid.contains(&loan)
    }

    /// What the run comes to. The book is empty after it.
    pub(super) fn close(&self) -> Account {
        std::mem::take(&mut self.book().account)
    }
}

/// Keeps the token by which others must see a write. A repeated answer may come without one.
fn see(book: &mut Book, customer: i64, loan: Option<i64>, answer: &Answer) {
    let token = answer.header("consistency-token").to_owned();
    if !token.is_empty() {
        remember(&mut book.seen, Seen { customer, loan, token });
    }
}
