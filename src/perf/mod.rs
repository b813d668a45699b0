//! What slows a database down, or soon will, and what to do about it: for an operator, and for alerts.
//!
//! - [`server`]: connections, transactions that hold others up, what threatens the server; its `settings`
//! - [`tables`]: sequential scans, dead rows, bloat, statistics
//! - [`indexes`]: missing, invalid, duplicate, unused
//! - [`queries`]: the slowest statements, and the plans of the product's own
//!
//! It only looks: every question is asked in a read-only transaction that gives up after a while, so that a look at a
//! server in trouble adds none. What a server does not let this account see is not judged.

mod expected;
pub mod indexes;
mod own;
pub mod queries;
pub mod server;
mod settings;
pub mod tables;

use serde::Serialize;
use sqlx::{PgPool, Postgres, Transaction};

use crate::databases::Databases;

/// A question that takes longer is given up.
const QUESTION_SECONDS: u32 = 30;

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// It costs something, or will.
    Warning,
    /// It fails, or is about to.
    Critical,
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        })
    }
}

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How grave it is.
    pub severity: Severity,
    /// What kind it is: stable, for alerts.
    pub code: &'static str,
    /// Where: a table, an index, a setting, a process.
    pub subject: String,
    /// What was found.
    pub what: String,
    /// Why it matters.
    pub why: &'static str,
    /// What to do: a statement or a command where there is one.
    pub advice: String,
    /// More of it, a line each: a plan, a statement.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

/// A table's size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct TableSize {
    /// With its schema.
    pub name: String,
    /// As PostgreSQL estimates it.
    pub rows: i64,
    /// Of its rows, in bytes.
    pub table_bytes: i64,
    /// Of its indexes, in bytes.
    pub index_bytes: i64,
}

/// What was found in a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Its name.
    pub database: String,
    /// What is in it: the log, the read models, or both.
    pub holds: &'static str,
    /// PostgreSQL's version.
    pub version: String,
    /// All of it, in bytes.
    pub bytes: i64,
    /// Since when PostgreSQL counts; null where it always has.
    pub counting_since: Option<String>,
    /// The largest tables.
    pub tables: Vec<TableSize>,
    /// The gravest first.
    pub findings: Vec<Finding>,
}

/// What is looked at; the server and the tables always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checks {
    /// Statements and plans.
    pub queries: bool,
    /// Indexes.
    pub indexes: bool,
    /// Statements that take longer on average are slow, in milliseconds.
    pub slow_milliseconds: i64,
    /// Transactions that are open for longer are long, in seconds.
    pub long_seconds: i64,
}

/// A database under examination.
pub(crate) struct Examined<'a> {
    pool: &'a PgPool,
    has_log: bool,
    has_read_models: bool,
}

impl Examined<'_> {
    /// Begins a question that changes nothing and does not take for ever.
    pub(crate) async fn ask(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        let mut asking = self.pool.begin().await?;
        let limits = format!(
            "set transaction read only; set local lock_timeout = '2s';
             set local statement_timeout = '{QUESTION_SECONDS}s'"
        );
        sqlx::raw_sql(&limits).execute(&mut *asking).await?;
        Ok(asking)
    }

    /// Without the schemas that are not there, which is told.
    async fn only_what_is_there(self, findings: &mut Vec<Finding>) -> Result<Self, sqlx::Error> {
        let (log, read_models): (bool, bool) =
            sqlx::query_as("select to_regclass('events') is not null, to_regnamespace('read_models') is not null")
                .fetch_one(self.pool)
                .await?;
        let there = Self {
            pool: self.pool,
            has_log: self.has_log && log,
            has_read_models: self.has_read_models && read_models,
        };
        if (there.has_log, there.has_read_models) != (self.has_log, self.has_read_models) {
            findings.push(Finding {
                severity: Severity::Critical,
                code: "no_schema",
                subject: "migrations".to_owned(),
                what: "the product's tables are not there".to_owned(),
                why: "no service can work on this database",
                advice: "credit-approval migrate, if it is the right database".to_owned(),
                details: Vec::new(),
            });
        }
        Ok(there)
    }
}

/// Examines both databases, once where they are one.
///
/// # Errors
/// When one does not answer.
pub async fn examine(databases: &Databases, checks: Checks) -> Result<Vec<Report>, sqlx::Error> {
    let (log, read_models) = (&databases.log, &databases.read_models);
    let is_one = which(log).await? == which(read_models).await?;
    let mut reports = vec![report(Examined { pool: log, has_log: true, has_read_models: is_one }, checks).await?];
    if !is_one {
        reports.push(report(Examined { pool: read_models, has_log: false, has_read_models: true }, checks).await?);
    }
    Ok(reports)
}

/// What tells a database from every other.
async fn which(pool: &PgPool) -> Result<String, sqlx::Error> {
    sqlx::query_scalar(
        "select concat_ws(' ', pg_postmaster_start_time(), current_setting('port'), oid, datname)
         from pg_database where datname = current_database()",
    )
    .fetch_one(pool)
    .await
}

async fn report(examined: Examined<'_>, checks: Checks) -> Result<Report, sqlx::Error> {
    let holds = match (examined.has_log, examined.has_read_models) {
        (true, true) => "the log and the read models",
        (true, false) => "the log",
        (false, _) => "the read models",
    };
    let mut findings = Vec::new();
    let examined = examined.only_what_is_there(&mut findings).await?;
    findings.extend(server::findings(&examined, checks.long_seconds).await?);
    findings.extend(tables::findings(&examined).await?);
    if checks.indexes {
        findings.extend(indexes::findings(&examined).await?);
    }
    if checks.queries {
        findings.extend(queries::findings(&examined, checks.slow_milliseconds).await?);
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let (database, version, bytes, counting_since): (String, String, i64, Option<String>) = sqlx::query_as(
        "select current_database()::text, current_setting('server_version'), pg_database_size(current_database()),
                to_char(stats_reset at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
         from pg_stat_database where datname = current_database()",
    )
    .fetch_one(examined.pool)
    .await?;
    let tables = tables::largest(&examined).await?;
    Ok(Report { database, holds, version, bytes, counting_since, tables, findings })
}

/// Bytes for people: `1.4 GB`.
#[must_use]
pub fn bytes_in_words(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["bytes", "kB", "MB", "GB", "TB"];
    let (mut whole, mut rest, mut unit) = (bytes, 0, 0);
    while whole >= 1024 && unit + 1 < UNITS.len() {
        rest = whole % 1024;
        whole /= 1024;
        unit += 1;
    }
    if unit == 0 { format!("{whole} bytes") } else { format!("{whole}.{} {}", rest * 10 / 1024, UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::{Severity, bytes_in_words};

    #[test]
    fn bytes_are_told_in_the_unit_that_fits() {
        let told = [0, 1023, 1024, 1536, 10_485_760, 1_503_238_553_600].map(bytes_in_words);
        assert_eq!(told, ["0 bytes", "1023 bytes", "1.0 kB", "1.5 kB", "10.0 MB", "1.3 TB"]);
    }

    #[test]
    fn the_graver_is_more() {
        assert!(Severity::Critical > Severity::Warning && Severity::Warning > Severity::Info);
    }
}
