//! One event of every variant, spelled out: what the golden documents mean. Nothing here is computed by a policy, so
//! that a change of the rules cannot change what a stored event says.

use aggregates::customer::{
    CustomerEvent, CustomerImported, CustomerRegistered, LoanApproved, LoanCarriedOver, LoanDeclined,
    LoanWriteOffRecorded, MonthlyIncomeChanged, PhoneNumberChanged, RepaymentRecorded, RepaymentReversalRecorded,
};
use aggregates::event::LendingEvent;
use aggregates::loan::{
    LoanEvent, LoanImported, LoanOpened, LoanSettledEarly, LoanTerms, LoanWrittenOff, Reallocation, RepaymentReceived,
    RepaymentReversed,
};
use aggregates::person::{Age, ContactData, Name, PersonalData, PhoneNumber};
use aggregates::policy::PolicyRef;
use aggregates::policy::alternatives::Alternative;
use aggregates::policy::decision::{Application, Assessment, Outcome, Reason, ReasonCode};
use aggregates::policy::score::{Component, ComponentName, Score, ScoreRule};
use aggregates::profile::{CreditStanding, LoanRecord};
use aggregates::repayment::Reference;
use aggregates::text::ReasonText;

use crate::support::{
    application, at, customer_id, date, decimal, decision_id, income, loan_id, money, principal, rate,
    repayment_amount, repayment_id, strict_application, tenure,
};

