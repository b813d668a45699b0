//! The architecture as the source tree shows it: which layer may know what, how long things may be, what a migration
//! may do. An invariant that no machine checks is a wish.
//!
//! Each rule reads files and reports file, line and what stands there; comments are free to speak of anything. The
//! tests at the end hold the rules themselves to finding what they look for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers may fail it")]

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

const MAX_FILE_LINES: usize = 420;
const MAX_FUNCTION_LINES: usize = 75;
/// The product's own code, without its tests.
const SOURCES: [&str; 3] = ["src", "aggregates/src", "projections/src"];

/// A file with its path from the workspace's root.
struct File {
    path: String,
    text: String,
}

/// Something that should not be there.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

impl File {
    /// A finding at a line that is counted from 0.
    fn finding(&self, index: usize, what: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line: index + 1, what: what.into() }
    }

    /// Lines of code, without what is only comment.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index, line.split("//").next().unwrap_or_default()))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> File {
    let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    File { path: path.to_owned(), text }
}

fn collect(directory: &Path, extension: &str, paths: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    for entry in entries {
        let path = entry.expect("a directory entry").path();
        if path.is_dir() {
            collect(&path, extension, paths);
        } else if path.extension().is_some_and(|found| found == extension) {
            paths.push(path);
        }
    }
}

/// The files under a directory; there is at least one, or the rule looks in the wrong place.
fn files(directory: &str, extension: &str) -> Vec<File> {
    let mut paths = Vec::new();
    collect(&root().join(directory), extension, &mut paths);
    assert!(!paths.is_empty(), "there is no .{extension} file under {directory}");
    paths.sort();
    let relative = |path: &PathBuf| path.strip_prefix(root()).expect("under the root").display().to_string();
    paths.iter().map(|path| read(&relative(path))).collect()
}

fn sources() -> Vec<File> {
    SOURCES.iter().flat_map(|directory| files(directory, "rs")).collect()
}

fn none(rule: &str, findings: impl IntoIterator<Item = Finding>) {
    let findings: Vec<_> = findings.into_iter().map(|finding| finding.to_string()).collect();
    assert!(findings.is_empty(), "{rule}:\n{}", findings.join("\n"));
}

/// Whether `word` stands in a line and is not a part of a longer name.
fn mentions(line: &str, word: &str) -> bool {
    let in_name = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let bytes = line.as_bytes();
    line.match_indices(word).any(|(start, _)| {
        let before = start.checked_sub(1).and_then(|place| bytes.get(place));
        !in_name(before) && (word.ends_with(':') || !in_name(bytes.get(start + word.len())))
    })
}

/// Where files mention one of the words in their code.
fn mentioning(files: &[File], words: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        for (index, line) in file.code() {
            let mentioned = words.iter().filter(|word| mentions(line, word));
            findings.extend(mentioned.map(|word| file.finding(index, format!("`{word}` in `{}`", line.trim()))));
        }
    }
    findings
}

#[test]
fn the_domain_knows_no_outside() {
    let outside = ["sqlx", "axum", "async_nats", "tokio", "std::fs", "std::net", "std::env", "std::process"];
    let chance = ["Utc::now", "Local::now", "SystemTime", "Instant::now", "rand", "getrandom", "uuid"];
    let words = [&outside[..], &chance[..]].concat();
    none(
        "aggregates/ does no IO, reads no clock and draws no random number",
        mentioning(&files("aggregates/src", "rs"), &words),
    );
    let crates = ["sqlx", "axum", "async-nats", "tokio", "rand", "uuid", "reqwest"];
    none("aggregates/ depends on nothing that does", depending(&read("aggregates/Cargo.toml"), &crates));
}

#[test]
fn the_read_models_know_no_transport() {
    none("projections/ knows no HTTP and no bus", mentioning(&files("projections/src", "rs"), &["axum", "async_nats"]));
    none("projections/ depends on neither", depending(&read("projections/Cargo.toml"), &["axum", "async-nats"]));
}

