-- A customer's events in their order, its loans' among them: replay by customers, redriving, verifying and the view as
-- of a past day.
create index events_customer on events (customer_id, position);
