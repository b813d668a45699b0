//! A read model held against a fold of the log, row by row, on a live system.
//!
//! A range of customers is read in one snapshot: rows, checkpoints and parked customers belong together there. What the
//! log holds up to those checkpoints is settled, so it can be read afterwards, at leisure.

use std::collections::{BTreeMap, HashMap, HashSet};

use sqlx::{PgConnection, PgPool};

use crate::customer::CustomerEvents;
use crate::model::{ReadModel, difference, load_customers};
use crate::parked::Parked;
use crate::rebuilds::Range;
use crate::{Partition, Projection, Target, checkpoint, credit_profiles, customers, decisions, loans, parked};

/// What all read models say of a range of customers, at one moment.
pub struct Snapshot {
    positions: HashMap<(Projection, Partition), i64>,
    /// Those that have not what came before their checkpoints: there is nothing to compare in them yet.
    unfilled: HashSet<Projection>,
    customers: Stored<customers::Customers>,
    loans: Stored<loans::Loans>,
    credit_profiles: Stored<credit_profiles::CreditProfiles>,
    decisions: Stored<decisions::Decisions>,
}

/// What one read model says of them. What was compared is taken out, so that what remains belongs to nobody.
struct Stored<M: ReadModel> {
    rows: BTreeMap<i64, M::Row>,
    parked: HashMap<i64, Parked>,
}

/// A row that is not what the log makes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// In which read model.
    pub projection: Projection,
    /// The row's primary key.
    pub id: i64,
    /// How it differs.
    pub what: String,
}

impl<M: ReadModel> Stored<M> {
    async fn load(connection: &mut PgConnection, range: Range) -> Result<Self, sqlx::Error> {
        let target = Target::Live(M::PROJECTION);
        let rows = load_customers::<M>(&mut *connection, target, range.after, range.to).await?;
        let parked = parked::list(connection, target, range.after, range.to, i64::MAX).await?;
        Ok(Self { rows, parked: parked.into_iter().map(|parked| (parked.customer_id, parked)).collect() })
    }

    /// Compares the rows of one customer, whose events are applied up to `position`.
    fn compare(&mut self, events: &CustomerEvents<'_>, position: i64) -> (u64, Vec<Difference>) {
        let parked_at = self.parked.get(&events.customer().get()).map(|parked| parked.position);
        let up_to = parked_at.map_or(position, |parked| position.min(parked - 1));
        let (folded, failed) = events.fold::<M>(up_to);
        let differs = |id, what| Difference { projection: M::PROJECTION, id, what };
        let mut differences = Vec::new();
        if let Some(failure) = failed {
            let what = format!("the event at position {} cannot be applied: {}", failure.position, failure.error);
            differences.push(differs(events.customer().get(), what));
        }
        let compared = u64::try_from(folded.len()).unwrap_or(u64::MAX);
        for (id, folded) in folded {
            match self.rows.remove(&id) {
                None => differences.push(differs(id, "is missing".to_owned())),
                Some(stored) if stored != folded => differences.push(differs(id, difference::<M>(&stored, &folded))),
                Some(_) => {}
            }
        }
        (compared, differences)
    }

    fn parked(&self) -> impl Iterator<Item = Difference> {
        self.parked.values().map(|parked| {
            let what = format!("the customer is parked at position {}: {}", parked.position, parked.error);
            Difference { projection: M::PROJECTION, id: parked.customer_id, what }
        })
    }

    fn left_over(&self) -> impl Iterator<Item = Difference> {
        let what = || "is there, and no event speaks of it".to_owned();
        self.rows.keys().map(move |id| Difference { projection: M::PROJECTION, id: *id, what: what() })
    }
}

impl Snapshot {
    /// Reads it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn take(read_models: &PgPool, range: Range) -> Result<Self, sqlx::Error> {
        let mut transaction =
            read_models.begin_with("begin transaction isolation level repeatable read read only").await?;
        // Before the snapshot is taken by the first query, so that no swap comes between checkpoints and tables.
        for projection in Projection::ALL {
            let sql = format!("lock table {} in access share mode", Target::Live(projection));
            sqlx::query(&sql).execute(&mut *transaction).await?;
        }
        let positions = checkpoint::load_all(&mut *transaction).await?;
        let is_unfilled = |held: &checkpoint::Checkpoint| held.version == checkpoint::UNFILLED;
        let unfilled = positions.iter().filter(|(.., held)| is_unfilled(held)).map(|(projection, ..)| *projection);
        let snapshot = Self {
            unfilled: unfilled.collect(),
            positions: positions
                .into_iter()
                .map(|(projection, partition, checkpoint)| ((projection, partition), checkpoint.position))
                .collect(),
            customers: Stored::load(&mut transaction, range).await?,
            loans: Stored::load(&mut transaction, range).await?,
            credit_profiles: Stored::load(&mut transaction, range).await?,
            decisions: Stored::load(&mut transaction, range).await?,
        };
        transaction.commit().await?;
        Ok(snapshot)
    }

    /// Up to where the read models have applied any partition: where the log has to be read to.
    #[must_use]
    pub fn furthest(&self) -> i64 {
        self.positions.values().copied().max().unwrap_or(0)
    }

    /// The customers that are parked: what the log holds of them from there on is not in the read model.
    #[must_use]
    pub fn parked(&self) -> Vec<Difference> {
        let (customers, profiles) = (self.customers.parked(), self.credit_profiles.parked());
        customers.chain(self.loans.parked()).chain(profiles).chain(self.decisions.parked()).collect()
    }

    /// Compares all rows of one customer; answers how many there are, and which differ.
    pub fn compare(&mut self, events: &CustomerEvents<'_>) -> (u64, Vec<Difference>) {
        let partition = Partition::of(events.customer());
        let mut compared = 0;
        let mut differences = Vec::new();
        for projection in Projection::ALL.into_iter().filter(|projection| !self.unfilled.contains(projection)) {
            let position = self.positions.get(&(projection, partition)).copied().unwrap_or(0);
            let (rows, found) = match projection {
                Projection::Customers => self.customers.compare(events, position),
                Projection::Loans => self.loans.compare(events, position),
                Projection::CreditProfiles => self.credit_profiles.compare(events, position),
                Projection::Decisions => self.decisions.compare(events, position),
            };
            compared += rows;
            differences.extend(found);
        }
        (compared, differences)
    }

    /// The rows that no customer's events have accounted for.
    #[must_use]
    pub fn left_over(&self) -> Vec<Difference> {
        let (customers, profiles) = (self.customers.left_over(), self.credit_profiles.left_over());
        let all = customers.chain(self.loans.left_over()).chain(profiles).chain(self.decisions.left_over());
        all.filter(|difference| !self.unfilled.contains(&difference.projection)).collect()
    }
}
