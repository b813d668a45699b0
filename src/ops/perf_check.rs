//! `perf-check`: what slows the databases down, or soon will, and what to do about it.

use super::serve::asked_to_stop;
use super::{OpsError, Schema, say, with_databases};
use crate::config::{self, FailOn};
use crate::perf::{Checks, Finding, Report, Severity, TableSize, bytes_in_words, examine};

/// Examines the databases of a running service, of `DATABASE_URL`, or of the data directory.
///
/// # Errors
/// [`OpsError::Performance`] when something as grave as asked for was found.
pub async fn perf_check(config: &config::PerfCheck) -> Result<(), OpsError> {
    let all = !config.check_queries && !config.check_indexes;
    let checks = Checks {
        queries: all || config.check_queries,
        indexes: all || config.check_indexes,
        slow_milliseconds: config.slow_ms,
        long_seconds: config.long_transaction,
    };
    let reports = with_databases(&config.store, Schema::AsItIs, async |databases| {
        tokio::select! {
            reports = examine(databases, checks) => Ok(reports?),
            () = asked_to_stop() => Err(OpsError::Interrupted),
        }
    })
    .await?;
    if config.json {
        say(serde_json::to_string_pretty(&reports)?);
    } else {
        reports.iter().for_each(print);
    }
    let grave = match config.fail_on {
        FailOn::Warning => Severity::Warning,
        FailOn::Critical => Severity::Critical,
        FailOn::Never => return Ok(()),
    };
    let count = reports.iter().flat_map(|report| &report.findings).filter(|found| found.severity >= grave).count();
    if count > 0 { Err(OpsError::Performance(count)) } else { Ok(()) }
}

fn print(report: &Report) {
    let Report { database, holds, version, bytes, counting_since, tables, findings } = report;
    let since = counting_since.as_deref().unwrap_or("its beginning");
    let size = bytes_in_words(*bytes);
    say(format_args!("{database}: {holds}, PostgreSQL {version}, {size}, counted since {since}\n"));
    for TableSize { name, rows, table_bytes, index_bytes } in tables {
        let (table, indexes) = (bytes_in_words(*table_bytes), bytes_in_words(*index_bytes));
        say(format_args!("  {name:<36} {rows:>12} rows {table:>12} and {indexes:>12} of indexes"));
    }
    say("");
    for Finding { severity, what, why, advice, details, .. } in findings {
        say(format_args!("{severity:<9} {what}"));
        say(format_args!("          why  {why}"));
        say(format_args!("          do   {advice}"));
        details.iter().for_each(|line| say(format_args!("               {line}")));
    }
    if findings.is_empty() {
        say("nothing to complain of");
    }
    say("");
}
