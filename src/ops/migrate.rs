//! `migrate`: brings the schemas up to date and ends.

use super::{OpsError, Schema, say, with_databases};
use crate::config::Store;

/// Brings both schemas up to date.
///
/// # Errors
/// [`OpsError`].
pub async fn migrate(store: &Store) -> Result<(), OpsError> {
    with_databases(store, Schema::Migrate, async |_| Ok(())).await?;
    say("the schemas are up to date");
    Ok(())
}