/// Dependencies, dev ones apart, that a manifest should not have.
fn depending(manifest: &File, crates: &[&str]) -> Vec<Finding> {
    let mut section = "";
    let mut findings = Vec::new();
    for (index, line) in manifest.text.lines().enumerate() {
        if line.starts_with('[') {
            section = line;
        }
        let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
        if section == "[dependencies]" && crates.contains(&name) {
            findings.push(manifest.finding(index, format!("a dependency on {name}")));
        }
    }
    findings
}

#[test]
fn commands_know_no_http_and_no_read_model() {
    let words = ["axum", "tower", "tower_http", "crate::http", "read_models", "StatusCode"];
    none("src/commands knows neither", mentioning(&files("src/commands", "rs"), &words));
}

#[test]
fn handlers_hold_no_sql() {
    let words = [
        "sqlx::query",
        "sqlx::query_as",
        "sqlx::query_scalar",
        "sqlx::raw_sql",
        "query_as",
        "query_scalar",
        "QueryBuilder",
        "fetch_one",
        "fetch_all",
        "fetch_optional",
    ];
    none("src/http holds no SQL", mentioning(&files("src/http", "rs"), &words));
}

#[test]
fn read_models_are_read_and_written_in_their_crate() {
    let tables = [
        "read_models.customers",
        "read_models.loans",
        "read_models.credit_profiles",
        "read_models.decisions",
        "read_models.checkpoints",
        "read_models.parked",
        "read_models.rebuilds",
        "read_models.rebuild_ranges",
        "read_models.workers",
    ];
    none("no other code names their tables", mentioning(&files("src", "rs"), &tables));
}

#[test]
fn queries_never_touch_the_event_store() {
    let words = ["EventLog", "crate::store", "super::store", "api.log", "api.commands", "crate::commands"];
    none("src/http/queries reads read models", mentioning(&files("src/http/queries", "rs"), &words));
}

#[test]
fn every_file_says_what_belongs_in_it() {
    let silent = |file: &File| !file.text.starts_with("//! ");
    let findings = sources().into_iter().filter(silent).map(|file| file.finding(0, "does not begin with `//! `"));
    none("a file begins with its purpose", findings);
}

#[test]
fn files_and_functions_stay_short() {
    let sources = sources();
    let too_long = sources.iter().filter_map(|file| {
        let lines = file.text.lines().count();
        (lines > MAX_FILE_LINES).then(|| file.finding(lines - 1, format!("{lines} lines, more than {MAX_FILE_LINES}")))
    });
    none("files stay short", too_long);
    none("functions stay short", sources.iter().flat_map(|file| long_functions(file, MAX_FUNCTION_LINES)));
}

/// Whether a line of code begins a function.
fn begins_function(line: &str) -> bool {
    let modifiers = ["pub", "pub(crate)", "pub(super)", "const", "async", "unsafe", "extern", "\"C\"", "default"];
    let mut words = line.split_whitespace().skip_while(|word| {
        modifiers.contains(word)
            || word.starts_with("pub(")
            || *word == "in"
            || word.ends_with(')') && !word.contains('(')
    });
    words.next() == Some("fn")
}

/// Functions with more lines than allowed: from `fn` to the brace that closes it, at the same indentation.
fn long_functions(file: &File, at_most: usize) -> Vec<Finding> {
    let lines: Vec<&str> = file.text.lines().collect();
    let mut findings = Vec::new();
    for (start, line) in file.code().filter(|(_, line)| begins_function(line)) {
        let indent = &line[..line.len() - line.trim_start().len()];
        let ends = |line: &str| line.trim_end().ends_with('}') || line.trim_end().ends_with(';');
        let closes = |line: &&str| {
            let rest = line.strip_prefix(indent).unwrap_or(" ");
            rest.starts_with('}') || !rest.starts_with(char::is_whitespace) && !rest.is_empty() && ends(rest)
        };
        let length =
            if ends(line) { 1 } else { 2 + lines[start + 1..].iter().take_while(|line| !closes(line)).count() };
        if length > at_most {
            findings.push(file.finding(start, format!("a function of {length} lines, more than {at_most}")));
        }
    }
    findings
}

