//! Importing loans: only customer and loan id together are unique, so a loan whose id is taken gets a new one.

use std::collections::{HashMap, HashSet};

use aggregates::customer::{CarryOverLoan, Customer, CustomerCommand, CustomerRefusal};
use aggregates::ids::{CustomerId, LoanId};
use aggregates::loan::{ImportLoan, Loan, LoanCommand, LoanTerms};
use aggregates::profile::LoanRecord;
use futures::future::{join_all, try_join};

use crate::commands::{CommandError, handle, serialize};
use crate::store::append::{Append, AppendError, append};
use crate::store::ids::{IdError, Sequence, continue_above, draw_many};

use super::ImportError;
use super::reading::{GROUPS, Sheet};
use super::report::Tally;
use super::resolve::{
    EarlierCustomer, LoadedCustomer, digest, earlier_customer, imported_before, kept_id, load_customers, source_key,
    taken_ids,
};
use super::rows::{LoanRow, Parsed, Reject, Warning};
use super::run::{MAX_CHUNK_ATTEMPTS, Owner, Run, came_of};

const KIND: &str = "loan";
const CUSTOMER_COLUMN: &str = "Customer ID";
const LOAN_COLUMN: &str = "Loan ID";

/// What earlier rows of this import have taken.
#[derive(Default)]
pub(super) struct Earlier {
    /// Keys of the rows, shortened.
    keys: HashSet<[u8; KEY_BYTES]>,
    /// Ids, which a dry run has to remember by itself, for it writes nothing.
    ids: HashSet<i64>,
}

/// Enough that two of a million keys never meet.
const KEY_BYTES: usize = 16;

fn short(key: &str) -> [u8; KEY_BYTES] {
    let mut short = [0; KEY_BYTES];
    short.iter_mut().zip(digest(key)).for_each(|(to, from)| *to = from);
    short
}

/// A row with its borrower.
struct Owned<'a> {
    row: &'a LoanRow,
    owner: Owner,
}

/// A row that will be imported, and under which id.
struct New<'a> {
    row: &'a LoanRow,
    owner: Owner,
    id: Option<i64>,
}

/// Rows of one transaction, and whether each is renumbered; with their borrowers as their streams tell them.
#[derive(Default)]
struct Group<'a> {
    new: Vec<(New<'a>, bool)>,
    customers: HashMap<i64, LoadedCustomer>,
}

/// What became of a chunk.
#[derive(Default)]
struct Resolved<'a> {
    new: Vec<New<'a>>,
    unchanged: u64,
    /// Imported by this very import, before it was interrupted.
    before: Vec<(&'a LoanRow, i64)>,
    warnings: Vec<Warning>,
    rejects: Vec<Reject>,
}

