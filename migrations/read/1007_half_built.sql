-- no-transaction
-- What an interrupted 1008 may have left behind.
drop index concurrently if exists read_models.loans_unsettled_by_amount;