#[test]
fn no_money_meets_a_binary_float() {
    let exact = ["aggregates/src", "projections/src", "src/commands", "src/http"];
    let files: Vec<_> = exact.iter().flat_map(|directory| files(directory, "rs")).collect();
    none("amounts and rates are decimal", mentioning(&files, &["f32", "f64", "as_f64", "to_f64", "from_f64"]));
}

#[test]
fn events_are_matched_one_by_one() {
    let files: Vec<_> =
        ["aggregates/src", "projections/src"].iter().flat_map(|directory| files(directory, "rs")).collect();
    none("a new event breaks the build until each reader has said what it means", swallowed(&files));
}

/// Arms that pass over whatever comes.
fn swallowed(files: &[File]) -> Vec<Finding> {
    let swallows = |line: &str| {
        ["_ => {}", "_ => ()", "_ => None", "_ => Ok(())", "_ => continue"].iter().any(|arm| line.contains(arm))
    };
    let found = |file: &File| {
        let lines = file.code().filter(|(_, line)| swallows(line));
        lines.map(|(index, line)| file.finding(index, format!("`{}`", line.trim()))).collect::<Vec<_>>()
    };
    files.iter().flat_map(found).collect()
}

#[test]
fn migrations_only_expand() {
    none("a migration takes nothing away", files("migrations", "sql").iter().flat_map(contracting));
}

/// Statements that break what an older version, still running, relies on.
fn contracting(file: &File) -> Vec<Finding> {
    let without_comments: Vec<_> = file.text.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    let sql = without_comments.join("\n").to_lowercase();
    let mut findings = Vec::new();
    let mut line = 0;
    for statement in sql.split(';') {
        let lead = statement.len() - statement.trim_start().len();
        let starts_at = line + statement[..lead].matches('\n').count();
        line += statement.matches('\n').count();
        let words = statement.split_whitespace().collect::<Vec<_>>().join(" ");
        let retypes = words
            .split("alter column")
            .skip(1)
            .any(|rest| rest.split(',').next().unwrap_or_default().contains(" type "));
        let contracts = ["drop table", "drop column", "drop schema", "drop view", "rename", "truncate", "set not null"];
        let found =
            contracts.into_iter().filter(|what| words.contains(what)).chain(retypes.then_some("alter column ... type"));
        findings.extend(found.map(|what| file.finding(starts_at, format!("`{what}` in `{words}`"))));
    }
    findings
}

#[test]
fn indexes_are_built_beside_those_who_use_the_table() {
    none("an index holds nobody up", files("migrations", "sql").iter().filter(|file| is_ruled(file)).flat_map(locking));
}

/// Migrations that are newer than the rule.
fn is_ruled(file: &File) -> bool {
    const LAST_BEFORE: [(&str, u32); 2] = [("migrations/log/", 12), ("migrations/read/", 1006)];
    LAST_BEFORE.iter().any(|(directory, last)| {
        let name = file.path.strip_prefix(directory);
        let version = name.and_then(|name| name.split('_').next()).and_then(|version| version.parse::<u32>().ok());
        version.is_some_and(|version| version > *last)
    })
}

