//! Importing customers: a free integer id is kept, any other row gets a new id and keeps its own as `external_id`.

use std::collections::HashSet;

use aggregates::customer::{Customer, CustomerCommand, ImportCustomer};
use aggregates::ids::CustomerId;
use futures::future::join_all;

use crate::commands::{CommandError, handle, serialize};
use crate::store::append::{Append, AppendError, append};
use crate::store::ids::{IdError, Sequence, continue_above, draw_many};

use super::ImportError;
use super::reading::{GROUPS, Sheet};
use super::report::Tally;
use super::resolve::{digest, imported_before, kept_id, source_key, taken_ids, taken_phone_numbers};
use super::rows::{CustomerRow, Parsed, Reject, Warning};
use super::run::{MAX_CHUNK_ATTEMPTS, Owner, Run, came_of};

const KIND: &str = "customer";
const ID_COLUMN: &str = "Customer ID";
const PHONE_COLUMN: &str = "Phone Number";

/// A row that will be imported, and under which id.
struct New<'a> {
    row: &'a CustomerRow,
    id: Option<i64>,
}

/// What became of a chunk.
#[derive(Default)]
struct Resolved<'a> {
    new: Vec<New<'a>>,
    known: Vec<(&'a CustomerRow, i64)>,
    /// Imported by this very import, before it was interrupted.
    before: Vec<(&'a CustomerRow, i64)>,
    warnings: Vec<Warning>,
    rejects: Vec<Reject>,
}

impl Run<'_> {
    /// Takes the next rows of the workbook.
    pub(super) async fn take_customers(
        &mut self,
        sheet: &mut Sheet<CustomerRow>,
        chunk: Vec<Parsed<CustomerRow>>,
    ) -> Result<(), ImportError> {
        if !std::mem::replace(&mut sheet.begun, true) && !self.job.dry_run {
            continue_above(self.log.pool(), Sequence::Customers, sheet.largest_id).await?;
        }
        for parsed in &chunk {
            if let Parsed::Reject(Reject { customer_external_id: Some(id), .. }) = parsed {
                self.owners.entry(id.clone()).or_insert(None);
            }
        }
        let rows = self.sift(chunk, &mut sheet.tally);
        let name = sheet.name().to_owned();
        self.customer_chunk(&name, &rows, &mut sheet.tally).await
    }

    async fn customer_chunk(
        &mut self,
        sheet: &str,
        rows: &[CustomerRow],
        tally: &mut Tally,
    ) -> Result<(), ImportError> {
        let mut done = HashSet::new();
        for _ in 0..MAX_CHUNK_ATTEMPTS {
            let resolved = self.resolve_customers(sheet, rows, &done).await?;
            let (appended, missed) = if self.job.dry_run {
                let numbers = resolved.new.iter().map(|new| new.row.personal.phone_number.as_str().to_owned());
                self.pretended.extend(numbers);
                (resolved.new, 0)
            } else {
                self.append_customers(resolved.new).await?
            };
            for New { row, id } in &appended {
                tally.imported += 1;
                tally.renumbered += u64::from(id.is_none() || *id != kept_id(&row.external_id));
                let owner = if self.job.dry_run { Owner::Pending } else { Owner::Customer(id.unwrap_or(0)) };
                self.owners.insert(row.external_id.clone(), Some(owner));
                done.insert(row.row);
            }
            if missed > 0 {
                Self::pause().await;
                continue;
            }
            for (row, id) in resolved.before {
                tally.imported += 1;
                tally.renumbered += u64::from(Some(id) != kept_id(&row.external_id));
                self.owners.insert(row.external_id.clone(), Some(Owner::Customer(id)));
            }
            for (row, id) in resolved.known {
                tally.unchanged += 1;
                self.owners.insert(row.external_id.clone(), Some(Owner::Customer(id)));
            }
            for id in resolved.rejects.iter().filter_map(|reject| reject.customer_external_id.as_ref()) {
                self.owners.entry(id.clone()).or_insert(None);
            }
            self.warn(&resolved.warnings);
            resolved.rejects.iter().for_each(|reject| self.reject(reject, tally));
            return Ok(());
        }
        Err(ImportError::Contention)
    }

    /// Sorts a chunk's rows, but for those that are done, by what the store knows of them.
    async fn resolve_customers<'r>(
        &self,
        sheet: &str,
        rows: &'r [CustomerRow],
        done: &HashSet<u32>,
    ) -> Result<Resolved<'r>, ImportError> {
        let pool = self.log.pool();
        let keys: Vec<String> = rows.iter().map(key).collect();
        let numbers: Vec<&str> = rows.iter().map(|row| row.personal.phone_number.as_str()).collect();
        let mut taken_numbers = taken_phone_numbers(pool, &numbers).await?;
        let wanted: Vec<i64> = rows.iter().filter_map(|row| kept_id(&row.external_id)).collect();
        let mut taken_ids = taken_ids::<Customer>(pool, &wanted).await?;
        // Last: a row that another import brings in meanwhile is then known as that row, and not by its number alone.
        let imported = imported_before(pool, KIND, &keys).await?;
        let mut seen: HashSet<&str> = HashSet::new();

        let mut resolved = Resolved::default();
        for (row, key) in rows.iter().zip(&keys).filter(|(row, _)| !done.contains(&row.row)) {
            let number = row.personal.phone_number.as_str();
            if self.owners.contains_key(&row.external_id) || !seen.insert(&row.external_id) {
                resolved.rejects.push(reject(sheet, row, ID_COLUMN, "stands on an earlier row already"));
            } else if let Some(before) = imported.get(key).filter(|before| before.is_of(self.job.import_id())) {
                resolved.before.push((row, before.id));
            } else if let Some(before) = imported.get(key) {
                if !before.says(&content(row)) {
                    resolved.warnings.push(differs(sheet, row));
                }
                resolved.known.push((row, before.id));
            } else if self.pretended.contains(number) || !taken_numbers.insert(number.to_owned()) {
                resolved.rejects.push(reject(sheet, row, PHONE_COLUMN, "belongs to another customer"));
            } else {
                let id = kept_id(&row.external_id).filter(|id| taken_ids.insert(*id));
                resolved.new.push(New { row, id });
            }
        }
        Ok(resolved)
    }

    /// Gives new ids where none is kept, and appends. Answers what was appended, and how many were not because somebody
    /// was faster with an id or a number.
    async fn append_customers<'r>(&self, mut new: Vec<New<'r>>) -> Result<(Vec<New<'r>>, usize), ImportError> {
        let missing = new.iter().filter(|new| new.id.is_none()).count();
        let mut drawn = draw_many(self.log.pool(), Sequence::Customers, missing).await?.into_iter();
        let mut groups: [Vec<(New<'r>, bool)>; GROUPS] = Default::default();
        for (place, mut one) in new.drain(..).enumerate() {
            let is_renumbered = one.id.is_none();
            if is_renumbered {
                one.id = Some(drawn.next().ok_or(sqlx::Error::RowNotFound)?);
            }
            groups[place % GROUPS].push((one, is_renumbered));
        }
        let outcomes = join_all(groups.into_iter().map(|group| self.append_customer_group(group))).await;
        came_of(outcomes)
    }

    /// `false` where somebody was faster, and nothing of the group was appended.
    async fn append_customer_group<'r>(
        &self,
        group: Vec<(New<'r>, bool)>,
    ) -> Result<(Vec<New<'r>>, bool), ImportError> {
        let mut to_append = Append::default();
        for (New { row, id }, is_renumbered) in &group {
            self.push_customer(&mut to_append, row, id.unwrap_or(0), *is_renumbered).await?;
        }
        let group = group.into_iter().map(|(new, _)| new).collect();
        if !to_append.has_events() {
            return Ok((group, true));
        }
        match append(self.log.pool(), &to_append).await {
            Ok(_) => Ok((group, true)),
            Err(AppendError::Conflict | AppendError::PhoneNumberTaken(_)) => Ok((group, false)),
            Err(error @ (AppendError::KeyTaken | AppendError::Untaken(_) | AppendError::Store(_))) => Err(error.into()),
        }
    }

    async fn push_customer(
        &self,
        append: &mut Append,
        row: &CustomerRow,
        id: i64,
        renumbered: bool,
    ) -> Result<(), ImportError> {
        let customer_id = CustomerId::try_from(id).map_err(|error| CommandError::Id(IdError::UsedUp(error)))?;
        let command = ImportCustomer {
            customer_id,
            external_id: renumbered.then(|| row.external_id.clone()),
            personal: row.personal.clone(),
            monthly_income: row.monthly_income,
            approved_limit: row.approved_limit,
            current_debt: row.current_debt,
            at: self.at,
        };
        let events = handle(&mut Customer::default(), CustomerCommand::Import(command)).await;
        let events = events.map_err(CommandError::from)?;
        append.push(serialize::<Customer>(id, 0, events, &self.job.metadata(customer_id))?);
        append.reserve_phone_number(row.personal.phone_number.as_str(), id);
        append.remember_imported(KIND, key(row), id, digest(&content(row)), self.job.import_id());
        Ok(())
    }
}

fn reject(sheet: &str, row: &CustomerRow, column: &str, reason: &str) -> Reject {
    Reject {
        sheet: sheet.to_owned(),
        row: row.row,
        column: Some(column.to_owned()),
        reason: reason.to_owned(),
        customer_external_id: Some(row.external_id.clone()),
    }
}

fn differs(sheet: &str, row: &CustomerRow) -> Warning {
    let message = "differs from what was imported before, which stands".to_owned();
    Warning { sheet: sheet.to_owned(), row: row.row, column: None, message }
}

/// The id in the workbook and the name: with another name it is somebody else's row, with another phone number or
/// income it is not. The name goes in as a digest, for personal data has its place in the events.
fn key(row: &CustomerRow) -> String {
    let name = format!("{} {}", row.personal.first_name.as_str(), row.personal.last_name.as_str()).to_lowercase();
    let digest: String = digest(&name).iter().map(|byte| format!("{byte:02x}")).collect();
    source_key([&row.external_id, &digest])
}

/// Everything a row says, without where it stands.
fn content(row: &CustomerRow) -> String {
    let CustomerRow { row: _, external_id, personal, monthly_income, approved_limit, current_debt } = row;
    format!("{external_id:?} {personal:?} {monthly_income:?} {approved_limit:?} {current_debt:?}")
}
