//! Which read models somebody keeps, partition by partition, so that nobody waits for one that nobody does.
//!
//! While one version of the product takes the place of another there may be read models that no worker of either keeps:
//! those of the next version before its workers are there, those of the last one once they are gone. Workers show that
//! they are alive; where some do on a partition and none on one of its read models, that one is not waited for. Where
//! nobody shows on a partition at all, its workers are about to be taken over, and are waited for.

use std::time::{Duration, Instant};

use projections::workers::Heard;
use projections::{Partition, Projection, SLOTS, Slot, slot_index, slots};

/// A worker that was not seen to go round for longer keeps nothing.
const ALIVE_MILLISECONDS: i64 = 15_000;
/// For so long nobody must have been seen. A process shows its workers one by one as they begin.
const UNKEPT_FOR: Duration = Duration::from_secs(3);

/// What was seen of the workers.
pub(super) struct Kept {
    unkept_since: [Option<Instant>; SLOTS],
}

impl Kept {
    /// Nothing seen yet.
    pub(super) const fn new() -> Self {
        Self { unkept_since: [None; SLOTS] }
    }

    /// Whether there is anything that nobody seems to keep.
    pub(super) fn is_any_unkept(&self) -> bool {
        self.unkept_since.iter().any(Option::is_some)
    }

    /// Takes note of who was heard of at that time; answers of each slot whether it is worth waiting for.
    pub(super) fn heard(&mut self, workers: &[Heard], at: Instant) -> Vec<(Slot, bool)> {
        let alive: Vec<Slot> = workers.iter().filter_map(alive).collect();
        let mut kept = Vec::with_capacity(SLOTS);
        for slot in slots() {
            let is_kept = alive.contains(&slot) || !alive.iter().any(|(_, partition)| *partition == slot.1);
            let since = &mut self.unkept_since[slot_index(slot)];
            *since = if is_kept { None } else { since.or(Some(at)) };
            let for_long = since.is_some_and(|since| at.saturating_duration_since(since) >= UNKEPT_FOR);
            kept.push((slot, !for_long));
        }
        kept
    }
}

/// The slot of a worker that is alive.
fn alive(worker: &Heard) -> Option<Slot> {
    let is_alive = worker.age_milliseconds <= ALIVE_MILLISECONDS;
    let partition = Partition::from_number(u8::try_from(worker.partition).ok()?)?;
    Projection::from_name(&worker.projection).filter(|_| is_alive).map(|projection| (projection, partition))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use projections::workers::Heard;
    use projections::{Partition, Projection};

    use super::{ALIVE_MILLISECONDS, Kept, Slot, UNKEPT_FOR, slots};

    const PARTITION: u8 = 3;

    fn heard(projection: &str, age_milliseconds: i64) -> Heard {
        let (projection, process) = (projection.to_owned(), "projector-1".to_owned());
        Heard { projection, partition: PARTITION.into(), process, age_milliseconds, events_per_second: 0 }
    }

    /// The slots that are not worth waiting for after a look at `at`.
    fn unkept(kept: &mut Kept, workers: &[Heard], at: Instant) -> Vec<Slot> {
        let all = kept.heard(workers, at);
        assert_eq!(all.len(), slots().count());
        all.into_iter().filter_map(|(slot, is_kept)| (!is_kept).then_some(slot)).collect()
    }

    #[test]
    fn what_nobody_keeps_beside_others_is_not_waited_for_after_a_while() {
        let (mut kept, start) = (Kept::new(), Instant::now());
        let alive = ["customers", "loans", "decisions", "of_a_newer_version"].map(|name| heard(name, 100));
        let workers = [&alive[..], &[heard("credit_profiles", ALIVE_MILLISECONDS + 1)]].concat();
        assert_eq!(unkept(&mut kept, &workers, start), []);
        assert!(kept.is_any_unkept());
        assert_eq!(unkept(&mut kept, &workers, start + UNKEPT_FOR - Duration::from_millis(1)), []);
        let alone = (Projection::CreditProfiles, Partition::from_number(PARTITION).unwrap());
        assert_eq!(unkept(&mut kept, &workers, start + UNKEPT_FOR), [alone], "and nothing of other partitions");
    }

    #[test]
    fn a_worker_that_is_back_is_waited_for_at_once() {
        let (mut kept, start) = (Kept::new(), Instant::now());
        let gone = [heard("loans", 0)];
        unkept(&mut kept, &gone, start);
        assert_eq!(unkept(&mut kept, &gone, start + UNKEPT_FOR).len(), Projection::ALL.len() - 1);
        let back = Projection::ALL.map(|projection| heard(projection.name(), 0));
        assert_eq!(unkept(&mut kept, &back, start + UNKEPT_FOR), []);
        assert!(!kept.is_any_unkept());
        assert_eq!(unkept(&mut kept, &gone, start + UNKEPT_FOR * 2), [], "the while begins anew");
    }

    #[test]
    fn where_nobody_is_alive_somebody_will_take_over() {
        let (mut kept, start) = (Kept::new(), Instant::now());
        let dead = Projection::ALL.map(|projection| heard(projection.name(), ALIVE_MILLISECONDS * 4));
        for at in [start, start + UNKEPT_FOR * 2] {
            assert_eq!(unkept(&mut kept, &dead, at), []);
            assert_eq!(unkept(&mut kept, &[], at), []);
        }
    }
}
