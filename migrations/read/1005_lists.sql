-- The indexes that lists are walked by, each ending in the row's id: in its order every row has a place of its own, at
-- which the next page begins. Making them holds writers up: where the tables are large and in use, make them
-- beforehand, with CONCURRENTLY, but for those on columns that 1004 adds.

create index if not exists customers_by_phone_number on read_models.customers (phone_number, customer_id);
create index if not exists customers_by_income on read_models.customers (monthly_income, approved_limit, customer_id);
create index if not exists customers_by_limit on read_models.customers (approved_limit, customer_id);
create index if not exists customers_by_registration on read_models.customers (registered_at, customer_id);

create index if not exists loans_by_customer on read_models.loans (customer_id, loan_id);
create index if not exists loans_by_customer_start on read_models.loans (customer_id, started_on, loan_id);
create index if not exists loans_by_customer_end on read_models.loans (customer_id, ends_on, loan_id);
create index if not exists loans_by_amount on read_models.loans (principal, loan_id);
create index if not exists loans_by_start on read_models.loans (started_on, loan_id);
create index if not exists loans_by_end on read_models.loans (ends_on, loan_id);
create index if not exists loans_by_opening on read_models.loans (opened_at, loan_id);

-- By status. Which loans are active and which overdue changes with the day; their next due date does not.
create index if not exists loans_by_next_due on read_models.loans (next_due_on, loan_id)
    where next_due_on is not null and written_off_on is null;
create index if not exists loans_written_off on read_models.loans (written_off_on, loan_id)
    where next_due_on is not null and written_off_on is not null;
create index if not exists loans_settled on read_models.loans (loan_id) where next_due_on is null;

-- loans_by_customer_end begins with the same columns, and serves whatever this one did.
drop index if exists read_models.loans_customer_ends_on;
