//! Word of rows that were made anew. What events do to rows, whoever keeps rows in memory learns from the log; that rows
//! were replaced by other means, by a rebuild or a redrive, nothing in the log says. So PostgreSQL tells it, when the
//! transaction that does it commits.

use sqlx::{PgConnection, PgExecutor};

use crate::{Projection, Target};

/// Where to listen. What is told there is the read model's name.
pub const CHANNEL: &str = "read_models_replaced";

/// Tells it, once the transaction is committed.
pub(crate) async fn tell(transaction: &mut PgConnection, projection: Projection) -> Result<(), sqlx::Error> {
    sqlx::query("select pg_notify($1, $2)").bind(CHANNEL).bind(projection.name()).execute(transaction).await?;
    Ok(())
}

/// Which table a read model is answered from: another number once a rebuilt one has taken its place, also where an older
/// version of the product did that and told nobody. `None` where there is none.
///
/// # Errors
/// When the database does not answer.
pub async fn table(executor: impl PgExecutor<'_>, projection: Projection) -> Result<Option<i64>, sqlx::Error> {
    let name = Target::Live(projection).to_string();
    sqlx::query_scalar("select to_regclass($1)::oid::bigint").bind(name).fetch_one(executor).await
}
