//! COPY: the fastest way into a table that PostgreSQL has.

use std::path::{Path, PathBuf};
use std::time::Instant;

use futures::{StreamExt, TryStreamExt};
use sqlx::PgPool;
use sqlx::postgres::PgPoolCopyExt;
use tokio::fs::File;
use tokio::io::{AsyncWriteExt, BufWriter};

use crate::world::Database;

/// What one connection copies: columns of a table (all, if none are named), and of which rows.
pub(super) struct Piece {
    table: &'static str,
    columns: &'static str,
    rows: &'static str,
}

pub(super) const EVENTS: [Piece; 4] = [
    events("mod(position, 4) = 0"),
    events("mod(position, 4) = 1"),
    events("mod(position, 4) = 2"),
    events("mod(position, 4) = 3"),
];
pub(super) const READ_MODELS: [Piece; 4] = [
    rows("read_models.customers"),
    rows("read_models.loans"),
    rows("read_models.credit_profiles"),
    rows("read_models.decisions"),
];

/// The columns that an append gives.
const fn events(rows: &'static str) -> Piece {
    let columns = "aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata";
    Piece { table: "events", columns, rows }
}

const fn rows(table: &'static str) -> Piece {
    Piece { table, columns: "*", rows: "true" }
}

/// Files, and the tables that they are of.
pub(super) struct Copied {
    files: Vec<(PathBuf, String)>,
}

impl Copied {
    /// Writes tables to files, which is not measured.
    pub(super) async fn out_of(database: &Database, pieces: &[Piece], directory: &Path) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        for (number, Piece { table, columns, rows }) in pieces.iter().enumerate() {
            let file = directory.join(format!("copied-{number}"));
            write(&database.pool, &format!("select {columns} from {table} where {rows}"), &file).await?;
            let columns = if *columns == "*" { String::new() } else { format!("({columns})") };
            files.push((file, format!("copy {table} {columns} from stdin")));
        }
        Ok(Self { files })
    }

    /// Fills the tables of another database, each file over a connection of its own; the seconds that it took.
    pub(super) async fn into(self, database: &Database) -> anyhow::Result<f64> {
        let started = Instant::now();
        let copies = self.files.iter().map(|(file, statement)| fill(&database.pool, statement, file));
        futures::future::try_join_all(copies).await?;
        let took = started.elapsed().as_secs_f64();
        for (file, _) in self.files {
            tokio::fs::remove_file(file).await?;
        }
        Ok(took)
    }
}

async fn write(pool: &PgPool, select: &str, file: &Path) -> anyhow::Result<()> {
    let mut rows = pool.copy_out_raw(&format!("copy ({select}) to stdout")).await?.boxed();
    let mut file = BufWriter::new(File::create(file).await?);
    while let Some(chunk) = rows.try_next().await? {
        file.write_all(&chunk).await?;
    }
    Ok(file.flush().await?)
}

async fn fill(pool: &PgPool, statement: &str, file: &Path) -> anyhow::Result<()> {
    let mut copy = pool.copy_in_raw(statement).await?;
    copy.read_from(File::open(file).await?).await?;
    copy.finish().await?;
    Ok(())
}
