//! How many requests a caller may send in an hour, over all processes together. Nothing here knows HTTP.
//!
//! An hour is a window that a caller's first request opens and that ends sixty minutes later, whatever was sent: simple
//! to understand for who is refused, exact to count, and no moment at which every caller's quota returns at once. What it
//! allows at worst is two quotas in a row, at the end of one window and the beginning of the next.
//!
//! The windows are rows in the log's database ([`windows`]). A process leases a tenth of what is left of one at a time and
//! spends that in memory ([`held`]), so most requests ask nobody, and no two processes ever spend the same. All
//! that need a lease at one moment share a statement ([`lessor`]). What is not spent goes back ([`upkeep`]).

pub mod address;
mod counts;
mod held;
mod lessor;
mod subject;
mod subjects;
mod upkeep;
mod windows;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::sync::{mpsc, oneshot};

use crate::access::Caller;
use crate::config::{RateLimits, WithoutWindows};
use crate::metrics::Metrics;
use address::Proxies;
use counts::Counts;
use lessor::{Ask, Lessor, QUEUE};
use subject::Subject;
pub use subjects::MAX_SUBJECTS;
use subjects::Subjects;
pub use upkeep::Upkeep;
pub use windows::purge_batch;

/// How long a window is.
pub const WINDOW: Duration = Duration::from_secs(60 * 60);
/// Who needs a lease must not wait for those who need a connection for something else, nor they for it.
const CONNECTIONS: u32 = 2;
const CONNECT_WITHIN: Duration = Duration::from_millis(500);
const CONNECTION_IDLE: Duration = Duration::from_secs(60);

/// How a caller stands in its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Requests that the window allows.
    pub quota: u32,
    /// Requests that are left of it; other processes may have spent some of them meanwhile.
    pub remaining: u32,
    /// Until the window ends, rounded up; 1 at least.
    pub resets_in_seconds: u16,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing limits this caller.
    Unlimited,
    /// It is answered.
    Granted(Standing),
    /// The caller has sent as many as it may.
    Refused(Standing),
    /// Nobody knows how many the caller has sent, and without knowing nothing is let through.
    Unknown,
}

/// The limits of this process's callers.
pub struct Limits {
    anonymous: u32,
    authenticated: u32,
    without_windows: WithoutWindows,
    proxies: Proxies,
    subjects: Arc<Subjects>,
    asks: mpsc::Sender<Ask>,
    counts: Counts,
}

impl Limits {
    /// As configured, with what has to run beside them.
    #[must_use]
    pub fn new(options: &RateLimits, log: &PgPool, metrics: &Metrics) -> (Arc<Self>, Upkeep) {
        let counts = metrics.register(Counts::register);
        let pool = connections(log);
        let (asks, asked) = mpsc::channel(QUEUE);
        let subjects = Arc::new(Subjects::default());
        let limits = Arc::new(Self {
            anonymous: options.rate_limit_anonymous,
            authenticated: options.rate_limit_authenticated,
            without_windows: options.rate_limit_failure,
            proxies: Proxies::new(options.trusted_proxies.clone(), options.forwarded_header),
            subjects: Arc::clone(&subjects),
            asks,
            counts: counts.clone(),
        });
        let lessor = Lessor::new(asked, Arc::clone(&subjects), pool.clone(), counts.clone());
        (limits, Upkeep { lessor, subjects, pool, counts })
    }

    /// How to tell a client's address.
    #[must_use]
    pub const fn proxies(&self) -> &Proxies {
        &self.proxies
    }

    /// How many callers are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.subjects.len()
    }

    /// Whether a request of this caller, from this address, is answered; if so it is counted.
    pub async fn check(&self, caller: &Caller, address: IpAddr) -> Verdict {
        let quota = self.quota(caller);
        if quota == 0 {
            return Verdict::Unlimited;
        }
        let subject = Subject::of(caller, address);
        let taken = self.subjects.with(subject, |held| held.take(Instant::now(), quota));
        let verdict = match taken {
            Some(verdict) => verdict,
            None => self.lease(subject, quota).await,
        };
        self.counts.count(caller, verdict);
        verdict
    }

    /// Requests an hour; 0 is no limit.
    fn quota(&self, caller: &Caller) -> u32 {
        match caller {
            Caller::Anonymous => self.anonymous,
            Caller::Key { hourly_limit, .. } => hourly_limit.unwrap_or(self.authenticated),
            Caller::Token { .. } => self.authenticated,
        }
    }

    async fn lease(&self, subject: Subject, quota: u32) -> Verdict {
        let (reply, answer) = oneshot::channel();
        if self.asks.try_send(Ask { subject, quota, reply }).is_ok()
            && let Ok(verdict) = answer.await
        {
            return verdict;
        }
        let verdict = match self.without_windows {
            WithoutWindows::Open => self.subjects.with(subject, |held| held.trust(Instant::now(), quota)),
            WithoutWindows::Closed => Verdict::Unknown,
        };
        self.counts.count_unchecked(verdict);
        verdict
    }
}

/// Connections of their own, made when they are needed.
fn connections(log: &PgPool) -> PgPool {
    let options = PgConnectOptions::clone(&log.connect_options());
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(CONNECT_WITHIN);
    pool.idle_timeout(CONNECTION_IDLE).connect_lazy_with(options)
}
