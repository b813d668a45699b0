//! The key that tests use: one for the whole run, with every role, good on each database that it was added to.

use std::sync::OnceLock;

use credit_approval::access::Roles;
use credit_approval::access::keys::store::{Scope, add, list};
use credit_approval::access::keys::{ApiKey, KeyName};
use sqlx::PgPool;

static KEY: OnceLock<ApiKey> = OnceLock::new();

/// The run's key.
pub(crate) fn key() -> &'static ApiKey {
    KEY.get_or_init(|| ApiKey::draw().expect("random bytes"))
}

/// Some roles, for a key without an end or a limit.
pub(crate) fn scope(name: &str, roles: Roles) -> Scope {
    Scope { name: KeyName::try_from(name).expect("a name"), roles, hourly_limit: None, expires_at: None }
}

/// Makes the run's key good on a database whose schema is up to date.
pub(crate) async fn let_in(database_url: &str) {
    let pool = PgPool::connect(database_url).await.expect("PostgreSQL answers");
    let kept = list(&pool, true).await.expect("keys are listed");
    if !kept.iter().any(|kept| kept.id == key().id().as_str()) {
        add(&pool, key(), &scope("tests", Roles::ALL)).await.expect("the key is added");
    }
    pool.close().await;
}
