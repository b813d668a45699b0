//! Asking for rebuilds, and what becomes of them.

use projections::rebuilds::{self, Phase, Rebuild};
use serde_json::json;
use sqlx::PgPool;

use super::Client;
use super::wait::eventually;

/// Asks for a rebuild of a read model; answers its number.
pub(crate) async fn request(client: &Client, name: &str) -> i64 {
    let answer = client.post(&format!("/v1/projections/{name}/rebuild"), &json!({})).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!((&answer.body["phase"], &answer.body["projections"]), (&json!("waiting"), &json!([name])));
    answer.body["rebuild_id"].as_i64().expect("a number")
}

/// A rebuild as it stands.
pub(crate) async fn find(pool: &PgPool, rebuild_id: i64) -> Rebuild {
    rebuilds::find(pool, rebuild_id).await.unwrap().expect("it is on record")
}

/// Waits until a rebuild has entered a phase.
pub(crate) async fn reached(pool: &PgPool, rebuild_id: i64, phase: Phase) -> Rebuild {
    eventually(&format!("rebuild {rebuild_id} is {phase:?}"), async || {
        let rebuild = find(pool, rebuild_id).await;
        (rebuild.phase == phase).then_some(rebuild)
    })
    .await
}

/// Waits until a rebuild has ended, however it did.
pub(crate) async fn ended(pool: &PgPool, rebuild_id: i64) -> Rebuild {
    eventually(&format!("rebuild {rebuild_id} ends"), async || {
        let rebuild = find(pool, rebuild_id).await;
        rebuild.finished_at.is_some().then_some(rebuild)
    })
    .await
}

/// Waits until a rebuild has ended well.
pub(crate) async fn done(pool: &PgPool, rebuild_id: i64) -> Rebuild {
    let rebuild = ended(pool, rebuild_id).await;
    assert_eq!((rebuild.phase, rebuild.error.as_deref()), (Phase::Done, None));
    rebuild
}

async fn lines(pool: &PgPool, sql: &str) -> Vec<String> {
    sqlx::query_scalar(sql).fetch_all(pool).await.unwrap()
}

/// Every row of every read model, as bytes.
pub(crate) async fn bytes(pool: &PgPool) -> [Vec<String>; 4] {
    [
        lines(pool, "select one::text from read_models.customers one order by customer_id").await,
        lines(pool, "select one::text from read_models.loans one order by loan_id").await,
        lines(
            pool,
            "select customer_id || ' ' || profile::text from read_models.credit_profiles one order by customer_id",
        )
        .await,
        lines(pool, "select one::text from read_models.decisions one order by decision_id").await,
    ]
}

/// What a rebuild has made and not removed.
pub(crate) async fn leftovers(pool: &PgPool) -> Vec<String> {
    lines(
        pool,
        "select relname::text from pg_class
         where relnamespace = 'read_models'::regnamespace and right(relname, 8) = '_rebuild'
         union all select projection from read_models.checkpoints where right(projection, 8) = '_rebuild'
         union all select projection from read_models.parked where right(projection, 8) = '_rebuild'
         union all select 'a range of ' || rebuild_id from read_models.rebuild_ranges",
    )
    .await
}
