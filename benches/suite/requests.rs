//! Commands and queries over HTTP, beside axum with the same work and nothing around it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::chosen::Chosen;
use crate::limits::{EVENTS_FILE, Event, EventsOf, LOOKED_UP};
use crate::load::{Ask, Asks, Load, Outcome, all, send};
use crate::process::{Serving, command, limit};
use crate::report::{Latency, Report, Row, median};
use crate::world::{Database, World};

/// Each borrows once before it is measured, so there are as many loans.
const CUSTOMERS: u64 = 2_000;
const MONTHLY_INCOME: u64 = 1_000_000;
/// So that the streams of several services fit beside each other.
const STREAM_BYTES: &str = "268435456";
/// On, and never reached.
const RATE_LIMIT: &str = "100000000";
/// Of what was reached, for latencies: a service that is kept fully busy has queues.
const HALF: f64 = 0.5;
/// How long a process is left alone before its memory is told.
const AT_REST: Duration = Duration::from_secs(3);

/// What is measured of a pair of processes.
struct Work {
    name: &'static str,
    limit_of: &'static str,
    wanted: f64,
    asks: Asks,
}

const CACHED: [Work; 1] =
    [Work { name: "/check-eligibility, profile cached", limit_of: "axum, same JSON", wanted: 0.60, asks: eligibility }];
const LOOKUP: &str = "axum + one lookup";
const READ: [Work; 3] = [
    Work { name: "/check-eligibility, cache off", limit_of: LOOKUP, wanted: 0.85, asks: eligibility },
    Work { name: "/view-loan", limit_of: LOOKUP, wanted: 0.85, asks: view_loan },
    Work { name: "/view-loans", limit_of: LOOKUP, wanted: 0.85, asks: view_loans },
];
const APPEND: &str = "axum + one append";
const WRITTEN: [Work; 4] = [
    Work { name: "/register", limit_of: APPEND, wanted: 0.50, asks: register },
    Work { name: "/create-loan", limit_of: APPEND, wanted: 0.50, asks: create_loan },
    Work { name: "/register, respond-async", limit_of: APPEND, wanted: 0.60, asks: register_async },
    Work { name: "/create-loan, respond-async", limit_of: APPEND, wanted: 0.60, asks: create_loan_async },
];

fn register(n: u64) -> Ask {
    registration(9_000_000_000 + n)
}

fn registration(phone_number: u64) -> Ask {
    let body = json!({
        "first_name": "Asha", "last_name": "Rao", "age": 30, "monthly_income": MONTHLY_INCOME,
        "phone_number": phone_number.to_string(),
    });
    Ask::post("/register", body)
}

fn register_async(n: u64) -> Ask {
    Ask { respond_async: true, ..register(n) }
}

fn application(customer: u64) -> Value {
    json!({ "customer_id": customer, "loan_amount": 1_000, "interest_rate": 14, "tenure": 12 })
}

fn eligibility(n: u64) -> Ask {
    Ask::post("/check-eligibility", application(anyone(n)))
}

fn create_loan(n: u64) -> Ask {
    Ask::post("/create-loan", application(anyone(n)))
}

fn create_loan_async(n: u64) -> Ask {
    Ask { respond_async: true, ..create_loan(n) }
}

fn view_loan(n: u64) -> Ask {
    Ask::get(format!("/view-loan/{}", anyone(n)))
}

fn view_loans(n: u64) -> Ask {
    Ask::get(format!("/view-loans/{}", anyone(n)))
}

/// Customers in no order that a cache or an index could know: Knuth's multiplicative hash.
const fn anyone(n: u64) -> u64 {
    (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % CUSTOMERS + 1
}

pub(crate) async fn measure(chosen: &Chosen, world: &World, report: &mut Report) -> anyhow::Result<()> {
    let (database, beside) = (world.database().await?, world.database().await?);
    let events_file = fill(world, &database, &beside).await?;
    let measured = Measured { chosen, world, database: &database, beside: &beside, events_file };
    measured.pair("parse", &[], &CACHED, report).await?;
    measured.pair("lookup", &["--cache-bytes", "0"], &READ, report).await?;
    measured.pair("append", &[], &WRITTEN, report).await?;
    measured.at_rest(report).await?;
    world.drop(database).await?;
    world.drop(beside).await
}

/// The service on a database, with limits on that are never reached.
pub(crate) async fn service(world: &World, database: &Database, arguments: &[&str]) -> anyhow::Result<Serving> {
    let mut service = command(&database.url);
    service.args(["serve", "--nats-url", &world.nats_url(), "--nats-stream"]);
    service.arg(format!("bench_requests_{}", database.name)).args(["--nats-stream-bytes", STREAM_BYTES]);
    service.args(["--rate-limit-anonymous", RATE_LIMIT]).args(arguments);
    Serving::start(service).await
}

/// Customers with a loan each; what the service answers of them, for the limit to look up; and what a command appends.
/// Answers where the latter is written.
async fn fill(world: &World, database: &Database, beside: &Database) -> anyhow::Result<PathBuf> {
    let service = service(world, database, &[]).await?;
    all(service.address, (0..CUSTOMERS).map(|n| registration(8_000_000_000 + n))).await?;
    let lend = |customer| Ask::post("/create-loan", application(customer));
    all(service.address, (1..=CUSTOMERS).map(lend)).await?;
    let asked = |path: &'static str, id: u64| match path {
        "/check-eligibility" => Ask::post(path, application(id)),
        _ => Ask::get(format!("{path}/{id}")),
    };
    for (path, table) in LOOKED_UP {
        let answers = all(service.address, (1..=CUSTOMERS).map(|id| asked(path, id))).await?;
        keep_answers(beside, table, &answers).await?;
    }
    let mut events_of = EventsOf::new();
    for ask in [registration(7_000_000_000), lend(1)] {
        events_of.insert(ask.path.clone(), appended(&service, database, &ask).await?);
    }
    service.stop().await?;
    let file = world.directory().join("events.json");
    tokio::fs::write(&file, serde_json::to_vec(&events_of)?).await?;
    Ok(file)
}

