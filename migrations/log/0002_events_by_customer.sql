-- A customer's events in their order, its loans' among them: replay by customers, redriving, verifying and the view as
-- of a past day. Making it holds appends up: where the log is large and in use, make it beforehand, with CONCURRENTLY.
create index if not exists events_customer on events (customer_id, position);
