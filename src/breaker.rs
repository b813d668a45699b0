//! A circuit breaker: whoever stands behind it is not asked while it is known not to answer.
//!
//! Closed, everybody asks. After so many failures in a row it opens, and nobody does. When it has cooled down it lets
//! one through to try ([`Breaker::may_try`]): success closes it, failure opens it again. Time is an input here, and
//! what counts as a failure is the caller's to say.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet};
use prometheus_client::metrics::MetricType;
use tokio::sync::watch;

use crate::metrics::Metrics;

/// A breaker; its clones are the same one.
#[derive(Clone)]
pub struct Breaker(Arc<Parts>);

struct Parts {
    name: &'static str,
    limits: Limits,
    phase: watch::Sender<Phase>,
    opened: AtomicU64,
}

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// So many failures in a row open it.
    pub failures: u32,
    /// So long nobody asks.
    pub cool_down: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// Somebody tries. Who tries may end without a word, so there is a time for this, too.
    HalfOpen {
        until: Instant,
    },
}

/// What a breaker is, for people and for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Everybody asks.
    Closed,
    /// Nobody asks.
    Open,
    /// One tries.
    HalfOpen,
}

impl State {
    const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("name", &self.0.name).field("phase", &*self.0.phase.borrow()).finish()
    }
}

impl Breaker {
    /// A closed one.
    #[must_use]
    pub fn new(name: &'static str, limits: Limits) -> Self {
        let phase = watch::Sender::new(Phase::Closed { failures: 0 });
        Self(Arc::new(Parts { name, limits, phase, opened: AtomicU64::new(0) }))
    }

    /// What it is now.
    #[must_use]
    pub fn state(&self) -> State {
        match *self.0.phase.borrow() {
            Phase::Closed { .. } => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }

    /// Whether everybody may ask.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state() == State::Closed
    }

    /// Whether one may ask who is ready to meet a failure: also, one at a time, where it has cooled down.
    #[must_use]
    pub fn may_try(&self, now: Instant) -> bool {
        if self.is_closed() {
            return true;
        }
        let mut may = false;
        self.0.phase.send_if_modified(|phase| match *phase {
            Phase::Closed { .. } => {
                may = true;
                false
            }
            Phase::Open { until } | Phase::HalfOpen { until } if now < until => false,
            Phase::Open { .. } | Phase::HalfOpen { .. } => {
                may = true;
                *phase = Phase::HalfOpen { until: now + self.0.limits.cool_down };
                true
            }
        });
        may
    }

    /// An answer came.
    pub fn succeeded(&self) {
        const SOUND: Phase = Phase::Closed { failures: 0 };
        if *self.0.phase.borrow() == SOUND {
            return;
        }
        if !matches!(self.0.phase.send_replace(SOUND), Phase::Closed { .. }) {
            tracing::info!(breaker = self.0.name, "it answers again");
        }
    }

    /// None came.
    pub fn failed(&self, now: Instant) {
        let Limits { failures: allowed, cool_down } = self.0.limits;
        let open = Phase::Open { until: now + cool_down };
        let mut opens = false;
        self.0.phase.send_if_modified(|phase| {
            let next = match *phase {
                Phase::Closed { failures } if failures + 1 >= allowed => {
                    opens = true;
                    open
                }
                Phase::Closed { failures } => Phase::Closed { failures: failures + 1 },
                Phase::HalfOpen { .. } => open,
                // Of those who asked before it opened.
                Phase::Open { .. } => return false,
            };
            *phase = next;
            true
        });
        if opens {
            self.0.opened.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(breaker = self.0.name, "it does not answer; nobody asks until a try succeeds");
        }
    }

