//! Tables: how large, how often read from end to end, how much of them is dead, and whether the planner knows them.

use sqlx::FromRow;

use super::{Examined, Finding, Severity, TableSize, bytes_in_words};

const LARGEST: i64 = 15;
/// Below so many rows a sequential scan is the right way.
pub(super) const LARGE_ROWS: i64 = 10_000;
const SCANS_WARNING: i64 = 10;
const DEAD_ROWS_WARNING: i64 = 10_000;
const DEAD_PERCENT_WARNING: i64 = 20;
const BLOAT_BYTES_WARNING: i64 = 10 << 20;
const BLOAT_PERCENT_WARNING: i64 = 50;
const BLOAT_PERCENT_CRITICAL: i64 = 90;
/// A gigabyte of nothing that every scan reads.
const BLOAT_BYTES_CRITICAL: i64 = 1 << 30;

/// The largest tables, the largest first.
pub(super) async fn largest(examined: &Examined<'_>) -> Result<Vec<TableSize>, sqlx::Error> {
    let mut asking = examined.ask().await?;
    let found = sqlx::query_as(
        "select concat(counted.schemaname, '.', counted.relname) as name, greatest(one.reltuples, 0)::bigint as rows,
                pg_table_size(one.oid) as table_bytes, pg_indexes_size(one.oid) as index_bytes
         from pg_stat_user_tables counted join pg_class one on one.oid = counted.relid
         order by pg_total_relation_size(one.oid) desc limit $1",
    )
    .bind(LARGEST)
    .fetch_all(&mut *asking)
    .await?;
    asking.rollback().await?;
    Ok(found)
}

#[derive(FromRow)]
struct Counted {
    name: String,
    rows: i64,
    dead: i64,
    seq_scan: i64,
    idx_scan: i64,
    rows_per_scan: i64,
    is_analysed: bool,
    vacuumed: String,
    table_bytes: i64,
    /// What its rows would take if nothing lay between them; null where that is not known.
    needed_bytes: Option<i64>,
}

pub(super) async fn findings(examined: &Examined<'_>) -> Result<Vec<Finding>, sqlx::Error> {
    let mut asking = examined.ask().await?;
    // Needed bytes: header, item pointer, alignment, the columns' average width as they are stored; blocks are not
    // filled to the last byte.
    let tables: Vec<Counted> = sqlx::query_as(
        "select concat(counted.schemaname, '.', counted.relname) as name,
                greatest(one.reltuples::bigint, n_live_tup, 0) as rows,
                n_dead_tup as dead, coalesce(seq_scan, 0) as seq_scan, coalesce(idx_scan, 0) as idx_scan,
                (coalesce(seq_tup_read, 0) / greatest(coalesce(seq_scan, 0), 1))::bigint as rows_per_scan,
                greatest(last_analyze, last_autoanalyze) is not null as is_analysed,
                coalesce(to_char(greatest(last_vacuum, last_autovacuum) at time zone 'UTC', 'YYYY-MM-DD HH24:MI'),
                         'never') as vacuumed,
                one.relpages::bigint * current_setting('block_size')::bigint as table_bytes,
                case when one.reltuples >= 0 then (one.reltuples * (32 + width) / 0.9)::bigint end as needed_bytes
         from pg_stat_user_tables counted join pg_class one on one.oid = counted.relid
              left join lateral (select sum(avg_width * (1 - null_frac)) as width from pg_stats
                                 where pg_stats.schemaname = counted.schemaname
                                   and pg_stats.tablename = counted.relname) widths on true",
    )
    .fetch_all(&mut *asking)
    .await?;
    asking.rollback().await?;
    Ok(tables.iter().flat_map(of_table).collect())
}

fn of_table(table: &Counted) -> Vec<Finding> {
    [scans(table), dead(table), statistics(table), bloat(table)].into_iter().flatten().collect()
}

fn finding(
    table: &Counted,
    severity: Severity,
    code: &'static str,
    what: String,
    why: &'static str,
    advice: String,
) -> Finding {
    Finding { severity, code, subject: table.name.clone(), what, why, advice, details: Vec::new() }
}

fn scans(table: &Counted) -> Option<Finding> {
    let Counted { name, rows, seq_scan, idx_scan, rows_per_scan, .. } = table;
    let often = *seq_scan >= SCANS_WARNING && seq_scan * 100 > *idx_scan;
    let whole = *rows_per_scan * 2 > *rows;
    (*rows >= LARGE_ROWS && often && whole).then(|| {
        finding(
            table,
            Severity::Warning,
            "sequential_scans",
            format!("{name} ({rows} rows) was read from end to end {seq_scan} times, and {idx_scan} times by an index"),
            "each such read takes the longer the more rows there are",
            "perf-check --check-queries shows which statement does it; a rebuild and verify do, too".to_owned(),
        )
    })
}

