//! Verification finds whatever somebody changed behind the product's back, in the log or in a read model, and nothing
//! on a system that nobody has touched, however busy it is.

mod life;
mod numbers;

use credit_approval::config::Serve;
use credit_approval::verify::Findings;
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::client::application;
use crate::support::process::run;
use crate::support::sql::{count, execute};
use crate::support::traffic::{Traffic, assert_serving, borrow, repay};
use crate::support::verified::findings;

/// Everything is as it must be, at whatever moment; answers how much that is.
async fn assert_clean(pool: &PgPool) -> Findings {
    let found = findings(pool).await;
    assert_eq!(found.differences, 0, "{found}");
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_system_is_clean_at_every_moment() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let traffic = Traffic::of_everything(&app.client, 4);
    let mut seen = Vec::new();
    for _ in 0..10 {
        seen.push(assert_clean(&pool).await.events);
    }
    let ran = run(&app.config, &["verify"]).await;
    assert_eq!(ran.code, Some(0), "{}{}", ran.said, ran.complained);
    assert!(ran.said.ends_with("result       everything agrees\n"), "{}", ran.said);
    assert!(traffic.stop().await > 0);
    assert!(seen.is_sorted(), "each looks at more: {seen:?}");

    // Everything there is has been looked at.
    let found = assert_clean(&pool).await;
    let there_are = async |what: &str| u64::try_from(count(&pool, what).await).unwrap();
    assert_eq!(found.events, count(&pool, "events").await);
    assert_eq!(found.customers, there_are("read_models.customers").await);
    assert_eq!(found.decisions, there_are("events where event_type in ('LoanApproved', 'LoanDeclined')").await);
    let rows = "(select 1 from read_models.customers union all select 1 from read_models.loans
                 union all select 1 from read_models.credit_profiles
                 union all select 1 from read_models.decisions) one";
    assert_eq!((found.rows, found.parked), (there_are(rows).await, 0));
    app.stop().await;
}

/// Data of which copies are kept, to be changed by hand. No service works on it.
struct Data {
    config: Serve,
    pool: PgPool,
    /// With two loans, the first of them repaid in part, and then declined: events 1 to 5 of its stream.
    customer: i64,
    other: i64,
    first: i64,
    second: i64,
    /// A position behind all of the customer's events at which there is none.
    free: i64,
}

impl Data {
    async fn new() -> Self {
        let app = TestApp::start().await;
        let (config, pool) = (app.config.clone(), app.pool().await);
        let customer = app.client.register(80_000).await;
        let first = borrow(&app.client, customer).await;
        repay(&app.client, first, 5_000).await;
        let second = borrow(&app.client, customer).await;
        let declined = app.client.post("/create-loan", &application(customer, 2_900_000, 14, 480)).await;
        assert_eq!(declined.status, 200, "{}", declined.body);
        let free = "select nextval(pg_get_serial_sequence('events', 'position'))";
        let free = sqlx::query_scalar(free).fetch_one(&pool).await.unwrap();
        let other = app.client.register(80_000).await;
        borrow(&app.client, other).await;
        Self { config, pool, customer, other, first, second, free }.kept(app).await
    }

    /// Stops the service, when the read models have everything, and keeps copies.
    async fn kept(self, app: TestApp) -> Self {
        // Some in each partition, so that the read models have applied what comes before the free position.
        for _ in 0..8 {
            assert_serving(&app.client).await;
        }
        app.stop().await;
        execute(
            &self.pool,
            "create schema kept;
             create table kept.events as select * from events;
             create table kept.phone_numbers as select * from phone_numbers;
             create table kept.customers as select * from read_models.customers;
             create table kept.loans as select * from read_models.loans;
             create table kept.credit_profiles as select * from read_models.credit_profiles;
             create table kept.decisions as select * from read_models.decisions",
        )
        .await;
        assert_clean(&self.pool).await;
        self
    }

    /// Makes everything as it was.
    async fn restore(&self) {
        const COLUMNS: &str = "aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata,
                               position, recorded_at";
        execute(
            &self.pool,
            &format!(
                "delete from events;
                 insert into events ({COLUMNS}) overriding system value select {COLUMNS} from kept.events;
                 delete from phone_numbers;
                 insert into phone_numbers select * from kept.phone_numbers;
                 delete from read_models.customers;
                 insert into read_models.customers select * from kept.customers;
                 delete from read_models.loans;
                 insert into read_models.loans select * from kept.loans;
                 delete from read_models.credit_profiles;
                 insert into read_models.credit_profiles select * from kept.credit_profiles;
                 delete from read_models.decisions;
                 insert into read_models.decisions select * from kept.decisions"
            ),
        )
        .await;
    }

