//! The judgement over the read models: the whole log is applied, and verification finds nothing.

use aggregates::policy::Policy;
use credit_approval::verify::{Findings, verify};
use projections::{PARTITIONS, Projection};
use sqlx::PgPool;

use super::wait::eventually;

const SHOWN: usize = 20;

/// Events that a read model has not applied.
pub(crate) async fn unapplied(pool: &PgPool) -> i64 {
    sqlx::query_scalar(
        "select count(*) from events
              cross join unnest($1::text[]) as model (projection)
              left join read_models.checkpoints held
                   on held.projection = model.projection and held.partition = events.customer_id % $2
         where events.position > coalesce(held.position, 0)",
    )
    .bind(Projection::ALL.map(Projection::name).to_vec())
    .bind(i64::from(PARTITIONS))
    .fetch_one(pool)
    .await
    .unwrap()
}

/// What verification finds.
pub(crate) async fn findings(pool: &PgPool) -> Findings {
    let policies = Policy::shipped().unwrap();
    verify(pool, pool, &policies, SHOWN, |_, _| {}).await.unwrap()
}

/// The read models come to the end of the log, and are its fold, with nobody parked; answers how much that is.
pub(crate) async fn assert_verified(pool: &PgPool) -> Findings {
    eventually("the read models have the whole log", async || unapplied(pool).await == 0).await;
    let found = findings(pool).await;
    assert!(found.differences == 0 && found.parked == 0 && found.events > 0, "{found}");
    found
}
