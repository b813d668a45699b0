//! Batches of several partitions in one statement (G4): each stands or falls with its own checkpoint.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use credit_approval::config::{Role, Serve};
use projections::checkpoint::{self, Stamp};
use projections::together::{Share, apply_together};
use projections::{Applied, Partition, Projection, StoredEvent, Target, apply};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::log::Chain;
use crate::support::sql::execute;
use crate::support::traffic::borrow;
use crate::support::verified::assert_verified;

const MONTHLY_INCOME: u64 = 100_000;
const AT_ONCE: Duration = Duration::from_secs(10);
const PROFILES: Target = Target::Live(Projection::CreditProfiles);

/// What a partition still has to apply to the credit profiles.
struct Pending {
    partition: Partition,
    from: i64,
    stamp: Stamp,
    events: Vec<StoredEvent>,
}

impl Pending {
    fn share(&self) -> Share {
        let to = self.events.last().map_or(self.from, |event| event.position);
        let (partition, from, stamp) = (self.partition, self.from, self.stamp.clone());
        Share { partition, from, stamp, to, batch: Arc::new(self.events.clone()) }
    }

    async fn apply_by_itself(&self, pool: &PgPool) -> Applied {
        let Share { partition, from, to, batch, .. } = self.share();
        apply(pool, PROFILES, partition, from, to, &batch).await.unwrap()
    }
}

/// A log that nobody follows, of two customers who have borrowed, in partitions of their own. All read models have
/// applied it, but for the loans in the credit profiles.
async fn two_partitions() -> (PgPool, [Pending; 2]) {
    let config = Serve { roles: vec![Role::Api], visibility_timeout: 0, ..TestApp::config(&[]).await };
    let writer = TestApp::start_with(Serve { nats_url: None, ..config }).await;
    for _ in 0..2 {
        let customer = writer.client.register(MONTHLY_INCOME).await;
        borrow(&writer.client, customer).await;
    }
    let pool = writer.pool().await;
    writer.stop().await;

    let mut by_partition: HashMap<Partition, Vec<StoredEvent>> = HashMap::new();
    for (partition, message) in Chain::default().more(&pool).await {
        by_partition.entry(partition).or_default().extend(message.event);
    }
    let mut pending = Vec::new();
    for (partition, events) in by_partition {
        for projection in Projection::ALL.into_iter().filter(|projection| *projection != Projection::CreditProfiles) {
            let to = events[events.len() - 1].position;
            apply(&pool, Target::Live(projection), partition, 0, to, &events).await.unwrap();
        }
        let (registered, borrowed) = events.split_at(1);
        let from = registered[0].position;
        let stamp = apply(&pool, PROFILES, partition, 0, from, registered).await.unwrap().stamp.unwrap();
        pending.push(Pending { partition, from, stamp, events: borrowed.to_vec() });
    }
    (pool, pending.try_into().ok().expect("two customers with consecutive ids are in two partitions"))
}

/// The partitions that have taken effect.
async fn together(pool: &PgPool, pending: &[Pending; 2]) -> Vec<Partition> {
    let shares = pending.each_ref().map(Pending::share);
    let mut moved: Vec<_> = apply_together(pool, PROFILES, &shares).await.unwrap().into_keys().collect();
    moved.sort();
    moved
}

async fn position(pool: &PgPool, pending: &Pending) -> i64 {
    checkpoint::load(pool, PROFILES, pending.partition).await.unwrap().position
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_applied_together_is_what_each_would_have_applied() {
    let (pool, pending) = two_partitions().await;
    let mut both = pending.each_ref().map(|pending| pending.partition);
    both.sort();
    assert_eq!(together(&pool, &pending).await, both);
    assert_verified(&pool).await;
    assert!(together(&pool, &pending).await.is_empty(), "once is enough");
    assert_verified(&pool).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_a_checkpoint_is_not_waited_for_and_has_changed_it_afterwards() {
    let (pool, pending) = two_partitions().await;
    let mut transaction = pool.begin().await.unwrap();
    checkpoint::lock(&mut transaction, PROFILES, pending[0].partition).await.unwrap();
    let meanwhile = tokio::time::timeout(AT_ONCE, together(&pool, &pending)).await.expect("it does not wait");
    assert_eq!(meanwhile, [pending[1].partition]);
    transaction.commit().await.unwrap();
    assert!(together(&pool, &pending).await.is_empty());
    assert_eq!(position(&pool, &pending[0]).await, pending[0].from, "it stands where it stood");
    let applied = pending[0].apply_by_itself(&pool).await;
    assert!(applied.parkings.is_empty() && applied.stamp.is_some());
    assert_verified(&pool).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_read_holds_up_its_own_share_only() {
    let (pool, mut pending) = two_partitions().await;
    pending[0].events[0].event_version = "9.0".to_owned();
    assert_eq!(together(&pool, &pending).await, [pending[1].partition]);
    let applied = pending[0].apply_by_itself(&pool).await;
    assert_eq!(applied.parkings.len(), 1);
    assert_eq!(applied.stamp, None, "with somebody parked, nothing goes together");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_refuses_of_one_takes_effect_of_none() {
    let (pool, pending) = two_partitions().await;
    let refused = pending[0].events[0].customer_id;
    let check = format!("alter table read_models.credit_profiles add check (customer_id <> {refused}) not valid");
    execute(&pool, &check).await;
    let shares = pending.each_ref().map(Pending::share);
    apply_together(&pool, PROFILES, &shares).await.unwrap_err();
    for pending in &pending {
        assert_eq!(position(&pool, pending).await, pending.from);
    }
    assert_eq!(pending[0].apply_by_itself(&pool).await.parkings.len(), 1);
    assert!(pending[1].apply_by_itself(&pool).await.parkings.is_empty());
}
