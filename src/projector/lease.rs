//! Which workers are this process's: session-level advisory locks in the read models' database.
//!
//! Each process shows its presence by a shared lock and takes no more than its share of the leases, so that the work
//! spreads over however many there are; when one ends, its locks end with it and the others take over. A lease
//! spares two processes the same work. It is not what keeps them from applying an event twice: that is the checkpoint,
//! moved under its row's lock in the transaction of the effect.

use projections::PARTITIONS;
use sqlx::postgres::PgConnection;
use sqlx::{PgPool, Row};

use super::{Slot, slots};

const LEASES: i32 = 0x4353;
const PRESENCE: i32 = 0x4354;

/// The leases that this process holds, for as long as its connection lives.
pub(crate) struct Leases {
    connection: PgConnection,
    held: Vec<Slot>,
}

fn lock_number((projection, partition): Slot) -> i32 {
    // At most a few dozen slots.
    i32::try_from(projection.index() * usize::from(PARTITIONS) + partition.index()).unwrap_or(i32::MAX)
}

impl Leases {
    /// A connection to hold leases on, and word of this process's presence.
    pub(crate) async fn open(read_models: &PgPool) -> Result<Self, sqlx::Error> {
        let mut connection = read_models.acquire().await?.detach();
        sqlx::query("select pg_advisory_lock_shared($1, 0)").bind(PRESENCE).execute(&mut connection).await?;
        Ok(Self { connection, held: Vec::new() })
    }

    /// The leases that are held.
    pub(crate) fn held(&self) -> &[Slot] {
        &self.held
    }

    /// Takes free leases up to this process's share, of those that it wants; answers those that are held beyond it.
    /// Also shows that the connection, and with it what is held, is still there.
    pub(crate) async fn acquire(&mut self, wanted: impl Fn(&Slot) -> bool) -> Result<Vec<Slot>, sqlx::Error> {
        let share = slots().count().div_ceil(self.present().await?);
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

    /// How many processes are present, this one among them.
    async fn present(&mut self) -> Result<usize, sqlx::Error> {
        let present: i64 = sqlx::query_scalar(
            "select count(*) from pg_locks
             where locktype = 'advisory' and classid = $1::oid and objid = 0 and granted
               and database = (select oid from pg_database where datname = current_database())",
        )
        .bind(PRESENCE)
        .fetch_one(&mut self.connection)
        .await?;
        Ok(usize::try_from(present).unwrap_or(1).max(1))
    }
}
