//! Looking at imports and at what was noticed of their rows, and asking one to stop.

use sqlx::FromRow;

use super::super::report::{Notice, NoticeKind};
use super::settle::settle;
use super::{COLUMNS, Import, Imports, Row, State};

/// Some items of a list, and whether there are more behind them.
#[derive(Debug)]
pub struct Page<T> {
    /// In their order.
    pub items: Vec<T>,
    /// Whether the list goes on.
    pub more: bool,
}

impl<T> Page<T> {
    /// Of what was fetched, one more than the page holds where there is one.
    fn of(mut items: Vec<T>, limit: i64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        Self { items, more }
    }
}

/// What came of asking an import to stop.
#[derive(Debug)]
pub enum Cancelled {
    /// It was asked: one that waits is cancelled, one that runs stops after its chunk.
    Asked(Box<Import>),
    /// It has ended already.
    Ended(Box<Import>),
    /// There is none.
    Unknown,
}

#[derive(FromRow)]
struct NoticeRow {
    number: i64,
    kind: String,
    workbook: String,
    sheet: String,
    row: i64,
    title: Option<String>,
    reason: String,
}

impl TryFrom<NoticeRow> for (i64, Notice) {
    type Error = sqlx::Error;

    fn try_from(row: NoticeRow) -> Result<Self, sqlx::Error> {
        let kind = NoticeKind::from_name(&row.kind);
        let kind = kind.ok_or_else(|| sqlx::Error::Decode("a notice is of a kind that there is not".into()))?;
        let NoticeRow { number, workbook, sheet, title: column, reason, .. } = row;
        let row = u32::try_from(row.row).unwrap_or(u32::MAX);
        Ok((number, Notice { kind, workbook, sheet, row, column, reason }))
    }
}

impl Imports {
    /// Imports, the newest first: those before an id, or from the newest on.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list(&self, before: Option<i64>, limit: i64) -> Result<Page<Import>, sqlx::Error> {
        let rows: Vec<Row> = sqlx::query_as(&format!(
            "select {COLUMNS} from imports where id < $1 and state <> 'uploading' order by id desc limit $2"
        ))
        .bind(before.unwrap_or(i64::MAX))
        .bind(limit.saturating_add(1))
        .fetch_all(&self.log)
        .await?;
        let imports: Result<_, sqlx::Error> = rows.into_iter().map(Import::try_from).collect();
        Ok(Page::of(imports?, limit))
    }

    /// How many imports there are in each state.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn by_state(&self) -> Result<Vec<(State, i64)>, sqlx::Error> {
        let counts: Vec<(String, i64)> =
            sqlx::query_as("select state, count(*) from imports group by state").fetch_all(&self.log).await?;
        let count = |state: State| counts.iter().find(|(name, _)| name == state.name()).map_or(0, |(_, count)| *count);
        Ok(State::ALL.into_iter().map(|state| (state, count(state))).collect())
    }

    /// One import.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find(&self, id: i64) -> Result<Option<Import>, sqlx::Error> {
        let row: Option<Row> =
            sqlx::query_as(&format!("select {COLUMNS} from imports where id = $1 and state <> 'uploading'"))
                .bind(id)
                .fetch_optional(&self.log)
                .await?;
        row.map(Import::try_from).transpose()
    }

    /// Rejects and warnings behind a number, in the order in which they were noticed, each with its number; where an
    /// attempt is named, `None` once its notices are no longer those that are shown.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn notices(
        &self,
        id: i64,
        attempt: Option<i32>,
        kind: Option<NoticeKind>,
        after: i64,
        limit: i64,
    ) -> Result<Option<Page<(i64, Notice)>>, sqlx::Error> {
        let of_kind = if kind.is_some() { "and kind = $4" } else { "and $4::text is null" };
        let rows: Vec<NoticeRow> = sqlx::query_as(&format!(
            "select number, kind, workbook, sheet, row, title, reason from import_notices
             where import_id = $1 and attempt = (select notices_attempt from imports where id = $1)
               and number > $2 {of_kind} order by number limit $3"
        ))
        .bind(id)
        .bind(after)
        .bind(limit.saturating_add(1))
        .bind(kind.map(NoticeKind::name))
        .fetch_all(&self.log)
        .await?;
        if let Some(attempt) = attempt {
            // Looked at afterwards: attempts only count up, so they were that one's all the time.
            let shown: Option<i32> = sqlx::query_scalar("select notices_attempt from imports where id = $1")
                .bind(id)
                .fetch_optional(&self.log)
                .await?;
            if shown != Some(attempt) {
                return Ok(None);
            }
        }
        let notices: Result<_, sqlx::Error> = rows.into_iter().map(TryInto::try_into).collect();
        Ok(Some(Page::of(notices?, limit)))
    }

    /// Asks an import to stop.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn cancel(&self, id: i64) -> Result<Cancelled, sqlx::Error> {
        let mut transaction = self.log.begin().await?;
        let row: Option<Row> = sqlx::query_as(&format!(
            "update imports
             set cancel_requested = true,
                 state = case when state = 'waiting' then 'cancelled' else state end,
                 ended_at = case when state = 'waiting' then clock_timestamp() end
             where id = $1 and state in ('waiting', 'running') returning {COLUMNS}"
        ))
        .bind(id)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else {
            drop(transaction);
            let found = self.find(id).await?;
            return Ok(found.map_or(Cancelled::Unknown, |import| Cancelled::Ended(Box::new(import))));
        };
        let mut import = Import::try_from(row)?;
        if import.state.is_ended() {
            sqlx::query("delete from import_files where import_id = $1").bind(id).execute(&mut *transaction).await?;
            settle(&mut transaction, id).await?;
            let settled: Row = sqlx::query_as(&format!("select {COLUMNS} from imports where id = $1"))
                .bind(id)
                .fetch_one(&mut *transaction)
                .await?;
            import = Import::try_from(settled)?;
        }
        transaction.commit().await?;
        Ok(Cancelled::Asked(Box::new(import)))
    }
}
