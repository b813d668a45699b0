//! The server itself: connections, who holds others up, and what would take it down.

use sqlx::FromRow;

use super::{Examined, Finding, Severity, bytes_in_words, settings};
use crate::store::gap::{LongAppender, long_appenders};

const CONNECTIONS_WARNING_PERCENT: i64 = 80;
const CONNECTIONS_CRITICAL_PERCENT: i64 = 95;
const CACHE_HITS_WARNING_PERCENT: i64 = 95;
/// Before so many blocks were asked for, the share of hits says nothing.
const CACHE_BLOCKS: i64 = 100_000;
const HELD_LOG_WARNING_SECONDS: i64 = 5;
const HELD_LOG_CRITICAL_SECONDS: i64 = 60;
/// Times as long as a long transaction.
const LONG_TRANSACTION_CRITICAL_TIMES: i64 = 12;
const WAITS_FOR_LOCK_SECONDS: i64 = 10;
/// A server stops writing at two thousand million.
const AGE_WARNING: i64 = 500_000_000;
const AGE_CRITICAL: i64 = 1_500_000_000;
const TEMPORARY_BYTES: i64 = 1 << 30;
const RETAINED_BYTES_WARNING: i64 = 1 << 30;

pub(super) async fn findings(examined: &Examined<'_>, long_seconds: i64) -> Result<Vec<Finding>, sqlx::Error> {
    let mut findings = connections(examined).await?;
    findings.extend(settings::findings(examined).await?);
    findings.extend(activity(examined).await?);
    findings.extend(transactions(examined, long_seconds).await?);
    findings.extend(waiting(examined).await?);
    findings.extend(wal(examined).await?);
    if examined.has_log {
        findings.extend(long_appenders(examined.pool).await?.iter().filter_map(held_log));
    }
    Ok(findings)
}

async fn connections(examined: &Examined<'_>) -> Result<Vec<Finding>, sqlx::Error> {
    let mut asking = examined.ask().await?;
    let (used, limit): (i64, i64) = sqlx::query_as(
        "select count(*), current_setting('max_connections')::bigint
                          - current_setting('superuser_reserved_connections')::bigint
         from pg_stat_activity where backend_type = 'client backend'",
    )
    .fetch_one(&mut *asking)
    .await?;
    let states: Vec<String> = sqlx::query_scalar(
        "select concat(count(*), ' ', coalesce(state, 'unknown'), ' of ', coalesce(nullif(application_name, ''), '?'))
         from pg_stat_activity where backend_type = 'client backend'
         group by state, application_name order by count(*) desc limit 20",
    )
    .fetch_all(&mut *asking)
    .await?;
    asking.rollback().await?;
    let percent = used * 100 / limit.max(1);
    let severity = match percent {
        CONNECTIONS_CRITICAL_PERCENT.. => Severity::Critical,
        CONNECTIONS_WARNING_PERCENT.. => Severity::Warning,
        _ => return Ok(Vec::new()),
    };
    Ok(vec![Finding {
        severity,
        code: "connections",
        subject: "max_connections".to_owned(),
        what: format!("{used} of {limit} connections are in use ({percent} %)"),
        why: "a process that gets none cannot answer, and a failed-over one needs as many again",
        advice: "lower DATABASE_CONNECTIONS of the processes, or raise max_connections and restart PostgreSQL"
            .to_owned(),
        details: states,
    }])
}

#[derive(FromRow)]
struct Activity {
    hits_percent: i64,
    blocks: i64,
    temp_bytes: i64,
    deadlocks: i64,
    checksum_failures: i64,
    age: i64,
}

async fn activity(examined: &Examined<'_>) -> Result<Vec<Finding>, sqlx::Error> {
    let mut asking = examined.ask().await?;
    let activity: Activity = sqlx::query_as(
        "select (blks_hit * 100 / greatest(blks_hit + blks_read, 1))::bigint as hits_percent,
                blks_hit + blks_read as blocks, temp_bytes, deadlocks,
                coalesce(checksum_failures, 0) as checksum_failures,
                greatest(age(datfrozenxid), mxid_age(datminmxid))::bigint as age
         from pg_stat_database counted join pg_database one on one.oid = counted.datid
         where counted.datname = current_database()",
    )
    .fetch_one(&mut *asking)
    .await?;
    asking.rollback().await?;
    Ok(of_activity(&activity))
}

