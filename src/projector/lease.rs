//! Which workers are this process's: session-level advisory locks in the read models' database.
//!
//! Each process shows by shared locks for which read models it is present. From that all of them reckon alike which slots
//! are whose, as evenly as it goes; each gives back what is not its own and takes what is, once it is free. When one
//! ends, its locks end with it, and the others reckon anew. A lease spares two processes the same work. It is not what
//! keeps them from applying an event twice: that is the checkpoint, moved under its row's lock in the transaction of the
//! effect.

use projections::{Projection, Slot, slot_index, slots};
use sqlx::postgres::PgConnection;
use sqlx::{PgPool, Row};

const LEASES: i32 = 0x4353;
const PRESENCE: i32 = 0x4354;

/// The leases that this process holds, for as long as its connection lives.
pub(crate) struct Leases {
    connection: PgConnection,
    held: Vec<Slot>,
    /// The read models that it is present for.
    present: Vec<Projection>,
}

fn lock_number(slot: Slot) -> i32 {
    // At most a few dozen slots.
    i32::try_from(slot_index(slot)).unwrap_or(i32::MAX)
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

    /// Takes the free leases of this process's share, of the read models that it keeps; answers those that are held
    /// beyond it. Also shows that the connection, and with it what is held, is still there.
    pub(crate) async fn acquire(&mut self, keeps: impl Fn(Projection) -> bool) -> Result<Vec<Slot>, sqlx::Error> {
        self.show_presence(&keeps).await?;
        let share = self.share().await?;
        let beyond: Vec<Slot> = self.held.iter().filter(|slot| !share.contains(slot)).copied().collect();
        if !beyond.is_empty() {
            return Ok(beyond);
        }
        let missing: Vec<Slot> = share.into_iter().filter(|slot| !self.held.contains(slot)).collect();
        let numbers: Vec<i32> = missing.iter().map(|slot| lock_number(*slot)).collect();
        let rows = sqlx::query(
            "with free as materialized (
                 select number from unnest($2::int[]) number
                 where not exists (select from pg_locks
                                   where locktype = 'advisory' and classid = $1::oid and objid = number::oid
                                     and database = (select oid from pg_database where datname = current_database())))
             select number, pg_try_advisory_lock($1, number) as taken from free",
        )
        .bind(LEASES)
        .bind(numbers)
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

    /// Shows for which read models this process is present, and for which no longer.
    async fn show_presence(&mut self, keeps: impl Fn(Projection) -> bool) -> Result<(), sqlx::Error> {
        for projection in Projection::ALL {
            let function = match (keeps(projection), self.present.contains(&projection)) {
                (true, false) => "pg_advisory_lock_shared",
                (false, true) => "pg_advisory_unlock_shared",
                (true, true) | (false, false) => continue,
            };
            let sql = format!("select {function}($1, $2)");
            sqlx::query(&sql).bind(PRESENCE).bind(number(projection)).execute(&mut self.connection).await?;
            self.present.retain(|present| *present != projection);
            self.present.extend(keeps(projection).then_some(projection));
        }
        Ok(())
    }

    /// The slots that are this process's: dealt in turn to those that are present for their read model, the oldest first,
    /// so that one that comes takes only its part.
    async fn share(&mut self) -> Result<Vec<Slot>, sqlx::Error> {
        let present: Vec<(i32, i32, bool)> = sqlx::query_as(
            "select objid::bigint::int, pid, pid = pg_backend_pid()
             from pg_locks left join pg_stat_activity using (pid)
             where locktype = 'advisory' and classid = $1::oid and granted
               and database = (select oid from pg_database where datname = current_database())
             order by objid, backend_start, pid",
        )
        .bind(PRESENCE)
        .fetch_all(&mut self.connection)
        .await?;
        let is_own = |(projection, partition): &Slot| {
            let of_it: Vec<bool> =
                present.iter().filter(|(of, ..)| *of == number(*projection)).map(|(.., own)| *own).collect();
            let turn = lock_number((*projection, *partition));
            let turn = usize::try_from(turn).unwrap_or(0).checked_rem(of_it.len());
            turn.is_some_and(|turn| of_it[turn])
        };
        Ok(slots().filter(is_own).collect())
    }
}

/// A read model's number among the locks.
fn number(projection: Projection) -> i32 {
    i32::try_from(projection.index()).unwrap_or(i32::MAX)
}
