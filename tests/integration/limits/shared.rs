//! What is shared: one limit over several processes, restarts, windows, and how seldom the database is asked.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use credit_approval::access::Caller;
use credit_approval::config::RateLimits;
use credit_approval::limits::{Limits, Verdict, purge_batch};
use credit_approval::metrics::Metrics;
use credit_approval::store::migrate::migrate;
use futures::StreamExt;
use futures::stream;
use prometheus_client::encoding::text::encode_registry;
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{ask, config, limits};
use crate::support::TestApp;
use crate::support::servers::servers;
use crate::support::sql::{count, number};

pub(super) const SOMEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// The limits of one process, without its HTTP.
pub(super) struct Process {
    pub(super) limits: Arc<Limits>,
    metrics: Metrics,
    upkeep: JoinHandle<()>,
    stop: CancellationToken,
}

impl Process {
    pub(super) fn start(options: &RateLimits, pool: &PgPool) -> Self {
        let metrics = Metrics::default();
        let (limits, upkeep) = Limits::new(options, pool, &metrics);
        let stop = CancellationToken::new();
        let upkeep = tokio::spawn(upkeep.run(stop.clone()));
        Self { limits, metrics, upkeep, stop }
    }

    pub(super) async fn check(&self, caller: &Caller) -> Verdict {
        self.limits.check(caller, SOMEWHERE).await
    }

    /// How many requests in a row are granted, of so many.
    pub(super) async fn granted(&self, caller: &Caller, requests: u32) -> u32 {
        let mut granted = 0;
        for _ in 0..requests {
            granted += u32::from(matches!(self.check(caller).await, Verdict::Granted(_)));
        }
        granted
    }

    /// What a metric of rate limits stands at.
    pub(super) fn counted(&self, metric: &str) -> u64 {
        let mut text = String::new();
        self.metrics.register(|registry| encode_registry(&mut text, registry)).expect("text");
        let name = format!("credit_approval_rate_limit_{metric} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&name));
        value.unwrap_or_else(|| panic!("there is no {name}in\n{text}")).parse().expect("a number")
    }

    /// As by a signal: what is not spent is given back.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.upkeep.await.expect("it stops");
    }
}

/// A migrated database of its own.
pub(super) async fn database() -> PgPool {
    let pool = PgPool::connect(&servers().database().await).await.expect("PostgreSQL answers");
    migrate(&pool, &pool).await.expect("the schemas are made");
    pool
}

pub(super) fn key(id: &str, hourly_limit: Option<u32>) -> Caller {
    Caller::Key { id: id.to_owned(), holder: id.to_owned(), hourly_limit }
}

/// Asks until it is refused; answers how often it was not.
async fn granted_until_refused(app: &TestApp) -> usize {
    let mut granted = 0;
    while ask(app).await.status != 429 {
        granted += 1;
    }
    granted
}

