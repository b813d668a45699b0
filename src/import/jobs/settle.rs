//! What an import tells that ends before its end: what was written of it last may lie behind what it has brought in, by
//! the rows that were being taken when its process ended. So those are counted where they are: in the log.
//!
//! What nobody can know any more is what else those last rows came to, up to a chunk of them: their rejects.

use sqlx::PgConnection;
use sqlx::types::Json;

use super::super::Stage;
use super::super::report::Tally;

/// Brings an import's tallies up to the log, and leaves only the notices that go with them.
pub(super) async fn settle(connection: &mut PgConnection, id: i64) -> Result<(), sqlx::Error> {
    let brought_in: Vec<(String, i64, i64)> = sqlx::query_as(
        "select kind, count(*),
                count(*) filter (where split_part(source_key, e'\\x1f', case kind when 'customer' then 1 else 2 end)
                                       <> id::text)
         from imported_rows where import_id = $1 group by kind",
    )
    .bind(id)
    .fetch_all(&mut *connection)
    .await?;
    let (customers, loans): (Option<Json<Tally>>, Option<Json<Tally>>) =
        sqlx::query_as("select customers, loans from imports where id = $1")
            .bind(id)
            .fetch_one(&mut *connection)
            .await?;
    let settled = |written: Option<Json<Tally>>, kind: &str| {
        let written = written.map(|Json(tally)| tally).unwrap_or_default();
        let count = |count: i64| u64::try_from(count).unwrap_or(0);
        match brought_in.iter().find(|(of, ..)| of == kind) {
            Some((_, imported, renumbered)) => up_to(written, count(*imported), count(*renumbered)),
            None => written,
        }
    };
    let (customers, loans) = (settled(customers, "customer"), settled(loans, "loan"));
    let stage = match (customers.read, loans.read) {
        (_, 1..) => Some(Stage::Loans),
        (1.., 0) => Some(Stage::Customers),
        (0, 0) => None,
    };
    if let Some(stage) = stage {
        sqlx::query("update imports set customers = $2, loans = $3, stage = $4, rows_done = $5 where id = $1")
            .bind(id)
            .bind(Json(&customers))
            .bind(Json(&loans))
            .bind(stage.name())
            .bind(i64::try_from(customers.read + loans.read).unwrap_or(i64::MAX))
            .execute(&mut *connection)
            .await?;
    }
    forget_others(connection, id).await
}

/// Deletes notices of attempts that are not the one whose tallies are shown.
pub(super) async fn forget_others(connection: &mut PgConnection, id: i64) -> Result<(), sqlx::Error> {
    sqlx::query(
        "delete from import_notices
         where import_id = $1 and attempt <> (select notices_attempt from imports where id = $1)",
    )
    .bind(id)
    .execute(connection)
    .await?;
    Ok(())
}

/// A tally with so many new rows, if it has not as many yet.
fn up_to(written: Tally, imported: u64, renumbered: u64) -> Tally {
    let missing = imported.saturating_sub(written.imported);
    Tally {
        read: written.read + missing,
        imported: written.imported + missing,
        renumbered: written.renumbered.max(renumbered),
        ..written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_only_grows() {
        let written = Tally { read: 10, imported: 6, renumbered: 1, unchanged: 1, rejected: 3 };
        assert_eq!(up_to(written.clone(), 5, 0), written);
        assert_eq!(up_to(written, 8, 2), Tally { read: 12, imported: 8, renumbered: 2, unchanged: 1, rejected: 3 });
    }
}
