//! What growing costs: the same requests beside much and beside little, and of a customer with a long history.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use hdrhistogram::Histogram;
use serde_json::json;

use crate::bulk::{generate, import_and_rebuild};
use crate::chosen::Chosen;
use crate::load::{Ask, Asks, Load, all, send};
use crate::process::Serving;
use crate::report::{Latency, Report, Row, median};
use crate::requests::service;
use crate::world::{Database, World};

const FEW_CUSTOMERS: u64 = 300;
const FEW_LOANS: u64 = 1_000;
/// Of the figure with few.
const BESIDE_MANY: f64 = 1.0 / 1.2;
const LONG_HISTORY_EVENTS: u64 = 1_000;
const SHORT_HISTORY_EVENTS: u64 = 10;
/// So that the short ones stay short while they are asked.
const SHORT_HISTORIES: u64 = 20;
const ASKED_OF_EACH: u64 = 100;
/// Enough for a thousand small loans.
const MONTHLY_INCOME: u64 = 50_000_000;

/// Among so many customers requests are spread.
static CUSTOMERS: AtomicU64 = AtomicU64::new(1);

fn application(customer: u64) -> Ask {
    let body = json!({ "customer_id": customer, "loan_amount": 1_000, "interest_rate": 14, "tenure": 12 });
    Ask::post("/create-loan", body)
}

/// Knuth's multiplicative hash: in no order that a cache or an index could know.
fn anyone(n: u64) -> u64 {
    (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % CUSTOMERS.load(Ordering::Relaxed) + 1
}

fn eligibility(n: u64) -> Ask {
    Ask { path: "/check-eligibility".to_owned(), ..application(anyone(n)) }
}

fn create_loan(n: u64) -> Ask {
    application(anyone(n))
}

pub(crate) async fn measure(chosen: &Chosen, world: &World, report: &mut Report) -> anyhow::Result<()> {
    let few = filled(world, FEW_CUSTOMERS, FEW_LOANS).await?;
    let many = filled(world, chosen.customers(), chosen.loans()).await?;
    // Without the cache, which would answer from memory whatever the tables hold.
    let beside_few = service(world, &few, &["--cache-bytes", "0"]).await?;
    let beside_many = service(world, &many, &["--cache-bytes", "0"]).await?;
    let works: [(&str, Asks); 2] = [("/check-eligibility, cache off", eligibility), ("/create-loan", create_loan)];
    for (name, asks) in works {
        let (mut of_few, mut of_many) = (Vec::new(), Vec::new());
        let mut latencies = [Histogram::new(3)?, Histogram::new(3)?];
        for _ in 0..chosen.rounds() {
            let sides = [(&beside_few, FEW_CUSTOMERS, &mut of_few), (&beside_many, chosen.customers(), &mut of_many)];
            for ((service, customers, figures), latencies) in sides.into_iter().zip(&mut latencies) {
                CUSTOMERS.store(customers, Ordering::Relaxed);
                let load = Load { connections: chosen.connections, time: chosen.time(), rate: None };
                let outcome = send(service.address, load, asks).await?;
                figures.push(outcome.per_second);
                latencies.add(outcome.latencies)?;
            }
        }
        let [limit_latency, latency] = latencies;
        report.push(Row {
            work: format!("{name}, {} loans", chosen.loans()),
            limit_of: format!("{FEW_LOANS} loans"),
            ours: median(&mut of_many),
            limit: median(&mut of_few),
            wanted: BESIDE_MANY,
            latency: Some(Latency::of(&latency)),
            limit_latency: Some(Latency::of(&limit_latency)),
            memory: beside_many.memory(),
        });
    }
    histories(&beside_few, report).await?;
    beside_few.stop().await?;
    beside_many.stop().await?;
    world.drop(few).await?;
    world.drop(many).await
}

async fn filled(world: &World, customers: u64, loans: u64) -> anyhow::Result<Database> {
    let workbooks = world.directory().join(format!("workbooks_{loans}"));
    crate::process::run(generate(customers, loans, &workbooks)).await?;
    let database = world.database().await?;
    import_and_rebuild(&database, &workbooks).await?;
    Ok(database)
}

/// Decisions one after the other, on short histories and on a long one.
async fn histories(service: &Serving, report: &mut Report) -> anyhow::Result<()> {
    let register = |n: u64| {
        let body = json!({
            "first_name": "Asha", "last_name": "Rao", "age": 30, "monthly_income": MONTHLY_INCOME,
            "phone_number": (5_000_000_000 + n).to_string(),
        });
        Ask::post("/register", body)
    };
    let registered = all(service.address, (0..=SHORT_HISTORIES).map(register)).await?;
    let ids = registered.iter().map(|body| {
        let answer: serde_json::Value = serde_json::from_slice(body)?;
        answer["customer_id"].as_u64().ok_or_else(|| anyhow::anyhow!("no customer: {answer}"))
    });
    let ids = ids.collect::<anyhow::Result<Vec<u64>>>()?;
    let Some((long, short)) = ids.split_first() else { anyhow::bail!("nobody was registered") };
    let later = |ask: Ask| Ask { respond_async: true, ..ask };
    let events = |customer: u64, count: u64| (1..count).map(move |_| later(application(customer)));
    all(service.address, events(*long, LONG_HISTORY_EVENTS)).await?;
    for customer in short {
        all(service.address, events(*customer, SHORT_HISTORY_EVENTS)).await?;
    }
    let mut milliseconds = [0.0; 2];
    let asked: [Vec<u64>; 2] = [
        short.iter().copied().cycle().take(usize::try_from(ASKED_OF_EACH)?).collect(),
        (0..ASKED_OF_EACH).map(|_| *long).collect(),
    ];
    for (took, customers) in milliseconds.iter_mut().zip(asked) {
        let began = Instant::now();
        all(service.address, customers.into_iter().map(|customer| later(application(customer)))).await?;
        *took = began.elapsed().as_secs_f64() * 1000.0 / ASKED_OF_EACH as f64;
    }
    let [short, long] = milliseconds;
    report.note(format!("a decision on {SHORT_HISTORY_EVENTS} events"), short, "ms");
    report.note(format!("a decision on {LONG_HISTORY_EVENTS} events"), long, "ms");
    Ok(())
}
