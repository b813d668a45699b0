//! What goes by the million: workbooks into the log, the log into read models, read models made anew.

mod copied;
mod read;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::process::Command;

use self::copied::{Copied, EVENTS, READ_MODELS};
use self::read::{calamine_alone, ordered};
use crate::chosen::Chosen;
use crate::process::{Serving, command, run};
use crate::report::{Report, Row, median};
use crate::world::{Database, World};

const LOOK_EVERY: Duration = Duration::from_millis(50);
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(900);

/// Every event that a projection keeps is behind its checkpoint, in every partition.
const BEHIND: &str = "
with heads as (select mod(customer_id, 8) as partition, max(position) as position from events group by 1)
select count(*) from heads cross join unnest(array['customers', 'loans', 'credit_profiles', 'decisions']) as projection
       left join read_models.checkpoints kept using (projection, partition)
where kept.position is null or kept.position < heads.position";

pub(crate) async fn measure(chosen: &Chosen, world: &World, report: &mut Report) -> anyhow::Result<()> {
    let workbooks = world.directory().join("workbooks");
    run(generate(chosen.customers(), chosen.loans(), &workbooks)).await?;
    let mut runs = Runs::default();
    for _ in 0..chosen.long_rounds() {
        let database = world.database().await?;
        runs.import(&database, &workbooks).await?;
        runs.calamine.push(calamine_alone(&workbooks)?);
        let copied = Copied::out_of(&database, &EVENTS, world.directory()).await?;
        let beside = world.database().await?;
        runs.copy_events.push(copied.into(&beside).await?);
        world.drop(beside).await?;
        runs.project(world, &database).await?;
        runs.rebuild(&database).await?;
        runs.read.push(ordered(&database).await?);
        let copied = Copied::out_of(&database, &READ_MODELS, world.directory()).await?;
        let beside = world.database().await?;
        runs.copy_rows.push(copied.into(&beside).await?);
        world.drop(beside).await?;
        world.drop(database).await?;
    }
    runs.tell(chosen, report);
    Ok(())
}

/// The program that makes up workbooks.
pub(crate) fn generate(customers: u64, loans: u64, workbooks: &Path) -> Command {
    let mut generate = command("postgres://unused");
    let (customers, loans) = (customers.to_string(), loans.to_string());
    generate.args(["generate", "--customers", &customers, "--loans", &loans, "--out"]).arg(workbooks);
    generate
}

fn import(database: &Database, workbooks: &Path) -> Command {
    let mut import = command(&database.url);
    import.arg("import").arg("--customers").arg(workbooks.join("customer_data.xlsx"));
    import.arg("--loans").arg(workbooks.join("loan_data.xlsx"));
    import
}

fn rebuild(database: &Database) -> Command {
    let mut rebuild = command(&database.url);
    rebuild.args(["rebuild", "--all"]);
    rebuild
}

/// Fills a database: its log, and its read models.
pub(crate) async fn import_and_rebuild(database: &Database, workbooks: &Path) -> anyhow::Result<()> {
    run(import(database, workbooks)).await?;
    run(rebuild(database)).await?;
    sqlx::query("vacuum analyze").execute(&database.pool).await?;
    Ok(())
}

/// Seconds of each round, and what they were taken over.
#[derive(Default)]
struct Runs {
    import: Vec<f64>,
    calamine: Vec<f64>,
    copy_events: Vec<f64>,
    project: Vec<f64>,
    rebuild: Vec<f64>,
    read: Vec<f64>,
    copy_rows: Vec<f64>,
    events: f64,
    import_memory: Option<f64>,
    project_memory: Option<f64>,
    rebuild_memory: Option<f64>,
}

impl Runs {
    async fn import(&mut self, database: &Database, workbooks: &Path) -> anyhow::Result<()> {
        let ran = run(import(database, workbooks)).await?;
        self.import.push(ran.time.as_secs_f64());
        self.import_memory = ran.memory.or(self.import_memory);
        let events: i64 = sqlx::query_scalar("select count(*) from events").fetch_one(&database.pool).await?;
        self.events = events as f64;
        sqlx::query("vacuum analyze events").execute(&database.pool).await?;
        Ok(())
    }

    /// Relay, NATS and workers on a backlog that is the whole log.
    async fn project(&mut self, world: &World, database: &Database) -> anyhow::Result<()> {
        let mut service = command(&database.url);
        service.args(["serve", "--nats-url", &world.nats_url(), "--nats-stream"]);
        service.arg(format!("bench_bulk_{}", self.project.len()));
        let started = Instant::now();
        let service = Serving::start(service).await?;
        loop {
            let behind: i64 = sqlx::query_scalar(BEHIND).fetch_one(&database.pool).await?;
            if behind == 0 {
                break;
            }
            anyhow::ensure!(started.elapsed() < CAUGHT_UP_WITHIN, "the read models do not catch up");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.project.push(started.elapsed().as_secs_f64());
        self.project_memory = service.memory();
        service.stop().await
    }

    async fn rebuild(&mut self, database: &Database) -> anyhow::Result<()> {
        let ran = run(rebuild(database)).await.context("rebuild")?;
        self.rebuild.push(ran.time.as_secs_f64());
        self.rebuild_memory = ran.memory;
        Ok(())
    }

    fn tell(mut self, chosen: &Chosen, report: &mut Report) {
        let rows = (chosen.customers() + chosen.loans()) as f64;
        let events = self.events;
        let import = rows / median(&mut self.import);
        let calamine = rows / median(&mut self.calamine);
        let copy = rows / median(&mut self.copy_events);
        let rebuild = events / median(&mut self.rebuild);
        let read = events / median(&mut self.read);
        let copy_rows = events / median(&mut self.copy_rows);
        let row = |work: &str, limit_of: &str, ours, limit, wanted, memory| Row {
            work: work.to_owned(),
            limit_of: limit_of.to_owned(),
            ours,
            limit,
            wanted,
            latency: None,
            limit_latency: None,
            memory,
        };
        let slower = if calamine < copy { "calamine alone" } else { "COPY of the events" };
        report.push(row("import, rows", slower, import, calamine.min(copy), 0.60, self.import_memory));
        let slower = if read < copy_rows { "ordered read" } else { "COPY of the rows" };
        report.push(row("rebuild --all, events", slower, rebuild, read.min(copy_rows), 0.60, self.rebuild_memory));
        let project = events / median(&mut self.project);
        report.push(row("relay and projection, events", "rebuild", project, rebuild, 0.40, self.project_memory));
        report.note("events in the log", events, "");
        report.note("calamine alone", calamine, "rows/s");
        report.note("COPY of the events, 4 connections", events / median(&mut self.copy_events), "events/s");
        report.note("ordered read into structs", read, "events/s");
        report.note("COPY of the read models' rows", copy_rows, "events/s");
    }
}