impl Run<'_> {
    /// Takes the next rows of the workbook.
    pub(super) async fn take_loans(
        &mut self,
        sheet: &mut Sheet<LoanRow>,
        chunk: Vec<Parsed<LoanRow>>,
    ) -> Result<(), ImportError> {
        if !std::mem::replace(&mut sheet.begun, true) && !self.job.dry_run {
            continue_above(self.log.pool(), Sequence::Loans, sheet.largest_id).await?;
        }
        let rows = self.sift(chunk, &mut sheet.tally);
        let name = sheet.name().to_owned();
        self.loan_chunk(&name, &rows, &mut sheet.tally).await
    }

    async fn loan_chunk(&mut self, sheet: &str, rows: &[LoanRow], tally: &mut Tally) -> Result<(), ImportError> {
        let mut unknown = Vec::new();
        let owned = self.find_owners(sheet, rows, &mut unknown).await?;
        let mut done = HashSet::new();
        for _ in 0..MAX_CHUNK_ATTEMPTS {
            let resolved = self.resolve_loans(sheet, &owned, &done).await?;
            let (appended, missed) = if self.job.dry_run {
                self.earlier.ids.extend(resolved.new.iter().filter_map(|new| new.id));
                (resolved.new, 0)
            } else {
                self.append_loans(resolved.new).await?
            };
            for New { row, id, .. } in &appended {
                tally.imported += 1;
                tally.renumbered += u64::from(id.is_none() || *id != kept_id(&row.external_id));
                done.insert(row.row);
            }
            if missed > 0 {
                Self::pause().await;
                continue;
            }
            self.earlier.keys.extend(owned.iter().map(|owned| short(&key(owned))));
            for (row, id) in &resolved.before {
                tally.imported += 1;
                tally.renumbered += u64::from(Some(*id) != kept_id(&row.external_id));
            }
            tally.unchanged += resolved.unchanged;
            self.warn(&resolved.warnings);
            unknown.iter().chain(&resolved.rejects).for_each(|reject| self.reject(reject, tally));
            return Ok(());
        }
        Err(ImportError::Contention)
    }

    /// Finds who the borrowers are; a loan without one is a reject.
    async fn find_owners<'r>(
        &self,
        sheet: &str,
        rows: &'r [LoanRow],
        unknown: &mut Vec<Reject>,
    ) -> Result<Vec<Owned<'r>>, ImportError> {
        let mut looked_up: HashMap<&str, EarlierCustomer> = HashMap::new();
        let mut owned = Vec::with_capacity(rows.len());
        for row in rows {
            let external_id = row.customer_external_id.as_str();
            match self.owners.get(external_id) {
                Some(None) => {
                    unknown.push(reject(sheet, row, CUSTOMER_COLUMN, "names a customer whose own row was rejected"));
                    continue;
                }
                Some(Some(owner)) => {
                    owned.push(Owned { row, owner: *owner });
                    continue;
                }
                None => {}
            }
            if !looked_up.contains_key(external_id) {
                looked_up.insert(external_id, earlier_customer(self.log.pool(), external_id).await?);
            }
            let reason = match looked_up.get(external_id) {
                Some(EarlierCustomer::Known(id)) => {
                    owned.push(Owned { row, owner: Owner::Customer(*id) });
                    continue;
                }
                Some(EarlierCustomer::Ambiguous) => {
                    "names several customers of earlier imports; import their workbook with it"
                }
                Some(EarlierCustomer::Unknown) | None => "names no customer",
            };
            unknown.push(reject(sheet, row, CUSTOMER_COLUMN, reason));
        }
        Ok(owned)
    }

    /// Sorts a chunk's rows, but for those that are done, by what the store knows of them.
    async fn resolve_loans<'r>(
        &self,
        sheet: &str,
        owned: &[Owned<'r>],
        done: &HashSet<u32>,
    ) -> Result<Resolved<'r>, ImportError> {
        let pool = self.log.pool();
        let keys: Vec<String> = owned.iter().map(key).collect();
        let wanted: Vec<i64> = owned.iter().filter_map(|owned| kept_id(&owned.row.external_id)).collect();
        let (mut taken, imported) =
            try_join(taken_ids::<Loan>(pool, &wanted), imported_before(pool, KIND, &keys)).await?;
        let mut seen = HashSet::new();

        let mut resolved = Resolved::default();
        for (Owned { row, owner }, key) in owned.iter().zip(&keys) {
            if self.earlier.keys.contains(&short(key)) || !seen.insert(key) {
                resolved.rejects.push(reject(sheet, row, LOAN_COLUMN, "stands on an earlier row of this customer"));
            } else if done.contains(&row.row) {
                // Counted when it was appended.
            } else if let Some(before) = imported.get(key).filter(|before| before.is_of(self.job.import_id())) {
                resolved.before.push((row, before.id));
            } else if let Some(before) = imported.get(key) {
                if !before.says(&content(row)) {
                    resolved.warnings.push(Warning {
                        sheet: sheet.to_owned(),
                        row: row.row,
                        column: None,
                        message: format!("differs from what was imported before as loan {}, which stands", before.id),
                    });
                }
                resolved.unchanged += 1;
            } else {
                let free = |id: &i64| !self.earlier.ids.contains(id) && taken.insert(*id);
                let id = kept_id(&row.external_id).filter(free);
                resolved.new.push(New { row, owner: *owner, id });
            }
        }
        Ok(resolved)
    }

    /// Gives new ids where none is kept, and appends, a customer's loans together. Answers what was appended, and how many
    /// were not because somebody was faster.
    async fn append_loans<'r>(&self, mut new: Vec<New<'r>>) -> Result<(Vec<New<'r>>, usize), ImportError> {
        let pool = self.log.pool();
        let missing = new.iter().filter(|new| new.id.is_none()).count();
        let mut drawn = draw_many(pool, Sequence::Loans, missing).await?.into_iter();
        let borrowers: HashSet<i64> = new.iter().filter_map(|new| borrower(new.owner)).collect();
        let borrowers: Vec<i64> = borrowers.into_iter().collect();
        let mut customers = load_customers(pool, &borrowers).await?;
        let mut groups: [Group<'r>; GROUPS] = Default::default();
        for mut one in new.drain(..) {
            let is_renumbered = one.id.is_none();
            if is_renumbered {
                one.id = Some(drawn.next().ok_or(sqlx::Error::RowNotFound)?);
            }
            let customer_id = borrower(one.owner).unwrap_or(0);
            let group = usize::try_from(customer_id).unwrap_or(0) % GROUPS;
            let group = &mut groups[group];
            group.customers.entry(customer_id).or_insert_with(|| customers.remove(&customer_id).unwrap_or_default());
            group.new.push((one, is_renumbered));
        }
        // In the order of their ids, as commands append to them: no two statements wait for each other then.
        groups.iter_mut().for_each(|group| group.new.sort_by_key(|(new, _)| borrower(new.owner)));
        let outcomes = join_all(groups.into_iter().map(|group| self.append_loan_group(group))).await;
        came_of(outcomes)
    }

    /// `false` where somebody was faster, and nothing of the group was appended.
    async fn append_loan_group<'r>(&self, group: Group<'r>) -> Result<(Vec<New<'r>>, bool), ImportError> {
        let Group { new, mut customers } = group;
        let mut to_append = Append::default();
        let mut is_free = true;
        for (New { row, owner, id }, is_renumbered) in &new {
            let customer_id = borrower(*owner).unwrap_or(0);
            let customer = customers.entry(customer_id).or_default();
            match self.push_loan(&mut to_append, customer, customer_id, row, id.unwrap_or(0), *is_renumbered).await {
                // Another import brought the row in after this one had looked.
                Err(ImportError::Command(CommandError::Customer(CustomerRefusal::LoanAlreadyKnown(_)))) => {
                    is_free = false;
                    break;
                }
                pushed => pushed?,
            }
        }
        let new = new.into_iter().map(|(new, _)| new).collect();
        if !is_free || !to_append.has_events() {
            return Ok((new, is_free));
        }
        match append(self.log.pool(), &to_append).await {
            Ok(_) => Ok((new, true)),
            Err(AppendError::Conflict) => Ok((new, false)),
            Err(
                error @ (AppendError::PhoneNumberTaken(_)
                | AppendError::KeyTaken
                | AppendError::Untaken(_)
                | AppendError::Store(_)),
            ) => Err(error.into()),
        }
    }

    async fn push_loan(
        &self,
        append: &mut Append,
        borrower: &mut LoadedCustomer,
        customer_id: i64,
        row: &LoanRow,
        id: i64,
        renumbered: bool,
    ) -> Result<(), ImportError> {
        let used_up = |error| CommandError::Id(IdError::UsedUp(error));
        let customer = CustomerId::try_from(customer_id).map_err(used_up)?;
        let loan = record(row, LoanId::try_from(id).map_err(used_up)?);
        let import = ImportLoan {
            external_id: renumbered.then(|| row.external_id.clone()),
            terms: terms(row, &loan, customer),
            instalments_paid_on_time: row.instalments_paid_on_time,
            at: self.at,
        };
        let carry_over = CustomerCommand::CarryOverLoan(CarryOverLoan { loan, at: self.at });
        let carried_over = handle(&mut borrower.customer, carry_over).await.map_err(CommandError::from)?;
        let imported = handle(&mut Loan::default(), LoanCommand::Import(import)).await.map_err(CommandError::from)?;
        let metadata = self.job.metadata(customer);
        let version = borrower.version;
        borrower.version += carried_over.len();
        append.push(serialize::<Customer>(customer_id, version, carried_over, &metadata)?);
        append.push(serialize::<Loan>(id, 0, imported, &metadata)?);
        append.remember_imported(KIND, key_of(customer_id, row), id, digest(&content(row)), self.job.import_id());
        Ok(())
    }
}

