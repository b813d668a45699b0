//! Importing workbooks: no row lost, none doubled, none overwritten, whatever interrupts it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use credit_approval::commands::BusinessCalendar;
use credit_approval::generate::{GenerateSpec, GeneratedFiles, generate};
use credit_approval::import::report::Summary;
use credit_approval::import::workbook::Source;
use credit_approval::import::{Job, import};
use credit_approval::store::EventLog;
use rust_xlsxwriter::{ExcelDateTime, Format, Workbook};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::client::application;
use crate::support::log::{empty_log, migrated};
use crate::support::servers::{scratch_dir, servers};
use crate::support::sql::{count, number};

/// A directory that goes with the test.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(scratch_dir("import"))
    }

    pub(crate) fn generated(&self, customers: u32, loans: u32) -> GeneratedFiles {
        generate(&self.0, GenerateSpec { customers, loans, seed: 7, ids_above: 0 }).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

pub(crate) fn job(customers: Option<&Path>, loans: Option<&Path>) -> Job {
    Job {
        customers: customers.map(Source::from),
        loans: loans.map(Source::from),
        dry_run: false,
        notices: None,
        today: BusinessCalendar(chrono::FixedOffset::east_opt(0).unwrap()).today(),
        import: None,
    }
}

pub(crate) async fn run(pool: &PgPool, job: &Job) -> Summary {
    import(&EventLog::new(pool.clone()), job, |_, _, _| {}).await.unwrap()
}

pub(crate) async fn imported(pool: &PgPool) -> (i64, i64) {
    // In one look, or an import that runs would be seen at three places.
    let (customers, loans, carried_over): (i64, i64, i64) = sqlx::query_as(
        "select count(*) filter (where event_type = 'CustomerImported'),
                count(*) filter (where event_type = 'LoanImported'),
                count(*) filter (where event_type = 'LoanCarriedOver') from events",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(loans, carried_over, "a loan and its customer's knowledge of it are one");
    (customers, loans)
}

/// A workbook of text and number cells.
pub(crate) fn workbook(path: &Path, rows: &[&[&str]]) {
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    let date = Format::new().set_num_format("yyyy-mm-dd");
    for (row, cells) in rows.iter().enumerate() {
        for (column, cell) in cells.iter().enumerate() {
            let (row, column) = (u32::try_from(row).unwrap(), u16::try_from(column).unwrap());
            if let Some(day) = cell.strip_prefix("date:") {
                let day = ExcelDateTime::parse_from_str(day).unwrap();
                sheet.write_datetime_with_format(row, column, &day, &date).unwrap();
            } else if let Ok(number) = cell.parse::<f64>() {
                sheet.write_number(row, column, number).unwrap();
            } else if !cell.is_empty() {
                sheet.write_string(row, column, *cell).unwrap();
            }
        }
    }
    workbook.save(path).unwrap();
}

pub(crate) const CUSTOMER_HEADERS: &[&str] =
    &["Customer ID", "First Name", "Last Name", "Age", "Phone Number", "Monthly Salary", "Approved Limit"];
pub(crate) const LOAN_HEADERS: &[&str] = &[
    "Customer ID",
    "Loan ID",
    "Loan Amount",
    "Tenure",
    "Interest Rate",
    "Monthly payment",
    "EMIs paid on Time",
    "Date of Approval",
    "End Date",
];

#[tokio::test(flavor = "multi_thread")]
async fn generated_workbooks_go_in_once() {
    let scratch = Scratch::new();
    let files = scratch.generated(1200, 3100);
    let pool = empty_log().await;
    let job = job(Some(&files.customers), Some(&files.loans));

    let first = run(&pool, &job).await;
    assert_eq!((first.customers.imported, first.loans.imported), (1200, 3100));
    assert_eq!((first.rejected(), first.customers.renumbered), (0, 0));
    assert!(first.loans.renumbered > 0, "some loan ids stand on two loans");
    assert_eq!(imported(&pool).await, (1200, 3100));
    let head = number(&pool, "select max(position) from events").await;

    let second = run(&pool, &job).await;
    assert_eq!((second.customers.unchanged, second.loans.unchanged), (1200, 3100));
    assert_eq!((second.customers.imported, second.loans.imported, second.rejected()), (0, 0, 0));
    assert_eq!(number(&pool, "select max(position) from events").await, head, "nothing was appended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_the_same_and_writes_nothing() {
    let scratch = Scratch::new();
    let files = scratch.generated(300, 780);
    let pool = empty_log().await;
    let real = job(Some(&files.customers), Some(&files.loans));
    let dry = run(&pool, &Job { dry_run: true, ..real.clone() }).await;
    assert_eq!(count(&pool, "events").await, 0);
    assert_eq!(number(&pool, "select last_value from loan_ids").await, 1);
    let wet = run(&pool, &real).await;
    assert_eq!((dry.customers, dry.loans), (wet.customers, wet.loans));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_pair_goes_in_whole() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let (customers, loans) = (data.join("customer_data.xlsx"), data.join("loan_data.xlsx"));
    if !customers.exists() || !loans.exists() {
        return;
    }
    let pool = empty_log().await;
    let summary = run(&pool, &job(Some(&customers), Some(&loans))).await;
    assert_eq!((summary.customers.imported, summary.customers.renumbered), (300, 0));
    assert_eq!((summary.loans.imported, summary.loans.renumbered), (782, 29));
    assert_eq!(summary.rejected(), 0);
    assert_eq!(imported(&pool).await, (300, 782));
    let kept = "events where event_type = 'LoanImported'
                and payload #>> '{LoanImported,external_id}' is not null";
    assert_eq!(count(&pool, kept).await, 29);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_wrong_are_rejected_with_their_place_and_the_rest_goes_in() {
    let scratch = Scratch::new();
    let (customers, loans) = (scratch.0.join("customers.xlsx"), scratch.0.join("loans.xlsx"));
    workbook(
        &customers,
        &[
            CUSTOMER_HEADERS,
            &["1", "Asha", "Rao", "30", "9000000001", "50000", "1800000"],
            &["2", "Ravi", "Nair", "17", "9000000002", "50000", "1800000"],
            &["3", "Mira", "Das", "40", "9000000001", "50000", "1800000"],
            &["1", "Other", "Person", "40", "9000000004", "50000", "1800000"],
            &["CUST_5", "Noor", "Ali", "52", "9000000005", "50,000", "1800000"],
            &[],
        ],
    );
    workbook(
        &loans,
        &[
            LOAN_HEADERS,
            &["1", "10", "100000", "12", "10", "8791.59", "3", "date:2024-01-31", "date:2025-01-31"],
            &["99", "11", "100000", "12", "10", "8791.59", "3", "date:2024-01-31", "date:2025-01-31"],
            &["1", "12", "-5", "12", "10", "8791.59", "3", "date:2024-01-31", "date:2025-01-31"],
            &["1", "13", "100000", "12", "10", "8791.59", "3", "date:2025-01-31", "date:2024-01-31"],
            &["CUST_5", "LOAN_000001", "100000", "12", "10", "8791.59", "30", "2024-01-31", "2025-01-31"],
            &["2", "14", "100000", "12", "10", "8791.59", "3", "date:2024-01-31", "date:2025-01-31"],
            &["1", "10", "100000", "12", "10", "8791.59", "3", "date:2024-01-31", "date:2025-01-31"],
        ],
    );
    let pool = empty_log().await;
    let notices = scratch.0.join("rejects.csv");
    let wanted = Job { notices: Some(notices.clone()), ..job(Some(&customers), Some(&loans)) };
    let summary = run(&pool, &wanted).await;
    assert_eq!((summary.customers.imported, summary.customers.rejected), (2, 3));
    assert_eq!((summary.loans.imported, summary.loans.rejected), (2, 5));
    assert_eq!(summary.warnings, 1, "more instalments on time than there are: {:?}", summary.shown);

    let written = std::fs::read_to_string(notices).unwrap();
    for place in [
        r#""reject","customers.xlsx","Sheet1","3","Age""#,
        r#""reject","customers.xlsx","Sheet1","4","Phone Number""#,
        r#""reject","customers.xlsx","Sheet1","5","Customer ID""#,
        r#""reject","loans.xlsx","Sheet1","3","Customer ID","names no customer"#,
        r#""reject","loans.xlsx","Sheet1","4","Loan Amount""#,
        r#""reject","loans.xlsx","Sheet1","5","End Date""#,
        r#""reject","loans.xlsx","Sheet1","7","Customer ID","names a customer whose own row was rejected"#,
        r#""reject","loans.xlsx","Sheet1","8","Loan ID","stands on an earlier row"#,
        r#""warning","loans.xlsx","Sheet1","6","EMIs paid on Time""#,
    ] {
        assert!(written.contains(place), "{place} is not in\n{written}");
    }
    for personal in ["Asha", "Other", "9000000001", "50000"] {
        assert!(!written.contains(personal), "{personal} is personal:\n{written}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_whose_ids_are_taken_get_new_ones_and_overwrite_nobody() {
    let scratch = Scratch::new();
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let mine = app.client.register(60_000).await;
    assert_eq!(mine, 1);
    let files = scratch.generated(50, 120);
    let summary = run(&pool, &job(Some(&files.customers), Some(&files.loans))).await;
    assert_eq!((summary.customers.imported, summary.customers.renumbered, summary.rejected()), (50, 1, 0));
    assert_eq!(summary.loans.imported, 120);

    let (stranger, external_id): (i64, String) = sqlx::query_as(
        "select customer_id, payload #>> '{CustomerImported,external_id}' from events
         where event_type = 'CustomerImported' and payload #>> '{CustomerImported,external_id}' is not null",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(external_id, "1");
    assert_eq!(app.client.get("/view-loans/1").await.body.as_array().map(Vec::len), Some(0), "mine has no loans");
    let next = app.client.register(60_000).await;
    assert!(next > 50 && next > stranger, "new ids go on above the imported ones: {next}");
    let answer = app.client.post("/create-loan", &application(next, 50_000, 14, 12)).await;
    let largest = number(&pool, "select max(aggregate_id::bigint) from events where event_type = 'LoanImported'").await;
    assert!(answer.body["loan_id"].as_i64().unwrap() > largest);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_customers_loans_go_to_nobody_else() {
    let scratch = Scratch::new();
    let (customers, loans) = (scratch.0.join("customers.xlsx"), scratch.0.join("loans.xlsx"));
    let pool = empty_log().await;
    workbook(&customers, &[CUSTOMER_HEADERS, &["14", "Asha", "Rao", "30", "9000000001", "50000", "1800000"]]);
    assert_eq!(run(&pool, &job(Some(&customers), None)).await.customers.imported, 1);
    // Another workbook has another customer 14, whose row is wrong.
    workbook(&customers, &[CUSTOMER_HEADERS, &["14", "Ravi", "Nair", "12", "9000000002", "50000", "1800000"]]);
    let loan = ["14", "10", "100000", "12", "10", "8791.59", "3", "date:2024-01-31", "date:2025-01-31"];
    workbook(&loans, &[LOAN_HEADERS, &loan]);
    let summary = run(&pool, &job(Some(&customers), Some(&loans))).await;
    assert_eq!((summary.customers.rejected, summary.loans.rejected), (1, 1));
    assert_eq!(imported(&pool).await, (1, 0));
    // By itself the workbook of loans speaks of the customer who is known.
    assert_eq!(run(&pool, &job(None, Some(&loans))).await.loans.imported, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_workbook_makes_nobody_twice() {
    let scratch = Scratch::new();
    let customers = scratch.0.join("customers.xlsx");
    let pool = empty_log().await;
    workbook(&customers, &[CUSTOMER_HEADERS, &["7", "Asha", "Rao", "30", "9000000001", "50000", "1800000"]]);
    run(&pool, &job(Some(&customers), None)).await;
    workbook(&customers, &[CUSTOMER_HEADERS, &["7", "Asha", "Rao", "31", "9000000009", "60000", "1800000"]]);
    let corrected = run(&pool, &job(Some(&customers), None)).await;
    assert_eq!((corrected.customers.unchanged, corrected.warnings), (1, 1), "{:?}", corrected.shown);
    assert_eq!(imported(&pool).await, (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn new_ids_go_on_above_a_single_imported_one() {
    let scratch = Scratch::new();
    let app = TestApp::start().await;
    let (customers, loans) = (scratch.0.join("customers.xlsx"), scratch.0.join("loans.xlsx"));
    workbook(&customers, &[CUSTOMER_HEADERS, &["1", "Asha", "Rao", "30", "9000000001", "50000", "1800000"]]);
    let loan = ["1", "1", "10000", "12", "10", "879.16", "3", "date:2024-01-31", "date:2025-01-31"];
    workbook(&loans, &[LOAN_HEADERS, &loan]);
    assert_eq!(run(&app.pool().await, &job(Some(&customers), Some(&loans))).await.loans.imported, 1);
    let answer = app.client.post("/create-loan", &application(1, 10_000, 14, 12)).await;
    assert_eq!((answer.status, answer.body["loan_id"].as_i64()), (201, Some(2)), "{:?}", answer.body);
    assert_eq!(app.client.register(50_000).await, 2);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_second_workbook_stops_the_import_at_its_start() {
    let scratch = Scratch::new();
    let files = scratch.generated(30, 60);
    let pool = empty_log().await;
    let wrong = job(Some(&files.customers), Some(&files.customers));
    let refused = import(&EventLog::new(pool.clone()), &wrong, |_, _, _| {}).await;
    assert!(refused.is_err());
    assert_eq!(imported(&pool).await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_import_goes_on_where_it_stopped() {
    let scratch = Scratch::new();
    let files = scratch.generated(4000, 9000);
    let url = servers().database().await;
    let pool = migrated(&url).await;
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_credit-approval"));
    command.args(["import", "--database-url", &url, "--customers"]).arg(&files.customers);
    command.arg("--loans").arg(&files.loans).arg("--rejects").arg(scratch.0.join("rejects.csv"));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    while count(&pool, "events").await < 6000 {
        assert!(child.try_wait().unwrap().is_none(), "the import ended before it could be killed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    child.kill().await.unwrap();
    let (customers, loans) = imported(&pool).await;
    assert!(customers + loans < 13_000, "it was killed in the middle");

    let summary = run(&pool, &job(Some(&files.customers), Some(&files.loans))).await;
    assert_eq!(i64::try_from(summary.customers.unchanged).unwrap(), customers);
    assert_eq!(imported(&pool).await, (4000, 9000));
    let doubled = "(select 1 from imported_rows group by kind, id having count(*) > 1) doubled";
    assert_eq!(count(&pool, doubled).await, 0);
}
