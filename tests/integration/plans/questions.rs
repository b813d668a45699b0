//! Everything that can be asked of the read models: the statement behind it, and how a client asks for it.

use aggregates::ids::{CustomerId, DecisionId, LoanId};
use aggregates::loan::LoanStatus;
use aggregates::money::Money;
use aggregates::person::PhoneNumber;
use aggregates::policy::decision::Outcome;
use chrono::{NaiveDate, NaiveTime, Utc};
use projections::bounds::Bounds;
use projections::customers::CustomerFilter;
use projections::decisions::{Filter, Span};
use projections::keyset::{Key, KeyValue, Kind, OrderColumn, PageOf};
use projections::loans::LoanFilter;
use projections::statement::Statement;
use projections::{credit_profiles, customers, decisions, loans};
use serde_json::Value;

use super::filled::{CUSTOMER, CUSTOMERS, LOANS};
use crate::support::client::application;

const PAGE: u16 = 20;
/// Decisions that a backtest reads at a time are more; what matters is the way to them.
const BATCH: i64 = 100;
/// A customer with as many loans as most.
const BORROWER: i64 = 17;

/// How a client asks.
pub(super) enum Asked {
    Get(String),
    Post(&'static str, Value),
}

/// A question.
pub(super) struct Question {
    pub(super) name: String,
    pub(super) statement: Box<dyn Fn() -> Statement + Send + Sync>,
    /// `None` for the statement of a page that a cursor leads to, and for what is asked along with another question.
    pub(super) asked: Option<Asked>,
}

/// All of them.
pub(super) fn questions() -> Vec<Question> {
    let mut all = lookups();
    all.extend(of_decisions());
    for query in CUSTOMER_LISTS {
        all.extend(customer_list(query));
    }
    for query in LOAN_LISTS {
        all.extend(loan_list(query));
    }
    all
}

fn customer() -> CustomerId {
    CustomerId::try_from(CUSTOMER).unwrap()
}

fn loan() -> LoanId {
    LoanId::try_from(LOANS / 2).unwrap()
}

fn today() -> NaiveDate {
    Utc::now().date_naive()
}

fn lookups() -> Vec<Question> {
    let lookup = |asked: Option<Asked>, name: &str, statement: fn() -> Statement| Question {
        name: name.to_owned(),
        statement: Box::new(statement),
        asked,
    };
    let get = |path: String| Some(Asked::Get(path));
    let eligibility = Asked::Post("/check-eligibility", application(CUSTOMER, 100_000, 14, 24));
    vec![
        lookup(get(format!("/view-loan/{}", loan())), "a loan and its borrower", || {
            loans::find_with_borrower_statement(loan())
        }),
        lookup(get(format!("/view-loans/{BORROWER}")), "a customer's current loans", || {
            loans::current_of_statement(CustomerId::try_from(BORROWER).unwrap(), today())
        }),
        lookup(None, "whether there is a customer", || customers::exists_statement(customer())),
        lookup(get(format!("/v1/customers/{CUSTOMER}")), "a customer", || customers::find_statement(customer())),
        lookup(get(format!("/v1/loans/{}", loan())), "a loan", || loans::find_statement(loan())),
        lookup(get(format!("/v1/loans/{}/schedule", loan())), "a loan's schedule", || loans::find_statement(loan())),
        lookup(
            get(format!("/v1/loans/{}/repayments", loan())),
            "a loan's repayments",
            || loans::find_statement(loan()),
        ),
        lookup(get(format!("/v1/customers/{CUSTOMER}/credit-score")), "a credit profile", || {
            credit_profiles::find_statement(customer())
        }),
        lookup(Some(eligibility), "eligibility", || credit_profiles::find_statement(customer())),
    ]
}

/// Decisions are told of, listed, and taken again by backtests.
fn of_decisions() -> Vec<Question> {
    let mut all = vec![Question {
        name: "a decision".to_owned(),
        statement: Box::new(|| decisions::find_statement(DecisionId::try_from(LOANS / 2).unwrap())),
        asked: None,
    }];
    let lists = [
        (String::new(), Filter::default()),
        (format!("customer_id={CUSTOMER}"), Filter { customer: Some(customer()), outcome: None }),
        ("outcome=approved".to_owned(), Filter { customer: None, outcome: Some(Outcome::Approved) }),
        ("outcome=declined".to_owned(), Filter { customer: None, outcome: Some(Outcome::Declined) }),
        (
            format!("customer_id={CUSTOMER}&outcome=declined"),
            Filter { customer: Some(customer()), outcome: Some(Outcome::Declined) },
        ),
    ];
    for (query, filter) in lists {
        for below in [i64::MAX, LOANS / 2, 1] {
            all.push(Question {
                name: format!("decisions, {query}, below {below}"),
                statement: Box::new(move || decisions::list_statement(filter, below, i64::from(PAGE) + 1)),
                asked: (below == i64::MAX).then(|| Asked::Get(format!("/v1/decisions?{query}"))),
            });
        }
    }
    let from = instant("from=2024-01-01", "from");
    let until = instant("until=2024-02-01", "until");
    let spans = [
        ("all", Span::default()),
        ("a stretch of time", Span { from, until, customer: None }),
        ("a customer's", Span { customer: CustomerId::try_from(BORROWER).ok(), ..Span::default() }),
    ];
    for (what, span) in spans {
        for behind in [None, instant("at=2024-01-15", "at").map(|at| (at, LOANS / 2))] {
            all.push(Question {
                name: format!("decisions to be taken again, {what}, behind {behind:?}"),
                statement: Box::new(move || decisions::batch_statement(span, behind, BATCH)),
                asked: None,
            });
        }
    }
    all
}

/// Filters of customers, as a client writes them.
const CUSTOMER_LISTS: [&str; 15] = [
    "",
    "phone_number=6000123456",
    "phone_number=6000123456&min_monthly_income=10000",
    "min_monthly_income=400000",
    "max_monthly_income=12000",
    "min_monthly_income=250000&max_monthly_income=250500",
    "min_monthly_income=499999",
    "min_monthly_income=100000&min_approved_limit=5000000",
    "min_monthly_income=100000&registered_after=2025-01-01",
    "min_approved_limit=17900000",
    "min_approved_limit=400000",
    "min_approved_limit=9000000&registered_before=2022-01-01",
    "registered_after=2025-09-14",
    "registered_before=2020-02-01",
    "registered_after=2022-01-01&registered_before=2022-01-02",
];

/// Filters of loans; `CUSTOMER` stands for the one with many.
const LOAN_LISTS: [&str; 32] = [
    "",
    "customer_id=CUSTOMER",
    "customer_id=CUSTOMER&status=active",
    "customer_id=CUSTOMER&status=overdue",
    "customer_id=CUSTOMER&min_amount=500000",
    "customer_id=CUSTOMER&ending_after=2024-01-01",
    "customer_id=CUSTOMER&ending_after=2024-01-01&ending_before=2024-06-01",
    "customer_id=CUSTOMER&started_after=2024-01-01",
    "customer_id=CUSTOMER&started_before=2017-01-01",
    "customer_id=CUSTOMER&opened_after=2020-01-02",
    "customer_id=17",
    "customer_id=17&started_after=2020-01-01",
    "status=active",
    "status=overdue",
    "status=settled",
    "status=written_off",
    "status=written_off&min_amount=1000000",
    "status=overdue&started_after=2020-01-01",
    "status=settled&min_amount=1990000",
    "status=active&min_amount=1990000",
    "status=active&started_before=2016-02-01",
    "min_amount=1990000",
    "max_amount=2000",
    "min_amount=500000&max_amount=500100",
    "min_amount=1500000&ending_before=2020-01-01",
    "started_after=2026-08-01",
    "started_after=2020-03-01&started_before=2020-03-02",
    "started_after=2020-01-01&ending_after=2022-01-01",
    "ending_after=2031-01-01",
    "ending_before=2017-03-01",
    "opened_after=2025-09-01",
    "opened_after=2022-01-01&opened_before=2022-01-01T06:00:00Z",
];

/// A value in a client's filters.
fn value<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').find_map(|part| part.split_once('=').filter(|(found, _)| *found == name)).map(|(_, value)| value)
}