    /// Verification finds what a statement has changed, and nothing any more once that is made good.
    async fn finds(&self, change: &str, expected: &str) {
        let changed = sqlx::query(change).execute(&self.pool).await.unwrap_or_else(|error| panic!("{error}: {change}"));
        assert!(changed.rows_affected() > 0, "{change}");
        let found = findings(&self.pool).await;
        assert!(found.differences > 0, "nothing found after: {change}");
        assert!(found.first.iter().any(|line| line.contains(expected)), "no '{expected}' after: {change}\n{found}");
        self.restore().await;
        assert_clean(&self.pool).await;
    }

    /// As [`Data::finds`], for a value in the payload of an event of the customer.
    async fn finds_payload(&self, event: &str, path: &str, value: &str, expected: &str) {
        let change = format!(
            "update events set payload = jsonb_set(payload::jsonb, '{{{event},{path}}}', '{value}', false)::json
             where position = (select min(position) from events
                               where event_type = '{event}' and customer_id = {})",
            self.customer
        );
        self.finds(&change, expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_not_what_the_log_says_is_found() {
    let data = Data::new().await;
    let Data { customer, other, first, .. } = data;
    let updates = [
        ("customers", "age = age + 1", format!("customers {customer}: age is 31, the log says 30")),
        ("customers", "phone_number = '1234567890'", format!("customers {customer}: phone_number is 1234567890")),
        ("customers", "approved_limit = 1", format!("customers {customer}: approved_limit is 1, the log says 2900000")),
        ("loans", "instalment = 0.01", format!("loans {first}: instalment is 0.01")),
        ("loans", "instalments_paid = 24", format!("loans {first}: instalments_paid is 24, the log says 1")),
        ("loans", "settled_on = started_on", format!("loans {first}: settled_on is ")),
        ("loans", "outstanding = null", format!("loans {first}: outstanding is null")),
        ("loans", "opened_at = opened_at + interval '1 microsecond'", format!("loans {first}: opened_at is ")),
        (
            "credit_profiles",
            "profile = jsonb_set(profile::jsonb, '{loans,0,instalments_paid_on_time}', '0')::json",
            format!("credit_profiles {customer}: profile is "),
        ),
    ];
    for (name, change, expected) in &updates {
        let key = if *name == "loans" { format!("loan_id = {first}") } else { format!("customer_id = {customer}") };
        data.finds(&format!("update read_models.{name} set {change} where {key}"), expected).await;
    }
    let given_away = format!("update read_models.loans set customer_id = {other} where loan_id = {first}");
    data.finds(&given_away, &format!("loans {first}: customer_id is {other}, the log says {customer}")).await;
    for (name, key, id) in [
        ("customers", "customer_id", customer),
        ("loans", "loan_id", first),
        ("credit_profiles", "customer_id", customer),
    ] {
        let lost = format!("delete from read_models.{name} where {key} = {id}");
        data.finds(&lost, &format!("{name} {id}: is missing")).await;
        let made_up = format!(
            "insert into read_models.{name} select (jsonb_populate_record(one, '{{\"{key}\": 9000001}}')).*
             from read_models.{name} one where {key} = {id}"
        );
        data.finds(&made_up, &format!("{name} 9000001: is there, and no event speaks of it")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_changed_is_found() {
    let data = Data::new().await;
    let again = "comes out otherwise when it is taken again";
    let unknown = "was taken under an unknown policy, standard-1 (0000)";
    let not_stood = "was not taken from how the customer stood";
    let changes = [
        ("LoanApproved", "assessment,application,principal", "\"90000.00\"", again),
        ("LoanApproved", "assessment,instalment", "\"1.00\"", again),
        ("LoanApproved", "assessment,score,value", "\"99.00\"", again),
        ("LoanApproved", "assessment,policy,digest", "\"0000\"", unknown),
        ("LoanApproved", "assessment,standing,current_principal", "\"1.00\"", not_stood),
        ("LoanApproved", "loan,principal", "\"1.00\"", not_stood),
        ("LoanDeclined", "assessment,outcome", "\"approved\"", again),
        ("LoanDeclined", "assessment,policy,id", "\"literal-1\"", "was taken under an unknown policy, literal-1"),
        ("CustomerRegistered", "monthly_income", "\"79999.00\"", not_stood),
        ("CustomerRegistered", "customer_id", "9000001", "registers 9000001"),
        ("LoanOpened", "decision_id", "9000001", "was opened on other terms than were granted"),
        ("LoanOpened", "terms,interest_rate", "\"1\"", again),
        ("LoanOpened", "terms,customer_id", "9000001", "belongs to customer 9000001"),
        ("RepaymentReceived", "outstanding", "\"1.00\"", again),
        ("RepaymentReceived", "amount", "\"4000.00\"", again),
        ("RepaymentRecorded", "instalments_paid_on_time", "7", "means something else to the customer"),
    ];
    for (event, path, value, expected) in changes {
        data.finds_payload(event, path, value, expected).await;
    }
    let Data { customer, other, .. } = data;
    let of = format!("aggregate_type = 'customer' and aggregate_id = '{customer}'");
    let unreadable = format!("update events set event_version = '9.0' where {of} and sequence = 5");
    data.finds(&unreadable, "the event cannot be read: unknown event 'LoanDeclined', version 9.0").await;
    let moved = format!("update events set metadata = '{{\"customer_id\": \"{other}\"}}' where {of} and sequence = 5");
    data.finds(&moved, &format!("the stream of customer {customer} holds an event of customer {other}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_taken_out_or_slipped_in_is_found() {
    let data = Data::new().await;
    let Data { customer, first, second, free, .. } = data;
    let of = |sequence: i64| {
        format!("aggregate_type = 'customer' and aggregate_id = '{customer}' and sequence = {sequence}")
    };
    let of_loan = |loan: i64, sequence: i64| {
        format!("aggregate_type = 'loan' and aggregate_id = '{loan}' and sequence = {sequence}")
    };
    let taken_out = [
        (of(1), format!("customer {customer} goes from event 0 to event 2")),
        (of(1), "the customer has events before it was registered".to_owned()),
        (of(3), format!("customer {customer} goes from event 2 to event 4")),
        (of(3), "is not told to the customer".to_owned()),
        (of(4), format!("loan {second} was opened and not granted")),
        (of_loan(second, 1), format!("loan {second} was granted and not opened")),
        (of_loan(first, 2), "was recorded and not received".to_owned()),
    ];
    for (which, expected) in taken_out {
        data.finds(&format!("delete from events where {which}"), &expected).await;
    }
    let slip_in = |values: &str, which: String| {
        format!(
            "insert into events (position, event_type, event_version, metadata,
                                 aggregate_type, aggregate_id, sequence, payload)
             overriding system value
             select {free}, event_type, event_version, metadata, {values} from events where {which}"
        )
    };
    let opened = "'loan', '9000001', 1, jsonb_set(payload::jsonb, '{LoanOpened,terms,loan_id}', '9000001')::json";
    data.finds(&slip_in(opened, of_loan(first, 1)), "loan 9000001 was opened and not granted").await;
    let again = "aggregate_type, aggregate_id, 6, payload";
    data.finds(&slip_in(again, of(1)), "the customer is registered a second time").await;
    let again = "aggregate_type, aggregate_id, 3, payload";
    data.finds(&slip_in(again, of_loan(first, 2)), "is received twice").await;
    let skipped = format!("update events set sequence = 9 where {}", of(5));
    data.finds(&skipped, &format!("customer {customer} goes from event 4 to event 9")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_status_tells_and_the_first_differences_are_printed() {
    let data = Data::new().await;
    let clean = run(&data.config, &["verify"]).await;
    assert_eq!(clean.code, Some(0), "{}{}", clean.said, clean.complained);
    assert!(clean.said.ends_with("result       everything agrees\n"), "{}", clean.said);
    assert_eq!(clean.said.lines().count(), 3, "{}", clean.said);

    execute(
        &data.pool,
        "update read_models.customers set age = 99
         where customer_id in (select customer_id from read_models.customers order by 1 limit 3)",
    )
    .await;
    let differs = |said: &str| said.lines().filter(|line| line.contains("age is 99, the log says 30")).count();
    for (show, shown) in [("20", 3), ("3", 3), ("1", 1), ("0", 0)] {
        let ran = run(&data.config, &["verify", "--show", show]).await;
        assert_eq!(ran.code, Some(1), "{}", ran.said);
        assert_eq!(differs(&ran.said), shown, "{}", ran.said);
        assert_eq!(ran.said.contains(&format!("... and {} more", 3 - shown)), shown < 3, "{}", ran.said);
        assert!(ran.said.ends_with("result       3 differences\n"), "{}", ran.said);
        assert!(ran.complained.contains("3 differences were found"), "{}", ran.complained);
    }
    data.restore().await;
    assert_eq!(run(&data.config, &["verify"]).await.code, Some(0));
}
