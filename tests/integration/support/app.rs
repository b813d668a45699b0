//! A service for one test, on a database and a stream of its own.

use std::net::SocketAddr;

use clap::Parser;
use credit_approval::app::{App, Prepared};
use credit_approval::config::{Cli, Command, Serve};
use credit_approval::servers::Servers;
use sqlx::PgPool;

use super::client::Client;
use super::keys;
use super::servers::servers;

/// A running service.
pub(crate) struct TestApp {
    pub(crate) client: Client,
    pub(crate) config: Serve,
    app: App,
}

impl TestApp {
    /// On fresh data, with NATS where it is installed.
    pub(crate) async fn start() -> Self {
        Self::start_with(Self::config(&[]).await).await
    }

    /// On fresh data, without NATS.
    pub(crate) async fn without_nats() -> Self {
        let config = Serve { nats_url: None, ..Self::config(&[]).await };
        Self::start_with(config).await
    }

    /// A configuration on fresh data, with further arguments.
    pub(crate) async fn config(arguments: &[&str]) -> Serve {
        let database = servers().database().await;
        let stream = format!("T{}", uuid::Uuid::now_v7().simple());
        let fixed = [
            "credit-approval",
            "serve",
            "--http-addr",
            "127.0.0.1:0",
            "--database-connections",
            "10",
            "--nats-stream-bytes",
            "8388608",
            "--visibility-timeout",
            "20",
            "--rate-limit-anonymous",
            "0",
            "--rate-limit-authenticated",
            "0",
            "--database-url",
            &database,
            "--nats-stream",
            &stream,
        ];
        let cli = Cli::parse_from(fixed.iter().chain(arguments));
        let Command::Serve(serve) = cli.command else { panic!("asked to serve") };
        Serve { nats_url: servers().nats_url(), ..*serve }
    }

    /// With a given configuration: another process on the same data, or the same one again.
    pub(crate) async fn start_with(config: Serve) -> Self {
        let servers = Servers::for_serving(&config.store, config.nats_url.as_deref()).await.expect("URLs are named");
        let prepared = Prepared::new(&config).await.expect("the port is free");
        let app = App::start(&config, prepared, &servers).await.expect("the service starts");
        keys::let_in(config.store.database_url.as_ref().expect("tests name a database")).await;
        let client = Client::new(app.address.expect("the API listens"));
        Self { client, config, app }
    }

    /// The same data from another process.
    pub(crate) async fn another(&self) -> Self {
        Self::start_with(self.config.clone()).await
    }

    /// Where the API listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.app.address.expect("the API listens")
    }

    /// The database, to look behind the API.
    pub(crate) async fn pool(&self) -> PgPool {
        let url = self.config.store.database_url.as_ref().expect("tests name a database");
        PgPool::connect(url).await.expect("PostgreSQL answers")
    }

    /// Stops in order.
    pub(crate) async fn stop(self) {
        self.app.stop().await;
    }
}
