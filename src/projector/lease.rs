//! Which workers are this process's: session-level advisory locks in the read models' database.
//!
//! Each process shows by shared locks for which read models it is present, and takes no more than its share of the
//! leases, so that the work spreads over however many there are; when one ends, its locks end with it and the others take over. A lease
//! spares two processes the same work. It is not what keeps them from applying an event twice: that is the checkpoint,
//! moved under its row's lock in the transaction of the effect.

use projections::{PARTITIONS, Projection};
use sqlx::postgres::PgConnection;
use sqlx::{PgPool, Row};

use super::{Slot, slots};

const LEASES: i32 = 0x4353;
const PRESENCE: i32 = 0x4354;

/// The leases that this process holds, for as long as its connection lives.
pub(crate) struct Leases {
    connection: PgConnection,
    held: Vec<Slot>,
    /// The read models that it is present for.
    present: Vec<Projection>,
}

fn lock_number((projection, partition): Slot) -> i32 {
    // At most a few dozen slots.
    i32::try_from(projection.index() * usize::from(PARTITIONS) + partition.index()).unwrap_or(i32::MAX)
}

impl Leases {
    /// A connection to hold leases on.
    pub(crate) async fn open(read_models: &PgPool) -> Result<Self, sqlx::Error> {
        let connection = read_models.acquire().await?.detach();
        Ok(Self { connection, held: Vec::new(), present: Vec::new() })
    }

    /// The leases that are held.
    pub(crate) fn held(&self) -> &[Slot] {
        &self.held
    }

    /// Takes free leases up to this process's share, of the read models that it keeps; answers those that are held
    /// beyond it. Also shows that the connection, and with it what is held, is still there.
    pub(crate) async fn acquire(&mut self, keeps: impl Fn(Projection) -> bool) -> Result<Vec<Slot>, sqlx::Error> {
        let share = self.share(&keeps).await?;
        let wanted = |slot: &Slot| keeps(slot.0);
        let unwanted: Vec<Slot> = self.held.iter().filter(|slot| !wanted(slot)).copied().collect();
        if !unwanted.is_empty() {
            return Ok(unwanted);
        }
        if self.held.len() > share {
            return Ok(self.held[share..].to_vec());
        }
        let missing: Vec<Slot> = slots().filter(|slot| wanted(slot) && !self.held.contains(slot)).collect();
        let numbers: Vec<i32> = missing.iter().map(|slot| lock_number(*slot)).collect();
        let rows = sqlx::query(
            "with free as materialized (
                 select number from unnest($2::int[]) number
                 where not exists (select from pg_locks
                                   where locktype = 'advisory' and classid = $1::oid and objid = number::oid
                                     and database = (select oid from pg_database where datname = current_database()))
                 limit $3)
             select number, pg_try_advisory_lock($1, number) as taken from free",
        )
        .bind(LEASES)
        .bind(numbers)
        .bind(i64::try_from(share - self.held.len()).unwrap_or(i64::MAX))
        .fetch_all(&mut self.connection)
        .await?;
        for row in rows {
            let number: i32 = row.try_get("number")?;
            if row.try_get("taken")? {
                self.held.extend(missing.iter().filter(|slot| lock_number(**slot) == number));
            }
        }
        Ok(Vec::new())
    }

    /// Gives leases back, whose workers have ended.
    pub(crate) async fn release(&mut self, slots: &[Slot]) -> Result<(), sqlx::Error> {
        let numbers: Vec<i32> = slots.iter().map(|slot| lock_number(*slot)).collect();
        sqlx::query("select pg_advisory_unlock($1, number) from unnest($2::int[]) number")
            .bind(LEASES)
            .bind(numbers)
            .execute(&mut self.connection)
            .await?;
        self.held.retain(|slot| !slots.contains(slot));
        Ok(())
    }

    /// How many leases are this process's: of each read model that it keeps, the partitions by those present for it.
    async fn share(&mut self, keeps: impl Fn(Projection) -> bool) -> Result<usize, sqlx::Error> {
        for projection in Projection::ALL {
            let is_present = self.present.contains(&projection);
            let function = match (keeps(projection), is_present) {
                (true, false) => "pg_advisory_lock_shared",
                (false, true) => "pg_advisory_unlock_shared",
                (true, true) | (false, false) => continue,
            };
            let sql = format!("select {function}($1, $2)");
            let number = i32::try_from(projection.index()).unwrap_or(i32::MAX);
            sqlx::query(&sql).bind(PRESENCE).bind(number).execute(&mut self.connection).await?;
            self.present.retain(|present| *present != projection);
            self.present.extend(keeps(projection).then_some(projection));
        }
        let numbers: Vec<i32> =
            self.present.iter().map(|projection| i32::try_from(projection.index()).unwrap_or(i32::MAX)).collect();
        let share: i64 = sqlx::query_scalar(
            "select coalesce(ceil(round(sum($2::numeric / present), 6)), 0)::bigint from
                 (select count(*) as present from pg_locks
                  where locktype = 'advisory' and classid = $1::oid and objid::int = any($3) and granted
                    and database = (select oid from pg_database where datname = current_database())
                  group by objid) processes",
        )
        .bind(PRESENCE)
        .bind(i32::from(PARTITIONS))
        .bind(numbers)
        .fetch_one(&mut self.connection)
        .await?;
        Ok(usize::try_from(share).unwrap_or(0))
    }
}