fn amount(query: &str, name: &str) -> Option<Money> {
    value(query, name).map(|text| Money::rupees(text.parse().unwrap()))
}

fn day(query: &str, name: &str) -> Option<NaiveDate> {
    value(query, name).map(|text| text.parse().unwrap())
}

fn instant(query: &str, name: &str) -> Option<chrono::DateTime<Utc>> {
    value(query, name).map(|text| match text.parse::<NaiveDate>() {
        Ok(day) => day.and_time(NaiveTime::MIN).and_utc(),
        Err(_) => text.parse().unwrap(),
    })
}

fn customer_filter(query: &str) -> CustomerFilter {
    CustomerFilter {
        phone_number: value(query, "phone_number").map(|text| PhoneNumber::try_from(text).unwrap()),
        monthly_income: Bounds { from: amount(query, "min_monthly_income"), to: amount(query, "max_monthly_income") },
        min_approved_limit: amount(query, "min_approved_limit"),
        registered_at: Bounds { from: instant(query, "registered_after"), to: instant(query, "registered_before") },
    }
}

fn loan_filter(query: &str) -> LoanFilter {
    LoanFilter {
        customer: value(query, "customer_id").map(|text| CustomerId::try_from(text.parse::<i64>().unwrap()).unwrap()),
        status: value(query, "status").map(|text| LoanStatus::from_name(text).unwrap()),
        amount: Bounds { from: amount(query, "min_amount"), to: amount(query, "max_amount") },
        started_on: Bounds { from: day(query, "started_after"), to: day(query, "started_before") },
        ends_on: Bounds { from: day(query, "ending_after"), to: day(query, "ending_before") },
        opened_at: Bounds { from: instant(query, "opened_after"), to: instant(query, "opened_before") },
    }
}

