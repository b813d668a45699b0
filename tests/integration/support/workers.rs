//! Workers of a test's own, in a process that nobody else belongs to.

use std::sync::Arc;

use credit_approval::bus::wake::Wake;
use credit_approval::databases::Lives;
use credit_approval::metrics::Metrics;
use credit_approval::progress::Progress;
use credit_approval::projector::{Outdated, Projector, Together, WorkerMetrics};
use sqlx::PgPool;

/// What the workers of a process of its own share, without NATS and without anybody who follows the log for them.
pub(crate) fn projector(pool: &PgPool) -> Projector {
    Projector {
        process: "test".to_owned(),
        log: pool.clone(),
        read_models: pool.clone(),
        bus: None,
        wake: Wake::default(),
        progress: Arc::new(Progress::new(Lives::default())),
        outdated: Outdated::default(),
        metrics: Arc::new(Metrics::default().register(WorkerMetrics::register)),
        together: Arc::new(Together::new(pool.clone())),
        alone: Arc::default(),
    }
}
