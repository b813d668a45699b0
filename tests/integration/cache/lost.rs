//! The log, or a connection by which it or the read models are followed, goes away: nothing is answered from memory then,
//! and what was kept before is forgotten.

use credit_approval::config::Serve;
use sqlx::PgPool;

use super::{income, tamper, until_kept};
use crate::support::TestApp;
use crate::support::servers::servers;
use crate::support::sql::execute;
use crate::support::wait::eventually;

/// Ends the connections whose last statement was one like that.
async fn end_connections(pool: &PgPool, statement: &str) {
    let ended: i64 = sqlx::query_scalar(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid() and query like $1",
    )
    .bind(statement)
    .fetch_one(pool)
    .await
    .unwrap();
    assert!(ended >= 1, "nobody has asked {statement}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_connection_goes_what_was_kept() {
    let app = TestApp::start().await;
    let pool = app.pool().await;
    let customer = app.client.register(50_000).await;
    for (statement, row) in [("%to_regclass%", 60_000), ("%select position, customer_id from events%", 60_001)] {
        until_kept(&app.client, &pool, customer, row).await;
        end_connections(&pool, statement).await;
        eventually("the row is read again", async || income(&app.client, customer).await == row).await;
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_log_every_answer_is_read() {
    let read_models_url = servers().database().await;
    let mut config = Serve { nats_url: None, ..TestApp::config(&[]).await };
    config.store.read_database_url = Some(read_models_url.clone());
    let log_url = config.store.database_url.clone().unwrap();
    let log_name = log_url.rsplit('/').next().and_then(|rest| rest.split('?').next()).unwrap().to_owned();
    let app = TestApp::start_with(config).await;
    let read_models = PgPool::connect(&read_models_url).await.unwrap();
    let customer = app.client.register(50_000).await;
    until_kept(&app.client, &read_models, customer, 60_000).await;

    execute(&read_models, &format!("alter database {log_name} allow_connections false")).await;
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
    sqlx::query(end).bind(&log_name).execute(&read_models).await.unwrap();
    eventually("the row is read", async || income(&app.client, customer).await == 60_000).await;
    for row in 60_001..60_020 {
        tamper(&read_models, customer, row).await;
        assert_eq!(income(&app.client, customer).await, row, "it is read every time");
    }

    execute(&read_models, &format!("alter database {log_name} allow_connections true")).await;
    until_kept(&app.client, &read_models, customer, 60_000).await;
    app.stop().await;
}