/// Indexes on tables that are there already, and in use, which are not built concurrently and alone in their file.
fn locking(file: &File) -> Vec<Finding> {
    let without_comments: Vec<_> = file.text.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    let sql = without_comments.join(" ").to_lowercase().replace('(', " (");
    let statements: Vec<Vec<&str>> = sql.split(';').map(|statement| statement.split_whitespace().collect()).collect();
    let statements: Vec<_> = statements.iter().filter(|words| !words.is_empty()).collect();
    let is_alone = file.text.starts_with("-- no-transaction") && statements.len() == 1;
    let is_new = |table: &str| statements.iter().any(|words| words.starts_with(&["create", "table", table]));
    let locks = |words: &&&Vec<&str>| {
        let is_index = words[0] == "create" && words.iter().take(3).any(|word| *word == "index");
        let table = words.iter().position(|word| *word == "on").and_then(|place| words.get(place + 1));
        is_index && !table.is_some_and(|table| is_new(table)) && !(is_alone && words.contains(&"concurrently"))
    };
    statements.iter().filter(locks).map(|words| file.finding(0, format!("`{}`", words.join(" ")))).collect()
}

/// The variants of the file's event enum, where it has one.
fn events(file: &File) -> Vec<(usize, String)> {
    let Some(name) = file.text.split("impl DomainEvent for ").nth(1).and_then(|rest| rest.split_whitespace().next())
    else {
        return Vec::new();
    };
    let lines = file.code().skip_while(|(_, line)| !line.starts_with(&format!("pub enum {name} ")));
    let body = lines.skip(1).take_while(|(_, line)| !line.starts_with('}'));
    let variants = body.filter_map(|(index, line)| Some((index, line.trim().split_once('(')?.0.to_owned())));
    variants.filter(|(_, name)| name.starts_with(char::is_uppercase)).collect()
}

#[test]
fn every_event_has_a_golden_file() {
    let golden: Vec<_> = files("aggregates/tests/golden", "json").into_iter().map(|file| file.path).collect();
    let sources = files("aggregates/src", "rs");
    let known: Vec<_> =
        sources.iter().flat_map(|file| events(file).into_iter().map(move |event| (file, event))).collect();
    assert!(known.iter().any(|(_, (_, name))| name == "CustomerRegistered"), "the customer's events are found");
    assert!(known.iter().any(|(_, (_, name))| name == "LoanOpened"), "the loan's events are found");
    let missing = known.into_iter().filter(|(_, (_, name))| {
        let first = format!("aggregates/tests/golden/{name}-1.0.json");
        !golden.contains(&first)
    });
    none(
        "an event is kept readable",
        missing.map(|(file, (index, name))| file.finding(index, format!("no golden file for {name}"))),
    );
}

#[test]
fn nothing_is_left_for_later() {
    let later = ["TO\u{44}O", "FIX\u{4d}E", "XX\u{58}", "unimplemente\u{64}!", "tod\u{6f}!", "db\u{67}!"];
    let tests = ["aggregates/tests", "tests"];
    let files: Vec<_> = SOURCES.iter().chain(&tests).flat_map(|directory| files(directory, "rs")).collect();
    none("what is there is finished", postponed(&files, &later));
}

/// Comments count here.
fn postponed(files: &[File], words: &[&str]) -> Vec<Finding> {
    let found = |file: &File| {
        let lines = file.text.lines().enumerate().filter(|(_, line)| words.iter().any(|word| line.contains(word)));
        lines.map(|(index, line)| file.finding(index, line.trim())).collect::<Vec<_>>()
    };
    files.iter().flat_map(found).collect()
}

#[test]
fn there_is_one_sqlx() {
    let lock = read("Cargo.lock");
    let versions: Vec<_> = lock.text.lines().enumerate().filter(|(_, line)| *line == "name = \"sqlx\"").collect();
    let findings = versions.iter().map(|(index, _)| lock.finding(*index, "a version of sqlx"));
    assert_eq!(versions.len(), 1, "{}", findings.map(|finding| finding.to_string()).collect::<Vec<_>>().join("\n"));
}

/// A file made up to break a rule.
fn sample(text: &str) -> [File; 1] {
    [File { path: "sample.rs".to_owned(), text: text.to_owned() }]
}

