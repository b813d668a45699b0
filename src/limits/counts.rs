//! What is counted of rate limits.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Verdict;
use crate::access::Caller;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCaller {
    caller: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    outcome: &'static str,
}

const CALLERS: [&str; 3] = ["anonymous", "key", "token"];
const OUTCOMES: [&str; 2] = ["allowed", "refused"];

#[derive(Clone, Default)]
pub(super) struct Counts {
    allowed: Family<OfCaller, Counter>,
    refused: Family<OfCaller, Counter>,
    unchecked: Family<OfOutcome, Counter>,
    returned: Counter,
    pub(super) leases: Counter,
    pub(super) failures: Counter,
    pub(super) subjects: Gauge,
}

impl Counts {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let counts = Self::default();
        for caller in CALLERS {
            drop(counts.allowed.get_or_create(&OfCaller { caller }));
            drop(counts.refused.get_or_create(&OfCaller { caller }));
        }
        for outcome in OUTCOMES {
            drop(counts.unchecked.get_or_create(&OfOutcome { outcome }));
        }
        let help = "Requests within their caller's rate limit";
        registry.register("rate_limit_allowed", help, counts.allowed.clone());
        let help = "Requests refused because their caller's rate limit was reached or could not be told";
        registry.register("rate_limit_refused", help, counts.refused.clone());
        let help = "Requests let through or refused without knowing what other processes let through";
        registry.register("rate_limit_unchecked", help, counts.unchecked.clone());
        let help = "Leases of requests that this process took";
        registry.register("rate_limit_leases", help, counts.leases.clone());
        let help = "Requests that this process had leased and gave back unspent";
        registry.register("rate_limit_returned", help, counts.returned.clone());
        let help = "Times that the database did not answer a request for leases, or did not take some back";
        registry.register("rate_limit_failures", help, counts.failures.clone());
        let help = "Callers whose rate limit this process remembers";
        registry.register("rate_limit_subjects", help, counts.subjects.clone());
        counts
    }

    pub(super) fn count(&self, caller: &Caller, verdict: Verdict) {
        let counter = match verdict {
            Verdict::Unlimited => return,
            Verdict::Granted(_) => &self.allowed,
            Verdict::Refused(_) | Verdict::Unknown => &self.refused,
        };
        let caller = match caller {
            Caller::Anonymous => "anonymous",
            Caller::Key { .. } => "key",
            Caller::Token { .. } => "token",
        };
        counter.get_or_create(&OfCaller { caller }).inc();
    }

    pub(super) fn count_unchecked(&self, verdict: Verdict) {
        let outcome = match verdict {
            Verdict::Unlimited | Verdict::Granted(_) => "allowed",
            Verdict::Refused(_) | Verdict::Unknown => "refused",
        };
        self.unchecked.get_or_create(&OfOutcome { outcome }).inc();
    }

    pub(super) fn count_returned(&self, tokens: impl Iterator<Item = u32>) {
        self.returned.inc_by(tokens.map(u64::from).sum());
    }
}
