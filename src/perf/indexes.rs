//! Indexes: those that are missing, that PostgreSQL gave up making, that stand twice, and that nobody uses.

use std::collections::BTreeMap;

use sqlx::FromRow;

use super::expected;
use super::{Examined, Finding, Severity, bytes_in_words};

/// An unused index that is smaller costs nothing to speak of, in bytes.
const UNUSED_BYTES: i64 = 1 << 20;

#[derive(FromRow)]
struct Index {
    schema: String,
    name: String,
    table: String,
    is_valid: bool,
    is_unique: bool,
    bytes: i64,
    scans: i64,
    definition: String,
    /// Those that cover the same.
    twins: Vec<String>,
    /// Of those, the ones that do what this one does not: a constraint rests on them, or they alone are unique.
    stronger: Vec<String>,
    is_constraint: bool,
}

impl Index {
    fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// What makes this one superfluous: of several, the product's own stays, or the first by name.
    fn twin(&self, is_expected: impl Fn(&str) -> bool) -> Option<&String> {
        let stays = |twin: &&String| is_expected(twin) || self.stronger.contains(*twin) || **twin < self.name;
        if self.is_constraint || is_expected(&self.name) { None } else { self.twins.iter().find(stays) }
    }
}

pub(super) async fn findings(examined: &Examined<'_>) -> Result<Vec<Finding>, sqlx::Error> {
    let mut asking = examined.ask().await?;
    let indexes: Vec<Index> = sqlx::query_as(
        "select space.nspname::text as schema, one.relname::text as name, is_on.relname::text as \"table\",
                indisvalid as is_valid, indisunique as is_unique, pg_relation_size(one.oid) as bytes,
                coalesce(pg_stat_get_numscans(one.oid), 0) as scans, pg_get_indexdef(one.oid) as definition,
                coalesce(same.twins, '{}') as twins, coalesce(same.stronger, '{}') as stronger,
                exists (select from pg_constraint where conindid = of.indexrelid) as is_constraint
         from pg_index of join pg_class one on one.oid = of.indexrelid
              join pg_class is_on on is_on.oid = of.indrelid
              join pg_namespace space on space.oid = one.relnamespace
              cross join lateral (
                  select array_agg(other.relname::text) as twins,
                         array_agg(other.relname::text) filter (
                             where twin.indisunique and not of.indisunique
                                or exists (select from pg_constraint where conindid = twin.indexrelid)) as stronger
                  from pg_index twin join pg_class other on other.oid = twin.indexrelid
                  where twin.indrelid = of.indrelid and twin.indexrelid <> of.indexrelid and twin.indisvalid
                    and twin.indkey::text = of.indkey::text and twin.indclass::text = of.indclass::text
                    and twin.indcollation::text = of.indcollation::text
                    and twin.indoption::text = of.indoption::text
                    and twin.indexprs::text is not distinct from of.indexprs::text
                    and twin.indpred::text is not distinct from of.indpred::text
                    and (twin.indisunique or not of.indisunique)) same
         where space.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
           and is_on.relpersistence <> 't'",
    )
    .fetch_all(&mut *asking)
    .await?;
    asking.rollback().await?;
    let expected = expected::indexes(examined.has_log, examined.has_read_models);
    let mut findings = missing(&expected, &indexes);
    findings.extend(indexes.iter().filter_map(|index| of_index(index, |name| expected.contains_key(name))));
    Ok(findings)
}

fn missing(expected: &BTreeMap<String, String>, there: &[Index]) -> Vec<Finding> {
    let is_there = |name: &String| there.iter().any(|index| index.name == *name);
    let absent = expected.iter().filter(|(name, _)| !is_there(name));
    absent
        .map(|(name, sql)| Finding {
            severity: Severity::Critical,
            code: "missing_index",
            subject: name.clone(),
            what: format!("there is no index {name}, which the product's statements rely on"),
            why: "what it served reads whole tables instead",
            advice: sql.clone(),
            details: Vec::new(),
        })
        .collect()
}