fn lines(findings: &[Finding]) -> Vec<usize> {
    findings.iter().map(|finding| finding.line).collect()
}

#[test]
fn the_rules_find_what_they_look_for() {
    let text = "use rand::Rng;\n// rand\nlet brand = 1;\nlet x: f64 = rand();\nrandom();\nuse std::fs;\n";
    assert_eq!(lines(&mentioning(&sample(text), &["rand", "std::fs"])), [1, 4, 6]);
    assert_eq!(lines(&mentioning(&sample(text), &["f64"])), [4]);
    assert_eq!(lines(&swallowed(&sample("match event {\n    // _ => {}\n    _ => {}\n}\n"))), [3]);
    assert_eq!(lines(&postponed(&sample("fn f() {}\n// later: x\n"), &["later"])), [2]);
    let manifest = "[dependencies]\nsqlx.workspace = true\nrand = \"1\"\n\n[dev-dependencies]\naxum = \"1\"\n";
    assert_eq!(lines(&depending(&sample(manifest)[0], &["sqlx", "axum", "rand"])), [2, 3]);
    let finding = &mentioning(&sample(text), &["std::fs"])[0];
    assert_eq!(finding.to_string(), "sample.rs:6: `std::fs` in `use std::fs;`");
}

#[test]
fn long_functions_are_found() {
    let text = "fn one() {}\n\npub(in crate::http) async fn five(\n    x: u8,\n) -> u8 {\n    x\n}\n\nimpl A {\n    \
                fn three(&self) {\n        if x {\n        }\n    }\n    fn declared(\n        &self,\n    );\n}\n";
    let found = |at_most| lines(&long_functions(&sample(text)[0], at_most));
    assert_eq!(found(0), [1, 3, 10, 14]);
    assert_eq!(found(3), [3, 10]);
    assert_eq!(found(4), [3]);
    assert_eq!(found(5), [0; 0]);
}

#[test]
fn migrations_that_take_away_are_found() {
    let text = "-- drop table a\ncreate table a (b int);\n\nDROP  TABLE a;\nalter table a\n    alter column b\n    type bigint;\n\
                alter table a add column type text, alter column b set default 1;\nalter table a rename b to c;\n";
    assert_eq!(lines(&contracting(&sample(text)[0])), [4, 5, 9]);
}

#[test]
fn indexes_that_lock_are_found() {
    let found = |text: &str| locking(&sample(text)[0]).len();
    assert_eq!(found("create table a (b int);\ncreate index c on a (b);\ncreate unique index d on a(b);"), 0);
    assert_eq!(found("create index c on a (b);\ncreate unique index concurrently d on a(b);"), 2);
    assert_eq!(found("create index concurrently c on a (b);"), 1, "it cannot be in a transaction");
    assert_eq!(found("-- no-transaction\ncreate index concurrently c on a (b);\n"), 0);
    assert_eq!(found("-- no-transaction\ncreate index concurrently c on a (b); select 1;\n"), 1);
    let named = |path: &str| is_ruled(&File { path: path.to_owned(), text: String::new() });
    let files = [
        "migrations/log/0012_a.sql",
        "migrations/log/0013_a.sql",
        "migrations/read/1006_a.sql",
        "migrations/read/1007_a.sql",
    ];
    assert_eq!(files.map(named), [false, true, false, true]);
}

#[test]
fn events_are_found() {
    let text = "pub enum OrderEvent {\n    /// Came.\n    OrderPlaced(OrderPlaced),\n    OrderSent(Box<OrderSent>),\n}\n\n\
                pub enum Other {\n    No(u8),\n}\n\nimpl DomainEvent for OrderEvent {}\n";
    let found = events(&sample(text)[0]);
    assert_eq!(found, [(2, "OrderPlaced".to_owned()), (3, "OrderSent".to_owned())]);
    assert_eq!(events(&sample("pub enum Other {\n    No(u8),\n}\n")[0]), []);
}
