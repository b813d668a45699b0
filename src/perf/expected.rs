//! The indexes that the product's statements rely on: those that its migrations make.

use std::collections::BTreeMap;

use crate::store::migrate::{LOG, READ_MODELS};

/// The indexes of the log's or the read models' schema by name, each with the statement that makes it.
pub(super) fn indexes(log: bool, read_models: bool) -> BTreeMap<String, String> {
    let chosen = [(log, &LOG), (read_models, &READ_MODELS)];
    let migrators = chosen.into_iter().filter(|(wanted, _)| *wanted).map(|(_, migrator)| migrator);
    let mut found = BTreeMap::new();
    for migration in migrators.flat_map(|migrator| migrator.migrations.iter()) {
        of_migration(&migration.sql, &mut found);
    }
    found
}

/// Adds the indexes that a migration makes, and takes out those that it drops.
fn of_migration(sql: &str, found: &mut BTreeMap<String, String>) {
    let without_comments: Vec<&str> = sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    for statement in without_comments.join(" ").split(';') {
        let words: Vec<&str> = statement.split_whitespace().collect();
        let rest = match words.as_slice() {
            ["create", "unique", "index", rest @ ..] | ["create" | "drop", "index", rest @ ..] => rest,
            _ => continue,
        };
        let rest = rest.strip_prefix(&["concurrently"]).unwrap_or(rest);
        let rest = rest
            .strip_prefix(&["if", "not", "exists"])
            .or_else(|| rest.strip_prefix(&["if", "exists"]))
            .unwrap_or(rest);
        let Some(name) = rest.first().map(|name| name.rsplit('.').next().unwrap_or(name)) else { continue };
        if words.first() == Some(&"drop") {
            found.remove(name);
        } else {
            found.insert(name.to_owned(), without_waiting(&words, rest));
        }
    }
}

/// The statement as it is run on a table that is in use.
fn without_waiting(words: &[&str], rest: &[&str]) -> String {
    let unique = if words.get(1) == Some(&"unique") { "unique " } else { "" };
    format!("create {unique}index concurrently if not exists {};", rest.join(" "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{indexes, of_migration};

    #[test]
    fn indexes_are_read_off_migrations() {
        let mut found = BTreeMap::new();
        of_migration(
            "create table a (b int); -- create index no on a (b);\ncreate index a_b on a (b)\n  where b > 0;\n\
             create unique index if not exists a_c on s.a (c);create index gone on a (b);\n\
             drop index if exists s.gone;",
            &mut found,
        );
        let found: Vec<_> = found.into_iter().collect();
        let made = |name: &str, sql: &str| (name.to_owned(), sql.to_owned());
        assert_eq!(
            found,
            [
                made("a_b", "create index concurrently if not exists a_b on a (b) where b > 0;"),
                made("a_c", "create unique index concurrently if not exists a_c on s.a (c);"),
            ]
        );
    }

    #[test]
    fn the_products_own_are_found() {
        let log = indexes(true, false);
        assert!(log.contains_key("events_position") && log.contains_key("events_partition"), "{log:?}");
        let read_models = indexes(false, true);
        assert!(read_models.contains_key("loans_by_start"), "{read_models:?}");
        assert!(!read_models.contains_key("loans_customer_ends_on"), "1005 drops it");
        assert_eq!(indexes(true, true).len(), log.len() + read_models.len());
    }
}
