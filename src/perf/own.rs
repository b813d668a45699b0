//! The product's own statements, to be explained: how the log is read, and a question of every kind that clients ask of
//! the read models.

use aggregates::Invalid;
use aggregates::ids::{CustomerId, DecisionId, LoanId};
use aggregates::loan::LoanStatus;
use aggregates::money::Money;
use aggregates::person::PhoneNumber;
use aggregates::policy::decision::Outcome;
use chrono::{Days, NaiveTime, Utc};
use projections::bounds::Bounds;
use projections::customers::CustomerFilter;
use projections::decisions::{Filter, Span};
use projections::keyset::PageOf;
use projections::loans::LoanFilter;
use projections::statement::Statement;
use projections::{credit_profiles, customers, decisions, loans};

/// A page, and the row that says whether there is another.
const PAGE: u16 = 20;
const BATCH: i64 = 100;
/// Any id does: whom a statement is about does not change how it is best answered.
const ID: i64 = 1;

/// How the log is read: by position, partition, customer and stream.
pub(super) const OF_THE_LOG: [(&str, &str); 6] = [
    ("the log's next events", "select position from events where position > 1 order by position limit 1000"),
    (
        "a partition's next events",
        "select position from events where customer_id % 8 = 1 and position > 1 order by position limit 1000",
    ),
    ("a customer's events", "select position from events where customer_id = 1 order by position"),
    (
        "a stream",
        "select sequence from events where aggregate_type = 'customer' and aggregate_id = '1' order by sequence",
    ),
    ("who has a phone number", "select customer_id from phone_numbers where phone_number = '1'"),
    ("what a request was answered", "select status from idempotency_keys where idempotency_key = '1'"),
];

/// What is asked of the read models.
pub(super) fn of_the_read_models() -> Result<Vec<(String, Statement)>, Invalid> {
    let (customer, loan, decision) = (CustomerId::try_from(ID)?, LoanId::try_from(ID)?, DecisionId::try_from(ID)?);
    let today = Utc::now().date_naive();
    let mut all = vec![
        ("whether there is a customer".to_owned(), customers::exists_statement(customer)),
        ("a customer".to_owned(), customers::find_statement(customer)),
        ("a credit profile".to_owned(), credit_profiles::find_statement(customer)),
        ("a loan".to_owned(), loans::find_statement(loan)),
        ("a loan and its borrower".to_owned(), loans::find_with_borrower_statement(loan)),
        ("a customer's current loans".to_owned(), loans::current_of_statement(customer, today)),
        ("a decision".to_owned(), decisions::find_statement(decision)),
    ];
    all.extend(lists_of_customers()?);
    all.extend(lists_of_loans(customer));
    for (what, filter) in [
        ("decisions", Filter::default()),
        ("a customer's decisions", Filter { customer: Some(customer), outcome: None }),
        ("declined decisions", Filter { customer: None, outcome: Some(Outcome::Declined) }),
    ] {
        all.push((what.to_owned(), decisions::list_statement(filter, i64::MAX, i64::from(PAGE) + 1)));
    }
    all.push(("decisions to be taken again".to_owned(), decisions::batch_statement(Span::default(), None, BATCH)));
    Ok(all)
}

fn first_page() -> PageOf {
    PageOf { after: None, limit: PAGE }
}

fn lists_of_customers() -> Result<Vec<(String, Statement)>, Invalid> {
    let amount = Money::rupees(1_000_000);
    let yesterday = Utc::now() - Days::new(1);
    let filters = [
        ("customers", CustomerFilter::default()),
        (
            "customers by number",
            CustomerFilter { phone_number: Some(PhoneNumber::try_from("9999999999")?), ..CustomerFilter::default() },
        ),
        (
            "customers by income",
            CustomerFilter { monthly_income: Bounds { from: Some(amount), to: None }, ..CustomerFilter::default() },
        ),
        ("customers by limit", CustomerFilter { min_approved_limit: Some(amount), ..CustomerFilter::default() }),
        (
            "customers by registration",
            CustomerFilter { registered_at: Bounds { from: Some(yesterday), to: None }, ..CustomerFilter::default() },
        ),
    ];
    Ok(filters
        .into_iter()
        .map(|(what, filter)| (what.to_owned(), customers::list_statement(&filter, &first_page())))
        .collect())
}

fn lists_of_loans(customer: CustomerId) -> Vec<(String, Statement)> {
    let today = Utc::now().date_naive();
    let amount = Bounds { from: Some(Money::rupees(1_000_000)), to: None };
    let since = Bounds { from: Some(today), to: None };
    let opened = Bounds { from: Some(today.and_time(NaiveTime::MIN).and_utc()), to: None };
    let status = |status| LoanFilter { status: Some(status), ..LoanFilter::default() };
    let filters = [
        ("loans", LoanFilter::default()),
        ("a customer's loans", LoanFilter { customer: Some(customer), ..LoanFilter::default() }),
        ("loans by amount", LoanFilter { amount, ..LoanFilter::default() }),
        ("loans by start", LoanFilter { started_on: since, ..LoanFilter::default() }),
        ("loans by end", LoanFilter { ends_on: since, ..LoanFilter::default() }),
        ("loans by opening", LoanFilter { opened_at: opened, ..LoanFilter::default() }),
        ("active loans", status(LoanStatus::Active)),
        ("overdue loans", status(LoanStatus::Overdue)),
        ("settled loans", status(LoanStatus::Settled)),
        ("loans written off", status(LoanStatus::WrittenOff)),
    ];
    let explained =
        |(what, filter): (&str, LoanFilter)| (what.to_owned(), loans::list_statement(&filter, today, &first_page()));
    filters.into_iter().map(explained).collect()
}
