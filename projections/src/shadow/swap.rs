//! The moment at which the rebuilt table takes the live one's place: under a fence, if all conditions hold.

use std::collections::HashMap;

use sqlx::PgConnection;

use super::indexes;
use crate::{Partition, Projection, Target, checkpoint, replaced};

/// Why a rebuilt table cannot take the live one's place.
#[derive(Debug, thiserror::Error)]
pub enum SwapRefused {
    /// It has not applied all that the live one has.
    #[error("the rebuilt table of {projection} stands at {rebuilt} in partition {partition}, the live one at {live}")]
    Behind {
        /// Which read model.
        projection: Projection,
        /// Which partition.
        partition: i16,
        /// Where the rebuilt one stands.
        rebuilt: i64,
        /// Where the live one stands.
        live: i64,
    },
    /// A customer is parked in it that the live one serves.
    #[error("customer {customer} cannot be rebuilt in {projection}, which serves it now: {error}")]
    NewlyParked {
        /// Which read model.
        projection: Projection,
        /// Who.
        customer: i64,
        /// Why.
        error: String,
    },
    /// A view stands on the live table, and would go with it.
    #[error("view {view} stands on {projection}: drop it first, and create it again afterwards")]
    View {
        /// Which read model.
        projection: Projection,
        /// The view's name.
        view: String,
    },
    /// A migration has changed the live table meanwhile.
    #[error("the columns of {0} have changed since the rebuild began")]
    ColumnsDiffer(Projection),
    /// An index was added to the live table meanwhile.
    #[error("an index of {0} is missing on the rebuilt table")]
    IndexMissing(Projection),
    /// The database refused or did not answer.
    #[error("the rebuilt table could not be swapped in")]
    Database(#[from] sqlx::Error),
}

/// The positions of a table's checkpoints.
async fn positions(connection: &mut PgConnection, target: Target) -> Result<HashMap<i16, i64>, sqlx::Error> {
    let rows: Vec<(i16, i64)> =
        sqlx::query_as("select partition, position from read_models.checkpoints where projection = $1")
            .bind(target.name())
            .fetch_all(connection)
            .await?;
    Ok(rows.into_iter().collect())
}

/// Holds the live checkpoints of a read model, so that nobody applies anything to it until the transaction ends.
///
/// # Errors
/// When the database does not answer.
pub async fn fence(transaction: &mut PgConnection, projection: Projection) -> Result<(), sqlx::Error> {
    for partition in Partition::all() {
        checkpoint::lock(transaction, Target::Live(projection), partition).await?;
    }
    Ok(())
}

/// Puts the rebuilt table in the live one's place. The caller has fenced the read model in this transaction, and the
/// rebuilt table has applied at least what the live one has of a log that ends at `head`. (A log that was restored to an
/// earlier day may end before the live table's checkpoints.)
///
/// # Errors
/// [`SwapRefused`]; the transaction is to be rolled back.
pub async fn swap(transaction: &mut PgConnection, projection: Projection, head: i64) -> Result<(), SwapRefused> {
    let (live, rebuilt) = (Target::Live(projection), Target::Rebuild(projection));
    let stands = positions(transaction, rebuilt).await?;
    for (partition, position) in positions(transaction, live).await? {
        let (reached, needed) = (stands.get(&partition).copied().unwrap_or(0), position.min(head));
        if reached < needed {
            return Err(SwapRefused::Behind { projection, partition, rebuilt: reached, live: needed });
        }
    }
    if let Some((customer, error)) = newly_parked(transaction, projection).await? {
        return Err(SwapRefused::NewlyParked { projection, customer, error });
    }
    sqlx::query(&format!("lock table {live} in access exclusive mode")).execute(&mut *transaction).await?;
    if !have_the_same_columns(transaction, live, rebuilt).await? {
        return Err(SwapRefused::ColumnsDiffer(projection));
    }
    let wanted = indexes(transaction, live).await?;
    let made: Vec<String> = indexes(transaction, rebuilt).await?.into_iter().map(|index| index.name).collect();
    if !wanted.iter().all(|index| made.contains(&index.rebuilt_name())) {
        return Err(SwapRefused::IndexMissing(projection));
    }
    sqlx::query(&format!("drop table {live}")).execute(&mut *transaction).await?;
    sqlx::query(&format!("alter table {rebuilt} rename to {}", live.name())).execute(&mut *transaction).await?;
    for index in wanted {
        let sql = format!("alter index read_models.\"{}\" rename to \"{}\"", index.rebuilt_name(), index.name);
        sqlx::query(&sql).execute(&mut *transaction).await?;
    }
    take_over_records(transaction, live, rebuilt).await?;
    replaced::tell(transaction, projection).await?;
    Ok(())
}

async fn have_the_same_columns(
    connection: &mut PgConnection,
    live: Target,
    rebuilt: Target,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "with columns as (
             select attrelid, array_agg(row(attname, atttypid, atttypmod, attnotnull)::text order by attname) as all
             from pg_attribute
             where attrelid in ($1::text::regclass, $2::text::regclass) and attnum > 0 and not attisdropped
             group by attrelid)
         select count(distinct columns.all) = 1 from columns",
    )
    .bind(live.to_string())
    .bind(rebuilt.to_string())
    .fetch_one(connection)
    .await
}

