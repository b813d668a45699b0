//! Up to where a profile must go to be whole: the last event that is known of each customer, of one partition.
//!
//! Bounded: of customers that were touched long ago only the latest position at which any of them was is known.

use std::collections::HashMap;

use aggregates::ids::CustomerId;

/// Customers of one partition of whom more is known; eight partitions of them take three megabytes.
const MAX_CUSTOMERS: usize = 8192;

/// Who was touched where.
pub(super) struct Touches {
    /// Whoever is not in `last` was touched here at the latest.
    floor: i64,
    last: HashMap<i64, i64>,
}

impl Touches {
    /// Anybody may have been touched anywhere.
    pub(super) fn unknown() -> Self {
        Self::after(i64::MAX)
    }

    /// Nobody was touched behind a position.
    pub(super) fn after(position: i64) -> Self {
        Self { floor: position, last: HashMap::new() }
    }

    /// The position at which a customer was touched at the latest.
    pub(super) fn last(&self, customer: CustomerId) -> i64 {
        self.last.get(&customer.get()).copied().unwrap_or(self.floor)
    }

    /// A customer was touched at a position.
    pub(super) fn note(&mut self, customer: CustomerId, position: i64) {
        if position <= self.floor {
            return;
        }
        if self.last.len() >= MAX_CUSTOMERS {
            self.forget_the_earlier_half();
        }
        self.last.insert(customer.get(), position);
    }

    fn forget_the_earlier_half(&mut self) {
        let mut positions: Vec<i64> = self.last.values().copied().collect();
        let middle = positions.len() / 2;
        let (_, median, _) = positions.select_nth_unstable(middle);
        self.floor = self.floor.max(*median);
        self.last.retain(|_, position| *position > self.floor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn customer(id: i64) -> CustomerId {
        CustomerId::try_from(id).unwrap()
    }

    #[test]
    fn what_is_unknown_lies_beyond_every_position() {
        let mut touches = Touches::unknown();
        touches.note(customer(1), 7);
        assert_eq!(touches.last(customer(1)), i64::MAX);
    }

    #[test]
    fn a_customer_was_touched_last_at_its_own_position_or_at_the_start() {
        let mut touches = Touches::after(10);
        touches.note(customer(1), 12);
        touches.note(customer(1), 15);
        assert_eq!((touches.last(customer(1)), touches.last(customer(2))), (15, 10));
    }

    #[test]
    fn however_many_are_touched_few_are_kept_and_none_is_ever_thought_to_be_touched_earlier() {
        let mut touches = Touches::after(0);
        for id in 1..=100_000 {
            touches.note(customer(id), id);
            assert!(touches.last.len() <= MAX_CUSTOMERS);
        }
        for id in 1..=100_000 {
            assert!(touches.last(customer(id)) >= id);
        }
        assert_eq!(touches.last(customer(100_000)), 100_000);
        assert!(touches.last(customer(1)) < 100_000, "the start of what is known rises no higher than it must");
    }
}