fn of_index(index: &Index, expects: impl Fn(&str) -> bool) -> Option<Finding> {
    let Index { name, table, is_valid, is_unique, bytes, scans, definition, .. } = index;
    let is_expected = expects(name);
    let full_name = index.full_name();
    let size = bytes_in_words(*bytes);
    let (severity, code, what, why, advice) = if !is_valid {
        (
            if is_expected || *is_unique { Severity::Critical } else { Severity::Warning },
            "invalid_index",
            format!("making {name} on {table} was given up halfway"),
            "it serves no query and is kept up by every write",
            format!("reindex index concurrently {full_name};"),
        )
    } else if let Some(twin) = index.twin(expects) {
        (
            Severity::Warning,
            "duplicate_index",
            format!("{name} on {table} ({size}) is what {twin} is"),
            "every write keeps both up, and one would do",
            format!("drop index concurrently {full_name};"),
        )
    } else if *scans == 0 && !is_unique && !is_expected && *bytes >= UNUSED_BYTES {
        (
            Severity::Info,
            "unused_index",
            format!(
                "{name} on {table} ({size}) has served nothing since the counters were reset, and is not the product's"
            ),
            "every write keeps it up",
            format!("drop index concurrently {full_name}; once replicas do not use it either"),
        )
    } else {
        return None;
    };
    let (subject, details) = (full_name, vec![definition.clone()]);
    Some(Finding { severity, code, subject, what, why, advice, details })
}

#[cfg(test)]
mod tests {
    use super::{Index, of_index};
    use crate::perf::Severity;

    fn index() -> Index {
        Index {
            schema: "public".to_owned(),
            name: "a_b".to_owned(),
            table: "a".to_owned(),
            is_valid: true,
            is_unique: false,
            bytes: 1 << 20,
            scans: 1,
            definition: "CREATE INDEX a_b ON public.a USING btree (b)".to_owned(),
            twins: Vec::new(),
            stronger: Vec::new(),
            is_constraint: false,
        }
    }

    #[test]
    fn each_fault_is_told_with_what_to_do() {
        let told = |index: Index, is_expected: bool| {
            of_index(&index, |name| is_expected && name == index.name)
                .map(|found| (found.code, found.severity, found.advice))
        };
        assert_eq!(told(index(), false), None);
        assert_eq!(told(Index { scans: 0, ..index() }, true), None);
        assert_eq!(told(Index { scans: 0, is_unique: true, ..index() }, false), None);
        assert_eq!(told(Index { scans: 0, bytes: 8192, ..index() }, false), None);
        let (code, severity, _) = told(Index { scans: 0, ..index() }, false).unwrap();
        assert_eq!((code, severity), ("unused_index", Severity::Info));
        let reindex = "reindex index concurrently public.a_b;".to_owned();
        let invalid = || Index { is_valid: false, ..index() };
        assert_eq!(told(invalid(), false), Some(("invalid_index", Severity::Warning, reindex.clone())));
        assert_eq!(told(invalid(), true), Some(("invalid_index", Severity::Critical, reindex)));
        let drop = "drop index concurrently public.a_b;".to_owned();
        let twin = |name: &str| Index { twins: vec![name.to_owned()], ..index() };
        assert_eq!(told(twin("a_a"), false), Some(("duplicate_index", Severity::Warning, drop)));
        assert_eq!(told(twin("a_c"), false), None, "that one is told of");
        let stronger = Index { stronger: vec!["z".to_owned()], ..twin("z") };
        assert_eq!(told(stronger, false).map(|(code, ..)| code), Some("duplicate_index"), "the other one has to stay");
        assert_eq!(told(twin("a_a"), true), None);
        assert_eq!(told(Index { is_constraint: true, ..twin("a_a") }, false), None);
        let of_the_product = of_index(&twin("z"), |name| name == "z");
        assert_eq!(of_the_product.map(|found| found.code), Some("duplicate_index"));
    }
}