fn borrower(owner: Owner) -> Option<i64> {
    match owner {
        Owner::Customer(id) => Some(id),
        Owner::Pending => None,
    }
}

fn record(row: &LoanRow, loan_id: LoanId) -> LoanRecord {
    LoanRecord {
        loan_id,
        principal: row.principal,
        instalment: row.instalment,
        tenure: row.tenure,
        started_on: row.started_on,
        ends_on: row.ends_on,
        instalments_paid_on_time: row.instalments_paid_on_time,
        settled_on: None,
        written_off_on: None,
    }
}

fn terms(row: &LoanRow, loan: &LoanRecord, customer_id: CustomerId) -> LoanTerms {
    LoanTerms {
        loan_id: loan.loan_id,
        customer_id,
        principal: row.principal,
        interest_rate: row.interest_rate,
        tenure: row.tenure,
        instalment: row.instalment,
        started_on: row.started_on,
        ends_on: row.ends_on,
    }
}

fn reject(sheet: &str, row: &LoanRow, column: &str, reason: &str) -> Reject {
    Reject {
        sheet: sheet.to_owned(),
        row: row.row,
        column: Some(column.to_owned()),
        reason: reason.to_owned(),
        customer_external_id: Some(row.customer_external_id.clone()),
    }
}

fn key(owned: &Owned<'_>) -> String {
    match owned.owner {
        Owner::Customer(id) => key_of(id, owned.row),
        // Not a customer yet: told apart by the id in the workbook.
        Owner::Pending => source_key([&format!("pending {}", owned.row.customer_external_id), &owned.row.external_id]),
    }
}

fn key_of(customer_id: i64, row: &LoanRow) -> String {
    source_key([&customer_id.to_string(), &row.external_id])
}

/// Everything a row says, without where it stands and under which customer.
fn content(row: &LoanRow) -> String {
    let LoanRow {
        row: _,
        customer_external_id: _,
        external_id,
        principal,
        tenure,
        interest_rate,
        instalment,
        instalments_paid_on_time,
        started_on,
        ends_on,
    } = row;
    format!(
        "{external_id:?} {principal} {tenure} {interest_rate} {instalment} {instalments_paid_on_time} {started_on} {ends_on}"
    )
}
