//! The table that a rebuild fills, from its creation to the moment it takes the live one's place.
//!
//! It is made like the live table but without its indexes, filled in bulk, indexed as the live one is (an index that an
//! operator added is kept), and renamed into its place in the transaction that holds the live checkpoints.

use std::collections::HashMap;

use aggregates::ids::CustomerId;
use futures::TryStreamExt;
use sha2::{Digest as _, Sha256};
use sqlx::{PgConnection, PgExecutor};

use crate::customer::{CustomerEvents, Failure};
use crate::model::{copy_line, copy_statement, select_all, with_model};
use crate::{Partition, Projection, Target, parked};

/// What a table holds: how many rows, and the sum of their digests, which no order of rows changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Contents {
    /// Rows.
    pub rows: i64,
    /// The sum of the first eight bytes of each row's SHA-256, wrapping around.
    pub checksum: i64,
}

impl Contents {
    fn count(&mut self, line: &str) {
        let digest = Sha256::digest(line.as_bytes());
        let head = digest.first_chunk().map_or(0, |head| i64::from_be_bytes(*head));
        self.rows += 1;
        self.checksum = self.checksum.wrapping_add(head);
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { rows: self.rows + other.rows, checksum: self.checksum.wrapping_add(other.checksum) }
    }
}

/// Makes the empty table, in place of one that an earlier rebuild left.
///
/// # Errors
/// When the database does not answer.
pub async fn create(transaction: &mut PgConnection, projection: Projection) -> Result<(), sqlx::Error> {
    drop_table(transaction, projection).await?;
    let (live, rebuilt) = (Target::Live(projection), Target::Rebuild(projection));
    let like = "including defaults including constraints including storage including comments";
    sqlx::query(&format!("create table {rebuilt} (like {live} {like})")).execute(&mut *transaction).await?;
    // The like of a table that a view or a report may read: what was granted on it is granted again.
    sqlx::query(&format!(
        "do $$ declare one record; begin
             for one in select grantee, privilege_type, is_grantable from pg_class, aclexplode(relacl)
                        where pg_class.oid = '{live}'::regclass and grantee <> relowner loop
                 execute format('grant %s on {rebuilt} to %s %s', one.privilege_type,
                     case one.grantee when 0 then 'public' else one.grantee::regrole::text end,
                     case when one.is_grantable then 'with grant option' else '' end);
             end loop;
         end $$"
    ))
    .execute(transaction)
    .await?;
    Ok(())
}

/// Removes the table and all that is known of it.
///
/// # Errors
/// When the database does not answer.
pub async fn drop_table(transaction: &mut PgConnection, projection: Projection) -> Result<(), sqlx::Error> {
    let rebuilt = Target::Rebuild(projection);
    sqlx::query(&format!("drop table if exists {rebuilt}")).execute(&mut *transaction).await?;
    for table in ["checkpoints", "parked"] {
        sqlx::query(&format!("delete from read_models.{table} where projection = $1"))
            .bind(rebuilt.name())
            .execute(&mut *transaction)
            .await?;
    }
    Ok(())
}

/// Rows on their way into the table: whole customers, as lines of COPY's text format.
pub struct Bulk {
    projection: Projection,
    lines: String,
    contents: Contents,
    parked: Vec<(CustomerId, Failure)>,
}

impl Bulk {
    /// Nothing yet.
    #[must_use]
    pub const fn new(projection: Projection) -> Self {
        let contents = Contents { rows: 0, checksum: 0 };
        Self { projection, lines: String::new(), contents, parked: Vec::new() }
    }

    /// Adds all rows of a customer. Where its events cannot all be applied, those before the failing one count.
    pub fn add(&mut self, events: &CustomerEvents<'_>) {
        with_model!(self.projection, Model => {
            let (rows, failed) = events.fold::<Model>(i64::MAX);
            for row in rows.values() {
                let begins = self.lines.len();
                copy_line::<Model>(row, &mut self.lines);
                self.contents.count(&self.lines[begins..]);
            }
            self.parked.extend(failed.map(|failure| (events.customer(), failure)));
        });
    }

