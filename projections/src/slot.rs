//! A worker's place: one partition of one read model.

use crate::{PARTITIONS, Partition, Projection};

/// Which read model, which partition.
pub type Slot = (Projection, Partition);

/// How many there are.
pub const SLOTS: usize = Projection::ALL.len() * PARTITIONS as usize;

/// All there are, in the order of their indexes.
pub fn slots() -> impl Iterator<Item = Slot> {
    Projection::ALL.into_iter().flat_map(|projection| Partition::all().map(move |partition| (projection, partition)))
}

/// Its place among them.
#[must_use]
pub fn slot_index((projection, partition): Slot) -> usize {
    projection.index() * usize::from(PARTITIONS) + partition.index()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slot_stands_at_its_index() {
        assert_eq!(slots().map(slot_index).collect::<Vec<_>>(), (0..SLOTS).collect::<Vec<_>>());
    }
}
