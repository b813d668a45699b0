//! Rows on their way into the table that a rebuild fills, and what the table holds in the end: the two must agree.

use aggregates::ids::CustomerId;
use futures::TryStreamExt;
use sha2::{Digest as _, Sha256};
use sqlx::{Acquire, PgConnection, PgExecutor};

use crate::apply::is_about_values;
use crate::customer::{CustomerEvents, Failure};
use crate::model::{copy_line, copy_statement, select_all, with_model};
use crate::{Projection, StoredEvent, Target, parked};

/// What a table holds: how many rows, and the sum of their digests, which no order of rows changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Contents {
    /// Rows.
    pub rows: i64,
    /// The sum of the first eight bytes of each row's SHA-256, wrapping around.
    pub checksum: i64,
}

impl Contents {
    fn count(&mut self, line: &str) {
        let digest = Sha256::digest(line.as_bytes());
        let head = digest.first_chunk().map_or(0, |head| i64::from_be_bytes(*head));
        self.rows += 1;
        self.checksum = self.checksum.wrapping_add(head);
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { rows: self.rows + other.rows, checksum: self.checksum.wrapping_add(other.checksum) }
    }
}

/// Rows on their way into the table: whole customers, as lines of COPY's text format.
pub struct Bulk {
    projection: Projection,
    lines: String,
    contents: Contents,
    parked: Vec<(CustomerId, Failure)>,
}

impl Bulk {
    /// Nothing yet.
    #[must_use]
    pub const fn new(projection: Projection) -> Self {
        let contents = Contents { rows: 0, checksum: 0 };
        Self { projection, lines: String::new(), contents, parked: Vec::new() }
    }

    /// Adds all rows of a customer. Where its events cannot all be applied, those before the failing one count.
    pub fn add(&mut self, events: &CustomerEvents<'_>) {
        self.add_up_to(events, i64::MAX);
    }

    /// Adds the rows of a customer as its events up to a position make them.
    fn add_up_to(&mut self, events: &CustomerEvents<'_>, up_to: i64) {
        with_model!(self.projection, Model => {
            let (rows, failed) = events.fold::<Model>(up_to);
            for row in rows.values() {
                let begins = self.lines.len();
                copy_line::<Model>(row, &mut self.lines);
                self.contents.count(&self.lines[begins..]);
            }
            self.parked.extend(failed.map(|failure| (events.customer(), failure)));
        });
    }

    /// The customers that could not be folded to their end.
    #[must_use]
    pub fn parked(&self) -> &[(CustomerId, Failure)] {
        &self.parked
    }

    /// Writes them; answers what was written.
    ///
    /// # Errors
    /// When the database refuses or does not answer.
    pub async fn write(self, transaction: &mut PgConnection) -> Result<Contents, sqlx::Error> {
        let target = Target::Rebuild(self.projection);
        if self.contents.rows > 0 {
            let statement = with_model!(self.projection, Model => copy_statement::<Model>(target));
            let mut copy = transaction.copy_in_raw(&statement).await?;
            copy.send(self.lines.into_bytes()).await?;
            copy.finish().await?;
        }
        for (customer, failure) in &self.parked {
            parked::park(transaction, target, *customer, failure).await?;
        }
        Ok(self.contents)
    }
}

/// Writes one customer's rows. Where the database refuses what an event makes of them, those before it count, and the
/// customer is parked at it, as it is when it is live.
///
/// # Errors
/// When the database does not answer.
pub async fn write_singly(
    transaction: &mut PgConnection,
    projection: Projection,
    events: &CustomerEvents<'_>,
) -> Result<Contents, sqlx::Error> {
    let mut up_to = i64::MAX;
    let mut refused = None;
    // From the last event back to the last that is taken; with none there is nothing to refuse.
    for event in events.stored().iter().rev() {
        let mut bulk = Bulk::new(projection);
        bulk.add_up_to(events, up_to);
        let mut savepoint = transaction.begin().await?;
        match bulk.write(&mut savepoint).await {
            Ok(contents) => {
                savepoint.commit().await?;
                park_refused(transaction, projection, events, refused).await?;
                return Ok(contents);
            }
            Err(error) if is_about_values(&error) => savepoint.rollback().await?,
            Err(error) => return Err(error),
        }
        up_to = event.position - 1;
        refused = Some(event);
    }
    park_refused(transaction, projection, events, refused).await?;
    Ok(Contents::default())
}

async fn park_refused(
    transaction: &mut PgConnection,
    projection: Projection,
    events: &CustomerEvents<'_>,
    refused: Option<&StoredEvent>,
) -> Result<(), sqlx::Error> {
    let Some(event) = refused else { return Ok(()) };
    let failure = Failure::of(event, &Refused, false);
    parked::park(transaction, Target::Rebuild(projection), events.customer(), &failure).await
}

/// Why a customer is parked whose rows a rebuild could not write.
#[derive(Debug, thiserror::Error)]
#[error("the database refuses what the event makes of the row")]
struct Refused;

/// What the table holds, row by row.
///
/// # Errors
/// When the database does not answer.
pub async fn contents(executor: impl PgExecutor<'_>, target: Target) -> Result<Contents, sqlx::Error> {
    let mut contents = Contents::default();
    let mut line = String::new();
    with_model!(target.projection(), Model => {
        let sql = select_all::<Model>(target);
        let mut rows = sqlx::query_as(&sql).fetch(executor);
        while let Some(row) = rows.try_next().await? {
            line.clear();
            copy_line::<Model>(&row, &mut line);
            contents.count(&line);
        }
    });
    Ok(contents)
}
