//! The log by itself: empty, appended to by hand, held, and linked as the relay does.

use std::sync::Arc;

use credit_approval::bus::chain;
use credit_approval::bus::message::Message;
use credit_approval::store::migrate::migrate;
use credit_approval::store::reader::read_after;
use projections::{PARTITIONS, Partition};
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use super::servers::servers;

const READ_LIMIT_EVENTS: i64 = 10_000;

/// A database of its own whose log holds nothing.
pub(crate) async fn empty_log() -> PgPool {
    migrated(&servers().database().await).await
}

/// A database, with its schemas made.
pub(crate) async fn migrated(url: &str) -> PgPool {
    let pool = PgPool::connect(url).await.unwrap();
    migrate(&pool, &pool).await.unwrap();
    pool
}

/// Appends an event of a stream of its own; answers its position.
pub(crate) async fn append(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar(
        "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
         values ('customer', gen_random_uuid()::text, 1, 'Test', '1.0', '{}', '{\"customer_id\": \"1\"}')
         returning position",
    )
    .fetch_one(connection)
    .await
    .unwrap()
}

/// An appender that does not come to its end: until it is rolled back, the log behind it is held.
pub(crate) async fn hold_the_log(pool: &PgPool) -> Transaction<'static, Postgres> {
    let mut appender = pool.begin().await.unwrap();
    sqlx::query("set local application_name = 'month-end'").execute(&mut *appender).await.unwrap();
    append(&mut appender).await;
    appender
}

/// The events of a log as the relay links them, one by one: each with the position of the one before it in its partition.
#[derive(Default)]
pub(crate) struct Chain {
    last: [i64; PARTITIONS as usize],
    position: i64,
}

impl Chain {
    /// Those that were appended since.
    pub(crate) async fn more(&mut self, pool: &PgPool) -> Vec<(Partition, Message)> {
        let events = read_after(pool, self.position, READ_LIMIT_EVENTS).await.unwrap();
        let mut messages = Vec::with_capacity(events.len());
        for event in events {
            let partition = event.partition();
            self.position = event.position;
            let previous = std::mem::replace(&mut self.last[partition.index()], event.position);
            messages.push((partition, Message::events(vec![Arc::new(event)], previous)));
        }
        messages
    }
}

/// A whole log as the relay links it, so many events at once.
pub(crate) async fn linked(pool: &PgPool, events_at_once: usize) -> Vec<(Partition, Message)> {
    let mut chain = chain::Chain::new([0; PARTITIONS as usize]);
    let events = read_after(pool, 0, READ_LIMIT_EVENTS).await.unwrap();
    events.chunks(events_at_once).flat_map(|batch| chain.link(batch.to_vec())).collect()
}
