//! The table of keys: made, listed, revoked, replaced. It lies in the log's database, so it is backed up with the log.

use chrono::{DateTime, Duration, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, PgPool};

use super::{ApiKey, HourlyLimit, KeyId, KeyName};
use crate::access::{Role, Roles};
use crate::databases::connections::Connections;

/// So many are listed at most, the newest first.
const MAX_LISTED: i64 = 10_000;

const COLUMNS: &str = "id, name, roles, hourly_limit, replaces, created_at, expires_at, revoked_at, last_used_at";

/// What a new key is for.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Whose it is, in words.
    pub name: KeyName,
    /// What its holder may do.
    pub roles: Roles,
    /// Requests an hour, where it has a limit of its own.
    pub hourly_limit: Option<HourlyLimit>,
    /// Until when it is good; without end where there is none.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A key as it is kept: everything but its secret.
#[derive(Debug, Clone, Serialize, FromRow)]
pub struct Kept {
    /// The public part.
    pub id: String,
    /// Whose it is, in words.
    pub name: String,
    /// What its holder may do, by name.
    pub roles: Vec<String>,
    /// Requests an hour, where it has a limit of its own; 0 is no limit, and none is below.
    pub hourly_limit: Option<i32>,
    /// The key that it replaces.
    pub replaces: Option<String>,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// Until when it is good.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was taken back.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When a request with it was last seen, to about half a minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

impl Kept {
    /// How it stands: `valid`, `expired` or `revoked`.
    #[must_use]
    pub fn state(&self, now: DateTime<Utc>) -> &'static str {
        if self.revoked_at.is_some() {
            "revoked"
        } else if self.expires_at.is_some_and(|end| end <= now) {
            "expired"
        } else {
            "valid"
        }
    }
}

/// Why a key was not changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is no such key.
    #[error("there is no key {0}")]
    NoSuchKey(KeyId),
    /// It is good for nothing any more.
    #[error("key {0} is revoked or expired")]
    Ended(KeyId),
    /// It has a successor.
    #[error("key {0} is being replaced by {1} already")]
    Replaced(KeyId, String),
    /// The database refused or did not answer.
    #[error("the keys' table did not answer")]
    Store(#[from] sqlx::Error),
}

/// The table takes nothing below 0.
fn limit(column: Option<i32>) -> Option<u32> {
    column.and_then(|limit| u32::try_from(limit).ok())
}

/// Keeps a new key.
///
/// # Errors
/// When the database does not answer, or has a key of that id.
pub async fn add(log: &PgPool, key: &ApiKey, scope: &Scope) -> Result<Kept, sqlx::Error> {
    let mut connection = log.acquire().await?;
    insert(&mut connection, key, scope, None).await
}

async fn insert(
    connection: &mut PgConnection,
    key: &ApiKey,
    scope: &Scope,
    replaces: Option<&KeyId>,
) -> Result<Kept, sqlx::Error> {
    sqlx::query_as(&format!(
        "insert into api_keys (id, secret_digest, name, roles, hourly_limit, expires_at, replaces, holder)
         values ($1, $2, $3, $4, $5, $6, $7, coalesce((select holder from api_keys where id = $7), $1))
         returning {COLUMNS}"
    ))
    .bind(key.id().as_str())
    .bind(&key.digest()[..])
    .bind(scope.name.as_str())
    .bind(scope.roles.names())
    .bind(scope.hourly_limit.map(|limit| i32::try_from(limit.requests()).unwrap_or(i32::MAX)))
    .bind(scope.expires_at)
    .bind(replaces.map(KeyId::as_str))
    .fetch_one(connection)
    .await
}

/// Whether there is any key at all, good or not.
///
/// # Errors
/// When the database does not answer.
pub async fn is_empty(log: &PgPool) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select not exists (select from api_keys)").fetch_one(log).await
}

/// The keys, the newest first; those that are good for nothing any more only where `all` are asked for.
///
/// # Errors
/// When the database does not answer.
pub async fn list(log: &PgPool, all: bool) -> Result<Vec<Kept>, sqlx::Error> {
    sqlx::query_as(&format!(
        "select {COLUMNS} from api_keys
         where $1 or revoked_at is null and (expires_at is null or expires_at > now())
         order by created_at desc, id limit $2"
    ))
    .bind(all)
    .bind(MAX_LISTED)
    .fetch_all(log)
    .await
}

