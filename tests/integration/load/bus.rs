//! A NATS that takes nothing is left in peace, and taken up again when it does.

use async_nats::ConnectOptions;
use async_nats::jetstream;
use async_nats::jetstream::stream::{Config, StorageType};
use credit_approval::embedded::Nats;

use super::sample;
use crate::support::TestApp;
use crate::support::wait::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_takes_nothing_opens_the_breaker_until_it_does() {
    if !Nats::installed() {
        return;
    }
    let config = TestApp::config(&[]).await;
    let address: async_nats::ServerAddr = config.nats_url.as_ref().unwrap().parse().unwrap();
    let (user, password) = (address.username().unwrap().to_owned(), address.password().unwrap().to_owned());
    let nats = ConnectOptions::with_user_and_password(user, password).connect(address).await.unwrap();
    let context = jetstream::new(nats);
    // Somebody else's, in memory: the service will not have it.
    let others = Config {
        name: config.nats_stream.clone(),
        subjects: vec![format!("{}.events.*", config.nats_stream)],
        storage: StorageType::Memory,
        ..Config::default()
    };
    context.create_stream(others).await.unwrap();

    let app = TestApp::start_with(config).await;
    let opened = "credit_approval_breaker_opened_total{breaker=\"nats_publish\"}";
    eventually("it opens", async || sample(&app.client, opened).await >= 1.0).await;
    // The workers follow the log themselves.
    let customer = app.client.register(50_000).await;
    assert_eq!(app.client.get(&format!("/v1/customers/{customer}")).await.status, 200);

    context.delete_stream(&app.config.nats_stream).await.unwrap();
    let closed = "credit_approval_breaker_state{breaker=\"nats_publish\",state=\"closed\"}";
    eventually("it closes", async || sample(&app.client, closed).await == 1.0).await;
    app.stop().await;
}
