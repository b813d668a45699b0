//! Servers by themselves: what pgbench appends, and what JetStream takes and gives back.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::Context;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::{self, stream};
use async_nats::{ConnectOptions, ServerAddr};
use bytes::Bytes;
use futures::StreamExt;
use futures::future::try_join_all;
use tokio::process::Command;

use crate::chosen::Chosen;
use crate::report::Report;
use crate::world::World;

const MESSAGES: usize = 100_000;
/// Published before their acknowledgements are waited for.
const BATCH: usize = 1_000;
/// About what an event is with its metadata.
const BYTES: usize = 700;
const EXPIRES: Duration = Duration::from_secs(5);
const PGBENCH_CLIENTS: &str = "16";

pub(crate) async fn measure(chosen: &Chosen, world: &World, report: &mut Report) -> anyhow::Result<()> {
    match pgbench(chosen, world).await? {
        Some(appended) => report.note("pgbench, one append of one event", appended, "events/s"),
        None => eprintln!("pgbench is not installed: left out"),
    }
    let (published, consumed) = jetstream(world).await?;
    report.note("JetStream, published and acknowledged", published, "messages/s");
    report.note("JetStream, consumed and acknowledged", consumed, "messages/s");
    Ok(())
}

/// Transactions a second, each of which appends one event to a stream of its own; `None` without the program.
async fn pgbench(chosen: &Chosen, world: &World) -> anyhow::Result<Option<f64>> {
    let Some(pgbench) = program("pgbench").await else { return Ok(None) };
    let database = world.database().await?;
    let script = world.directory().join("append.sql");
    let mut sql =
        "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata) \
                   values ('loan', gen_random_uuid()::text, 1, 'LoanOpened', '1.0', "
            .to_owned();
    write!(sql, "'{{\"padding\": \"{}\"}}', '{{\"customer_id\": 1}}');", "x".repeat(BYTES))?;
    tokio::fs::write(&script, sql).await?;
    let seconds = chosen.time().as_secs().to_string();
    let arguments =
        ["--no-vacuum", "--protocol", "prepared", "--client", PGBENCH_CLIENTS, "--jobs", "2", "--time", &seconds];
    let ran = Command::new(pgbench).args(arguments).arg("--file").arg(&script).arg(&database.url).output().await?;
    anyhow::ensure!(ran.status.success(), "pgbench: {}", String::from_utf8_lossy(&ran.stderr));
    let said = String::from_utf8(ran.stdout)?;
    world.drop(database).await?;
    let told = said.lines().find_map(|line| line.strip_prefix("tps = ")).context("pgbench tells no tps")?;
    Ok(Some(told.split_whitespace().next().unwrap_or_default().parse()?))
}

/// Debian keeps the programs of PostgreSQL out of PATH, where `pg_config` knows them.
async fn program(name: &str) -> Option<std::path::PathBuf> {
    let told = Command::new("pg_config").arg("--bindir").output().await.ok()?;
    let path = std::path::Path::new(String::from_utf8(told.stdout).ok()?.trim()).join(name);
    path.is_file().then_some(path)
}

async fn jetstream(world: &World) -> anyhow::Result<(f64, f64)> {
    let address: ServerAddr = world.nats_url().parse()?;
    let options = match (address.username(), address.password()) {
        (Some(user), Some(password)) => ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned()),
        (Some(token), None) => ConnectOptions::with_token(token.to_owned()),
        (None, _) => ConnectOptions::new(),
    };
    let context = jetstream::new(options.connect(address).await?);
    let config = stream::Config { name: "bench".to_owned(), subjects: vec!["bench".to_owned()], ..Default::default() };
    let stream = context.create_stream(config).await?;
    let payload = Bytes::from(vec![b'x'; BYTES]);
    let started = Instant::now();
    for _ in 0..MESSAGES / BATCH {
        let sent = try_join_all((0..BATCH).map(|_| context.publish("bench", payload.clone()))).await?;
        try_join_all(sent.into_iter().map(IntoFuture::into_future)).await?;
    }
    let published = MESSAGES as f64 / started.elapsed().as_secs_f64();
    let config = pull::Config { ack_policy: AckPolicy::All, ..Default::default() };
    let consumer = stream.create_consumer(config).await?;
    let started = Instant::now();
    let mut taken = 0;
    while taken < MESSAGES {
        let mut batch = consumer.fetch().max_messages(BATCH).expires(EXPIRES).messages().await?;
        let mut last = None;
        while let Some(message) = batch.next().await {
            last = Some(message.map_err(anyhow::Error::from_boxed)?);
            taken += 1;
        }
        let last = last.context("JetStream gives nothing back")?;
        last.ack().await.map_err(anyhow::Error::from_boxed)?;
    }
    let consumed = MESSAGES as f64 / started.elapsed().as_secs_f64();
    context.delete_stream("bench").await?;
    Ok((published, consumed))
}