fn of_activity(activity: &Activity) -> Vec<Finding> {
    let Activity { hits_percent, blocks, temp_bytes, deadlocks, checksum_failures, age } = *activity;
    let mut findings = Vec::new();
    let mut add = |severity, code, what, why, advice: &str| {
        let (subject, advice) = ("database".to_owned(), advice.to_owned());
        findings.push(Finding { severity, code, subject, what, why, advice, details: Vec::new() });
    };
    if checksum_failures > 0 {
        let what = format!("{checksum_failures} blocks did not have their checksum");
        let why = "the disk returns other bytes than were written";
        add(Severity::Critical, "checksum_failures", what, why, "fail over, then restore: docs/backup.md");
    }
    if age >= AGE_WARNING {
        let severity = if age >= AGE_CRITICAL { Severity::Critical } else { Severity::Warning };
        let what = format!("the oldest transaction id is {age} transactions old");
        let why = "at two thousand million PostgreSQL takes no more writes";
        add(severity, "wraparound", what, why, "end the oldest transactions, drop unused slots; vacuum freeze;");
    }
    if blocks >= CACHE_BLOCKS && hits_percent < CACHE_HITS_WARNING_PERCENT {
        let what = format!("{hits_percent} % of the blocks were in memory");
        let why = "every other one is a read from the operating system or the disk";
        add(Severity::Warning, "cache_hits", what, why, "raise shared_buffers, to a quarter of the memory at most");
    }
    if temp_bytes >= TEMPORARY_BYTES {
        let what = format!("{} were written to temporary files", bytes_in_words(temp_bytes));
        let why = "sorts and hashes that did not fit into memory went to disk";
        add(
            Severity::Info,
            "temporary_files",
            what,
            why,
            "alter system set work_mem = '16MB'; select pg_reload_conf();",
        );
    }
    if deadlocks > 0 {
        let what = format!("{deadlocks} deadlocks since the counters were reset");
        let why = "each was one transaction that failed and was tried again";
        add(Severity::Info, "deadlocks", what, why, "a few are normal; if they rise, look for others that write here");
    }
    findings
}

#[derive(FromRow)]
struct Old {
    who: String,
    state: String,
    seconds: i64,
    pid: Option<i32>,
    gid: Option<String>,
}

/// Transactions that keep vacuum from removing what died since.
async fn transactions(examined: &Examined<'_>, long_seconds: i64) -> Result<Vec<Finding>, sqlx::Error> {
    let mut asking = examined.ask().await?;
    let old: Vec<Old> = sqlx::query_as(
        "select concat(coalesce(nullif(application_name, ''), '?'), ' (', usename, ')') as who,
                coalesce(state, 'unknown') as state,
                extract(epoch from clock_timestamp() - xact_start)::bigint as seconds, pid, null as gid
         from pg_stat_activity
         where datname = current_database() and backend_type = 'client backend'
           and xact_start < clock_timestamp() - $1::bigint * interval '1 second'
         union all
         select owner::text, 'prepared', extract(epoch from clock_timestamp() - prepared)::bigint, null, gid
         from pg_prepared_xacts
         where database = current_database() and prepared < clock_timestamp() - $1::bigint * interval '1 second'
         order by seconds desc limit 20",
    )
    .bind(long_seconds)
    .fetch_all(&mut *asking)
    .await?;
    asking.rollback().await?;
    let found = |old: Old| Finding {
        severity: severity_of(old.seconds, long_seconds * LONG_TRANSACTION_CRITICAL_TIMES),
        code: "long_transaction",
        subject: old.pid.map_or_else(|| old.gid.clone().unwrap_or_default(), |pid| pid.to_string()),
        what: format!("a transaction of {} is open for {} s, {}", old.who, old.seconds, old.state),
        why: "nothing that died since it began can be removed: tables and indexes grow and slow down",
        advice: match (old.pid, &old.gid) {
            (Some(pid), _) => format!("select pg_terminate_backend({pid});"),
            (None, gid) => format!("rollback prepared '{}';", gid.as_deref().unwrap_or_default().replace('\'', "''")),
        },
        details: Vec::new(),
    };
    Ok(old.into_iter().map(found).collect())
}

fn severity_of(seconds: i64, critical: i64) -> Severity {
    if seconds >= critical { Severity::Critical } else { Severity::Warning }
}

