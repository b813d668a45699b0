//! What became of the rebuilds that were asked for, by their record and not by what the service says of them.

use std::fmt;
use std::time::{Duration, Instant};

use projections::rebuilds::{Phase, unfinished};
use sqlx::PgPool;

use super::cluster::Cluster;

/// How long one may take that the faults have left unfinished: whoever takes it up goes on where it was.
const ENDED_WITHIN: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Where so many were not cancelled, that none is done is no chance.
const MUST_SUCCEED_ONCE: usize = 3;

/// A rebuild, as it was left.
#[derive(Debug, sqlx::FromRow)]
struct Outcome {
    rebuild_id: i64,
    phase: Phase,
    error: Option<String>,
}

/// All rebuilds of a run.
pub(super) struct Rebuilds(Vec<Outcome>);

/// Waits until no rebuild is under way any more, for a bounded time.
pub(super) async fn until_ended(cluster: &Cluster) {
    let until = Instant::now() + ENDED_WITHIN;
    while is_under_way(cluster).await.unwrap_or(true) && Instant::now() < until {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Whether one is; `None` when nobody says.
async fn is_under_way(cluster: &Cluster) -> Option<bool> {
    let mut connection = cluster.connect().await?;
    Some(unfinished(&mut connection).await.ok()?.is_some())
}

impl Rebuilds {
    /// As they stand on record.
    pub(super) async fn read(pool: &PgPool) -> Self {
        let outcomes = sqlx::query_as("select rebuild_id, phase, error from read_models.rebuilds order by rebuild_id");
        Self(outcomes.fetch_all(pool).await.expect("rebuilds are read"))
    }

    fn number(&self, phase: Phase) -> usize {
        self.0.iter().filter(|one| one.phase == phase).count()
    }

    /// What is wrong with them, each in a line.
    pub(super) fn findings(&self) -> Vec<String> {
        let mut findings: Vec<String> = self.0.iter().filter_map(Outcome::finding).collect();
        let not_cancelled = self.0.len() - self.number(Phase::Cancelled);
        if not_cancelled >= MUST_SUCCEED_ONCE && self.number(Phase::Done) == 0 {
            findings.push(format!("{not_cancelled} rebuilds were asked for and not cancelled, and none is done"));
        }
        findings
    }
}

impl Outcome {
    fn finding(&self) -> Option<String> {
        let Self { rebuild_id, phase, error } = self;
        match phase {
            Phase::Done | Phase::Cancelled => None,
            Phase::Failed => {
                Some(format!("rebuild {rebuild_id} failed: {}", error.as_deref().unwrap_or("nobody says why")))
            }
            Phase::Waiting
            | Phase::Filling
            | Phase::Checking
            | Phase::Indexing
            | Phase::CatchingUp
            | Phase::Swapping => Some(format!("rebuild {rebuild_id} is {phase:?} long after the faults ended")),
        }
    }
}

impl fmt::Display for Rebuilds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [done, cancelled, failed] = [Phase::Done, Phase::Cancelled, Phase::Failed].map(|phase| self.number(phase));
        let unfinished = self.0.len() - done - cancelled - failed;
        write!(f, "{} rebuilds: {done} done, {cancelled} cancelled, {failed} failed", self.0.len())?;
        if unfinished > 0 { write!(f, ", {unfinished} unfinished") } else { Ok(()) }
    }
}
