//! When a gap in the positions is dead.
//!
//! Positions are drawn in order but commit out of order. An appender holds a row-exclusive lock on `events` from
//! before it draws its position until it ends. So once a position `p` is seen committed, every transaction that can
//! still fill a gap below `p` holds that lock now: `pg_locks` names exactly those. When they have all ended, what
//! still is not there will never be. No timer takes part in it, and a transaction that does not write events holds
//! nothing back.

use std::collections::HashSet;

use sqlx::{PgPool, Row};

/// A transaction that may still commit events. `virtual_id` is unique for as long as the transaction lasts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Appender {
    virtual_id: String,
    /// Its backend's process id; `None` for a prepared transaction.
    pub pid: Option<i32>,
}

impl Appender {
    /// Whether it is prepared and waits for its second phase. Preparing takes a transaction's process away, and a restart
    /// of the server its virtual id, so it is somebody else here.
    #[must_use]
    pub const fn is_prepared(&self) -> bool {
        self.pid.is_none()
    }
}

/// The transactions of an earlier look that may still commit, given those that run now. Where one is gone, it may
/// have been prepared meanwhile, so the prepared ones are waited for with it.
#[must_use]
pub fn still_running(earlier: &HashSet<Appender>, running: &HashSet<Appender>) -> HashSet<Appender> {
    let some_gone = earlier.iter().any(|appender| !running.contains(appender));
    running.iter().filter(|now| earlier.contains(now) || (some_gone && now.is_prepared())).cloned().collect()
}

/// The transactions that now hold the lock of an appender.
///
/// # Errors
/// When the database does not answer.
pub async fn appenders(pool: &PgPool) -> Result<HashSet<Appender>, sqlx::Error> {
    let rows = sqlx::query(
        "select virtualtransaction, pid from pg_locks
         where locktype = 'relation' and relation = 'events'::regclass
           and database = (select oid from pg_database where datname = current_database())
           and mode = 'RowExclusiveLock' and granted",
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| Ok(Appender { virtual_id: row.try_get("virtualtransaction")?, pid: row.try_get("pid")? }))
        .collect()
}

/// A transaction that has been about to append for long, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow, serde::Serialize, utoipa::ToSchema)]
pub struct LongAppender {
    /// Its backend's process id; `None` for a prepared transaction.
    #[schema(required)]
    pub pid: Option<i32>,
    /// What its client calls itself; the name of a prepared transaction.
    #[schema(required)]
    pub application: Option<String>,
    /// As whom it is connected.
    #[schema(required)]
    pub user: Option<String>,
    /// What the backend does, such as `idle in transaction`.
    #[schema(required)]
    pub state: Option<String>,
    /// Whole seconds since the transaction began.
    pub seconds: i64,
}

/// The appenders whose transactions began more than a second ago, the oldest first: on whom the log waits.
///
/// # Errors
/// When the database does not answer.
pub async fn long_appenders(pool: &PgPool) -> Result<Vec<LongAppender>, sqlx::Error> {
    sqlx::query_as(
        "select held.pid, coalesce(activity.application_name, prepared.gid) as application,
                coalesce(activity.usename::text, prepared.owner::text) as \"user\",
                coalesce(activity.state, 'prepared') as state,
                extract(epoch from clock_timestamp() - began)::bigint as seconds
         from pg_locks held
              left join pg_stat_activity activity on activity.pid = held.pid
              left join pg_prepared_xacts prepared
                   on held.pid is null and exists
                      (select from pg_locks own
                       where own.locktype = 'transactionid' and own.transactionid = prepared.transaction
                         and own.pid is null and own.virtualtransaction = held.virtualtransaction),
              lateral (select coalesce(activity.xact_start, prepared.prepared) as began) times
         where held.locktype = 'relation' and held.relation = 'events'::regclass
           and held.database = (select oid from pg_database where datname = current_database())
           and held.mode = 'RowExclusiveLock' and held.granted and began < clock_timestamp() - interval '1 second'
         order by began",
    )
    .fetch_all(pool)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn appenders(list: &[(&str, Option<i32>)]) -> HashSet<Appender> {
        list.iter().map(|(id, pid)| Appender { virtual_id: (*id).to_owned(), pid: *pid }).collect()
    }

    #[test]
    fn those_who_ended_are_no_longer_waited_for_and_later_ones_never() {
        let earlier = appenders(&[("3/7", Some(1)), ("4/2", Some(2))]);
        let running = appenders(&[("4/2", Some(2)), ("5/1", Some(3))]);
        assert_eq!(still_running(&earlier, &running), appenders(&[("4/2", Some(2))]));
        assert!(still_running(&earlier, &appenders(&[("3/8", Some(1))])).is_empty());
    }

    #[test]
    fn one_that_was_prepared_meanwhile_is_waited_for_under_its_new_identity() {
        let earlier = appenders(&[("3/7", Some(1))]);
        let prepared = appenders(&[("-1/744", None)]);
        assert_eq!(still_running(&earlier, &prepared), prepared);
        // It stays among those that are waited for until it is committed or rolled back.
        assert_eq!(still_running(&prepared, &prepared), prepared);
        assert!(still_running(&prepared, &appenders(&[])).is_empty());
    }

    #[test]
    fn one_that_was_prepared_by_somebody_else_holds_nothing() {
        let earlier = appenders(&[("3/7", Some(1))]);
        let running = appenders(&[("3/7", Some(1)), ("-1/744", None)]);
        assert_eq!(still_running(&earlier, &running), earlier);
    }
}
