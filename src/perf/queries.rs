//! Statements: the slowest that PostgreSQL has counted, with their plans, and whether the product's own are still
//! served by indexes.

use std::collections::BTreeMap;

use projections::plan::Plan;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};

use super::own::{OF_THE_LOG, of_the_read_models};
use super::tables::LARGE_ROWS;
use super::{Examined, Finding, Severity};

const SLOWEST: i64 = 10;
/// A statement that was slow once may have waited for something.
const CALLS_WARNING: i64 = 5;
const MAX_STATEMENT_CHARACTERS: usize = 600;

pub(super) async fn findings(examined: &Examined<'_>, slow_milliseconds: i64) -> Result<Vec<Finding>, sqlx::Error> {
    let mut findings = plans(examined).await?;
    findings.extend(slow(examined, slow_milliseconds).await?);
    Ok(findings)
}

/// The product's own statements must not read large tables from end to end.
async fn plans(examined: &Examined<'_>) -> Result<Vec<Finding>, sqlx::Error> {
    let mut asking = examined.ask().await?;
    let large: Vec<(String, String)> = sqlx::query_as(
        "select relname::text, oid::regclass::text from pg_class where relkind = 'r' and reltuples >= $1::bigint",
    )
    .bind(LARGE_ROWS)
    .fetch_all(&mut *asking)
    .await?;
    // A plan names tables without their schemas, and a statement wants them.
    let large: BTreeMap<_, _> = large.into_iter().collect();
    let mut plans: Vec<(String, Plan)> = Vec::new();
    if examined.has_log {
        for (what, sql) in OF_THE_LOG {
            let explain = format!("explain (format json) {sql}");
            let Json(plan) = sqlx::query_scalar(&explain).persistent(false).fetch_one(&mut *asking).await?;
            plans.push((what.to_owned(), Plan::new(plan)));
        }
    }
    if examined.has_read_models {
        let statements = of_the_read_models().map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
        for (what, statement) in statements {
            plans.push((what, statement.plan(&mut *asking).await?));
        }
    }
    asking.rollback().await?;
    let mut findings = Vec::new();
    for (what, plan) in plans {
        for table in plan.sequential_scans().iter().filter_map(|table| large.get(table)) {
            findings.push(Finding {
                severity: Severity::Critical,
                code: "plan_scans",
                what: format!("whoever asks for {what} reads all of {table}"),
                why: "each request takes the longer the more rows there are",
                advice: format!("perf-check --check-indexes says whether an index is missing; else analyze {table};"),
                subject: table.clone(),
                details: plan.to_string().lines().map(str::to_owned).collect(),
            });
        }
    }
    Ok(findings)
}

#[derive(FromRow)]
struct Slow {
    query: String,
    calls: i64,
    mean_milliseconds: i64,
    total_seconds: i64,
    rows_per_call: i64,
    parameters: i32,
}

async fn slow(examined: &Examined<'_>, slow_milliseconds: i64) -> Result<Vec<Finding>, sqlx::Error> {
    let mut asking = examined.ask().await?;
    let extension: Option<String> = sqlx::query_scalar(
        "select quote_ident(space.nspname) from pg_extension one join pg_namespace space on space.oid = one.extnamespace
         where extname = 'pg_stat_statements'",
    )
    .fetch_optional(&mut *asking)
    .await?;
    let loaded: bool = sqlx::query_scalar("select current_setting('pg_stat_statements.max', true) is not null")
        .fetch_one(&mut *asking)
        .await?;
    let Some(schema) = extension.filter(|_| loaded) else {
        asking.rollback().await?;
        return Ok(vec![not_counted(loaded)]);
    };
    // Utility statements are left out: PostgreSQL keeps their values.
    let sql = format!(
        "select query, calls, mean_exec_time::bigint as mean_milliseconds,
                (total_exec_time / 1000)::bigint as total_seconds, (rows / greatest(calls, 1))::bigint as rows_per_call,
                (select coalesce(max(number[1]::integer), 0) from regexp_matches(query, '\\$(\\d+)', 'g') number)
                    as parameters
         from {schema}.pg_stat_statements
         where dbid = (select oid from pg_database where datname = current_database())
           and mean_exec_time >= $1::bigint and calls >= $2 and query ~* '^\\s*(select|insert|update|delete|with)\\M'
         order by total_exec_time desc limit $3"
    );
    let found: Vec<Slow> =
        sqlx::query_as(&sql).bind(slow_milliseconds).bind(CALLS_WARNING).bind(SLOWEST).fetch_all(&mut *asking).await?;
    asking.rollback().await?;
    let mut findings = Vec::new();
    for (number, slow) in found.into_iter().enumerate() {
        findings.push(of_slow(examined, number, slow).await?);
    }
    Ok(findings)
}

fn not_counted(loaded: bool) -> Finding {
    let advice = if loaded {
        "create extension pg_stat_statements;"
    } else {
        "alter system set shared_preload_libraries = 'pg_stat_statements'; restart PostgreSQL; \
         create extension pg_stat_statements;"
    };
    Finding {
        severity: Severity::Info,
        code: "statements_not_counted",
        subject: "pg_stat_statements".to_owned(),
        what: "PostgreSQL does not count statements, so the slowest are not known".to_owned(),
        why: "what is slow is guessed at otherwise",
        advice: advice.to_owned(),
        details: Vec::new(),
    }
}

async fn of_slow(examined: &Examined<'_>, number: usize, slow: Slow) -> Result<Finding, sqlx::Error> {
    let Slow { query, calls, mean_milliseconds, total_seconds, rows_per_call, parameters } = slow;
    let mut asking = examined.ask().await?;
    let plan = generic_plan(&mut asking, number, &query, parameters).await.unwrap_or_default();
    asking.rollback().await?;
    let shortened: String = query.split_whitespace().collect::<Vec<_>>().join(" ");
    let shortened: String = shortened.chars().take(MAX_STATEMENT_CHARACTERS).collect();
    Ok(Finding {
        severity: Severity::Warning,
        code: "slow_statement",
        subject: shortened,
        what: format!(
            "{mean_milliseconds} ms on average, {rows_per_call} rows, called {calls} times, {total_seconds} s in all"
        ),
        why: "it holds a connection for so long, and somebody waits for it",
        advice: "the plan shows what it reads; sequential scans of large tables want an index or new statistics"
            .to_owned(),
        details: plan,
    })
}

/// How PostgreSQL would answer a statement whatever its values are; nothing is executed. Not every text that it has
/// counted can be planned: a type may be told by a value alone.
async fn generic_plan(
    asking: &mut PgConnection,
    number: usize,
    query: &str,
    parameters: i32,
) -> Result<Vec<String>, sqlx::Error> {
    // One that could not be explained stays prepared: the next one needs another name.
    let name = format!("perf_check_{number}");
    sqlx::query("select set_config('plan_cache_mode', 'force_generic_plan', true)").execute(&mut *asking).await?;
    sqlx::query(&format!("prepare {name} as {query}")).persistent(false).execute(&mut *asking).await?;
    let values = vec!["null"; usize::try_from(parameters).unwrap_or(0)].join(", ");
    let values = if values.is_empty() { String::new() } else { format!("({values})") };
    let explain = format!("explain execute {name}{values}");
    let plan = sqlx::query_scalar(&explain).persistent(false).fetch_all(&mut *asking).await;
    sqlx::query(&format!("deallocate {name}")).persistent(false).execute(asking).await.ok();
    plan
}
