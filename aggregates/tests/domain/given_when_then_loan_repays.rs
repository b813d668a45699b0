//! Given a loan's past, when a repayment comes, then how it is allocated and how the loan stands, or a refusal.

use aggregates::customer::RecordRepayment;
use aggregates::loan::{Loan, LoanCommand, LoanEvent, LoanRefusal, LoanTerms, ReceiveRepayment, RepaymentReceived};
use aggregates::money::OutOfRange;
use aggregates::repayment::Reference;
use cqrs_es::Aggregate;
use cqrs_es::test::{AggregateResultValidator, TestFramework};
use rstest::rstest;

use crate::loans::{TODAY, given, importing, opening, terms};
use crate::support::{at, customer_id, date, loan_id, money, repayment_amount, repayment_id, tenure};

fn opened() -> Loan {
    given([opening()])
}

fn imported(terms: LoanTerms, instalments_paid_on_time: u16) -> Loan {
    given([importing(terms, instalments_paid_on_time)])
}

fn repayment(amount: &str, paid_on: &str) -> ReceiveRepayment {
    ReceiveRepayment {
        repayment_id: repayment_id(45),
        amount: repayment_amount(amount),
        paid_on: date(paid_on),
        reference: None,
        today: date(TODAY),
        at: at(),
    }
}

/// The first instalment paid on its due date, to be changed field by field.
fn first_instalment() -> RepaymentReceived {
    RepaymentReceived {
        repayment_id: repayment_id(45),
        loan_id: loan_id(7),
        customer_id: customer_id(1),
        amount: repayment_amount("8884.88"),
        interest: money("1000"),
        principal: money("7884.88"),
        paid_on: date("2026-04-14"),
        reference: None,
        instalments_paid: 1,
        instalments_paid_on_time: 1,
        outstanding: money("97733.65"),
        outstanding_principal: money("92115.12"),
        settled: false,
        received_at: at(),
    }
}

/// Repays, and lets it have happened.
fn repay(loan: &mut Loan, amount: &str, paid_on: &str) -> RepaymentReceived {
    let events = loan.decide(LoanCommand::Repay(repayment(amount, paid_on))).unwrap();
    match <[LoanEvent; 1]>::try_from(events).expect("one event") {
        [LoanEvent::RepaymentReceived(received)] => {
            loan.apply(LoanEvent::RepaymentReceived(received.clone()));
            received
        }
        [other] => panic!("a repayment, not {other:?}"),
    }
}

/// Interest, principal, instalments paid, of those on time, outstanding: of one repayment after another.
type Told<'a> = (&'a str, &'a str, u16, u16, &'a str);

fn assert_told(received: &RepaymentReceived, told: Told<'_>) {
    let (interest, principal, paid, on_time, outstanding) = told;
    assert_eq!((received.interest, received.principal), (money(interest), money(principal)));
    assert_eq!((received.instalments_paid, received.instalments_paid_on_time), (paid, on_time));
    assert_eq!(received.outstanding, money(outstanding));
    assert_eq!(received.settled, received.outstanding.is_zero());
}

fn when(past: Vec<LoanEvent>, command: ReceiveRepayment) -> AggregateResultValidator<Loan> {
    TestFramework::with(()).given(past).when(LoanCommand::Repay(command))
}

/// The loan with its first instalment paid.
fn past() -> Vec<LoanEvent> {
    vec![opening(), LoanEvent::RepaymentReceived(first_instalment())]
}

#[test]
fn an_instalment_paid_on_its_due_date_is_paid_on_time() {
    let expected = LoanEvent::RepaymentReceived(first_instalment());
    when(vec![opening()], repayment("8884.88", "2026-04-14")).then_expect_events(vec![expected]);
}

#[test]
fn a_repayment_says_who_paid_what_and_by_which_reference() {
    let reference = Some(Reference::try_from("UPI/4076").unwrap());
    let command = ReceiveRepayment { reference: reference.clone(), ..repayment("0.01", "2026-05-14") };
    let expected = RepaymentReceived {
        amount: repayment_amount("0.01"),
        interest: money("0.01"),
        principal: money("0"),
        paid_on: date("2026-05-14"),
        reference,
        outstanding: money("97733.64"),
        ..first_instalment()
    };
    when(past(), command).then_expect_events(vec![LoanEvent::RepaymentReceived(expected)]);
}

