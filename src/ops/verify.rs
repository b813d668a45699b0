//! `verify`: the log against its guarantees, and every read model against a fold of the log.

use aggregates::policy::Policy;

use super::progress::{self, bar};
use super::serve::asked_to_stop;
use super::{OpsError, Schema, say, with_databases};
use crate::config::{self, DEFAULT_POLICY};
use crate::databases::Databases;
use crate::policies::Policies;
use crate::verify::{Findings, verify as verify_all};

/// Verifies the log and the read models of a running service, of `DATABASE_URL`, or of the data directory.
///
/// # Errors
/// [`OpsError::Differences`] when something is not as it must be.
pub async fn verify(config: &config::Verify) -> Result<(), OpsError> {
    let policies = Policies::load(config.policies.policies_dir.as_deref(), DEFAULT_POLICY)?.to_vec();
    let findings = with_databases(&config.store, Schema::AsItIs, async |databases| {
        tokio::select! {
            findings = run(databases, &policies, config.show) => findings,
            () = asked_to_stop() => Err(OpsError::Interrupted),
        }
    })
    .await?;
    say(&findings);
    if findings.differences > 0 { Err(OpsError::Differences(findings.differences)) } else { Ok(()) }
}

async fn run(databases: &Databases, policies: &[Policy], show: usize) -> Result<Findings, OpsError> {
    let bar = bar("verify", "events");
    let told = |done, total| progress::show(&bar, done, total);
    let findings = verify_all(&databases.log, &databases.read_models, policies, show, told).await?;
    bar.finish_and_clear();
    Ok(findings)
}