    /// The customers that could not be folded to their end.
    #[must_use]
    pub fn parked(&self) -> &[(CustomerId, Failure)] {
        &self.parked
    }

    /// Writes them; answers what was written.
    ///
    /// # Errors
    /// When the database refuses or does not answer.
    pub async fn write(self, transaction: &mut PgConnection) -> Result<Contents, sqlx::Error> {
        let target = Target::Rebuild(self.projection);
        if self.contents.rows > 0 {
            let statement = with_model!(self.projection, Model => copy_statement::<Model>(target));
            let mut copy = transaction.copy_in_raw(&statement).await?;
            copy.send(self.lines.into_bytes()).await?;
            copy.finish().await?;
        }
        for (customer, failure) in &self.parked {
            parked::park(transaction, target, *customer, failure).await?;
        }
        Ok(self.contents)
    }
}

/// What the table holds, row by row.
///
/// # Errors
/// When the database does not answer.
pub async fn contents(executor: impl PgExecutor<'_>, target: Target) -> Result<Contents, sqlx::Error> {
    let mut contents = Contents::default();
    let mut line = String::new();
    with_model!(target.projection(), Model => {
        let sql = select_all::<Model>(target);
        let mut rows = sqlx::query_as(&sql).fetch(executor);
        while let Some(row) = rows.try_next().await? {
            line.clear();
            copy_line::<Model>(&row, &mut line);
            contents.count(&line);
        }
    });
    Ok(contents)
}

/// An index of a live table.
#[derive(sqlx::FromRow)]
struct Index {
    name: String,
    definition: String,
    is_primary: bool,
}

async fn indexes(connection: &mut PgConnection, target: Target) -> Result<Vec<Index>, sqlx::Error> {
    sqlx::query_as(
        "select relname::text as name, pg_get_indexdef(indexrelid) as definition, indisprimary as is_primary
         from pg_index join pg_class on pg_class.oid = indexrelid
         where indrelid = $1::text::regclass and indisvalid order by not indisprimary, relname",
    )
    .bind(target.to_string())
    .fetch_all(connection)
    .await
}

/// The name of an index while its table is not yet in its place.
fn rebuilt_name(name: &str) -> String {
    format!("{name}_rebuild")
}

/// Gives the filled table the live table's indexes, and statistics. Repeated, it makes what is missing.
///
/// # Errors
/// When the database refuses or does not answer; a key that stands on two rows, above all.
pub async fn index(connection: &mut PgConnection, projection: Projection) -> Result<(), sqlx::Error> {
    let (live, rebuilt) = (Target::Live(projection), Target::Rebuild(projection));
    let there: Vec<String> = indexes(connection, rebuilt).await?.into_iter().map(|index| index.name).collect();
    for Index { name, definition, is_primary } in indexes(connection, live).await? {
        let new_name = rebuilt_name(&name);
        if there.contains(&new_name) {
            continue;
        }
        // `CREATE [UNIQUE] INDEX name ON schema.table USING method (columns) ...`
        let Some((_, method)) = definition.split_once(" USING ") else { continue };
        let sql = if is_primary {
            let columns = method.trim_start_matches("btree ");
            format!("alter table {rebuilt} add constraint \"{new_name}\" primary key {columns}")
        } else {
            let unique = if definition.starts_with("CREATE UNIQUE") { "unique " } else { "" };
            format!("create {unique}index \"{new_name}\" on {rebuilt} using {method}")
        };
        sqlx::query(&sql).execute(&mut *connection).await?;
    }
    sqlx::query(&format!("analyze {rebuilt}")).execute(connection).await?;
    Ok(())
}

