//! `migrate`: brings the schemas up to date and ends.

use super::{OpsError, say};
use crate::config::Store;
use crate::databases::Databases;
use crate::servers::Servers;

/// Brings both schemas up to date.
///
/// # Errors
/// [`OpsError`].
pub async fn migrate(store: &Store) -> Result<(), OpsError> {
    let servers = Servers::for_a_command(store).await?;
    let outcome = run(store, &servers).await;
    let stopped = servers.stop().await;
    outcome?;
    say("the schemas are up to date");
    Ok(stopped?)
}

async fn run(store: &Store, servers: &Servers) -> Result<(), OpsError> {
    let connections = store.database_connections;
    let databases = Databases::connect(&servers.database_url, &servers.read_database_url, connections).await?;
    crate::store::migrate::migrate(&databases.log, &databases.read_models).await?;
    databases.close().await;
    Ok(())
}