    /// Until it is not closed.
    pub async fn opened(&self) {
        // The sender lives as long as `self`, so waiting ends only by being there.
        let _ = self.0.phase.subscribe().wait_for(|phase| !matches!(phase, Phase::Closed { .. })).await;
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfBreaker {
    breaker: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    breaker: &'static str,
    state: &'static str,
}

#[derive(Debug)]
struct Breakers(Vec<Breaker>);

/// Adds what breakers are to the metrics.
pub fn register(metrics: &Metrics, breakers: Vec<Breaker>) {
    metrics.register(|registry| registry.register_collector(Box::new(Breakers(breakers))));
}

impl Collector for Breakers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "1 for the state that the circuit breaker is in";
        let mut states = encoder.encode_descriptor("breaker_state", help, None, MetricType::Gauge)?;
        for breaker in &self.0 {
            for state in State::ALL {
                let label = OfState { breaker: breaker.0.name, state: state.name() };
                states.encode_family(&label)?.encode_gauge(&i64::from(breaker.state() == state))?;
            }
        }
        let help = "Times that the circuit breaker has opened";
        let mut opened = encoder.encode_descriptor("breaker_opened", help, None, MetricType::Counter)?;
        for breaker in &self.0 {
            let count = breaker.0.opened.load(Ordering::Relaxed);
            let label = OfBreaker { breaker: breaker.0.name };
            opened.encode_family(&label)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOL_DOWN: Duration = Duration::from_secs(2);

    fn breaker(failures: u32) -> (Breaker, Instant) {
        (Breaker::new("test", Limits { failures, cool_down: COOL_DOWN }), Instant::now())
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let (breaker, now) = breaker(3);
        for _ in 0..10 {
            breaker.failed(now);
            breaker.failed(now);
            assert!(breaker.is_closed());
            breaker.succeeded();
        }
        for failures in 1..=3 {
            assert!(breaker.is_closed(), "{failures}");
            breaker.failed(now);
        }
        assert_eq!(breaker.state(), State::Open);
    }

    #[test]
    fn open_it_lets_nobody_through_until_it_has_cooled_down_and_then_one() {
        let (breaker, now) = breaker(1);
        breaker.failed(now);
        assert!(!breaker.may_try(now) && !breaker.may_try(now + COOL_DOWN / 2));
        let later = now + COOL_DOWN;
        assert!(breaker.may_try(later));
        assert_eq!(breaker.state(), State::HalfOpen);
        assert!(!breaker.may_try(later), "one tries already");
        breaker.succeeded();
        assert!(breaker.is_closed() && breaker.may_try(later));
    }

    #[test]
    fn a_try_that_fails_opens_it_again_for_as_long() {
        let (breaker, now) = breaker(1);
        breaker.failed(now);
        let later = now + COOL_DOWN;
        assert!(breaker.may_try(later));
        breaker.failed(later);
        assert_eq!(breaker.state(), State::Open);
        assert!(!breaker.may_try(later + COOL_DOWN / 2));
        assert!(breaker.may_try(later + COOL_DOWN));
    }

    #[test]
    fn who_tries_and_never_says_what_came_of_it_is_not_waited_for_for_good() {
        let (breaker, now) = breaker(1);
        breaker.failed(now);
        assert!(breaker.may_try(now + COOL_DOWN));
        assert!(breaker.may_try(now + 2 * COOL_DOWN));
    }

    #[test]
    fn failures_of_those_who_asked_before_it_opened_do_not_keep_it_open() {
        let (breaker, now) = breaker(1);
        breaker.failed(now);
        breaker.failed(now + COOL_DOWN / 2);
        assert!(breaker.may_try(now + COOL_DOWN));
    }

    #[tokio::test]
    async fn it_is_told_when_it_opens() {
        let (breaker, now) = breaker(1);
        let waiting = tokio::spawn({
            let breaker = breaker.clone();
            async move { breaker.opened().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        breaker.failed(now);
        tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
    }

    #[test]
    fn metrics_say_what_it_is_and_how_often_it_opened() {
        let (breaker, now) = breaker(1);
        breaker.failed(now);
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register_collector(Box::new(Breakers(vec![breaker])));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "breaker_state{breaker=\"test\",state=\"open\"} 1",
            "breaker_state{breaker=\"test\",state=\"closed\"} 0",
            "breaker_opened_total{breaker=\"test\"} 1",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
