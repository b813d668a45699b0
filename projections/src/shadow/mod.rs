//! The table that a rebuild fills, from its creation to the moment it takes the live one's place.
//!
//! It is made like the live table but without its indexes, filled in bulk, indexed as the live one is (indexes, grants
//! and triggers that an operator added are kept), and renamed into its place in the transaction that holds the live
//! checkpoints. A view on the live table cannot follow, so it stops a rebuild before it begins.

mod bulk;
mod swap;

use sqlx::{PgConnection, PgExecutor};

use crate::{Partition, Projection, Target};

pub use bulk::{Bulk, Contents, contents, write_singly};
pub use swap::{SwapRefused, fence, swap};

/// Makes the empty table, in place of one that an earlier rebuild left.
///
/// # Errors
/// When a view stands on the live table, or the database does not answer.
pub async fn create(transaction: &mut PgConnection, projection: Projection) -> Result<(), SwapRefused> {
    let (live, rebuilt) = (Target::Live(projection), Target::Rebuild(projection));
    if let Some(view) = view_on(transaction, live).await? {
        return Err(SwapRefused::View { projection, view });
    }
    drop_table(transaction, projection).await?;
    let like = "including defaults including constraints including storage including compression including comments";
    sqlx::query(&format!("create table {rebuilt} (like {live} {like})")).execute(&mut *transaction).await?;
    // Reports may read the table: what was granted on it is granted again.
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

async fn view_on(connection: &mut PgConnection, target: Target) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select view.oid::regclass::text
         from pg_depend join pg_rewrite on pg_rewrite.oid = pg_depend.objid join pg_class view on view.oid = ev_class
         where pg_depend.classid = 'pg_rewrite'::regclass and refobjid = $1::text::regclass limit 1",
    )
    .bind(target.to_string())
    .fetch_optional(connection)
    .await
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

/// An index of a live table.
#[derive(sqlx::FromRow)]
struct Index {
    oid: i64,
    name: String,
    definition: String,
    is_primary: bool,
}

async fn indexes(connection: &mut PgConnection, target: Target) -> Result<Vec<Index>, sqlx::Error> {
    sqlx::query_as(
        "select indexrelid::bigint as oid, relname::text as name, pg_get_indexdef(indexrelid) as definition, indisprimary as is_primary
         from pg_index join pg_class on pg_class.oid = indexrelid
         where indrelid = $1::text::regclass and indisvalid order by not indisprimary, relname",
    )
    .bind(target.to_string())
    .fetch_all(connection)
    .await
}

impl Index {
    /// What its like on the rebuilt table is called until it takes its place: short, whatever it is called itself.
    fn rebuilt_name(&self) -> String {
        format!("rebuild_{}", self.oid)
    }
}

/// Gives the filled table the live table's indexes and triggers, and statistics. Repeated, it makes what is missing.
///
/// # Errors
/// When the database refuses or does not answer; a key that stands on two rows, above all.
pub async fn index(connection: &mut PgConnection, projection: Projection) -> Result<(), sqlx::Error> {
    let (live, rebuilt) = (Target::Live(projection), Target::Rebuild(projection));
    let there: Vec<String> = indexes(connection, rebuilt).await?.into_iter().map(|index| index.name).collect();
    for index in indexes(connection, live).await? {
        let new_name = index.rebuilt_name();
        let Index { definition, is_primary, .. } = index;
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
    let triggers: Vec<String> = sqlx::query_scalar(
        "select pg_get_triggerdef(oid) from pg_trigger live
         where tgrelid = $1::text::regclass and not tgisinternal and not exists
             (select from pg_trigger made where made.tgrelid = $2::text::regclass and made.tgname = live.tgname)",
    )
    .bind(live.to_string())
    .bind(rebuilt.to_string())
    .fetch_all(&mut *connection)
    .await?;
    for trigger in triggers {
        let sql = trigger.replacen(&format!(" ON {live} "), &format!(" ON {rebuilt} "), 1);
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