async fn waiting(examined: &Examined<'_>) -> Result<Vec<Finding>, sqlx::Error> {
    let mut asking = examined.ask().await?;
    let waiting: Vec<(i32, String, i64, Vec<i32>)> = sqlx::query_as(
        "select activity.pid, coalesce(nullif(application_name, ''), '?'),
                extract(epoch from clock_timestamp() - waits.since)::bigint, pg_blocking_pids(activity.pid)
         from pg_stat_activity activity
              cross join lateral (select min(waitstart) as since from pg_locks
                                  where pg_locks.pid = activity.pid and not granted) waits
         where datname = current_database() and wait_event_type = 'Lock'
           and waits.since < clock_timestamp() - $1::bigint * interval '1 second'
         order by 3 desc limit 20",
    )
    .bind(WAITS_FOR_LOCK_SECONDS)
    .fetch_all(&mut *asking)
    .await?;
    asking.rollback().await?;
    let found = |(pid, who, seconds, blocking): (i32, String, i64, Vec<i32>)| {
        let blocking = blocking.iter().map(i32::to_string).collect::<Vec<_>>().join(", ");
        Finding {
            severity: Severity::Warning,
            code: "waits_for_lock",
            subject: pid.to_string(),
            what: format!("{who} waits {seconds} s for a lock that {blocking} holds"),
            why: "whoever needs the same waits behind it",
            advice: format!("look what {blocking} does in pg_stat_activity; select pg_terminate_backend(...);"),
            details: Vec::new(),
        }
    };
    Ok(waiting.into_iter().map(found).collect())
}

/// What keeps the write-ahead log from being removed fills the disk.
async fn wal(examined: &Examined<'_>) -> Result<Vec<Finding>, sqlx::Error> {
    let mut asking = examined.ask().await?;
    let slots: Vec<(String, i64)> = sqlx::query_as(
        "select slot_name::text, pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
                                                      else pg_current_wal_lsn() end, restart_lsn)::bigint
         from pg_replication_slots where not active and restart_lsn is not null",
    )
    .fetch_all(&mut *asking)
    .await?;
    let failing: Option<String> = sqlx::query_scalar(
        "select last_failed_wal from pg_stat_archiver
         where last_failed_time > coalesce(last_archived_time, '-infinity')",
    )
    .fetch_optional(&mut *asking)
    .await?;
    asking.rollback().await?;
    let mut findings = Vec::new();
    for (slot, bytes) in slots.into_iter().filter(|(_, bytes)| *bytes > RETAINED_BYTES_WARNING) {
        findings.push(Finding {
            severity: Severity::Warning,
            code: "unused_slot",
            what: format!("nobody reads from slot {slot}, for which {} of WAL are kept", bytes_in_words(bytes)),
            why: "the disk fills, and vacuum removes less",
            advice: format!("select pg_drop_replication_slot('{slot}');"),
            subject: slot,
            details: Vec::new(),
        });
    }
    if let Some(segment) = failing {
        findings.push(Finding {
            severity: Severity::Critical,
            code: "archiving_fails",
            subject: "archive_command".to_owned(),
            what: format!("WAL segment {segment} could not be archived"),
            why: "no backup leads to a moment after it, and the disk fills with what is kept for it",
            advice: "the server's log has what archive_command said; docs/backup.md".to_owned(),
            details: Vec::new(),
        });
    }
    Ok(findings)
}

fn held_log(appender: &LongAppender) -> Option<Finding> {
    if appender.seconds < HELD_LOG_WARNING_SECONDS {
        return None;
    }
    let who = appender.application.as_deref().unwrap_or("somebody");
    let state = appender.state.as_deref().unwrap_or("unknown");
    Some(Finding {
        severity: severity_of(appender.seconds, HELD_LOG_CRITICAL_SECONDS),
        code: "log_held",
        subject: appender.pid.map_or_else(|| who.to_owned(), |pid| pid.to_string()),
        what: format!("{who} is about to append for {} s, {state}", appender.seconds),
        why: "what was appended after it began reaches no read model until it ends",
        advice: match appender.pid {
            Some(pid) => format!("select pg_terminate_backend({pid});"),
            None => format!("commit prepared '{0}'; or rollback prepared '{0}';", who.replace('\'', "''")),
        },
        details: Vec::new(),
    })
}
