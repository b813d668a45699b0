//! Taking workbooks in: piece by piece, so that none is ever in memory as a whole.
//!
//! Until an upload is complete its import is nobody's to see. It is deleted when the upload breaks off; if the process
//! ends with it, [`super::upkeep`] deletes it. An import and the answer that is remembered under its request's
//! idempotency key become visible in one transaction.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;

use crate::commands::{IdempotencyKey, KeyedRequest, Origin};
use crate::databases::connections::Connections;
use crate::store::idempotency::{Remembered, find};

use super::{COLUMNS, FileKind, Import, Imports, MAX_OPEN, MAX_OPEN_BYTES, Row};

/// What is written at a time.
const PIECE_BYTES: usize = 256 * 1024;
/// Within this time an upload is complete, or it is given up.
pub const UPLOAD_WITHIN: Duration = Duration::from_secs(10 * 60);

/// Why an upload did not become an import.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// Too many uploads, or too many imports that wait.
    #[error("too many imports are being uploaded or wait")]
    TooMany,
    /// It took too long, and was cleaned away.
    #[error("the upload took longer than {UPLOAD_WITHIN:?}")]
    Expired,
    /// Another request has taken effect under the idempotency key.
    #[error("the idempotency key is taken")]
    KeyTaken,
    /// The database refused or did not answer; nothing was taken.
    #[error("the database did not take the upload")]
    Store(#[from] sqlx::Error),
    /// The connection broke at the very end: whether the import was taken is not known.
    #[error("the database's answer was lost")]
    OutcomeUnknown(#[source] sqlx::Error),
    /// The answer could not be written as JSON.
    #[error("the answer could not be encoded")]
    Render(#[from] serde_json::Error),
}

/// The right to upload, for as long as it lives.
pub struct Permit {
    _permit: OwnedSemaphorePermit,
}

/// An uploaded workbook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// Its file name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

/// What was uploaded, and is to be done with it.
#[derive(Debug, Clone, Default)]
pub struct Order {
    /// Check everything, write nothing.
    pub dry_run: bool,
    /// Workbook of customers.
    pub customers: Option<Uploaded>,
    /// Workbook of loans.
    pub loans: Option<Uploaded>,
    /// The request that uploaded it.
    pub origin: Origin,
}

/// An answer to be remembered under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The import, as it waits.
    pub import: Import,
    /// What the client is told, as JSON.
    pub answer: String,
}

impl Imports {
    /// Lets a form be received, if there is room for one; it may be one that is already known.
    ///
    /// # Errors
    /// [`UploadError::TooMany`].
    pub fn receive(&self) -> Result<Permit, UploadError> {
        let permit = self.uploads.clone().try_acquire_owned().map_err(|_| UploadError::TooMany)?;
        Ok(Permit { _permit: permit })
    }

    /// Whether there is room for a new import beside those that wait or run.
    ///
    /// # Errors
    /// [`UploadError::TooMany`]; [`UploadError::Store`].
    pub async fn admit(&self) -> Result<(), UploadError> {
        let (open, bytes): (i64, i64) = sqlx::query_as(
            "select count(*), coalesce(sum(coalesce(customers_bytes, 0) + coalesce(loans_bytes, 0)), 0)::bigint
             from imports where state in ('waiting', 'running')",
        )
        .fetch_one(&self.log)
        .await?;
        if open < MAX_OPEN && bytes < MAX_OPEN_BYTES { Ok(()) } else { Err(UploadError::TooMany) }
    }

    /// What a request with that key was answered, if one took effect.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn recall(&self, key: &IdempotencyKey) -> Result<Option<Remembered>, sqlx::Error> {
        find(&self.log, key.stored(), key.sent()).await
    }

    /// An upload that holds nothing yet.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn begin(&self) -> Result<Upload, sqlx::Error> {
        let id = sqlx::query_scalar("insert into imports default values returning id").fetch_one(&self.log).await?;
        Ok(Upload { log: self.log.clone(), id, pending: Vec::new(), place: None, is_over: false })
    }
}

/// An upload under way; what is dropped before it is complete leaves nothing behind.
pub struct Upload {
    log: Connections,
    id: i64,
    /// What is not yet written.
    pending: Vec<u8>,
    /// Where it goes: which workbook, which piece.
    place: Option<(FileKind, i32)>,
    is_over: bool,
}

impl Upload {
    /// Adds to a workbook; the one before it must have been finished.
    ///
    /// # Errors
    /// [`UploadError::Expired`]; [`UploadError::Store`].
    pub async fn add(&mut self, kind: FileKind, mut bytes: &[u8]) -> Result<(), UploadError> {
        self.place.get_or_insert((kind, 1));
        while !bytes.is_empty() {
            let room = PIECE_BYTES - self.pending.len();
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.pending.extend_from_slice(now);
            bytes = later;
            if self.pending.len() == PIECE_BYTES {
                self.write().await?;
            }
        }
        Ok(())
    }

