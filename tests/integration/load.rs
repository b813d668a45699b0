//! More than can be done, and databases that do not answer: what is taken on is done as a whole, the rest is refused at
//! once and says when to come back, and when it is over everything goes on.

mod away;
mod bus;
mod overload;
mod time;

use std::time::Duration;

use serde_json::Value;
use sqlx::PgPool;
use sqlx::postgres::Postgres;
use tokio::task::JoinHandle;

use crate::support::client::registration;
use crate::support::metrics::samples;
use crate::support::sql::number;
use crate::support::wait::eventually;
use crate::support::{Answer, Client};

/// What is refused is refused within this, on a machine that has other things to do.
const AT_ONCE: Duration = Duration::from_millis(500);

fn kind(answer: &Answer) -> &str {
    answer.body["type"].as_str().and_then(|kind| kind.rsplit(':').next()).unwrap_or_default()
}

/// Whether an answer says that too much was asked for, and when to come back.
fn is_shed(answer: &Answer) -> bool {
    let comes_back: Option<u64> = answer.header("retry-after").parse().ok();
    (answer.status, kind(answer)) == (503, "overloaded") && comes_back.is_some_and(|seconds| (1..=3).contains(&seconds))
}

/// Nobody appends a registration until it ends.
async fn hold_registrations(pool: &PgPool) -> sqlx::Transaction<'static, Postgres> {
    let mut lock = pool.begin().await.unwrap();
    sqlx::query("lock table phone_numbers in share mode").execute(&mut *lock).await.unwrap();
    lock
}

/// Until so many wait for a lock.
async fn waiting_for_locks(pool: &PgPool, count: i64) {
    eventually("statements wait for the lock", async || {
        let waiting = "select count(*) from pg_stat_activity
                       where datname = current_database() and wait_event_type = 'Lock'";
        number(pool, waiting).await >= count
    })
    .await;
}

fn register_later(client: &Client) -> JoinHandle<Answer> {
    let (client, person): (Client, Value) = (client.clone(), registration(50_000));
    tokio::spawn(async move { client.post("/register", &person).await })
}

/// Two registrations that wait for a lock. The second comes once the first one waits: at the same time they would wait
/// together.
async fn two_that_wait(client: &Client, pool: &PgPool) -> [JoinHandle<Answer>; 2] {
    let first = register_later(client);
    waiting_for_locks(pool, 1).await;
    let second = register_later(client);
    waiting_for_locks(pool, 2).await;
    [first, second]
}

async fn sample(client: &Client, series: &str) -> f64 {
    let samples = samples(client).await;
    *samples.get(series).unwrap_or_else(|| panic!("there is no {series}"))
}