/// Takes a key back. One that is taken back already stays as it is.
///
/// # Errors
/// [`KeyError::NoSuchKey`]; [`KeyError::Store`].
pub async fn revoke(log: &PgPool, id: &KeyId) -> Result<Kept, KeyError> {
    let kept: Option<Kept> = sqlx::query_as(&format!(
        "update api_keys set revoked_at = coalesce(revoked_at, clock_timestamp()) where id = $1 returning {COLUMNS}"
    ))
    .bind(id.as_str())
    .fetch_optional(log)
    .await?;
    kept.ok_or_else(|| KeyError::NoSuchKey(id.clone()))
}

/// Replaces a key by a new one of the same scope; both are good until the grace is over. The new one ends when it is told
/// to, else after as long as the old one was made for.
///
/// # Errors
/// [`KeyError`]; then both are as they were.
pub async fn rotate(
    log: &PgPool,
    id: &KeyId,
    new: &ApiKey,
    grace: Duration,
    expires_at: Option<DateTime<Utc>>,
) -> Result<Kept, KeyError> {
    let mut transaction = log.begin().await?;
    let old: Option<Kept> = sqlx::query_as(&format!("select {COLUMNS} from api_keys where id = $1 for update"))
        .bind(id.as_str())
        .fetch_optional(&mut *transaction)
        .await?;
    let old = old.ok_or_else(|| KeyError::NoSuchKey(id.clone()))?;
    let now = Utc::now();
    if old.state(now) != "valid" {
        return Err(KeyError::Ended(id.clone()));
    }
    let successor: Option<String> =
        sqlx::query_scalar("select id from api_keys where replaces = $1 and revoked_at is null limit 1")
            .bind(id.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
    if let Some(successor) = successor {
        return Err(KeyError::Replaced(id.clone(), successor));
    }
    let made_for = old.expires_at.map(|end| end - old.created_at);
    let scope = Scope {
        name: KeyName(old.name),
        roles: roles(&old.roles),
        hourly_limit: limit(old.hourly_limit).map(HourlyLimit),
        expires_at: expires_at.or_else(|| made_for.and_then(|time| now.checked_add_signed(time))),
    };
    let kept = insert(&mut transaction, new, &scope, Some(id)).await?;
    sqlx::query("update api_keys set expires_at = least(expires_at, $2) where id = $1")
        .bind(id.as_str())
        .bind(now.checked_add_signed(grace).unwrap_or(DateTime::<Utc>::MAX_UTC))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(kept)
}

/// What a key is judged by.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) secret_digest: Vec<u8>,
    pub(super) roles: Roles,
    pub(super) holder: String,
    pub(super) hourly_limit: Option<u32>,
    pub(super) expires_at: Option<DateTime<Utc>>,
    pub(super) is_revoked: bool,
}

#[derive(FromRow)]
struct JudgedRow {
    secret_digest: Vec<u8>,
    roles: Vec<String>,
    holder: String,
    hourly_limit: Option<i32>,
    expires_at: Option<DateTime<Utc>>,
    is_revoked: bool,
}

/// What a key is judged by, if there is one of that id.
pub(super) async fn find(log: &Connections, id: &KeyId) -> Result<Option<Judged>, sqlx::Error> {
    let row: Option<JudgedRow> = sqlx::query_as(
        "select secret_digest, roles, holder, hourly_limit, expires_at, revoked_at is not null as is_revoked
         from api_keys where id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(log)
    .await?;
    Ok(row.map(|row| Judged {
        secret_digest: row.secret_digest,
        roles: roles(&row.roles),
        holder: row.holder,
        hourly_limit: limit(row.hourly_limit),
        expires_at: row.expires_at,
        is_revoked: row.is_revoked,
    }))
}

/// A role that this version does not know allows nothing.
fn roles(names: &[String]) -> Roles {
    names.iter().filter_map(|name| Role::from_name(name)).collect()
}

/// Notes when keys were last used.
pub(super) async fn note_uses(log: &PgPool, uses: &[(KeyId, DateTime<Utc>)]) -> Result<(), sqlx::Error> {
    let (ids, times): (Vec<&str>, Vec<DateTime<Utc>>) = uses.iter().map(|(id, at)| (id.as_str(), *at)).unzip();
    // In the order of their ids, so that no two processes wait for each other.
    sqlx::query(
        "update api_keys set last_used_at = used.at
         from (select api_keys.id, at from unnest($1::text[], $2::timestamptz[]) as used (id, at)
               join api_keys on api_keys.id = used.id collate \"C\"
               where last_used_at is null or last_used_at < at order by api_keys.id for update of api_keys) as used
         where api_keys.id = used.id",
    )
    .bind(ids)
    .bind(times)
    .execute(log)
    .await?;
    Ok(())
}