    /// Writes out what is pending of a workbook: what is added then is another one.
    ///
    /// # Errors
    /// As [`Upload::add`].
    pub async fn finish(&mut self) -> Result<(), UploadError> {
        if !self.pending.is_empty() {
            self.write().await?;
        }
        self.place = None;
        Ok(())
    }

    async fn write(&mut self) -> Result<(), UploadError> {
        let Some((kind, piece)) = &mut self.place else { return Ok(()) };
        let written = sqlx::query(
            "insert into import_files (import_id, kind, piece, content)
             select id, $2, $3, $4 from imports where id = $1 and state = 'uploading'",
        )
        .bind(self.id)
        .bind(kind.name())
        .bind(*piece)
        .bind(&self.pending)
        .execute(&self.log)
        .await;
        let is_gone = |error: &sqlx::Error| error.as_database_error().is_some_and(|e| e.is_foreign_key_violation());
        match written {
            Ok(written) if written.rows_affected() == 1 => {}
            Ok(_) => return Err(UploadError::Expired),
            Err(error) if is_gone(&error) => return Err(UploadError::Expired),
            Err(error) => return Err(error.into()),
        }
        *piece += 1;
        self.pending.clear();
        Ok(())
    }

    /// Turns it into an import that waits, and remembers the answer where the request has a key.
    ///
    /// # Errors
    /// [`UploadError`].
    pub async fn complete(
        mut self,
        order: &Order,
        keyed: Option<&KeyedRequest>,
        status: u16,
        render: impl Fn(&Import) -> Result<String, serde_json::Error>,
    ) -> Result<Taken, UploadError> {
        let mut transaction = self.log.begin().await?;
        let bytes = |file: &Option<Uploaded>| file.as_ref().map(|file| i64::try_from(file.bytes).unwrap_or(i64::MAX));
        let name = |file: &Option<Uploaded>| file.as_ref().map(|file| file.name.clone());
        let row: Option<Row> = sqlx::query_as(&format!(
            "update imports set state = 'waiting', dry_run = $2, customers_file = $3, customers_bytes = $4,
                    loans_file = $5, loans_bytes = $6, request_id = $7, traceparent = $8, caller = $9,
                    created_at = clock_timestamp()
             where id = $1 and state = 'uploading' returning {COLUMNS}"
        ))
        .bind(self.id)
        .bind(order.dry_run)
        .bind(name(&order.customers))
        .bind(bytes(&order.customers))
        .bind(name(&order.loans))
        .bind(bytes(&order.loans))
        .bind(order.origin.request_id.as_deref())
        .bind(order.origin.traceparent.as_deref())
        .bind(order.origin.caller.as_deref())
        .fetch_optional(&mut *transaction)
        .await?;
        let import = Import::try_from(row.ok_or(UploadError::Expired)?)?;
        let answer = render(&import)?;
        if let Some(KeyedRequest { key, digest }) = keyed {
            let remembered = sqlx::query(
                "insert into idempotency_keys
                     (idempotency_key, request_digest, status, answer, partition, position, caller)
                 values ($1, $2, $3, $4, 0, 0, $5)",
            )
            .bind(key.stored())
            .bind(&digest[..])
            .bind(i16::try_from(status).unwrap_or(i16::MAX))
            .bind(&answer)
            .bind(key.caller())
            .execute(&mut *transaction)
            .await;
            let is_taken = |error: &sqlx::Error| error.as_database_error().is_some_and(|e| e.is_unique_violation());
            match remembered {
                Ok(_) => {}
                Err(error) if is_taken(&error) => return Err(UploadError::KeyTaken),
                Err(error) => return Err(error.into()),
            }
        }
        transaction.commit().await.map_err(UploadError::OutcomeUnknown)?;
        self.is_over = true;
        Ok(Taken { import, answer })
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Without a runtime the process is ending.
        if let (false, Ok(runtime)) = (self.is_over, Handle::try_current()) {
            runtime.spawn(discard(self.log.clone(), self.id));
        }
    }
}

/// Deletes an upload that broke off.
async fn discard(log: Connections, id: i64) {
    let deleted = sqlx::query("delete from imports where id = $1 and state = 'uploading'").bind(id).execute(&log).await;
    if let Err(error) = deleted {
        tracing::warn!(%error, id, "an upload that broke off could not be deleted; it is cleaned away later");
    }
}
