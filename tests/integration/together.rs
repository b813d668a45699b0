//! Batches of several partitions in one statement (G4): each stands or falls with its own checkpoint.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use credit_approval::config::{Role, Serve};
use credit_approval::store::reader::read_partition;
use projections::checkpoint::{self, Stamp};
use projections::together::{Share, apply_together};
use projections::{Applied, Decoded, Partition, Projection, StoredEvent, Target, apply};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::log::Chain;
use crate::support::sql::execute;
use crate::support::traffic::borrow;
use crate::support::verified::assert_verified;
use crate::support::wait::eventually_within;

const MONTHLY_INCOME: u64 = 100_000;
const AT_ONCE: Duration = Duration::from_secs(10);
const PROFILES: Target = Target::Live(Projection::CreditProfiles);

/// What a partition still has to apply to the credit profiles.
struct Pending {
    partition: Partition,
    from: i64,
    stamp: Stamp,
    events: Vec<Arc<StoredEvent>>,
}

impl Pending {
    fn share(&self) -> Share {
        let to = self.events.last().map_or(self.from, |event| event.position);
        let (partition, from, stamp) = (self.partition, self.from, self.stamp.clone());
        let projection = Projection::CreditProfiles;
        Share { projection, partition, from, stamp, to, batch: Arc::new(self.events.clone()) }
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

    let mut by_partition: HashMap<Partition, Vec<Arc<StoredEvent>>> = HashMap::new();
    for (partition, message) in Chain::default().more(&pool).await {
        by_partition.entry(partition).or_default().extend(message.events);
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
    let moved = apply_together(pool, &shares).await.unwrap().into_keys();
    let mut moved: Vec<_> = moved.map(|(_, partition)| partition).collect();
    moved.sort();
    moved
}

/// A log of two customers who have borrowed, in partitions of their own, of which every read model has applied the
/// registrations only; with what is left to each.
async fn all_read_models() -> (PgPool, Vec<Share>) {
    let (pool, pending) = two_partitions().await;
    execute(&pool, "truncate read_models.customers, read_models.loans, read_models.credit_profiles").await;
    execute(&pool, "truncate read_models.decisions, read_models.checkpoints").await;
    let mut shares = Vec::new();
    for Pending { partition, from, events, .. } in pending {
        let registered = read_partition(&pool, partition, 0, from, 1).await.unwrap();
        let (to, batch) = (events[events.len() - 1].position, Arc::new(events));
        for projection in Projection::ALL {
            let applied = apply(&pool, Target::Live(projection), partition, 0, from, &registered).await.unwrap();
            let (stamp, batch) = (applied.stamp.unwrap(), Arc::clone(&batch));
            shares.push(Share { projection, partition, from, stamp, to, batch });
        }
    }
    (pool, shares)
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
    let unreadable = StoredEvent { event_version: "9.0".to_owned(), ..StoredEvent::clone(&pending[0].events[0]) };
    pending[0].events[0] = Arc::new(StoredEvent { decoded: Decoded::default(), ..unreadable });
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
    apply_together(&pool, &shares).await.unwrap_err();
    for pending in &pending {
        assert_eq!(position(&pool, pending).await, pending.from);
    }
    assert_eq!(pending[0].apply_by_itself(&pool).await.parkings.len(), 1);
    assert!(pending[1].apply_by_itself(&pool).await.parkings.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn all_read_models_go_together_and_each_stands_by_itself() {
    let (pool, mut shares) = all_read_models().await;
    let stale = shares.iter_mut().find(|share| share.projection == Projection::Loans).unwrap();
    let (partition, from, to, batch) = (stale.partition, stale.from, stale.to, Arc::clone(&stale.batch));
    let mut transaction = pool.begin().await.unwrap();
    checkpoint::lock(&mut transaction, Target::Live(Projection::Loans), partition).await.unwrap();
    transaction.commit().await.unwrap();
    let moved = apply_together(&pool, &shares).await.unwrap();
    assert_eq!(moved.len(), shares.len() - 1);
    assert!(!moved.contains_key(&(Projection::Loans, partition)), "somebody was there meanwhile");
    apply(&pool, Target::Live(Projection::Loans), partition, from, to, &batch).await.unwrap();
    assert_verified(&pool).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_whose_table_is_locked_holds_no_other_one_up() {
    let app = TestApp::start_with(Serve { visibility_timeout: 0, ..TestApp::config(&[]).await }).await;
    let pool = app.pool().await;
    app.client.register(MONTHLY_INCOME).await;
    assert_verified(&pool).await;
    let mut lock = pool.begin().await.unwrap();
    sqlx::query("lock table read_models.loans in access exclusive mode").execute(&mut *lock).await.unwrap();
    for _ in 0..3 {
        let customer = app.client.register(MONTHLY_INCOME).await;
        eventually_within("the others have it", AT_ONCE, async || {
            let has = "select exists (select from read_models.customers where customer_id = $1)
                          and exists (select from read_models.credit_profiles where customer_id = $1)";
            sqlx::query_scalar::<_, bool>(has).bind(customer).fetch_one(&pool).await.unwrap()
        })
        .await;
    }
    lock.rollback().await.unwrap();
    assert_verified(&pool).await;
    app.stop().await;
}