/// The first page, one from the middle of the list, and one from its end, where nothing comes any more.
fn pages(order: &[OrderColumn], ids: i64) -> Vec<(&'static str, PageOf)> {
    let keyed = |value: &dyn Fn(&OrderColumn) -> KeyValue| Key::new(order.iter().map(value).collect::<Vec<_>>());
    let middle = keyed(&|OrderColumn(name, kind)| match kind {
        Kind::Integer => KeyValue::Integer(ids / 2),
        Kind::Amount if *name == "approved_limit" => KeyValue::Amount(9_000_000.into()),
        Kind::Amount => KeyValue::Amount(250_000.into()),
        Kind::Day => KeyValue::Day(NaiveDate::from_ymd_opt(2023, 6, 1).unwrap()),
        Kind::Instant => KeyValue::Instant("2023-06-01T00:00:00Z".parse().unwrap()),
    });
    let end = keyed(&|OrderColumn(_, kind)| match kind {
        Kind::Integer => KeyValue::Integer(ids),
        Kind::Amount => KeyValue::Amount(100_000_000.into()),
        Kind::Day => KeyValue::Day(NaiveDate::from_ymd_opt(2099, 1, 1).unwrap()),
        Kind::Instant => KeyValue::Instant("2099-01-01T00:00:00Z".parse().unwrap()),
    });
    let page = |after| PageOf { after, limit: PAGE };
    vec![("first", page(None)), ("middle", page(Some(middle))), ("end", page(Some(end)))]
}

fn customer_list(query: &'static str) -> Vec<Question> {
    let filter = customer_filter(query);
    let question = |(place, page): (&str, PageOf)| {
        let filter = filter.clone();
        Question {
            name: format!("customers, {query}, {place} page"),
            statement: Box::new(move || customers::list_statement(&filter, &page)),
            asked: (place == "first").then(|| Asked::Get(format!("/v1/customers?{query}"))),
        }
    };
    pages(filter.order(), CUSTOMERS).into_iter().map(question).collect()
}

fn loan_list(query: &str) -> Vec<Question> {
    let query = query.replace("CUSTOMER", &CUSTOMER.to_string());
    let filter = loan_filter(&query);
    let question = |(place, page): (&str, PageOf)| {
        let filter = filter.clone();
        Question {
            name: format!("loans, {query}, {place} page"),
            statement: Box::new(move || loans::list_statement(&filter, today(), &page)),
            asked: (place == "first").then(|| Asked::Get(format!("/v1/loans?{query}"))),
        }
    };
    pages(filter.order(), LOANS).into_iter().map(question).collect()
}
