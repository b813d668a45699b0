//! `keys`: makes, lists, revokes and replaces keys of the API. A new key goes to the standard output alone, so that it can
//! be caught; what is known of it goes beside it.

use std::io::Write;

use chrono::{TimeDelta, Utc};
use serde::Serialize;

use super::{OpsError, Schema, say, with_databases};
use crate::access::keys::ApiKey;
use crate::access::keys::store::{self, Kept, Scope};
use crate::config::{CreateKey, Keys, KeysCommand, ListKeys, RevokeKey, RotateKey};

/// A new key, with what its holder has to keep.
#[derive(Serialize)]
struct Made<'a> {
    key: String,
    #[serde(flatten)]
    kept: &'a Kept,
}

/// Works on the keys.
///
/// # Errors
/// [`OpsError`].
pub async fn keys(config: &Keys) -> Result<(), OpsError> {
    match &config.command {
        KeysCommand::Create(create) => self::create(create).await,
        KeysCommand::List(list) => self::list(list).await,
        KeysCommand::Revoke(revoke) => self::revoke(revoke).await,
        KeysCommand::Rotate(rotate) => self::rotate(rotate).await,
    }
}

async fn create(config: &CreateKey) -> Result<(), OpsError> {
    let key = ApiKey::draw()?;
    let scope = Scope {
        name: config.name.clone(),
        roles: config.roles.iter().copied().collect(),
        hourly_limit: config.hourly_limit,
        expires_at: config.expires_in.and_then(|time| Utc::now().checked_add_signed(time)),
    };
    let kept = with_databases(&config.store, Schema::Migrate, async |databases| {
        Ok(store::add(&databases.log, &key, &scope).await?)
    })
    .await?;
    Ok(show(&key, &kept, config.json)?)
}

async fn rotate(config: &RotateKey) -> Result<(), OpsError> {
    let key = ApiKey::draw()?;
    let expires_at = config.expires_in.and_then(|time| Utc::now().checked_add_signed(time));
    let kept = with_databases(&config.store, Schema::Migrate, async |databases| {
        Ok(store::rotate(&databases.log, &config.id, &key, config.grace, expires_at).await?)
    })
    .await?;
    show(&key, &kept, config.json)?;
    if !config.json {
        note(format_args!("{} is good for another {}", config.id, InWords(config.grace)));
    }
    Ok(())
}

fn show(key: &ApiKey, kept: &Kept, json: bool) -> Result<(), serde_json::Error> {
    if json {
        say(serde_json::to_string(&Made { key: key.token(), kept })?);
        return Ok(());
    }
    note(format_args!("{}", line(kept)));
    note("the key, which is shown this once:");
    say(key.token());
    Ok(())
}

async fn list(config: &ListKeys) -> Result<(), OpsError> {
    let kept = with_databases(&config.store, Schema::AsItIs, async |databases| {
        Ok(store::list(&databases.log, config.all).await?)
    })
    .await?;
    if config.json {
        say(serde_json::to_string(&kept)?);
    } else if kept.is_empty() {
        say("there are no keys");
    } else {
        kept.iter().for_each(|kept| say(line(kept)));
    }
    Ok(())
}

async fn revoke(config: &RevokeKey) -> Result<(), OpsError> {
    let kept = with_databases(&config.store, Schema::Migrate, async |databases| {
        Ok(store::revoke(&databases.log, &config.id).await?)
    })
    .await?;
    if config.json {
        say(serde_json::to_string(&kept)?)
    } else {
        say(line(&kept))
    }
    Ok(())
}

/// All that is known of a key.
fn line(kept: &Kept) -> String {
    let Kept { id, name, roles, hourly_limit, replaces, created_at, expires_at, revoked_at, last_used_at } = kept;
    let day = |at: &chrono::DateTime<Utc>| at.format("%Y-%m-%d %H:%M").to_string();
    let mut facts = vec![format!("created {}", day(created_at))];
    facts.extend(expires_at.as_ref().map(|at| format!("expires {}", day(at))));
    facts.extend(revoked_at.as_ref().map(|at| format!("revoked {}", day(at))));
    facts.push(last_used_at.as_ref().map_or_else(|| "never used".to_owned(), |at| format!("last used {}", day(at))));
    facts.extend(hourly_limit.map(|limit| match limit {
        0 => "without a limit".to_owned(),
        limit => format!("{limit} requests an hour"),
    }));
    facts.extend(replaces.as_ref().map(|id| format!("replaces {id}")));
    format!("{id}  {:<8} {name}: {}; {}", kept.state(Utc::now()), roles.join(", "), facts.join(", "))
}

/// For people, beside what programs read; that nobody reads it is no failure.
fn note(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

struct InWords(TimeDelta);

impl std::fmt::Display for InWords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.0.num_seconds();
        match seconds {
            0 => f.write_str("moment"),
            _ if seconds % 86_400 == 0 => write!(f, "{} d", seconds / 86_400),
            _ if seconds % 3_600 == 0 => write!(f, "{} h", seconds / 3_600),
            _ if seconds % 60 == 0 => write!(f, "{} min", seconds / 60),
            _ => write!(f, "{seconds} s"),
        }
    }
}
