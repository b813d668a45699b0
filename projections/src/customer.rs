//! One customer's events folded from the first on, for one read model after another: what rebuilds, redriving and
//! verification share. An event that cannot be applied ends the fold there, as it parks the customer when it is live.

use std::collections::BTreeMap;

use aggregates::event::UnreadableEvent;
use aggregates::ids::CustomerId;

use crate::model::{ReadModel, fold};
use crate::parked::error_text;
use crate::{RecordedEvent, StoredEvent};

/// All events of one customer up to some position, in order, decoded once.
pub struct CustomerEvents<'a> {
    customer: CustomerId,
    stored: &'a [StoredEvent],
    /// Up to the first that cannot be read.
    recorded: Vec<RecordedEvent>,
    unreadable: Option<UnreadableEvent>,
}

/// Where a fold ended early, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The event that could not be applied.
    pub position: i64,
    /// What kind of event it is.
    pub event_type: String,
    /// The error with its causes.
    pub error: String,
    /// Whether this build cannot read the event.
    pub unreadable: bool,
}

impl<'a> CustomerEvents<'a> {
    /// Decodes them.
    #[must_use]
    pub fn new(customer: CustomerId, stored: &'a [StoredEvent]) -> Self {
        let mut recorded = Vec::with_capacity(stored.len());
        let mut unreadable = None;
        for event in stored {
            match event.decode() {
                Ok(event) => recorded.push(event),
                Err(error) => {
                    unreadable = Some(error);
                    break;
                }
            }
        }
        Self { customer, stored, recorded, unreadable }
    }

    /// Whose they are.
    #[must_use]
    pub const fn customer(&self) -> CustomerId {
        self.customer
    }

    /// As they lie in the log, with those that cannot be read.
    #[must_use]
    pub const fn stored(&self) -> &'a [StoredEvent] {
        self.stored
    }

    /// Decoded, up to the first that cannot be read.
    #[must_use]
    pub fn recorded(&self) -> &[RecordedEvent] {
        &self.recorded
    }

    /// The first event that cannot be read.
    #[must_use]
    pub fn unreadable(&self) -> Option<(&'a StoredEvent, &UnreadableEvent)> {
        Some((self.stored.get(self.recorded.len())?, self.unreadable.as_ref()?))
    }

    /// The rows that the events up to `up_to` make, and where the fold ended before that.
    pub(crate) fn fold<M: ReadModel>(&self, up_to: i64) -> (BTreeMap<i64, M::Row>, Option<Failure>) {
        let mut rows: BTreeMap<i64, Option<M::Row>> = BTreeMap::new();
        let mut failed = None;
        for (event, stored) in self.recorded.iter().zip(self.stored).take_while(|(event, _)| event.position <= up_to) {
            if let Some(change) = M::change(event)
                && let Err(error) = fold::<M>(rows.entry(change.id).or_default(), event)
            {
                failed = Some(Failure::of(stored, &error, false));
                break;
            }
        }
        if failed.is_none()
            && let Some((event, error)) = self.unreadable().filter(|(event, _)| event.position <= up_to)
        {
            failed = Some(Failure::of(event, error, true));
        }
        (rows.into_iter().filter_map(|(id, row)| Some((id, row?))).collect(), failed)
    }
}

impl Failure {
    pub(crate) fn of(event: &StoredEvent, error: &dyn std::error::Error, unreadable: bool) -> Self {
        let error = error_text(error);
        Self { position: event.position, event_type: event.event_type.clone(), error, unreadable }
    }
}