#[tokio::test]
async fn two_processes_together_grant_exactly_the_limit() {
    const LIMIT: u32 = 100;
    let one = TestApp::start_with(config(limits(LIMIT, LIMIT)).await).await;
    let other = one.another().await;
    let askers = (0..12).map(|n| granted_until_refused(if n % 3 == 0 { &one } else { &other }));
    let granted: usize = futures::future::join_all(askers).await.into_iter().sum();
    assert_eq!(granted, 100);
    assert_eq!((ask(&one).await.status, ask(&other).await.status), (429, 429));
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_restart_gives_nothing_more_and_takes_nothing_away() {
    let app = TestApp::start_with(config(limits(50, 50)).await).await;
    for _ in 0..23 {
        assert_ne!(ask(&app).await.status, 429);
    }
    let config = app.config.clone();
    app.stop().await;
    let again = TestApp::start_with(config).await;
    assert_eq!(granted_until_refused(&again).await, 27);
    again.stop().await;
}

#[tokio::test]
async fn a_process_that_dies_takes_a_little_with_it_and_brings_nothing_back() {
    let pool = database().await;
    let options = limits(100, 100);
    let died = Process::start(&options, &pool);
    assert_eq!(died.granted(&Caller::Anonymous, 23).await, 23);
    died.upkeep.abort();
    let next = Process::start(&options, &pool);
    let granted = next.granted(&Caller::Anonymous, 100).await;
    assert!((60..=77).contains(&granted), "{granted}");
    next.stop().await;
}

#[tokio::test]
async fn a_window_that_is_over_begins_anew() {
    let pool = database().await;
    let options = limits(20, 20);
    let before = Process::start(&options, &pool);
    assert_eq!(before.granted(&Caller::Anonymous, 25).await, 20);
    before.stop().await;
    for (minutes, granted) in [(59, 0), (61, 20)] {
        let aged = format!("update rate_limit_windows set started_at = now() - interval '{minutes} minutes'");
        sqlx::query(&aged).execute(&pool).await.unwrap();
        let process = Process::start(&options, &pool);
        assert_eq!(process.granted(&Caller::Anonymous, 25).await, granted, "after {minutes} minutes");
        process.stop().await;
    }
    // A clock that was a day ahead is set right.
    let ahead = "update rate_limit_windows set started_at = now() + interval '1 day'";
    sqlx::query(ahead).execute(&pool).await.unwrap();
    let process = Process::start(&options, &pool);
    assert_eq!(process.granted(&Caller::Anonymous, 25).await, 20);
    process.stop().await;
}

#[tokio::test]
async fn each_caller_has_a_limit_of_its_own() {
    let pool = database().await;
    let process = Process::start(&limits(2, 5), &pool);
    let token = |issuer: &str| Caller::Token { issuer: issuer.to_owned(), subject: "shop".to_owned() };
    assert_eq!(process.granted(&Caller::Anonymous, 9).await, 2);
    assert_eq!(process.granted(&key("own", Some(3)), 9).await, 3);
    assert_eq!(process.granted(&key("more", Some(700)), 900).await, 700);
    assert_eq!(process.granted(&key("usual", None), 9).await, 5);
    assert_eq!(process.granted(&token("https://a"), 9).await, 5);
    assert_eq!(process.granted(&token("https://b"), 9).await, 5);
    assert_eq!(process.check(&key("none", Some(0))).await, Verdict::Unlimited);
    process.stop().await;
}

#[tokio::test]
async fn the_database_is_asked_seldom() {
    let pool = database().await;
    let process = Process::start(&limits(100, 1000), &pool);
    let caller = key("busy", None);
    assert_eq!(process.granted(&caller, 1000).await, 1000);
    let leases = process.counted("leases_total");
    assert!((10..=80).contains(&leases), "{leases} leases for a thousand requests");

    assert_eq!(process.granted(&caller, 500).await, 0);
    assert!(process.counted("leases_total") <= leases + 2, "nor is it asked for each that is refused");
    assert_eq!(process.counted("failures_total"), 0);
    process.stop().await;
}

/// Many callers at once, the same ones in two processes: no two statements may wait for each other.
#[tokio::test]
async fn many_callers_at_once_are_each_held_to_their_limit() {
    const CALLERS: usize = 600;
    let pool = database().await;
    let processes = [(); 2].map(|()| Process::start(&limits(100, 6), &pool));
    let callers: Vec<_> = (0..CALLERS).map(|n| key(&n.to_string(), None)).collect();
    // Each caller sends ten, five by each process, and not in the same order.
    let requests = (0..CALLERS * 10).map(|n| {
        let (process, caller) = (&processes[n % 2], &callers[(n / 2 * 7) % CALLERS]);
        async move { matches!(process.check(caller).await, Verdict::Granted(_)) }
    });
    let granted = stream::iter(requests).buffer_unordered(500).filter(|granted| std::future::ready(*granted)).count();
    assert_eq!(granted.await, CALLERS * 6);
    assert_eq!(count(&pool, "rate_limit_windows where granted = 6").await, 600);
    for process in processes {
        assert_eq!(process.counted("failures_total"), 0);
        process.stop().await;
    }
}

#[tokio::test]
async fn windows_that_are_over_are_purged_in_batches() {
    let pool = database().await;
    let process = Process::start(&limits(10, 10), &pool);
    assert_eq!(process.granted(&Caller::Anonymous, 1).await, 1);
    sqlx::query(
        "insert into rate_limit_windows (subject, started_at, quota, granted, lease)
         select sha256(n::text::bytea), now() - interval '2 hours', 10, 10, 0 from generate_series(1, 1500) as n",
    )
    .execute(&pool)
    .await
    .unwrap();
    // A row that somebody holds is left for the next time.
    let mut holder = pool.begin().await.unwrap();
    let held = "with held as (select 1 from rate_limit_windows where started_at < now() - interval '1 hour'
                              order by started_at limit 1 for update) select count(*) from held";
    assert_eq!(number(&mut *holder, held).await, 1);
    assert_eq!(purge_batch(&pool).await.unwrap(), 1000);
    assert_eq!(purge_batch(&pool).await.unwrap(), 499);
    holder.rollback().await.unwrap();
    assert_eq!(purge_batch(&pool).await.unwrap(), 1);
    assert_eq!(count(&pool, "rate_limit_windows").await, 1, "one that lasts is kept");
    process.stop().await;
}
