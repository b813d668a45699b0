//! How many are worked on at once: so many are let in, so many wait a short while for one to leave, and the rest are sent
//! away at once. So what is let in is done in time, whatever is asked for.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Load;
use crate::metrics::Metrics;

/// How many are let in, and who waits.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// So many are worked on at once, at most.
    pub at_once: u32,
    /// So many wait, at most.
    pub queued: u32,
    /// So long they wait, at most.
    pub wait: Duration,
    /// So long one takes, at most, once it is let in. It is whoever lets it in that sees to it.
    pub takes: Duration,
}

/// Sent away: there was no room, nor became any in time.
#[derive(Debug, PartialEq, Eq)]
pub struct SentAway;

/// Lets so many in at once.
pub struct Gate {
    bounds: Bounds,
    slots: Arc<Semaphore>,
    in_flight: Gauge,
    queued: Gauge,
    no_room: Counter,
    waited_in_vain: Counter,
    timed_out: Counter,
}

/// One that was let in, for as long as this lives.
pub struct Slot {
    _permit: OwnedSemaphorePermit,
    in_flight: Gauge,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.in_flight.dec();
    }
}

/// One that waits, for as long as this lives.
struct Queued<'a>(&'a Gauge);

impl<'a> Queued<'a> {
    fn among(queued: &'a Gauge, at_most: u32) -> Option<Self> {
        let place = Self(queued);
        (queued.inc() < i64::from(at_most)).then_some(place)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Gate {
    /// Lets one in, at once or after a short wait.
    ///
    /// # Errors
    /// [`SentAway`].
    pub async fn enter(&self) -> Result<Slot, SentAway> {
        if let Ok(permit) = Arc::clone(&self.slots).try_acquire_owned() {
            return Ok(self.slot(permit));
        }
        let Some(_place) = Queued::among(&self.queued, self.bounds.queued) else {
            self.no_room.inc();
            return Err(SentAway);
        };
        match tokio::time::timeout(self.bounds.wait, Arc::clone(&self.slots).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(self.slot(permit)),
            // Nobody closes the semaphore, so it is the time that is up.
            Ok(Err(_)) | Err(_) => {
                self.waited_in_vain.inc();
                Err(SentAway)
            }
        }
    }

    fn slot(&self, permit: OwnedSemaphorePermit) -> Slot {
        self.in_flight.inc();
        Slot { _permit: permit, in_flight: self.in_flight.clone() }
    }

    /// How long one takes, at most.
    #[must_use]
    pub const fn takes(&self) -> Duration {
        self.bounds.takes
    }

    /// One took longer.
    pub fn timed_out(&self) {
        self.timed_out.inc();
    }
}

/// The gates of a process, by what is asked for.
pub struct Gates {
    /// For what is done soon.
    pub ordinary: Gate,
    /// For what reads much.
    pub heavy: Gate,
    /// For what takes long.
    pub long: Gate,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfClass {
    class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReason {
    class: &'static str,
    reason: &'static str,
}

#[derive(Default)]
struct Counted {
    max: Family<OfClass, Gauge>,
    in_flight: Family<OfClass, Gauge>,
    queued: Family<OfClass, Gauge>,
    shed: Family<OfReason, Counter>,
    timed_out: Family<OfClass, Counter>,
}

impl Gates {
    /// Of that size. An ordinary request takes at least `at_least`, if it has to.
    #[must_use]
    pub fn new(load: &Load, at_least: Duration, metrics: &Metrics) -> Self {
        let counted = Counted::register(metrics);
        let takes = load.request_timeout().max(at_least);
        let wait = load.queue_timeout();
        let heavy = Bounds { at_once: load.max_heavy_requests, queued: load.max_heavy_requests, wait, takes };
        let ordinary = Bounds { at_once: load.max_concurrent_requests, queued: load.max_queued_requests, ..heavy };
        let long = Bounds { takes: load.long_request_timeout(), ..heavy };
        Self {
            ordinary: counted.gate("ordinary", ordinary),
            heavy: counted.gate("heavy", heavy),
            long: counted.gate("long", long),
        }
    }
}

impl Counted {
    fn register(metrics: &Metrics) -> Self {
        let Self { max, in_flight, queued, shed, timed_out } = Self::default();
        metrics.register(|registry| {
            registry.register("requests_in_flight_max", "Requests that are worked on at once, at most", max.clone());
            registry.register("requests_in_flight", "Requests that are worked on", in_flight.clone());
            registry.register("requests_queued", "Requests that wait for their turn", queued.clone());
            registry.register("requests_shed", "Requests that were refused since there was too much", shed.clone());
            registry.register("requests_timed_out", "Requests that took longer than they may", timed_out.clone());
        });
        Self { max, in_flight, queued, shed, timed_out }
    }

    fn gate(&self, class: &'static str, bounds: Bounds) -> Gate {
        let shed = |reason| self.shed.get_or_create(&OfReason { class, reason }).clone();
        let class = OfClass { class };
        self.max.get_or_create(&class).set(bounds.at_once.into());
        Gate {
            bounds,
            // At most a hundred thousand.
            slots: Arc::new(Semaphore::new(usize::try_from(bounds.at_once).unwrap_or(Semaphore::MAX_PERMITS))),
            in_flight: self.in_flight.get_or_create(&class).clone(),
            queued: self.queued.get_or_create(&class).clone(),
            no_room: shed("no_room"),
            waited_in_vain: shed("waited_in_vain"),
            timed_out: self.timed_out.get_or_create(&class).clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(at_once: u32, queued: u32, wait: Duration) -> Gate {
        Counted::default().gate("test", Bounds { at_once, queued, wait, takes: Duration::MAX })
    }

    #[tokio::test]
    async fn so_many_are_let_in_and_the_next_one_when_one_leaves() {
        let gate = gate(2, 1, Duration::from_secs(60));
        let (first, _second) = (gate.enter().await.unwrap(), gate.enter().await.unwrap());
        assert_eq!(gate.in_flight.get(), 2);
        let mut third = std::pin::pin!(gate.enter());
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut third).await.is_err(), "it waits");
        assert_eq!(gate.queued.get(), 1);
        assert_eq!(gate.enter().await.err(), Some(SentAway), "one waits already");
        drop(first);
        let _third = third.await.unwrap();
        assert_eq!((gate.in_flight.get(), gate.queued.get(), gate.no_room.get()), (2, 0, 1));
    }

    #[tokio::test]
    async fn who_has_waited_long_enough_is_sent_away() {
        let gate = gate(1, 1, Duration::from_millis(20));
        let _first = gate.enter().await.unwrap();
        assert_eq!(gate.enter().await.err(), Some(SentAway));
        assert_eq!((gate.queued.get(), gate.waited_in_vain.get(), gate.no_room.get()), (0, 1, 0));
    }

    #[tokio::test]
    async fn who_gives_up_waiting_leaves_the_queue() {
        let gate = gate(1, 1, Duration::from_secs(60));
        let first = gate.enter().await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(20), gate.enter()).await.is_err());
        assert_eq!(gate.queued.get(), 0);
        drop(first);
        assert!(gate.enter().await.is_ok());
        assert_eq!(gate.in_flight.get(), 0);
    }

    #[tokio::test]
    async fn without_a_queue_the_first_too_many_is_sent_away() {
        let gate = gate(1, 0, Duration::from_secs(60));
        let _first = gate.enter().await.unwrap();
        assert_eq!(gate.enter().await.err(), Some(SentAway));
    }
}