#[rstest]
#[case::in_two_parts(&[
    ("5000", "2026-04-01", ("1000", "4000", 0, 0, "101618.53")),
    ("3884.88", "2026-04-14", ("0", "3884.88", 1, 1, "97733.65")),
])]
#[case::interest_in_parts(&[
    ("600", "2026-04-01", ("600", "0", 0, 0, "106018.53")),
    ("600", "2026-04-01", ("400", "200", 0, 0, "105418.53")),
])]
#[case::the_second_part_late(&[
    ("5000", "2026-04-14", ("1000", "4000", 0, 0, "101618.53")),
    ("3884.88", "2026-04-15", ("0", "3884.88", 1, 0, "97733.65")),
])]
#[case::a_day_late(&[("8884.88", "2026-04-15", ("1000", "7884.88", 1, 0, "97733.65"))])]
#[case::two_at_once_one_of_them_late(&[("17769.76", "2026-05-14", ("1921.15", "15848.61", 2, 1, "88848.77"))])]
#[case::late_and_then_on_time(&[
    ("8884.88", "2026-04-20", ("1000", "7884.88", 1, 0, "97733.65")),
    ("8884.88", "2026-05-14", ("921.15", "7963.73", 2, 1, "88848.77")),
])]
#[case::on_the_first_day(&[("8884.88", "2026-03-14", ("1000", "7884.88", 1, 1, "97733.65"))])]
#[case::early_and_more_than_is_due(&[("10000", "2026-03-20", ("1921.15", "8078.85", 1, 1, "96618.53"))])]
#[case::a_prepayment_on_which_the_next_builds(&[
    ("10000", "2026-03-20", ("1921.15", "8078.85", 1, 1, "96618.53")),
    ("7769.76", "2026-05-14", ("0", "7769.76", 2, 2, "88848.77")),
])]
#[case::all_but_a_paisa(&[
    ("106618.52", "2026-03-20", ("6618.53", "99999.99", 11, 11, "0.01")),
    ("0.01", "2027-03-15", ("0", "0.01", 12, 11, "0")),
])]
#[case::settled_at_once_without_a_rebate(&[("106618.53", "2026-03-14", ("6618.53", "100000", 12, 12, "0"))])]
#[case::settled_long_after_its_end(&[("106618.53", "2028-01-01", ("6618.53", "100000", 12, 0, "0"))])]
fn repayments_pay_the_oldest_instalment_first_and_interest_before_principal(
    #[case] repayments: &[(&str, &str, Told<'_>)],
) {
    let mut loan = opened();
    for (amount, paid_on, told) in repayments {
        assert_told(&repay(&mut loan, amount, paid_on), *told);
    }
}

#[test]
fn instalment_by_instalment_a_loan_is_settled_at_exactly_zero() {
    let mut loan = opened();
    for month in 4..=12 {
        assert!(!repay(&mut loan, "8884.88", &format!("2026-{month:02}-14")).settled);
    }
    repay(&mut loan, "8884.88", "2027-01-14");
    repay(&mut loan, "8884.88", "2027-02-14");
    let last = repay(&mut loan, "8884.85", "2027-03-14");
    assert_told(&last, ("87.97", "8796.88", 12, 12, "0"));
    assert_eq!((last.outstanding_principal, last.settled), (money("0"), true));
    let refused = loan.decide(LoanCommand::Repay(repayment("0.01", "2027-03-14")));
    assert_eq!(refused, Err(LoanRefusal::Settled(loan_id(7))));
}

/// Four instalments of 35,000 for 100,000 at 12%, where 25,628.11 would do: what is above is interest.
fn dear() -> LoanTerms {
    LoanTerms { tenure: tenure(4), instalment: money("35000"), ends_on: date("2026-07-14"), ..terms() }
}

#[rstest]
#[case::goes_on_where_it_stood(imported(terms(), 1), &[("8884.88", "2026-05-14", ("921.15", "7963.73", 2, 2, "88848.77"))])]
#[case::with_the_rest_late(imported(terms(), 1), &[("17769.76", "2026-06-14", ("1762.66", "16007.10", 3, 2, "79963.89"))])]
#[case::with_an_instalment_of_its_own(
    imported(LoanTerms { instalment: money("9000"), ..terms() }, 0),
    &[("9000", "2026-04-14", ("1000", "8000", 1, 1, "97539.98"))]
)]
#[case::with_an_instalment_that_would_pay_it_off_early(
    imported(dear(), 2),
    &[
        ("35000", "2026-06-14", ("9876.87", "25123.13", 3, 3, "35000")),
        ("35000", "2026-07-15", ("9625.63", "25374.37", 4, 3, "0")),
    ]
)]
#[case::whose_last_instalment_pays_nearly_all(
    imported(LoanTerms { instalment: money("500"), tenure: tenure(2), ..terms() }, 1),
    &[("101000", "2026-05-14", ("1000", "100000", 2, 2, "0"))]
)]
#[case::that_asks_nothing_but_at_its_end(
    imported(LoanTerms { instalment: money("0"), ..terms() }, 0),
    &[
        ("1000", "2026-12-14", ("1000", "0", 11, 11, "100000")),
        ("100000", "2027-03-15", ("0", "100000", 12, 11, "0")),
    ]
)]
fn an_imported_loan_goes_on_as_it_stood(#[case] mut loan: Loan, #[case] repayments: &[(&str, &str, Told<'_>)]) {
    for (amount, paid_on, told) in repayments {
        assert_told(&repay(&mut loan, amount, paid_on), *told);
    }
}