/// Lets the rebuilt table's checkpoints stand at `position`, with what is parked in it.
///
/// # Errors
/// When the database does not answer.
pub async fn begin_at(executor: impl PgExecutor<'_>, projection: Projection, position: i64) -> Result<(), sqlx::Error> {
    let target = Target::Rebuild(projection).name();
    sqlx::query(
        "insert into read_models.checkpoints (projection, partition, position, version, parked)
         select $1, partition, $2, $3,
                (select count(*) from read_models.parked p where p.projection = $1 and p.partition = partitions.partition)
         from unnest($4::smallint[]) as partitions (partition)
         on conflict do nothing",
    )
    .bind(target)
    .bind(position)
    .bind(projection.version())
    .bind(Partition::all().map(|partition| i16::from(partition.number())).collect::<Vec<_>>())
    .execute(executor)
    .await?;
    Ok(())
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
    /// The database refused or did not answer.
    #[error("the rebuilt table could not be swapped in")]
    Database(#[from] sqlx::Error),
}

/// Holds the live checkpoints of a read model, so that nobody applies anything to it until the transaction ends.
///
/// # Errors
/// When the database does not answer.
pub async fn fence(transaction: &mut PgConnection, projection: Projection) -> Result<(), sqlx::Error> {
    for partition in Partition::all() {
        crate::checkpoint::lock(transaction, Target::Live(projection), partition).await?;
    }
    Ok(())
}

/// Puts the rebuilt table in the live one's place. The caller has fenced the read model in this transaction, and the
/// rebuilt table has applied at least what the live one has.
///
/// # Errors
/// [`SwapRefused`]; the transaction is to be rolled back.
pub async fn swap(transaction: &mut PgConnection, projection: Projection) -> Result<(), SwapRefused> {
    let (live, rebuilt) = (Target::Live(projection), Target::Rebuild(projection));
    let stands = positions(transaction, rebuilt).await?;
    for (partition, position) in positions(transaction, live).await? {
        let reached = stands.get(&partition).copied().unwrap_or(0);
        if reached < position {
            return Err(SwapRefused::Behind { projection, partition, rebuilt: reached, live: position });
        }
    }
    if let Some((customer, error)) = newly_parked(transaction, projection).await? {
        return Err(SwapRefused::NewlyParked { projection, customer, error });
    }
    let names: Vec<String> = indexes(transaction, live).await?.into_iter().map(|index| index.name).collect();
    sqlx::query(&format!("drop table {live}")).execute(&mut *transaction).await?;
    sqlx::query(&format!("alter table {rebuilt} rename to {}", live.name())).execute(&mut *transaction).await?;
    for name in names {
        let sql = format!("alter index read_models.\"{}\" rename to \"{name}\"", rebuilt_name(&name));
        sqlx::query(&sql).execute(&mut *transaction).await?;
    }
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
    let statements = [
        "delete from read_models.parked where projection = $1 and $2 <> ''",
        "update read_models.parked set projection = $1 where projection = $2",
        // In place, so that whoever waits for a checkpoint's lock finds it moved and not gone.
        "update read_models.checkpoints live
         set position = rebuilt.position, version = rebuilt.version, parked = rebuilt.parked,
             attempts = 0, suspect = null, updated_at = now()
         from read_models.checkpoints rebuilt
         where live.projection = $1 and rebuilt.projection = $2 and rebuilt.partition = live.partition",
        "delete from read_models.checkpoints where projection = $2 and $1 <> ''",
    ];
    for statement in statements {
        sqlx::query(statement).bind(live.name()).bind(rebuilt.name()).execute(&mut *transaction).await?;
    }
    Ok(())
}

async fn newly_parked(
    transaction: &mut PgConnection,
    projection: Projection,
) -> Result<Option<(i64, String)>, sqlx::Error> {
    sqlx::query_as(
        "select customer_id, error from read_models.parked rebuilt where projection = $2 and not exists
             (select from read_models.parked live
              where live.projection = $1 and live.customer_id = rebuilt.customer_id)
         order by customer_id limit 1",
    )
    .bind(Target::Live(projection).name())
    .bind(Target::Rebuild(projection).name())
    .fetch_optional(transaction)
    .await
}
