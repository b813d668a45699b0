//! Whatever NATS loses, repeats or reorders, the read models end as a fold of the log (G4, G5).

use std::collections::BTreeMap;

use aggregates::customer::{CustomerEvent, fold};
use aggregates::profile::CreditProfile;
use async_nats::jetstream::{self, Context};
use sqlx::PgPool;
use sqlx::types::Json;

use crate::support::client::application;
use crate::support::servers::servers;
use crate::support::{Client, TestApp};

const CUSTOMERS: usize = 40;

/// NATS as anybody may reach it; `None` where it is not installed.
async fn jetstream() -> Option<Context> {
    let address: async_nats::ServerAddr = servers().nats_url()?.parse().unwrap();
    let (user, password) = (address.username().unwrap().to_owned(), address.password().unwrap().to_owned());
    let client = async_nats::ConnectOptions::with_user_and_password(user, password).connect(address).await.unwrap();
    Some(jetstream::new(client))
}

/// Customers with a loan each; every write is visible when it was answered, or this fails later.
async fn traffic(client: &Client) {
    for _ in 0..CUSTOMERS {
        let customer = client.register(80_000).await;
        let answer = client.post("/create-loan", &application(customer, 100_000, 14, 24)).await;
        assert_eq!(answer.status, 201, "{:?}", answer.body);
        let loans = client.get(&format!("/view-loans/{customer}")).await;
        assert_eq!(loans.body.as_array().map(Vec::len), Some(1), "{:?}", loans.body);
    }
}

/// Compares the read models with a fold of the log, row by row.
async fn assert_read_models_are_the_fold(pool: &PgPool) {
    let events: Vec<(i64, Json<CustomerEvent>)> =
        sqlx::query_as("select customer_id, payload from events where aggregate_type = 'customer' order by position")
            .fetch_all(pool)
            .await
            .unwrap();
    let mut folded: BTreeMap<i64, Option<CreditProfile>> = BTreeMap::new();
    for (customer, event) in &events {
        fold(folded.entry(*customer).or_default(), event);
    }
    let folded: Vec<_> = folded.into_iter().map(|(id, profile)| (id, Json(profile.unwrap()))).collect();
    let stored: Vec<(i64, Json<CreditProfile>)> =
        sqlx::query_as("select customer_id, profile from read_models.credit_profiles order by customer_id")
            .fetch_all(pool)
            .await
            .unwrap();
    assert_eq!(stored, folded);

    let count = async |sql: &str| sqlx::query_scalar::<_, i64>(sql).fetch_one(pool).await.unwrap();
    let customers = count("select count(*) from read_models.customers").await;
    assert_eq!(usize::try_from(customers).unwrap(), folded.len());
    let differing = count(
        "select count(*) from
             (select aggregate_id::bigint as loan_id, customer_id from events where aggregate_type = 'loan') logged
             full join read_models.loans using (loan_id, customer_id)
         where principal is null or started_on is null
            or not exists (select from events where aggregate_type = 'loan' and aggregate_id = loan_id::text)",
    )
    .await;
    assert_eq!(differing, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_stream_loses_nothing() {
    let Some(nats) = jetstream().await else { return };
    let app = TestApp::start().await;
    traffic(&app.client).await;
    nats.delete_stream(&app.config.nats_stream).await.unwrap();
    // The relay finds out at its next publication; until then nothing may be lost either.
    traffic(&app.client).await;
    assert_read_models_are_the_fold(&app.pool().await).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_consumer_loses_nothing() {
    let Some(nats) = jetstream().await else { return };
    let app = TestApp::start().await;
    traffic(&app.client).await;
    let stream = nats.get_stream(&app.config.nats_stream).await.unwrap();
    for partition in 0..8 {
        stream.delete_consumer(&format!("loans-{partition}")).await.unwrap();
    }
    traffic(&app.client).await;
    assert_read_models_are_the_fold(&app.pool().await).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_reordered_and_foreign_messages_change_nothing() {
    let Some(nats) = jetstream().await else { return };
    let app = TestApp::start().await;
    traffic(&app.client).await;
    let stream = nats.get_stream(&app.config.nats_stream).await.unwrap();
    let last = stream.get_info().await.unwrap().state.last_sequence;
    for sequence in (1..=last).rev().step_by(2) {
        let message = stream.get_raw_message(sequence).await.unwrap();
        nats.publish(message.subject, message.payload).await.unwrap().await.unwrap();
    }
    for foreign in ["", "not json", "{}", "[1,2,3]"] {
        let subject = format!("{}.events.1", app.config.nats_stream);
        nats.publish(subject, foreign.into()).await.unwrap().await.unwrap();
    }
    traffic(&app.client).await;
    assert_read_models_are_the_fold(&app.pool().await).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_starts_late_catches_up_with_the_log() {
    let app = TestApp::without_nats().await;
    traffic(&app.client).await;
    let (config, pool) = (app.config.clone(), app.pool().await);
    app.stop().await;
    sqlx::query(
        "truncate read_models.checkpoints, read_models.customers, read_models.loans, read_models.credit_profiles",
    )
    .execute(&pool)
    .await
    .unwrap();

    let with_nats = credit_approval::config::Serve { nats_url: servers().nats_url(), ..config };
    let app = TestApp::start_with(with_nats).await;
    traffic(&app.client).await;
    assert_read_models_are_the_fold(&pool).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_takes_over_relay_and_workers() {
    let first = TestApp::start().await;
    let second = first.another().await;
    traffic(&second.client).await;
    first.stop().await;
    traffic(&second.client).await;
    assert_read_models_are_the_fold(&second.pool().await).await;
    second.stop().await;
}