#[rstest]
#[case::as_many_as_there_are(12)]
#[case::more_than_there_are(13)]
#[case::far_more(u16::MAX)]
fn an_imported_loan_with_every_instalment_paid_is_settled(#[case] paid: u16) {
    let refused = imported(terms(), paid).decide(LoanCommand::Repay(repayment("0.01", "2026-04-14")));
    assert_eq!(refused, Err(LoanRefusal::Settled(loan_id(7))));
}

#[test]
fn a_loan_that_does_not_exist_is_not_repaid() {
    when(Vec::new(), repayment("1", "2026-04-14")).then_expect_error(LoanRefusal::NotOpened);
}

#[rstest]
#[case::tomorrow("2026-05-01", "2026-04-30", LoanRefusal::PaidInFuture {
    paid_on: date("2026-05-01"), today: date("2026-04-30")
})]
#[case::before_the_start("2026-03-13", "2026-04-30", LoanRefusal::PaidBeforeStart {
    paid_on: date("2026-03-13"), started_on: date("2026-03-14")
})]
#[case::before_the_last_repayment("2026-04-13", "2026-04-30", LoanRefusal::OutOfOrder {
    paid_on: date("2026-04-13"), last_paid_on: date("2026-04-14")
})]
fn a_repayment_is_dated_from_the_last_one_to_today(
    #[case] paid_on: &str,
    #[case] today: &str,
    #[case] refusal: LoanRefusal,
) {
    let command = ReceiveRepayment { today: date(today), ..repayment("97733.66", paid_on) };
    when(past(), command).then_expect_error(refusal);
}

#[rstest]
#[case::on_the_day_of_the_last("2026-04-14")]
#[case::today("2026-04-30")]
fn a_repayment_may_be_dated_on_either_end(#[case] paid_on: &str) {
    let command = ReceiveRepayment { today: date("2026-04-30"), ..repayment("1", paid_on) };
    assert!(when(past(), command).inspect_result().is_ok());
}

#[rstest]
#[case::a_paisa_too_much("97733.66")]
#[case::far_too_much("10000000000")]
fn more_than_settles_the_loan_is_refused_naming_what_would(#[case] amount: &str) {
    let outstanding = money("97733.65");
    when(past(), repayment(amount, "2026-04-30")).then_expect_error(LoanRefusal::AmountOverOutstanding { outstanding });
    assert!(when(past(), repayment("97733.65", "2026-04-30")).inspect_result().is_ok());
}

#[test]
fn an_instalment_beyond_all_bounds_cannot_be_allocated() {
    let loan = imported(LoanTerms { instalment: money("1000000000000000000"), ..terms() }, 0);
    let refused = loan.decide(LoanCommand::Repay(repayment("1", "2026-04-14")));
    assert_eq!(refused, Err(LoanRefusal::OutOfRange(OutOfRange)));
}

#[test]
fn the_past_folds_into_how_the_loan_stands() {
    let stands = |loan: &Loan| {
        let account = loan.account().unwrap();
        let counts = (account.instalments_paid(), account.instalments_paid_on_time());
        (counts, account.outstanding(), account.last_paid_on())
    };
    let mut loan = imported(terms(), 1);
    assert_eq!(stands(&loan), ((1, 1), money("97733.65"), None));
    repay(&mut loan, "9000", "2026-06-01");
    assert_eq!(stands(&loan), ((2, 1), money("88733.65"), Some(date("2026-06-01"))));
    assert_eq!(loan.terms(), Some(&terms()));
}

#[rstest]
#[case::in_part("8884.88", None)]
#[case::in_full("106618.53", Some("2026-04-14"))]
fn the_customer_is_told_what_matters_for_credit(#[case] amount: &str, #[case] settled_on: Option<&str>) {
    let received = repay(&mut opened(), amount, "2026-04-14");
    let record = RecordRepayment::from(&received);
    assert_eq!((record.loan_id, record.repayment_id, record.at), (loan_id(7), repayment_id(45), at()));
    assert_eq!(record.instalments_paid_on_time, received.instalments_paid_on_time);
    assert_eq!(record.settled_on, settled_on.map(date));
}
