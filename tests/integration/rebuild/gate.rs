//! A gate in the read models' database, at which a rebuild waits with a range that it has filled in and not yet noted.

use sqlx::{Connection, PgConnection, PgPool};

use crate::support::sql::execute;

/// The advisory lock that the gate is.
const GATE: i64 = 4711;

/// A closed gate; gone when it is dropped.
pub(super) struct Gate(PgConnection);

impl Gate {
    /// Holds the ranges of customers that begin above an id, and remembers the others in `read_models.filled`.
    pub(super) async fn close(pool: &PgPool, above: i64) -> Self {
        let mut holder = pool.acquire().await.unwrap().detach();
        sqlx::query("select pg_advisory_lock($1)").bind(GATE).execute(&mut holder).await.unwrap();
        execute(
            pool,
            &format!(
                "create table read_models.filled (after_customer bigint not null);
                 create function read_models.hold_ranges() returns trigger language plpgsql as $$ begin
                     if new.after_customer > {above} then perform pg_advisory_xact_lock_shared({GATE}); end if;
                     insert into read_models.filled values (new.after_customer);
                     return new;
                 end $$;
                 create trigger hold_ranges before insert on read_models.rebuild_ranges
                     for each row execute function read_models.hold_ranges()"
            ),
        )
        .await;
        Self(holder)
    }

    /// Lets all of them through, now and later.
    pub(super) async fn open(self) {
        self.0.close().await.unwrap();
    }
}

/// Where the ranges begin that were ever filled in.
pub(super) async fn filled(pool: &PgPool) -> Vec<i64> {
    let sql = "select after_customer from read_models.filled order by after_customer";
    sqlx::query_scalar(sql).fetch_all(pool).await.unwrap()
}

const WAITING: &str = "from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock' and wait_event = 'advisory'";

/// How many connections wait at the gate.
pub(super) async fn waiting(pool: &PgPool) -> i64 {
    sqlx::query_scalar(&format!("select count(*) {WAITING}")).fetch_one(pool).await.unwrap()
}

/// Ends the connections that wait at the gate, as a crash of the server would; answers how many those were.
pub(super) async fn end_waiting(pool: &PgPool) -> i64 {
    sqlx::query_scalar(&format!("select count(pg_terminate_backend(pid)) {WAITING}")).fetch_one(pool).await.unwrap()
}
