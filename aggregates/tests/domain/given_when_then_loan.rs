//! Given a loan's past, when a command comes, then these events or this refusal.
//!
//! Opening has no case of `LoanRefusal::OutOfRange`: within the input bounds that the terms' types enforce, the largest
//! instalment is 10,833,333,333.33 rupees and no sum of a schedule line comes near the 10^18 that `Money` holds. The
//! arithmetic is checked all the same; its sentence is tested below. Repayments are in `given_when_then_loan_repays`.

use aggregates::loan::{
    ImportLoan, Loan, LoanCommand, LoanEvent, LoanImported, LoanOpened, LoanRefusal, LoanTerms, OpenLoan,
};
use aggregates::money::OutOfRange;
use cqrs_es::Aggregate;
use cqrs_es::test::{AggregateTestExecutor, TestFramework};
use rstest::rstest;

use crate::support::{at, customer_id, date, decision_id, loan_id, money, principal, rate, tenure};

fn terms() -> LoanTerms {
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

fn backwards() -> LoanTerms {
    LoanTerms { ends_on: date("2026-03-13"), ..terms() }
}

fn open(terms: LoanTerms) -> LoanCommand {
    LoanCommand::Open(OpenLoan { decision_id: decision_id(70), terms, at: at() })
}

fn import(terms: LoanTerms) -> LoanCommand {
    LoanCommand::Import(ImportLoan {
        external_id: Some("LOAN_000007".to_owned()),
        terms,
        instalments_paid_on_time: 9,
        at: at(),
    })
}

fn opened(terms: LoanTerms, last_instalment: &str) -> LoanEvent {
    LoanEvent::LoanOpened(LoanOpened {
        decision_id: decision_id(70),
        terms,
        last_instalment: money(last_instalment),
        opened_at: at(),
    })
}

fn imported(terms: LoanTerms) -> LoanEvent {
    LoanEvent::LoanImported(LoanImported {
        external_id: Some("LOAN_000007".to_owned()),
        terms,
        instalments_paid_on_time: 9,
        imported_at: at(),
    })
}

fn given_nothing() -> AggregateTestExecutor<Loan> {
    TestFramework::with(()).given_no_previous_events()
}

#[rstest]
#[case("100000", "10", 12, "8791.56")]
#[case("100000", "12", 12, "8884.85")]
#[case("500000", "16", 36, "17578.37")]
#[case("1000000", "10.5", 180, "11053.50")]
#[case("100000", "0", 7, "14285.74")]
#[case("250000", "8.25", 1, "251718.75")]
#[case("99999.99", "13.37", 17, "6489.69")]
fn a_loan_opens_with_the_instalment_that_absorbs_the_rounding(
    #[case] amount: &str,
    #[case] percent: &str,
    #[case] months: u16,
    #[case] last_instalment: &str,
) {
    let terms =
        LoanTerms { principal: principal(amount), interest_rate: rate(percent), tenure: tenure(months), ..terms() };
    given_nothing().when(open(terms.clone())).then_expect_events(vec![opened(terms, last_instalment)]);
}

#[rstest]
#[case::as_it_is(terms())]
#[case::with_an_instalment_of_its_own(LoanTerms { instalment: money("9000"), ..terms() })]
#[case::ending_on_the_day_it_starts(LoanTerms { ends_on: date("2026-03-14"), ..terms() })]
#[case::ending_early(LoanTerms { ends_on: date("2026-09-14"), ..terms() })]
fn a_loan_of_another_system_is_taken_as_it_stands(#[case] terms: LoanTerms) {
    given_nothing().when(import(terms.clone())).then_expect_events(vec![imported(terms)]);
}

#[rstest]
#[case::opened(opened(terms(), "8884.85"))]
#[case::imported(imported(terms()))]
fn a_loan_begins_once(#[case] past: LoanEvent) {
    for again in [open(terms()), import(terms()), open(backwards())] {
        TestFramework::<Loan>::with(())
            .given(vec![past.clone()])
            .when(again)
            .then_expect_error(LoanRefusal::AlreadyExists(loan_id(7)));
    }
}

#[rstest]
#[case::opened(open(backwards()))]
#[case::imported(import(backwards()))]
fn a_loan_does_not_end_before_it_starts(#[case] command: LoanCommand) {
    given_nothing().when(command).then_expect_error(LoanRefusal::EndsBeforeStart {
        started_on: date("2026-03-14"),
        ends_on: date("2026-03-13"),
    });
}

#[test]
fn the_largest_loan_is_within_the_range_of_money() {
    let terms = LoanTerms {
        principal: principal("10000000000"),
        interest_rate: rate("100"),
        tenure: tenure(1),
        instalment: money("10833333333.33"),
        ..terms()
    };
    given_nothing().when(open(terms.clone())).then_expect_events(vec![opened(terms, "10833333333.33")]);
}

#[rstest]
#[case::opened(opened(terms(), "8884.85"))]
#[case::imported(imported(terms()))]
fn the_past_folds_into_terms(#[case] past: LoanEvent) {
    let mut loan = Loan::default();
    assert_eq!((loan.terms(), loan.repayments()), (None, &[][..]));
    loan.apply(past);
    assert_eq!(loan.terms(), Some(&terms()));
}

#[test]
fn refusals_are_sentences() {
    let refusals = [
        LoanRefusal::AlreadyExists(loan_id(7)),
        LoanRefusal::EndsBeforeStart { started_on: date("2026-03-14"), ends_on: date("2026-03-13") },
        LoanRefusal::NotOpened,
        LoanRefusal::Settled(loan_id(7)),
        LoanRefusal::PaidInFuture { paid_on: date("2026-03-15"), today: date("2026-03-14") },
        LoanRefusal::PaidBeforeStart { paid_on: date("2026-03-13"), started_on: date("2026-03-14") },
        LoanRefusal::OutOfOrder { paid_on: date("2026-03-14"), last_paid_on: date("2026-03-15") },
        LoanRefusal::AmountOverOutstanding { outstanding: money("106618.53") },
        LoanRefusal::OutOfRange(OutOfRange),
    ];
    let sentences: Vec<String> = refusals.iter().map(ToString::to_string).collect();
    insta::assert_json_snapshot!(sentences, @r#"
    [
      "loan 7 exists already",
      "the loan ends on 2026-03-13, before it starts on 2026-03-14",
      "there is no such loan",
      "loan 7 is settled already",
      "the repayment is dated 2026-03-15, after today, 2026-03-14",
      "the repayment is dated 2026-03-13, before the loan started on 2026-03-14",
      "the repayment is dated 2026-03-14, before the last one on 2026-03-15",
      "the amount is more than the 106618.53 that settles the loan",
      "the amount is out of range"
    ]
    "#);
}
