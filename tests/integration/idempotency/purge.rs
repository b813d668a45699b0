//! Keys are kept for as long as was promised, and no longer than it takes to purge them.

use std::time::Duration;

use credit_approval::store::idempotency::{PURGE_LOCK, purge_batch};
use credit_approval::store::migrate::migrate;
use sqlx::PgPool;

use super::{is_replay, post, same};
use crate::support::TestApp;
use crate::support::client::registration;
use crate::support::servers::servers;
use crate::support::sql::count;

/// Keys that were made some hours ago.
async fn make_keys(pool: &PgPool, name: &str, keys: i32, hours: i32) {
    sqlx::query(
        "insert into idempotency_keys
             (idempotency_key, request_digest, status, answer, partition, position, created_at)
         select $1 || number, '', 200, '{}', 0, 0, now() - make_interval(hours => $3)
         from generate_series(1, $2) number",
    )
    .bind(name)
    .bind(keys)
    .bind(hours)
    .execute(pool)
    .await
    .unwrap();
}

#[tokio::test]
async fn only_what_is_old_is_purged_a_batch_at_a_time_by_one_process() {
    let pool = PgPool::connect(&servers().database().await).await.unwrap();
    migrate(&pool, &pool).await.unwrap();
    make_keys(&pool, "old", 2_500, 26).await;
    make_keys(&pool, "yesterday", 7, 24).await;
    let mut lock = pool.begin().await.unwrap();
    let (class, number) = PURGE_LOCK;
    sqlx::query("select pg_advisory_xact_lock($1, $2)").bind(class).bind(number).execute(&mut *lock).await.unwrap();
    assert_eq!(purge_batch(&pool).await.unwrap(), 0, "another process is at it");
    lock.rollback().await.unwrap();
    for purged in [1_000, 1_000, 500, 0] {
        assert_eq!(purge_batch(&pool).await.unwrap(), purged);
    }
    assert_eq!(count(&pool, "idempotency_keys").await, 7);
}

#[tokio::test]
async fn an_api_purges_by_itself_and_a_purged_key_is_free() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let person = registration(50_000);
    let kept = post(&app.client, "kept", "/register", &person).await;
    assert_eq!(post(&app.client, "purged", "/register", &registration(50_000)).await.status, 201);
    sqlx::query(
        "update idempotency_keys set created_at = now() - interval '26 hours' where idempotency_key like '% purged'",
    )
    .execute(&pool)
    .await
    .unwrap();
    make_keys(&pool, "old", 1_500, 26).await;
    let other = app.another().await;
    for _ in 0..1000 {
        if count(&pool, "idempotency_keys").await == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(count(&pool, "idempotency_keys").await, 1);
    same(&kept, &post(&app.client, "kept", "/register", &person).await);
    let anew = post(&app.client, "purged", "/register", &registration(50_000)).await;
    assert_eq!((anew.status, is_replay(&anew)), (201, false), "{}", anew.body);
    other.stop().await;
    app.stop().await;
}