/// Checkpoints and parked customers of the rebuilt table become the live one's.
async fn take_over_records(transaction: &mut PgConnection, live: Target, rebuilt: Target) -> Result<(), sqlx::Error> {
    // What stays parked has been so since it first was.
    sqlx::query(
        "update read_models.parked rebuilt set parked_at = live.parked_at, attempts = live.attempts + 1
         from read_models.parked live
         where rebuilt.projection = $2 and live.projection = $1 and live.customer_id = rebuilt.customer_id",
    )
    .bind(live.name())
    .bind(rebuilt.name())
    .execute(&mut *transaction)
    .await?;
    sqlx::query("delete from read_models.parked where projection = $1")
        .bind(live.name())
        .execute(&mut *transaction)
        .await?;
    let statements = [
        "update read_models.parked set projection = $1 where projection = $2",
        // In place, so that whoever waits for a checkpoint's lock finds it moved and not gone.
        "update read_models.checkpoints live
         set position = rebuilt.position, version = rebuilt.version, parked = rebuilt.parked,
             attempts = 0, suspect = null, updated_at = now()
         from read_models.checkpoints rebuilt
         where live.projection = $1 and rebuilt.projection = $2 and rebuilt.partition = live.partition",
    ];
    for statement in statements {
        sqlx::query(statement).bind(live.name()).bind(rebuilt.name()).execute(&mut *transaction).await?;
    }
    sqlx::query("delete from read_models.checkpoints where projection = $1")
        .bind(rebuilt.name())
        .execute(transaction)
        .await?;
    Ok(())
}

/// Whoever is parked in the rebuilt table at an event that the live one has applied. What lies beyond that, the live one
/// would park too when it comes to it. One that was never filled serves nobody yet.
async fn newly_parked(
    transaction: &mut PgConnection,
    projection: Projection,
) -> Result<Option<(i64, String)>, sqlx::Error> {
    sqlx::query_as(
        "select rebuilt.customer_id, rebuilt.error
         from read_models.parked rebuilt
              join read_models.checkpoints held on held.projection = $1 and held.partition = rebuilt.partition
         where rebuilt.projection = $2 and rebuilt.position <= held.position and held.version <> $3 and not exists
             (select from read_models.parked live
              where live.projection = $1 and live.customer_id = rebuilt.customer_id
                and live.position <= rebuilt.position)
         order by 1 limit 1",
    )
    .bind(Target::Live(projection).name())
    .bind(Target::Rebuild(projection).name())
    .bind(checkpoint::UNFILLED)
    .fetch_optional(transaction)
    .await
}