fn dead(table: &Counted) -> Option<Finding> {
    let Counted { name, rows, dead, vacuumed, .. } = table;
    let percent = dead * 100 / (rows + dead).max(1);
    (*dead >= DEAD_ROWS_WARNING && percent >= DEAD_PERCENT_WARNING).then(|| {
        finding(
            table,
            Severity::Warning,
            "dead_rows",
            format!("{dead} dead rows lie among {rows} living ones of {name} ({percent} %); last vacuumed: {vacuumed}"),
            "scans read them, and indexes lead to them; autovacuum does not keep up, or somebody holds it up",
            format!("vacuum (analyze, verbose) {name};"),
        )
    })
}

fn statistics(table: &Counted) -> Option<Finding> {
    let is_unknown = !table.is_analysed && table.rows >= LARGE_ROWS;
    is_unknown.then(|| {
        finding(
            table,
            Severity::Warning,
            "never_analysed",
            format!("nobody has looked at what {} holds", table.name),
            "the planner guesses, and may scan where an index would do",
            format!("analyze {};", table.name),
        )
    })
}

fn bloat(table: &Counted) -> Option<Finding> {
    let Counted { name, table_bytes, needed_bytes, .. } = table;
    let wasted = table_bytes - (*needed_bytes)?;
    let percent = wasted * 100 / (*table_bytes).max(1);
    if wasted < BLOAT_BYTES_WARNING || percent < BLOAT_PERCENT_WARNING {
        return None;
    }
    let is_grave = wasted >= BLOAT_BYTES_CRITICAL && percent >= BLOAT_PERCENT_CRITICAL;
    Some(finding(
        table,
        if is_grave { Severity::Critical } else { Severity::Warning },
        "bloat",
        format!(
            "about {} of the {} of {name} are empty ({percent} %)",
            bytes_in_words(wasted),
            bytes_in_words(*table_bytes)
        ),
        "the memory that holds it could hold rows",
        match name.strip_prefix("read_models.") {
            Some(model) => {
                format!("credit-approval rebuild {model}, which fills a new table, where it is a read model's")
            }
            None => format!("vacuum full {name}; locks it for as long as it takes: pg_repack does not"),
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::{Counted, of_table};
    use crate::perf::Severity;

    fn healthy() -> Counted {
        Counted {
            name: "public.events".to_owned(),
            rows: 1_000_000,
            dead: 0,
            seq_scan: 3,
            idx_scan: 1_000_000,
            rows_per_scan: 1_000_000,
            is_analysed: true,
            vacuumed: "never".to_owned(),
            table_bytes: 1 << 30,
            needed_bytes: Some(1 << 30),
        }
    }

    fn codes(table: &Counted) -> Vec<(&'static str, Severity)> {
        of_table(table).into_iter().map(|found| (found.code, found.severity)).collect()
    }

    #[test]
    fn a_healthy_table_is_nothing_to_speak_of() {
        assert_eq!(codes(&healthy()), []);
        assert_eq!(codes(&Counted { needed_bytes: None, ..healthy() }), []);
        let small = Counted { rows: 9_999, dead: 9_999, seq_scan: 1_000_000, idx_scan: 0, ..healthy() };
        assert_eq!(codes(&Counted { is_analysed: false, ..small }), []);
    }

    #[test]
    fn each_fault_is_told_from_its_bound_on() {
        let warning = |table: Counted, code| assert_eq!(codes(&table), [(code, Severity::Warning)]);
        warning(Counted { seq_scan: 10_001, ..healthy() }, "sequential_scans");
        assert_eq!(codes(&Counted { seq_scan: 10_000, ..healthy() }), []);
        assert_eq!(codes(&Counted { seq_scan: 10_001, rows_per_scan: 20, ..healthy() }), []);
        warning(Counted { dead: 250_000, ..healthy() }, "dead_rows");
        assert_eq!(codes(&Counted { dead: 249_999, ..healthy() }), []);
        warning(Counted { is_analysed: false, ..healthy() }, "never_analysed");
        warning(Counted { needed_bytes: Some(1 << 29), ..healthy() }, "bloat");
        assert_eq!(codes(&Counted { needed_bytes: Some((1 << 29) + (1 << 24)), ..healthy() }), []);
        let empty = Counted { table_bytes: 11 << 30, needed_bytes: Some(1 << 30), ..healthy() };
        assert_eq!(codes(&empty), [("bloat", Severity::Critical)]);
    }
}
