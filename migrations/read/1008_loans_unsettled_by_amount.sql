-- no-transaction
-- Large loans that are active, or overdue, beside many that are not: the next due date is looked at in the index, so that
-- the others are passed over without reading them.
create index concurrently loans_unsettled_by_amount on read_models.loans (principal, loan_id, next_due_on)
    where next_due_on is not null and written_off_on is null;