async fn keep_answers(beside: &Database, table: &str, answers: &[Bytes]) -> anyhow::Result<()> {
    let answers: Vec<String> = answers.iter().map(|body| String::from_utf8_lossy(body).into_owned()).collect();
    let create = format!("create table {table} (id bigint primary key, body json not null)");
    sqlx::query(&create).execute(&beside.pool).await?;
    let fill =
        format!("insert into {table} select id, body::json from unnest($1::text[]) with ordinality as a (body, id)");
    sqlx::query(&fill).bind(answers).execute(&beside.pool).await?;
    Ok(())
}

/// The events of one command.
async fn appended(service: &Serving, database: &Database, ask: &Ask) -> anyhow::Result<Vec<Event>> {
    let last: i64 = sqlx::query_scalar("select max(position) from events").fetch_one(&database.pool).await?;
    all(service.address, [ask.clone()]).await?;
    let events = sqlx::query_as(
        "select aggregate_type, event_type, event_version, payload::text, metadata::text
         from events where position > $1 order by position",
    );
    Ok(events.bind(last).fetch_all(&database.pool).await?)
}

struct Measured<'a> {
    chosen: &'a Chosen,
    world: &'a World,
    database: &'a Database,
    /// The limit's.
    beside: &'a Database,
    events_file: PathBuf,
}

impl Measured<'_> {
    /// The service and a limit, turn by turn; each is idle while the other works.
    async fn pair(
        &self,
        limit_name: &str,
        arguments: &[&str],
        works: &[Work],
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let ours = service(self.world, self.database, arguments).await?;
        let mut bare = limit(limit_name, &self.beside.url)?;
        bare.env(EVENTS_FILE, &self.events_file);
        let bare = Serving::start(bare).await?;
        for work in works {
            report.push(self.work(work, &ours, &bare).await?);
        }
        ours.stop().await?;
        bare.stop().await
    }

    async fn work(&self, work: &Work, ours: &Serving, bare: &Serving) -> anyhow::Result<Row> {
        let (mut figures, mut limits) = (Rounds::new()?, Rounds::new()?);
        for _ in 0..self.chosen.rounds() {
            figures.add(self.send(ours, work, None).await?)?;
            limits.add(self.send(bare, work, None).await?)?;
        }
        let (ours_median, limit_median) = (figures.median(), limits.median());
        // What writes has its latencies told at half of its load.
        if work.limit_of == APPEND {
            figures.latencies = self.send(ours, work, Some(HALF * ours_median)).await?.latencies;
            limits.latencies = self.send(bare, work, Some(HALF * limit_median)).await?.latencies;
        }
        Ok(Row {
            work: work.name.to_owned(),
            limit_of: work.limit_of.to_owned(),
            ours: ours_median,
            limit: limit_median,
            wanted: work.wanted,
            latency: Some(Latency::of(&figures.latencies)),
            limit_latency: Some(Latency::of(&limits.latencies)),
            memory: ours.memory(),
        })
    }

    async fn send(&self, to: &Serving, work: &Work, rate: Option<f64>) -> anyhow::Result<Outcome> {
        let load = Load { connections: self.chosen.connections, time: self.chosen.time(), rate };
        send(to.address, load, work.asks).await
    }

    /// A process with the API alone, which nobody asks anything.
    async fn at_rest(&self, report: &mut Report) -> anyhow::Result<()> {
        let started = Instant::now();
        let api = service(self.world, self.database, &["--roles", "api"]).await?;
        report.note("API role: from its start until it listens", started.elapsed().as_secs_f64() * 1000.0, "ms");
        tokio::time::sleep(AT_REST).await;
        if let Some(memory) = api.memory() {
            report.note("API role at rest", memory, "MiB");
        }
        api.stop().await
    }
}

/// Figures of all rounds.
struct Rounds {
    per_second: Vec<f64>,
    latencies: Histogram<u64>,
}

impl Rounds {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { per_second: Vec::new(), latencies: Histogram::new(3)? })
    }

    fn add(&mut self, outcome: Outcome) -> anyhow::Result<()> {
        self.per_second.push(outcome.per_second);
        Ok(self.latencies.add(outcome.latencies)?)
    }

    fn median(&mut self) -> f64 {
        median(&mut self.per_second)
    }
}
