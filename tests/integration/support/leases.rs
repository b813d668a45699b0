//! Which process works on what, as the locks in the read models' database show it.

use std::time::Duration;

use sqlx::PgPool;

use super::wait::eventually_within;

/// The class of the advisory locks by which projectors hold their partitions.
const LOCK_CLASS: i32 = 17_235;
/// Within so much another process is at work where one was killed: looks of half a second, and a slow machine.
pub(crate) const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(10);

/// How many leases each process holds: one for each partition of each read model that it works on.
pub(crate) async fn leases(pool: &PgPool) -> Vec<i64> {
    sqlx::query_scalar(&format!(
        "select count(*) from pg_locks
         where locktype = 'advisory' and classid = {LOCK_CLASS}
           and database = (select oid from pg_database where datname = current_database())
         group by pid order by 1"
    ))
    .fetch_all(pool)
    .await
    .unwrap()
}

/// Waits until the leases are spread like that.
pub(crate) async fn eventually_leases(pool: &PgPool, expected: &[i64]) {
    let what = format!("leases are {expected:?}");
    eventually_within(&what, TAKEN_OVER_WITHIN, async || leases(pool).await == expected).await;
}