/// A variant's name, and how to make one.
type Sample = (&'static str, fn() -> LendingEvent);

/// A sample of every variant, in the order of [`place`].
pub(crate) const SAMPLES: [Sample; 16] = [
    ("CustomerRegistered", customer_registered),
    ("CustomerImported", customer_imported),
    ("LoanApproved", loan_approved),
    ("LoanDeclined", loan_declined),
    ("LoanCarriedOver", loan_carried_over),
    ("RepaymentRecorded", repayment_recorded),
    ("LoanOpened", loan_opened),
    ("LoanImported", loan_imported),
    ("RepaymentReceived", repayment_received),
    ("MonthlyIncomeChanged", monthly_income_changed),
    ("PhoneNumberChanged", phone_number_changed),
    ("RepaymentReversalRecorded", repayment_reversal_recorded),
    ("LoanWriteOffRecorded", loan_write_off_recorded),
    ("LoanSettledEarly", loan_settled_early),
    ("RepaymentReversed", repayment_reversed),
    ("LoanWrittenOff", loan_written_off),
];

/// The variant's place in [`SAMPLES`]: a new variant does not compile until it has one.
pub(crate) fn place(event: &LendingEvent) -> usize {
    match event {
        LendingEvent::Customer(CustomerEvent::CustomerRegistered(_)) => 0,
        LendingEvent::Customer(CustomerEvent::CustomerImported(_)) => 1,
        LendingEvent::Customer(CustomerEvent::LoanApproved(_)) => 2,
        LendingEvent::Customer(CustomerEvent::LoanDeclined(_)) => 3,
        LendingEvent::Customer(CustomerEvent::LoanCarriedOver(_)) => 4,
        LendingEvent::Customer(CustomerEvent::RepaymentRecorded(_)) => 5,
        LendingEvent::Loan(LoanEvent::LoanOpened(_)) => 6,
        LendingEvent::Loan(LoanEvent::LoanImported(_)) => 7,
        LendingEvent::Loan(LoanEvent::RepaymentReceived(_)) => 8,
        LendingEvent::Customer(CustomerEvent::MonthlyIncomeChanged(_)) => 9,
        LendingEvent::Customer(CustomerEvent::PhoneNumberChanged(_)) => 10,
        LendingEvent::Customer(CustomerEvent::RepaymentReversalRecorded(_)) => 11,
        LendingEvent::Customer(CustomerEvent::LoanWriteOffRecorded(_)) => 12,
        LendingEvent::Loan(LoanEvent::LoanSettledEarly(_)) => 13,
        LendingEvent::Loan(LoanEvent::RepaymentReversed(_)) => 14,
        LendingEvent::Loan(LoanEvent::LoanWrittenOff(_)) => 15,
    }
}

fn customer_registered() -> LendingEvent {
    LendingEvent::Customer(CustomerEvent::CustomerRegistered(CustomerRegistered {
        customer_id: customer_id(301),
        personal: PersonalData {
            first_name: Name::try_from("आशा").unwrap(),
            last_name: Name::try_from("O'Neill-Rao").unwrap(),
            age: Age::try_from(34).unwrap(),
            phone_number: PhoneNumber::try_from("09876543210").unwrap(),
        },
        monthly_income: income("50000"),
        approved_limit: money("1800000"),
        registered_at: at(),
    }))
}

fn customer_imported() -> LendingEvent {
    LendingEvent::Customer(CustomerEvent::CustomerImported(CustomerImported {
        customer_id: customer_id(aggregates::ids::MAX_ID),
        external_id: Some("CUST_000014".to_owned()),
        personal: PersonalData {
            first_name: Name::try_from("Abdul").unwrap(),
            last_name: Name::try_from("Adame").unwrap(),
            age: Age::try_from(61).unwrap(),
            phone_number: PhoneNumber::try_from("9629317944").unwrap(),
        },
        monthly_income: income("161000.5"),
        approved_limit: money("5800000"),
        current_debt: Some(money("0.01")),
        imported_at: at(),
    }))
}

fn policy(id: &str) -> PolicyRef {
    PolicyRef { id: id.to_owned(), digest: "0123456789abcdef".repeat(4) }
}

fn components(points: [&str; 4]) -> Vec<Component> {
    let [on_time, track_record, activity, volume] = points.map(decimal);
    vec![
        Component { name: ComponentName::OnTime, weight: 40, points: on_time },
        Component { name: ComponentName::TrackRecord, weight: 20, points: track_record },
        Component { name: ComponentName::CurrentYearActivity, weight: 20, points: activity },
        Component { name: ComponentName::ApprovedVolume, weight: 20, points: volume },
    ]
}

fn standing() -> CreditStanding {
    CreditStanding {
        as_of: date("2026-03-14"),
        monthly_income: income("50000"),
        approved_limit: money("1800000"),
        loans_taken: 2,
        loans_started_this_year: 1,
        instalments_due: 14,
        instalments_paid_on_time: 11,
        current_loans: 1,
        current_principal: money("250000.75"),
        current_instalments: money("9126.4"),
    }
}

fn reason(code: ReasonCode, message: &str) -> Reason {
    Reason { code, message: message.to_owned() }
}

fn loan_approved() -> LendingEvent {
    let assessment = Assessment {
        policy: policy("standard-1"),
        application: application("100000", "10.5", 12),
        standing: standing(),
        score: Score {
            value: decimal("46.50"),
            rule: ScoreRule::Components,
            components: components(["31.43", "8.00", "15.00", "17.22"]),
        },
        minimum_rate: Some(rate("12")),
        corrected_rate: rate("12"),
        instalment: money("8884.88"),
        outcome: Outcome::Approved,
        reasons: vec![reason(ReasonCode::RateCorrected, "Approved at 12% a year.")],
        alternatives: Vec::new(),
    };
    let loan = LoanRecord {
        loan_id: loan_id(9001),
        principal: principal("100000"),
        instalment: money("8884.88"),
        tenure: tenure(12),
        started_on: date("2026-03-14"),
        ends_on: date("2027-03-14"),
        instalments_paid_on_time: 0,
        settled_on: None,
        written_off_on: None,
    };
    LendingEvent::Customer(CustomerEvent::LoanApproved(Box::new(LoanApproved {
        decision_id: decision_id(70),
        assessment,
        loan,
        decided_at: at(),
    })))
}

fn loan_declined() -> LendingEvent {
    let assessment = Assessment {
        policy: policy("literal-1"),
        application: Application { tenure: tenure(6), ..strict_application("2000000.01", "0.0001", 12) },
        standing: CreditStanding { current_principal: money("1800000.01"), ..standing() },
        score: Score {
            value: decimal("0.00"),
            rule: ScoreRule::OverLimit,
            components: components(["31.43", "8.00", "15.00", "0.00"]),
        },
        minimum_rate: None,
        corrected_rate: rate("0.0001"),
        instalment: money("333333.43"),
        outcome: Outcome::Declined,
        reasons: vec![
            reason(ReasonCode::CurrentLoansOverLimit, "Current loans exceed the approved limit."),
            reason(ReasonCode::ScoreTooLow, "The credit score is too low."),
        ],
        alternatives: vec![
            Alternative::SmallerAmount(principal("150000")),
            Alternative::LongerTenure(tenure(80)),
            Alternative::AcceptRate(rate("12.5")),
        ],
    };
    LendingEvent::Customer(CustomerEvent::LoanDeclined(Box::new(LoanDeclined {
        decision_id: decision_id(71),
        assessment,
        decided_at: at(),
    })))
}

fn loan_carried_over() -> LendingEvent {
    LendingEvent::Customer(CustomerEvent::LoanCarriedOver(LoanCarriedOver {
        loan: LoanRecord {
            loan_id: loan_id(5930),
            principal: principal("900000"),
            instalment: money("39978"),
            tenure: tenure(138),
            started_on: date("2024-02-29"),
            ends_on: date("2035-08-29"),
            instalments_paid_on_time: 22,
            settled_on: None,
            written_off_on: None,
        },
        imported_at: at(),
    }))
}

fn repayment_recorded() -> LendingEvent {
    LendingEvent::Customer(CustomerEvent::RepaymentRecorded(RepaymentRecorded {
        repayment_id: repayment_id(46),
        loan_id: loan_id(9001),
        instalments_paid_on_time: 11,
        settled_on: Some(date("2026-03-14")),
        recorded_at: at(),
    }))
}

fn terms() -> LoanTerms {
    LoanTerms {
        loan_id: loan_id(9001),
        customer_id: customer_id(301),
        principal: principal("100000"),
        interest_rate: rate("12"),
        tenure: tenure(12),
        instalment: money("8884.88"),
        started_on: date("2026-03-14"),
        ends_on: date("2027-03-14"),
    }
}

fn loan_opened() -> LendingEvent {
    LendingEvent::Loan(LoanEvent::LoanOpened(LoanOpened {
        decision_id: decision_id(70),
        terms: terms(),
        last_instalment: money("8884.85"),
        opened_at: at(),
    }))
}

fn loan_imported() -> LendingEvent {
    LendingEvent::Loan(LoanEvent::LoanImported(LoanImported {
        external_id: Some("LOAN_000001".to_owned()),
        terms: LoanTerms { interest_rate: rate("8.2575"), ..terms() },
        instalments_paid_on_time: 9,
        imported_at: at(),
    }))
}

fn repayment_received() -> LendingEvent {
    LendingEvent::Loan(LoanEvent::RepaymentReceived(RepaymentReceived {
        repayment_id: repayment_id(45),
        loan_id: loan_id(9001),
        customer_id: customer_id(301),
        amount: repayment_amount("10000"),
        interest: money("1921.15"),
        principal: money("8078.85"),
        paid_on: date("2026-03-14"),
        reference: Some(Reference::try_from("UPI/407612345678 आशा").unwrap()),
        instalments_paid: 1,
        instalments_paid_on_time: 1,
        outstanding: money("96618.53"),
        outstanding_principal: money("91921.15"),
        settled: false,
        received_at: at(),
    }))
}

fn monthly_income_changed() -> LendingEvent {
    LendingEvent::Customer(CustomerEvent::MonthlyIncomeChanged(MonthlyIncomeChanged {
        customer_id: customer_id(301),
        monthly_income: income("62500.5"),
        approved_limit: money("2300000"),
        changed_at: at(),
    }))
}

fn phone_number_changed() -> LendingEvent {
    LendingEvent::Customer(CustomerEvent::PhoneNumberChanged(PhoneNumberChanged {
        customer_id: customer_id(301),
        personal: ContactData { phone_number: PhoneNumber::try_from("08012345678").unwrap() },
        changed_at: at(),
    }))
}

fn repayment_reversal_recorded() -> LendingEvent {
    LendingEvent::Customer(CustomerEvent::RepaymentReversalRecorded(RepaymentReversalRecorded {
        repayment_id: repayment_id(46),
        loan_id: loan_id(9001),
        instalments_paid_on_time: 10,
        settled_on: Some(date("2026-03-14")),
        recorded_at: at(),
    }))
}

fn loan_write_off_recorded() -> LendingEvent {
    LendingEvent::Customer(CustomerEvent::LoanWriteOffRecorded(LoanWriteOffRecorded {
        loan_id: loan_id(9001),
        written_off_on: date("2026-03-14"),
        recorded_at: at(),
    }))
}

fn loan_settled_early() -> LendingEvent {
    LendingEvent::Loan(LoanEvent::LoanSettledEarly(LoanSettledEarly {
        repayment_id: repayment_id(47),
        loan_id: loan_id(9001),
        customer_id: customer_id(301),
        amount: repayment_amount("92115.12"),
        interest: money("0"),
        principal: money("92115.12"),
        interest_waived: money("5618.53"),
        paid_on: date("2026-04-14"),
        reference: Some(Reference::try_from("NEFT 77").unwrap()),
        instalments_paid: 12,
        instalments_paid_on_time: 12,
        settled_at: at(),
    }))
}

fn repayment_reversed() -> LendingEvent {
    LendingEvent::Loan(LoanEvent::RepaymentReversed(RepaymentReversed {
        repayment_id: repayment_id(45),
        loan_id: loan_id(9001),
        customer_id: customer_id(301),
        amount: repayment_amount("10000"),
        reason: ReasonText::try_from("posted to the wrong loan, आशा says").unwrap(),
        instalments_paid: 0,
        instalments_paid_on_time: 0,
        outstanding: money("105618.53"),
        outstanding_principal: money("100000"),
        reallocated: vec![Reallocation {
            repayment_id: repayment_id(46),
            interest: money("1000"),
            principal: money("0"),
            settles_loan_early: false,
            interest_waived: money("0"),
        }],
        last_paid_on: Some(date("2026-03-15")),
        reversed_on: date("2026-03-16"),
        reversed_at: at(),
    }))
}

fn loan_written_off() -> LendingEvent {
    LendingEvent::Loan(LoanEvent::LoanWrittenOff(LoanWrittenOff {
        loan_id: loan_id(9001),
        customer_id: customer_id(301),
        outstanding: money("96618.53"),
        outstanding_principal: money("91921.15"),
        reason: ReasonText::try_from("insolvent").unwrap(),
        written_off_on: date("2026-03-14"),
        written_off_at: at(),
    }))
}
