//! Which workers are this process's: session-level advisory locks in the read models' database.
//!
//! A lease spares two processes the same work. It is not what keeps them from applying an event twice: that is the
//! checkpoint, moved under its row's lock in the transaction of the effect.

use projections::PARTITIONS;
use sqlx::postgres::PgConnection;
use sqlx::{PgPool, Row};

use super::{Slot, slots};

const LOCK_CLASS: i32 = 0x4353;

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
    /// A connection to hold leases on.
    pub(crate) async fn open(read_models: &PgPool) -> Result<Self, sqlx::Error> {
        Ok(Self { connection: read_models.acquire().await?.detach(), held: Vec::new() })
    }

    /// Tries for every lease that is not held yet; also shows that the connection, and with it what is held, is
    /// still there.
    pub(crate) async fn acquire(&mut self) -> Result<&[Slot], sqlx::Error> {
        let missing: Vec<Slot> = slots().filter(|slot| !self.held.contains(slot)).collect();
        let numbers: Vec<i32> = missing.iter().map(|slot| lock_number(*slot)).collect();
        let rows = sqlx::query("select number, pg_try_advisory_lock($1, number) as held from unnest($2::int[]) number")
            .bind(LOCK_CLASS)
            .bind(numbers)
            .fetch_all(&mut self.connection)
            .await?;
        for row in rows {
            let number: i32 = row.try_get("number")?;
            if row.try_get("held")? {
                self.held.extend(missing.iter().filter(|slot| lock_number(**slot) == number));
            }
        }
        Ok(&self.held)
    }
}
