//! A reader's statement with its values, so that the very statement that answers can also be explained.
//!
//! Readers of rows by their id keep it prepared. Lists do not ([`Statement::planned_anew`]): theirs is planned with its
//! values each time, so that the plan fits the filters and no generic plan takes their place after a few calls.

use serde_json::Value;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::types::Json;
use sqlx::{Arguments, Encode, FromRow, PgExecutor, Postgres, Type};

use crate::plan::Plan;

/// A statement with its values.
#[derive(Debug)]
pub struct Statement {
    sql: String,
    values: PgArguments,
    bound: usize,
    /// Why a value could not be bound.
    refused: Option<sqlx::error::BoxDynError>,
    keep: bool,
}

impl Statement {
    /// A statement whose values are bound in the order of its placeholders.
    pub(crate) fn new(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), values: PgArguments::default(), bound: 0, refused: None, keep: true }
    }

    /// The same, never kept prepared.
    pub(crate) fn planned_anew(self) -> Self {
        Self { keep: false, ..self }
    }

    /// Binds the next value.
    pub(crate) fn bind<'v, T: Encode<'v, Postgres> + Type<Postgres> + 'v>(mut self, value: T) -> Self {
        self.push(value);
        self
    }

    /// Binds the next value; answers its placeholder.
    pub(crate) fn push<'v, T: Encode<'v, Postgres> + Type<Postgres> + 'v>(&mut self, value: T) -> String {
        self.bound += 1;
        if let Err(error) = self.values.add(value) {
            self.refused.get_or_insert(error);
        }
        format!("${}", self.bound)
    }

    /// The text, to be completed.
    pub(crate) fn sql_mut(&mut self) -> &mut String {
        &mut self.sql
    }

    /// All rows.
    pub(crate) async fn all<T>(self, executor: impl PgExecutor<'_>) -> Result<Vec<T>, sqlx::Error>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        self.is_bound()?;
        sqlx::query_as_with(&self.sql, self.values).persistent(self.keep).fetch_all(executor).await
    }

    /// The row, if there is one.
    pub(crate) async fn one<T>(self, executor: impl PgExecutor<'_>) -> Result<Option<T>, sqlx::Error>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        self.is_bound()?;
        sqlx::query_as_with(&self.sql, self.values).persistent(self.keep).fetch_optional(executor).await
    }

    /// How PostgreSQL would answer it, without doing so.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn plan(self, executor: impl PgExecutor<'_>) -> Result<Plan, sqlx::Error> {
        self.explained("explain (format json)", executor).await
    }

    /// How PostgreSQL has answered it: it is executed, and its rows are thrown away.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn execution(self, executor: impl PgExecutor<'_>) -> Result<Plan, sqlx::Error> {
        self.explained("explain (analyze, format json)", executor).await
    }

    async fn explained(self, how: &str, executor: impl PgExecutor<'_>) -> Result<Plan, sqlx::Error> {
        self.is_bound()?;
        let sql = format!("{how} {}", self.sql);
        let (Json(plan),): (Json<Value>,) =
            sqlx::query_as_with(&sql, self.values).persistent(false).fetch_one(executor).await?;
        Ok(Plan::new(plan))
    }

    fn is_bound(&self) -> Result<(), sqlx::Error> {
        match &self.refused {
            None => Ok(()),
            Some(error) => Err(sqlx::Error::Encode(error.to_string().into())),
        }
    }
}

/// The statement's text with its placeholders, no values.
impl std::fmt::Display for Statement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.sql)
    }
}
